"""The sections ``observables`` and ``regions`` of an analysis YAML: what is histogrammed, where, and in which bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from oddjets.config.yaml import Name, StrictModel

__all__ = ["QUANTIFIERS", "Axis", "Observable", "Quantifier", "Region", "with_own_requirements"]

Quantifier = Literal["all", "any", "leading", "subleading"]
#: which of the two jets pass a region's cuts on single jets
QUANTIFIERS: tuple[Quantifier, ...] = ("all", "any", "leading", "subleading")

#: one name, or a list of names
Names = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


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
    """A conjunction of named cuts, on single jets and on events, on top of the base selection.

    ``not NAME`` negates a cut. In a list of cuts on single jets, the same jet must pass all of them.
    """

    all: Names = Field(default=(), description="cuts on single jets that both jets pass")
    any: Names = Field(default=(), description="cuts on single jets that at least one jet passes")
    leading: Names = Field(default=(), description="cuts on single jets that the leading jet passes")
    subleading: Names = Field(default=(), description="cuts on single jets that the subleading jet passes")
    cuts: Names = Field(default=(), description="cuts on events, and other regions; 'not NAME' negates both")
    label: str = Field(default="", description="the description in figures; empty: only the region's name")
    binning: dict[Name, Axis] = Field(
        default={}, description="observable: its binning in this region, if it differs from the one under 'observables'"
    )

    part_of: Name | None = Field(
        default=None, description="the region that it is a product cell of; the program makes such regions itself"
    )

    @property
    def of_jets(self) -> dict[Quantifier, tuple[str, ...]]:
        """The cuts on single jets, by the jets that must pass them; without those that ask nothing."""
        asked: dict[Quantifier, tuple[str, ...]] = {name: getattr(self, name) for name in QUANTIFIERS}
        return {name: cuts for name, cuts in asked.items() if cuts}

    @property
    def names(self) -> frozenset[str]:
        """The cuts and regions that it names, without ``not``."""
        asked = [*self.cuts, *(cut for cuts in self.of_jets.values() for cut in cuts)]
        return frozenset(cut.split()[-1] for cut in asked if cut.strip())


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
