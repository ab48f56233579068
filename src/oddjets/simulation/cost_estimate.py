"""An estimate of a simulation's time and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from oddjets.simulation.job_plan import Block
from oddjets.simulation.processes import load_processes

__all__ = ["CostPrediction", "predict"]

#: of a try without the early veto; QCD, measured by benchmarks/simulation.py
_MS_WITHOUT_VETO, _KB_WITHOUT_VETO = 15.0, 20.0


class CostPrediction(NamedTuple):
    """The expected cost of a simulation, to some 30 %, since processors differ."""

    files: int
    #: events whose two leading jets pass pT > 450 GeV and soft-drop mass > 60 GeV
    selected: float
    cpu_seconds: float
    megabytes: float

    def text(self, workers: int) -> str:
        """Return a line for people."""
        seconds = self.cpu_seconds / max(1, min(workers, self.files))
        files = f"{self.files} file{'' if self.files == 1 else 's'}"
        if seconds < 120:
            time = f"{seconds:.0f} s"
        elif seconds < 7200:
            time = f"{seconds / 60:.0f} min"
        else:
            time = f"{seconds / 3600:.0f} h"
        return (
            f"{files}, {self.megabytes:,.0f} MB, {self.selected:,.0f} events with two hard, massive jets;"
            f" about {time} with {workers} worker{'' if workers == 1 else 's'}"
        )


def predict(blocks: Sequence[Block]) -> CostPrediction:
    """Predict the cost of files before they are made.

    Args:
        blocks: entries of the plan. Without the early veto, a selected event costs about thirteen times as much.
    """
    processes = load_processes()
    selected = seconds = megabytes = 0.0
    for block in blocks:
        for stream in block.streams:
            cost = processes[stream.process].cost
            selected += stream.tries * cost.selected
            seconds += stream.tries * (cost.ms if block.early_veto else _MS_WITHOUT_VETO) / 1e3
            megabytes += stream.tries * (cost.kB if block.early_veto else _KB_WITHOUT_VETO) / 1e3
    return CostPrediction(len(blocks), selected, seconds, megabytes)
