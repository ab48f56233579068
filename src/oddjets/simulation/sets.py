"""Ready-made simulations, and how long and how large a simulation will be."""

from __future__ import annotations

from typing import NamedTuple

from oddjets.errors import OddjetsError, nearest
from oddjets.simulation.plan import make_plan
from oddjets.simulation.processes import load_processes
from oddjets.simulation.spec import SimulationSpec

__all__ = ["SETS", "Prediction", "named_set", "predict"]

#: eras G and H of 2016, 1/pb
_LUMINOSITY_2016_GH = 16393.38
_OTHERS = ("top", "wjets", "zjets", "stop_t", "stop_s", "ww", "wz", "zz", "wh", "zh", "hj", "tth")

SETS = {
    #: seconds, for tests
    "tiny": SimulationSpec(luminosity=1.0, templates={"qcd": 600, "top": 200, "wjets": 200, "zjets": 200}),
    #: minutes
    "demo": SimulationSpec(luminosity=90.0, templates={"qcd": 20_000, "top": 12_000, "wjets": 5000, "zjets": 3500}),
    #: 100 000 selected QCD events
    "validation": SimulationSpec(
        luminosity=300.0, templates={"qcd": 3_300_000, "top": 60_000, "wjets": 30_000, "zjets": 30_000, "hh": 60_000}
    ),
    #: the data of 2016 that the open-data analysis uses, and every process
    "full": SimulationSpec(
        luminosity=_LUMINOSITY_2016_GH,
        data_processes=("qcd", *_OTHERS),
        templates={"qcd": 3_300_000, **dict.fromkeys(_OTHERS, 100_000), "top": 400_000, "hh": 200_000},
    ),
}


class Prediction(NamedTuple):
    """What a simulation will cost, to some 30 %: processors differ, and share."""

    files: int
    #: events whose two leading jets pass pT > 450 GeV and soft-drop mass > 60 GeV
    selected: float
    cpu_seconds: float
    megabytes: float

    def text(self, workers: int) -> str:
        """Return a line for people."""
        seconds = self.cpu_seconds / min(workers, self.files)
        files = f"{self.files} file{'s' if self.files > 1 else ''}"
        if seconds < 120:
            time = f"{seconds:.0f} s"
        elif seconds < 7200:
            time = f"{seconds / 60:.0f} min"
        else:
            time = f"{seconds / 3600:.0f} h"
        return (
            f"{files}, {self.megabytes:,.0f} MB, {self.selected:,.0f} events with two hard, massive jets;"
            f" about {time} with {workers} workers"
        )


def named_set(name: str) -> SimulationSpec:
    """Return a ready-made simulation.

    Raises:
        OddjetsError: for an unknown name.
    """
    if name not in SETS:
        raise OddjetsError(f"simulate: no set '{name}': {nearest(name, SETS)}; there are {', '.join(SETS)}")
    return SETS[name]


def predict(spec: SimulationSpec) -> Prediction:
    """Say what a simulation will cost before it starts.

    Args:
        spec: what is asked. Without the early veto, a selected event costs about thirteen times as much.
    """
    processes = load_processes()
    plan = make_plan(spec)
    selected = seconds = megabytes = 0.0
    for stream in (stream for block in plan for stream in block.streams):
        cost = processes[stream.process].cost
        selected += stream.tries * cost.selected
        seconds += stream.tries * (cost.ms if spec.early_veto else _MS_WITHOUT_VETO) / 1e3
        megabytes += stream.tries * (cost.kB if spec.early_veto else _KB_WITHOUT_VETO) / 1e3
    return Prediction(len(plan), selected, seconds, megabytes)


#: of a try; QCD, measured by benchmarks/simulation.py
_MS_WITHOUT_VETO, _KB_WITHOUT_VETO = 15.0, 20.0
