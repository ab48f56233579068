"""Names and labels of eras, and values that are one for all eras or one for each, as YAMLs state them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

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
