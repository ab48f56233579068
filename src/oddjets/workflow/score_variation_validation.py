"""Validation of the section `score_variations`: what is varied, of which processes, and whether a score would move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import combinations_of
from oddjets.config.per_era import eras_of
from oddjets.core.errors import nearest
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard

__all__ = ["score_variation_problems"]

_SECTION = "score_variations"


def score_variation_problems(analysis: Analysis, cards: Mapping[str, ModelCard | ColumnCard]) -> Iterator[str]:
    """List what is wrong with variations of constituents.

    Args:
        analysis: its form is right; its systematics have those of the section, or not yet.
        cards: score to its model's card, of the scores, and members of families, whose card can be read.
    """
    section = analysis.score_variations
    listed = {} if section is None else section.listed
    made = {s.name for s in analysis.systematics if s.kind == "scores"} == {*listed}
    for i, systematic in enumerate(analysis.systematics):
        if systematic.kind == "scores" and not made:
            yield f"systematics.{i}.kind: variations of scores stand in a section of their own, '{_SECTION}'"
    if section is None:
        return
    if analysis.npz is not None:
        yield (
            f"{_SECTION}: imported event files ('npz') hold scores and no constituents, so that nothing can be varied; leave"
            " the section out"
        )
        return
    others = [s.name for s in analysis.systematics if s.kind != "scores"]
    for name, found in listed.items():
        if name in others:
            yield f"{_SECTION}.{name}: a systematic of this name is in 'systematics', too; give that another name"
        for era in found.correlation if isinstance(found.correlation, dict) else ():
            if era not in eras_of(analysis):
                yield f"{_SECTION}.{name}.correlation: no era '{era}'; {nearest(era, eras_of(analysis))}"
        for process in found.processes or ():
            if process not in analysis.processes:
                yield f"{_SECTION}.{name}.processes: no process '{process}'; {nearest(process, analysis.processes)}"
    if combined := list(combinations_of(analysis.scores)):
        yield (
            f"{_SECTION}: '{combined[0]}' is a combination of scores, which is not varied; leave the section or the combination"
            " out"
        )
    elif not _moves(analysis, analysis.threshold.score, cards):
        yield (
            f"{_SECTION}: the score '{analysis.threshold.score}' of the threshold is not computed from constituents, so that no"
            " variation would move it; leave the section out, or take a score with a model of constituents"
        )


def _moves(analysis: Analysis, name: str, cards: Mapping[str, ModelCard | ColumnCard]) -> bool:
    """Tell whether a score is computed from constituents, as far as is known; one whose card cannot be read may be."""
    score = analysis.scores.get(name)
    if score is None:
        return True
    if score.card is not None:
        card = cards.get(name)
        if not isinstance(card, ColumnCard):
            return True
        # N-subjettiness moves with the constituents, if those are read for a model
        return any(isinstance(other, ModelCard) for other in cards.values())
    if score.column is not None:
        return any(isinstance(other, ModelCard) for other in cards.values())
    return score.of is not None or bool(score.family)
