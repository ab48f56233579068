"""The processes that can be simulated, from ``processes.yaml``: Pythia settings, cross sections and their sources."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Annotated

import yaml
from pydantic import Field

from oddjets.config.simulation import SimulationSpec
from oddjets.config.yaml import StrictModel
from oddjets.core.errors import OddjetsError, nearest

__all__ = ["CostOfTry", "MassAcceptance", "SimulatedProcess", "check_processes", "load_processes", "select_processes"]


class MassAcceptance(StrictModel):
    """Accept-reject on the mass of a particle of the hard process: a spectrum that Pythia does not have."""

    #: PDG code
    particle: int
    #: GeV, ascending
    mass: tuple[float, ...]
    #: probability to keep an event, at each mass; linear between, constant outside
    acceptance: tuple[Annotated[float, Field(ge=0, le=1)], ...]


class CostOfTry(StrictModel):
    """The average cost of a try with the early veto, on one core, to some 30 %."""

    #: CPU time
    ms: float
    #: size of the files
    kB: float
    #: share of tries whose two leading jets have pT > 450 GeV, abs(eta) < 2.5 and soft-drop mass > 60 GeV
    selected: float


class SimulatedProcess(StrictModel):
    """One process; cross sections in pb."""

    name: str
    label: str
    pythia: tuple[str, ...]
    #: power of alpha_s in the cross section
    alpha_s_order: Annotated[int, Field(ge=0)]
    pt_hat_min: float
    cross_section_pb: float = Field(gt=0)
    cross_section_error_pb: float = Field(ge=0)
    cross_section_source: str = (
        "Pythia 8.317 leading order, 13 TeV, Monash tune, measured without parton level (60 000 hard events)"
    )
    k_factor: float = Field(gt=0)
    k_factor_source: str
    overlap_group: str | None
    mass_acceptance: MassAcceptance | None = None
    #: whether templates have the weights of shower variations, which cost time
    shower_variations: bool = True
    cost: CostOfTry

    @property
    def source(self) -> str:
        """Where cross section and K factor come from."""
        return f"{self.cross_section_source}; K factor {self.k_factor:g}: {self.k_factor_source}"


@cache
def load_processes() -> dict[str, SimulatedProcess]:
    """Return every known process by name."""
    text = resources.files("oddjets.simulation").joinpath("processes.yaml").read_text(encoding="utf-8")
    return {name: SimulatedProcess(name=name, **entry) for name, entry in yaml.safe_load(text).items()}


def select_processes(names: Iterable[str]) -> list[SimulatedProcess]:
    """Return the named processes.

    Args:
        names: names of ``processes.yaml``.

    Raises:
        OddjetsError: for an unknown name, or where two of the named describe the same events.
    """
    known = load_processes()
    names = list(dict.fromkeys(names))
    if unknown := [name for name in names if name not in known]:
        hints = "; ".join(f"'{name}': {nearest(name, known)}" for name in unknown)
        raise OddjetsError(f"simulate: unknown process {hints}")
    groups: dict[str, str] = {}
    for name in names:
        group = known[name].overlap_group
        if group is not None and groups.setdefault(group, name) != name:
            raise OddjetsError(f"simulate: {groups[group]} and {name} overlap (group {group}): use one of them")
    return [known[name] for name in names]


def check_processes(spec: SimulationSpec) -> None:
    """Refuse processes that there are not, and pseudo-data or templates in which two describe the same events.

    Args:
        spec: what is asked of the simulation.

    Raises:
        OddjetsError: with the nearest valid names, or with the two processes.
    """
    select_processes([*spec.data_processes, *spec.inject])
    select_processes(spec.templates)
