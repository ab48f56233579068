"""Eras in an analysis: their names, and what is asked for one of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError

from oddjets.config.yaml import merge_mappings

if TYPE_CHECKING:
    from oddjets.config.analysis import Analysis, Systematic

T = TypeVar("T")

__all__ = [
    "ALL",
    "EACH",
    "ByPeriod",
    "Correlation",
    "EraName",
    "EraNames",
    "Label",
    "Luminosities",
    "LuminosityUncertainties",
    "by_era",
    "eras_of",
    "of_era",
    "selection_problem",
]

#: label of what is one nuisance parameter over all eras, and word for what is one an era
ALL, EACH = "all", "era"


def _text(value: Any) -> Any:
    """Return a year, which YAML reads as a number, as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _texts(value: Any) -> Any:
    """Return names as texts; a list of one era is that era."""
    if isinstance(value, (list, tuple)):
        names = tuple(_text(name) for name in value)
        if not names:
            raise ValueError("needs at least one era")
        if twice := sorted({str(name) for name in names if names.count(name) > 1}):
            raise ValueError(f"'{twice[0]}' is listed twice")
        return names[0] if len(names) == 1 else names
    return _text(value)


#: file of an era in ``corrections/``, without its ending
EraName = Annotated[str, BeforeValidator(_text), Field(pattern=r"^\w+$")]
#: what eras share that share a nuisance parameter: a part of its name
Label = Annotated[str, BeforeValidator(_text), Field(pattern=r"^[A-Za-z0-9_]+$")]


def _branch(value: Any) -> str:
    return "(several)" if isinstance(value, (dict, list, tuple)) else "(one)"


def _branch_or_word(value: Any) -> str:
    return "(word)" if isinstance(value, str) else _branch(value)


_Luminosity = Annotated[float, Field(gt=0)]
#: a relative uncertainty
_Share = Annotated[float, Field(ge=0, lt=1)]

# each value is checked as what it looks like, so that a mistake is said once
#: an era, or several
EraNames = Annotated[
    Annotated[EraName, Tag("(one)")] | Annotated[tuple[EraName, ...], Tag("(several)")],
    Discriminator(_branch),
    BeforeValidator(_texts),
]
#: a number, or one for each era, /pb
Luminosities = Annotated[
    Annotated[_Luminosity, Tag("(one)")] | Annotated[dict[EraName, _Luminosity], Tag("(several)")],
    Discriminator(_branch),
]
#: a relative uncertainty; those of the eras' files; or era to its parts
LuminosityUncertainties = Annotated[
    Annotated[_Share, Tag("(one)")]
    | Annotated[Literal["eras"], Tag("(word)")]
    | Annotated[dict[EraName, dict[Label, _Share]], Tag("(several)")],
    Discriminator(_branch_or_word),
]
#: one parameter over the eras, one an era, or era to label
Correlation = Annotated[
    Annotated[Literal["all", "era"], Tag("(one)")] | Annotated[dict[EraName, Label], Tag("(several)")],
    Discriminator(_branch),
]
#: one, or one for each period of an era
ByPeriod = Annotated[Annotated[str, Tag("(one)")] | Annotated[dict[str, str], Tag("(several)")], Discriminator(_branch)]


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
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        return f"selection_by_era.{era}.{place}: {first['msg']}"
    return None
