"""The processors of single eras, where an analysis has several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import of_era
from oddjets.corrections import lookups
from oddjets.scoring.column_scorer import AnyScorer

__all__ = ["PerEra", "at_era"]


def at_era(analysis: Analysis, processor: Any, era: str) -> Any:
    """Return the processor for the datasets of an era: of an analysis of one era, the only one."""
    return processor if isinstance(analysis.era, str) else processor.at_era(era)


class PerEra:
    """The method of processors that gives those of single eras; a processor inherits it.

    Attributes:
        analysis: what was asked.
        scorers: score name to scorer.
        score_cache: the folder of scores.
    """

    analysis: Analysis
    scorers: Mapping[str, AnyScorer]
    score_cache: Path | None

    def at_era(self, era: str) -> Self:
        """Return the processor for datasets of one of several eras: with its corrections, and what is asked for it.

        Args:
            era: as the analysis names it; of an analysis of one era, that one.
        """
        if isinstance(self.analysis.era, str):
            return self
        kept = self.__dict__.setdefault("_of_eras", {})
        if era not in kept:
            make: Any = type(self)
            corrections = lookups.load_era(era, self.analysis.folder)
            kept[era] = make(of_era(self.analysis, era), *corrections, self.scorers, self.score_cache)
        made: Self = kept[era]
        return made
