"""The parts of an analysis of several eras: what is asked of the datasets of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from oddjets.config.analysis import Analysis
from oddjets.config.systematics import Systematic
from oddjets.config.yaml import describe_errors, merge_mappings

__all__ = ["by_era", "eras_of", "of_era", "selection_problem"]

T = TypeVar("T")


def eras_of(analysis: Analysis) -> tuple[str, ...]:
    """Return the eras of an analysis, in its order."""
    return (analysis.era,) if isinstance(analysis.era, str) else analysis.era


def of_era(analysis: Analysis, era: str) -> Analysis:
    """Return what an analysis asks of the datasets of one era: an analysis of that era alone.

    Args:
        analysis: of one era, which is returned as it is, or of several.
        era: one of them.
    """
    if isinstance(analysis.era, str):
        return analysis
    selection = analysis.selection
    if own := analysis.selection_by_era.get(era):
        # only what is stated: a default of the selection is none of the user's words
        stated = selection.model_dump(exclude_unset=True)
        selection = type(selection).model_validate(merge_mappings(stated, own))
    luminosity = analysis.luminosity
    return analysis.model_copy(
        update={
            "era": era,
            "selection": selection,
            "selection_by_era": {},
            "luminosity": luminosity.get(era) if isinstance(luminosity, dict) else luminosity,
            "systematics": tuple(_alone(s) for s in analysis.systematics if s.eras is None or era in s.eras),
        }
    )


def by_era(
    analysis: Analysis, fileset: Mapping[str, tuple[Any, T]]
) -> Iterator[tuple[Analysis, dict[str, tuple[Any, T]]]]:
    """Yield what is asked of each era, and its part of a fileset.

    Args:
        analysis: of one era, which is that of all datasets, or of several.
        fileset: name to dataset and what is known of it.
    """
    if isinstance(analysis.era, str):
        yield analysis, dict(fileset)
        return
    for era in analysis.era:
        yield (
            of_era(analysis, era),
            {name: found for name, found in fileset.items() if found[0].metadata.era == era},
        )


def _alone(systematic: Systematic) -> Systematic:
    """Return a systematic without what relates it to other eras."""
    return systematic.model_copy(update={"eras": None, "correlation": None})


def selection_problem(analysis: Analysis, era: str) -> str | None:
    """Return what is wrong with the selection that an analysis states for an era; None: nothing."""
    try:
        of_era(analysis, era)
    except ValidationError as error:
        return f"selection_by_era.{era}.{describe_errors(error, type(analysis.selection))[0]}"
    return None
