"""The ``simulate:`` section of an analysis YAML, and the predefined simulations."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from oddjets.config.yaml import StrictModel
from oddjets.core.errors import OddjetsError, nearest

__all__ = ["PREDEFINED", "SimulationSpec", "default_seed", "predefined_simulation"]

Positive = Annotated[int, Field(gt=0)]

#: eras G and H of 2016, 1/pb
_LUMINOSITY_2016_GH = 16393.38
#: seeds made of names begin here
_FIRST_DEFAULT_SEED = 1_000_000_000
_OTHER_BACKGROUNDS = ("top", "wjets", "zjets", "stop_t", "stop_s", "ww", "wz", "zz", "wh", "zh", "hj", "tth")

#: name: fields of `SimulationSpec`
PREDEFINED: dict[str, dict[str, Any]] = {
    # seconds, for tests
    "tiny": {"luminosity": 1.0, "templates": {"qcd": 600, "top": 200, "wjets": 200, "zjets": 200}},
    # minutes
    "demo": {"luminosity": 90.0, "templates": {"qcd": 20_000, "top": 12_000, "wjets": 5000, "zjets": 3500}},
    # 100 000 selected QCD events
    "validation": {
        "luminosity": 300.0,
        "templates": {"qcd": 3_300_000, "top": 60_000, "wjets": 30_000, "zjets": 30_000, "hh": 17_000},
    },
    # the data of 2016 that the open-data analysis uses, and every process
    "full": {
        "luminosity": _LUMINOSITY_2016_GH,
        "data_processes": ("qcd", *_OTHER_BACKGROUNDS),
        "templates": {"qcd": 3_300_000, **dict.fromkeys(_OTHER_BACKGROUNDS, 100_000), "top": 400_000, "hh": 57_000},
    },
}


def default_seed(name: str) -> int:
    """Return the seed of an analysis that states none: from its name, above the seeds that people write."""
    return _FIRST_DEFAULT_SEED + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _FIRST_DEFAULT_SEED


def predefined_simulation(name: str) -> dict[str, Any]:
    """Return the settings of a predefined simulation.

    Args:
        name: a name of ``SETS``.

    Returns:
        Fields of `SimulationSpec`.

    Raises:
        OddjetsError: for an unknown name.
    """
    if name not in PREDEFINED:
        raise OddjetsError(f"simulate: no set '{name}'; {nearest(name, PREDEFINED)}")
    return dict(PREDEFINED[name])


class SimulationSpec(StrictModel):
    """Pseudo-data and templates to simulate; ``set: NAME`` starts from a predefined simulation, whose keys these replace.

    Pseudo-data and templates never share a seed, so the template of QCD is also an independent sample for closure tests.
    `oddjets.simulation.processes.check_processes` checks the names of processes.
    """

    seed: int = Field(1, ge=0, description="random seed; in an analysis without it, the seed is made from its name")
    luminosity: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="of the pseudo-data, /pb; not given: no pseudo-data"
    )
    data_processes: tuple[str, ...] = Field(
        ("qcd", "top", "wjets", "zjets"), description="the processes in the pseudo-data, each at its cross section"
    )
    inject: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={},
        description="process: its signal strength in the pseudo-data, in units of its cross section; 0 removes a process of"
        " 'data_processes'",
    )
    templates: dict[str, Positive] = Field(
        default={},
        description="process: number of hard events to generate for its template, before the generator filter",
    )
    early_veto: bool = Field(
        True,
        description="true: a generator filter drops events that cannot pass the selection before multiparton interactions"
        " and hadronisation; false: all are generated completely, about 13 times the time for each selected event",
    )
    pileup: bool = Field(
        False,
        description="true: minimum-bias interactions are overlaid and candidates get PUPPI weights; false: no pileup",
    )
    blocks: Positive | None = Field(
        None, description="number of files of the pseudo-data; not given: follows from the luminosity"
    )
    energy_TeV: Annotated[float, Field(gt=0)] = Field(
        13.0, description="centre-of-mass energy, TeV; only 13 is possible, because the cross sections are for 13 TeV"
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_predefined(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "set" not in content:
            return content
        try:
            return predefined_simulation(content["set"]) | {
                name: value for name, value in content.items() if name != "set"
            }
        except OddjetsError as error:
            raise ValueError(str(error).removeprefix("simulate: ")) from error

    @model_validator(mode="after")
    def _consistent(self) -> Self:
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
