"""The sections ``observables`` and ``regions`` of an analysis YAML: what is histogrammed, where, and in which bins."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from oddjets.config.yaml import Name, StrictModel
from oddjets.core.errors import OddjetsError

__all__ = [
    "QUANTIFIERS",
    "Axis",
    "Observable",
    "Quantifier",
    "Region",
    "is_expression",
    "negated_cut",
    "split_cut",
    "with_own_requirements",
]

Quantifier = Literal["all", "any", "leading", "subleading"]
#: which of the two jets pass a region's cuts on single jets
QUANTIFIERS: tuple[Quantifier, ...] = ("all", "any", "leading", "subleading")

#: one name, or a list of names
Names = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


_NAME = re.compile(r"(not\s+)?([A-Za-z_]\w*)")
#: the endings of columns of one jet, and the jet that a region says it of
_OF_JET: dict[str, Quantifier] = {"_1": "leading", "_2": "subleading"}


@functools.lru_cache(maxsize=4096)
def split_cut(text: str) -> tuple[str, bool]:
    """Return a cut without its negation, and whether it is negated.

    Args:
        text: as in the YAML: the name of a cut or region, or an expression over columns; with ``not`` where negated.

    Returns:
        The name, or the expression in one way of writing it; what is neither comes back as it is.

    Examples:
        >>> split_cut("not btagged"), split_cut("not mass_2>100")
        (('btagged', True), ('mass_2 > 100', True))
    """
    if named := _NAME.fullmatch(text.strip()):
        return named[2], named[1] is not None
    # brings NumPy with it, which offering the names of analyses does without
    from oddjets.core.expressions import without_not

    try:
        return without_not(text)
    except OddjetsError:
        return text.strip(), False


def is_expression(cut: str) -> bool:
    """Return whether a cut, from `split_cut`, is an expression and no name."""
    return not cut.isidentifier()


def negated_cut(cut: str) -> str:
    """Return the negation of a cut, from `split_cut`."""
    return f"not ({cut})" if is_expression(cut) else f"not {cut}"


def _of_one_jet(text: str) -> tuple[Quantifier, str] | None:
    """Return the jet that a cut on events asks for, and the cut on this jet; None unless it is an expression over one jet."""
    cut, negated = split_cut(text)
    if not is_expression(cut):
        return None
    from oddjets.core.expressions import names_in, renamed  # see `split_cut`

    try:
        names = names_in(cut)
    except OddjetsError:
        return None
    endings = {name[-2:] for name in names if not name.startswith("trigger_") and "__" not in name}
    if len(endings) != 1 or not (endings <= _OF_JET.keys()) or any(name[-2:] not in endings for name in names):
        return None
    ending = endings.pop()
    of_jet = renamed(cut, {name: name.removesuffix(ending) for name in names})
    return _OF_JET[ending], negated_cut(of_jet) if negated else of_jet


class Axis(StrictModel):
    """A binning: a number of equal bins over a range, or edges."""

    bins: int | None = Field(default=None, ge=1, description="number of bins of equal width")
    range: tuple[float, float] | None = Field(
        default=None, description="lower and upper end of the bins, in the observable's unit"
    )
    edges: tuple[float, ...] | None = Field(
        default=None, description="rising bin edges, in the observable's unit; instead of 'bins' and 'range'"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Axis:
        if self.edges is not None:
            if self.bins is not None or self.range is not None:
                raise ValueError("give 'edges', or 'bins' with 'range', not both")
            if len(self.edges) < 2 or any(b <= a for a, b in zip(self.edges, self.edges[1:], strict=False)):
                raise ValueError("'edges' must be at least two rising numbers")
        if self.range is not None and self.range[1] <= self.range[0]:
            raise ValueError("'range' must rise")
        return self


class Observable(Axis):
    """A quantity to histogram: an expression over the columns of the event table."""

    expression: str = Field(description="over columns of the event table, such as mass_1 or sqrt(pt_1 * pt_2)")
    label: str = Field(description="the axis label in figures; LaTeX between $ signs")
    unit: str = Field(default="", description="the unit in figures, such as GeV; empty: none")

    @model_validator(mode="after")
    def _binned(self) -> Observable:
        if self.edges is None and (self.bins is None or self.range is None):
            raise ValueError("needs 'bins' and 'range', or 'edges'")
        return self


class Region(StrictModel):
    """A conjunction of cuts, on single jets and on events, on top of the base selection.

    A cut is the name of a processor's cut, or an expression over columns of the event table: of one jet, without its number
    (mass > 100), or of the event (mass_2 > 100). 'not' negates it. In a list of cuts on single jets, the same jet
    must pass all of them.
    """

    all: Names = Field(
        default=(), description="cuts on single jets that both jets pass: names, or expressions such as mass > 100"
    )
    any: Names = Field(default=(), description="cuts on single jets that at least one jet passes")
    leading: Names = Field(default=(), description="cuts on single jets that the leading jet passes")
    subleading: Names = Field(default=(), description="cuts on single jets that the subleading jet passes")
    cuts: Names = Field(
        default=(),
        description="cuts on events, and other regions; 'not NAME' negates both. An expression over columns of one jet alone"
        " (mass_2 > 100) is a cut on this jet",
    )
    label: str = Field(default="", description="the description in figures; empty: only the region's name")
    binning: dict[Name, Axis] = Field(
        default={}, description="observable: its binning in this region, if it differs from the one under 'observables'"
    )

    part_of: Name | None = Field(
        default=None, description="the region that it is a product cell of; the program makes such regions itself"
    )

    @property
    def of_jets(self) -> dict[Quantifier, tuple[str, ...]]:
        """The cuts on single jets, by the jets that must pass them; without those that ask nothing.

        Expressions over columns of one jet alone, in ``cuts``, are among them: as ``mass > 100`` of the subleading jet.
        """
        asked: dict[Quantifier, tuple[str, ...]] = {name: getattr(self, name) for name in QUANTIFIERS}
        for found in map(_of_one_jet, self.cuts):
            if found is not None:
                quantifier, cut = found
                asked[quantifier] = (*asked[quantifier], cut)
        return {name: cuts for name, cuts in asked.items() if cuts}

    @property
    def of_events(self) -> tuple[str, ...]:
        """The cuts on events and the other regions: ``cuts`` without those that are in `of_jets`."""
        return tuple(cut for cut in self.cuts if _of_one_jet(cut) is None)

    @property
    def names(self) -> frozenset[str]:
        """The cuts and regions that it names, without ``not``; expressions are no names."""
        asked = [*self.of_events, *(cut for cuts in self.of_jets.values() for cut in cuts)]
        return frozenset(cut for cut, _ in map(split_cut, asked) if cut and not is_expression(cut))


def with_own_requirements(own: dict[Any, Any], base: Mapping[Any, Any]) -> dict[Any, Any]:
    """Let a region that says again what it asks say all of it: nothing that the extended file asks is added.

    Args:
        own: the content of the file that extends another.
        base: the content of the other.

    Returns:
        ``own``, with null in the place of what a region no longer asks.
    """
    regions, before = own.get("regions"), base.get("regions")
    if not isinstance(regions, dict) or not isinstance(before, dict):
        return own
    keys = {*QUANTIFIERS, "cuts"}
    changed = {
        name: {**dict.fromkeys(keys & before[name].keys()), **region}
        for name, region in regions.items()
        if isinstance(region, dict) and isinstance(before.get(name), dict) and keys & region.keys()
    }
    return {**own, "regions": {**regions, **changed}}
