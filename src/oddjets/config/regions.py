"""The sections ``observables`` and ``regions`` of an analysis YAML: what is histogrammed, where, and in which bins."""

from __future__ import annotations

from pydantic import Field, model_validator

from oddjets.config.yaml import Name, StrictModel

__all__ = ["Axis", "Observable", "Region"]


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
    """A conjunction of named cuts on top of the base selection; 'not NAME' negates a cut or another region."""

    cuts: tuple[str, ...] = Field(
        description="names of cuts or of other regions that an event must pass; 'not NAME': must not pass"
    )
    label: str = Field(default="", description="the description in figures; empty: only the region's name")
    binning: dict[Name, Axis] = Field(
        default={}, description="observable: its binning in this region, if it differs from the one under 'observables'"
    )
