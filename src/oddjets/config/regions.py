"""The sections ``observables`` and ``regions`` of an analysis YAML: what is histogrammed, where, and in which bins."""

from __future__ import annotations

from pydantic import Field, model_validator

from oddjets.config.yaml import Name, StrictModel

__all__ = ["Axis", "Observable", "Region"]


class Axis(StrictModel):
    """A binning: a number of equal bins over a range, or edges."""

    bins: int | None = Field(default=None, ge=1)
    range: tuple[float, float] | None = None
    edges: tuple[float, ...] | None = None

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

    expression: str
    label: str
    unit: str = ""

    @model_validator(mode="after")
    def _binned(self) -> Observable:
        if self.edges is None and (self.bins is None or self.range is None):
            raise ValueError("needs 'bins' and 'range', or 'edges'")
        return self


class Region(StrictModel):
    """A conjunction of named cuts on top of the base selection; 'not NAME' negates a cut or another region."""

    cuts: tuple[str, ...]
    label: str = ""
    binning: dict[Name, Axis] = Field(default={}, description="observable: its binning in this region, if another")
