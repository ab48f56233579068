"""What is asked of the simulation: the ``simulate:`` section of an analysis YAML."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from oddjets.config.simulation_sets import named_set
from oddjets.core.errors import OddjetsError
from oddjets.simulation.processes import select_processes

__all__ = ["SimulationSpec"]

Positive = Annotated[int, Field(gt=0)]


class SimulationSpec(BaseModel):
    """Pseudo-data and templates to simulate.

    A template is asked for in hard events tried, pseudo-data in luminosity. An extra, independent sample of QCD for
    closure tests is just the template of ``qcd``: pseudo-data and templates never share a seed. ``set: NAME`` begins
    with a ready-made simulation, whose fields those given replace.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(1, ge=0)
    #: 1/pb of the pseudo-data; none: no pseudo-data
    luminosity: float | None = Field(None, gt=0, allow_inf_nan=False)
    #: what the pseudo-data are made of, at strength 1
    data_processes: tuple[str, ...] = ("qcd", "top", "wjets", "zjets")
    #: process -> strength in the pseudo-data, in units of its cross section; replaces the 1 of ``data_processes``
    inject: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    #: process -> number of hard events tried
    templates: dict[str, Positive] = {}
    #: drop hopeless events before multiparton interactions and hadronisation (a generator filter)
    early_veto: bool = True
    #: overlay minimum-bias interactions, and weigh candidates by PUPPI
    pileup: bool = False
    #: files of the pseudo-data; none: chosen from the luminosity
    blocks: Positive | None = None
    #: centre-of-mass energy
    energy_TeV: Annotated[float, Field(gt=0)] = 13.0

    @model_validator(mode="before")
    @classmethod
    def _begin_with_a_set(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "set" not in content:
            return content
        try:
            return named_set(content["set"]) | {name: value for name, value in content.items() if name != "set"}
        except OddjetsError as error:
            raise ValueError(str(error).removeprefix("simulate: ")) from error

    @model_validator(mode="after")
    def _processes_are_known(self) -> Self:
        try:
            select_processes([*self.data_processes, *self.inject])
            select_processes(self.templates)
        except OddjetsError as error:
            raise ValueError(str(error).removeprefix("simulate: ")) from error
        if self.energy_TeV != 13.0:
            raise ValueError("energy_TeV: the cross sections of processes.yaml are measured at 13 TeV only")
        if self.luminosity is None and not self.templates:
            raise ValueError("nothing to simulate: give a luminosity (pseudo-data), templates, or both")
        if self.luminosity is None and self.inject:
            raise ValueError("inject: nothing to inject into, for no luminosity is given")
        return self

    @property
    def strengths(self) -> dict[str, float]:
        """Strength of every process in the pseudo-data; those of strength 0 are absent."""
        strengths = {**dict.fromkeys(self.data_processes, 1.0), **self.inject}
        return {process: strength for process, strength in strengths.items() if strength > 0}
