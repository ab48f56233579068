"""The section `systematics` of an analysis YAML: sources of uncertainty, and the corrections that new ones look up."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from oddjets.config.eras import ByPeriod, Correlation, EraName
from oddjets.config.yaml import Name, StrictModel

__all__ = ["CorrectionSpec", "Systematic"]


class CorrectionSpec(StrictModel):
    """One correction: a lookup in a correctionlib file, or (without a file) three expressions over branches."""

    file: str | None = Field(
        default=None, description="a correctionlib file, by its name under 'files' in the era's YAML"
    )
    key: ByPeriod | None = Field(
        default=None,
        description="the name of the correction in the correctionlib file; by the era's period, where it depends on the run",
    )
    inputs: dict[str, str | float | int] = Field(
        default={},
        description="input of the correction: its value, which is an expression over columns and branches, a number, or"
        " 'variation' for the input that takes 'nominal', 'up' and 'down'",
    )
    nominal: str | None = Field(
        default="nominal",
        description="the nominal weight: with 'file' the value of the input 'variation', without it an expression; null:"
        " the nominal weight is 1",
    )
    up: str = Field(default="up", description="the same for the weight of the variation up")
    down: str = Field(default="down", description="the same for the weight of the variation down")

    @model_validator(mode="after")
    def _complete(self) -> CorrectionSpec:
        if (self.file is None) != (self.key is None):
            raise ValueError("'file' and 'key' go together")
        return self


class Systematic(StrictModel):
    """A source of uncertainty that is carried through the event table."""

    name: Name = Field(
        description="a built-in systematic (jes, jer, jms, jmr, pu, pref, isr, fsr, scale, toppt), a jet_variation of the"
        " processor, or a new name with a 'correction'"
    )
    kind: Literal["jets", "weight", "envelope", "scores"] | None = Field(
        default=None,
        description="jets: varies pT and mass; weight: varies the event weight; envelope: minimum and maximum of several"
        " weights in each bin; scores: has its own section, 'score_variations'. Not given: follows from the name",
    )
    members: int = Field(default=6, ge=1, description="number of weights of an envelope")
    processes: tuple[str, ...] | None = Field(
        default=None, description="the processes that it acts on; not given: all simulated ones (toppt: top)"
    )
    correction: CorrectionSpec | None = Field(
        default=None, description="the weights of a new weight systematic; not given: those of the built-in name"
    )
    size: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="relative size of jms or jmr, 0.02 is 2 %; not given: the value of the era's YAML",
    )
    decorrelate: bool | None = Field(
        default=None,
        description="true: one nuisance parameter for each process; false: one for all. Not given: true for isr, fsr and"
        " scale, false for all others",
    )
    own_normalisation: bool = Field(
        default=False,
        description="true: each variation of the weight is normalised with its own sum of weights, so that it changes"
        " shape and acceptance but not the cross section; false: with the nominal sum",
    )
    eras: tuple[EraName, ...] | None = Field(
        default=None, description="the eras that it acts in, of several; not given: all"
    )
    correlation: Correlation | None = Field(
        default=None,
        description="all: one nuisance parameter over the eras; era: one for each era; or era to a label, where the same label"
        " is one parameter. Not given: as the eras' files say",
    )
