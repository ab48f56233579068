"""The section ``inspect:`` of an analysis YAML: which events `oddjets inspect` and the report look at, and how."""

from __future__ import annotations

from pydantic import Field, model_validator

from oddjets.config.fit import Letter
from oddjets.config.yaml import Name, StrictModel

__all__ = ["Inspect"]


class Inspect(StrictModel):
    """The window whose events are looked at, and what is made of them."""

    region: Name | None = Field(default=None, description="the region; not given: the first one of the fit, or of all")
    letter: Letter = Field(default="A", description="the letter: A has the events whose two jets pass the threshold")
    observable: Name | None = Field(
        default=None, description="the observable that 'bins' is of; not given: that of the fit, or the first one"
    )
    bins: tuple[float, float] | None = Field(
        default=None,
        description="lower and upper end of the window, in the observable's unit; not given: all values, also outside the"
        " histogram",
    )
    process: str | None = Field(
        default=None, description="look at the simulated events of this process; not given: at data"
    )
    dataset: str | None = Field(default=None, description="look at the events of this dataset alone")
    efficiency: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="of single jets, look at this fraction with the highest scores; not given: the largest of 'jet_bump'",
    )
    picks: str | None = Field(
        default=None,
        description="look at the events of a list instead, in its order and whatever their region and letter: a file with"
        " run:section:event in each line, or 'two-sample' for the list of `oddjets study two-sample`",
    )
    top: int = Field(default=20, ge=1, description="number of events in the table, the oddest first")
    displays: int = Field(
        default=10, ge=0, description="number of events of the table that are drawn, the oddest first"
    )
    truth: bool = Field(
        default=False,
        description="say of pseudo-data which process each event was simulated as, from truth/ beside their files",
    )
    neighbours: bool = Field(default=True, description="compare the events of the window with those beside it")
    side_bands: tuple[float, float] | None = Field(
        default=None,
        description="lower and upper end of the side bands that the window is compared with, in the observable's unit; not"
        " given: half of the window's width to both sides, or as far as 50 events need",
    )
    permutations: int = Field(
        default=2000, ge=99, description="number of permutations behind the p values of that comparison"
    )
    why: int = Field(
        default=10,
        ge=0,
        description="number of events of the table of which is found what their scores rest on, the oddest first; some 600"
        " inferences each",
    )
    shares: bool = Field(
        default=True,
        description="average the shares of the model's class groups: against the jets' mass, and in the window",
    )

    @model_validator(mode="after")
    def _rising(self) -> Inspect:
        if self.bins is not None and not self.bins[0] < self.bins[1]:
            raise ValueError("'bins' must rise: the lower and the upper end of the window")
        if self.side_bands is not None and not self.side_bands[0] < self.side_bands[1]:
            raise ValueError("'side_bands' must rise: the lower and the upper end of what the window is compared with")
        if (
            self.bins is not None
            and self.side_bands is not None
            and self.bins[0] <= self.side_bands[0]
            and self.side_bands[1] <= self.bins[1]
        ):
            raise ValueError("'side_bands' lie within 'bins': they must reach further, at one end at least")
        if self.process is not None and self.dataset is not None:
            raise ValueError("'process' and 'dataset' both say whose events; give one of them")
        if self.picks is not None and self.bins is not None:
            raise ValueError("'picks' and 'bins' both say which events; give one of them")
        return self
