"""The events of each region and letter before any fit: simulation by process, data, and what ABCD expects of them in A."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.core.tables import Table, Tabular
from oddjets.io.histograms import DATA, LETTERS, HistogramSet
from oddjets.report.text import count, with_error

__all__ = ["EventYields", "Yield", "event_yields"]


@dataclass(frozen=True)
class Yield:
    """A sum of weights and its statistical error."""

    value: float
    error: float


@dataclass(frozen=True, repr=False)
class EventYields(Tabular):
    """The events of each region and letter, shown as a table.

    Attributes:
        name: of the analysis.
        processes: the simulated ones, in order.
        simulation: (region, letter, process) -> events at the luminosity.
        data: (region, letter) -> number of events; without those that are hidden, and empty without data.
        expected: region -> B C / D, of the data without the simulated events that ABCD does not estimate; without regions
            that have no event in D.
        notes: what the numbers are.
    """

    name: str
    processes: tuple[str, ...]
    simulation: dict[tuple[str, str, str], Yield]
    data: dict[tuple[str, str], float]
    expected: dict[str, Yield]
    notes: tuple[str, ...]

    @property
    def _headline(self) -> str:
        return f"{self.name}: events by region and letter"

    def _tables(self) -> list[Table]:
        head = ["region", "letter", *self.processes, "data", "B C / D"]
        return [(head, list(self._rows()))]

    def _rows(self) -> Iterator[list[str]]:
        for region in dict.fromkeys(region for region, _, _ in self.simulation) or dict.fromkeys(
            r for r, _ in self.data
        ):
            for letter in LETTERS:
                cells = [_text(self.simulation[region, letter, process]) for process in self.processes]
                seen = self.data.get((region, letter))
                hidden = "hidden" if self.data else "–"
                expected = self.expected.get(region) if letter == "A" else None
                yield [region, letter, *cells, hidden if seen is None else count(seen),
                       "" if expected is None else _text(expected)]  # fmt: skip

    def _notes(self) -> list[str]:
        return list(self.notes)


def _text(found: Yield) -> str:
    # nothing was simulated there, or all of it was cut away
    return "0" if found.value == 0 and found.error == 0 else with_error(found.value, found.error)


def event_yields(analysis: Analysis, histograms: HistogramSet) -> EventYields:
    """Sum the events of all regions, also those that are in no bin.

    Args:
        analysis: names the process that ABCD estimates.
        histograms: of the analysis; its data in A are hidden where they are blinded.
    """
    # all of a region have the same events; the first
    observable = dict(reversed(list(histograms.histograms)))
    processes = tuple(name for name in analysis.processes if name in histograms.variations)
    simulation = {
        (region, letter, process): _sum(histograms, region, observable[region], process, letter)
        for region in histograms.regions
        for letter in LETTERS
        for process in processes
    }
    data, expected = {}, {}
    for region in histograms.regions if DATA in histograms.variations else ():
        for letter in LETTERS:
            if letter != "A" or not histograms.blinded:
                data[region, letter] = _sum(histograms, region, observable[region], DATA, letter).value
        others = [name for name in processes if name != analysis.data_driven]
        found = [
            _difference(data[region, letter], [simulation[region, letter, name] for name in others]) for letter in "BCD"
        ]
        if found[2].value > 0:
            expected[region] = _abcd(*found)
    threshold = histograms.threshold
    simulated = f"simulation at {histograms.luminosity_pb:g} /pb, with statistical errors; " if processes else ""
    notes = [f"{simulated}{threshold.score} >= {threshold.value:.4g}"]
    notes.append("all events of the region, also those beyond the ends of the axes, which figures and fit leave out")
    absent = [name for name, process in analysis.processes.items() if name not in processes and not process.data_driven]
    if absent:
        notes.append(
            f"not modelled: {', '.join(absent)}; there is no simulation, and what of it is in A counts as excess"
        )
    if expected:
        subtracted = ", ".join(name for name in processes if name != analysis.data_driven)
        notes.append(f"B C / D: of the data{f' without the simulated events of {subtracted}' if subtracted else ''}")
    return EventYields(analysis.name, processes, simulation, data, expected, tuple(notes))


def _sum(histograms: HistogramSet, region: str, observable: str, process: str, letter: str) -> Yield:
    """Return the events of a process, with under- and overflow."""
    histogram = histograms.histograms[region, observable]
    places = [list(axis) for axis in histogram.axes[:3]]
    if process not in places[0] or "nominal" not in places[2]:
        return Yield(0.0, 0.0)
    cells = histogram.view(flow=True)[places[0].index(process), places[1].index(letter), places[2].index("nominal")]
    return Yield(float(np.sum(cells["value"])), math.sqrt(np.sum(cells["variance"])))


def _difference(events: float, others: list[Yield]) -> Yield:
    variance = events + sum(other.error**2 for other in others)
    return Yield(events - sum(other.value for other in others), math.sqrt(variance))


def _abcd(b: Yield, c: Yield, d: Yield) -> Yield:
    """Return B C / D and its error to first order."""
    of_b, of_c = c.value / d.value, b.value / d.value
    value = b.value * of_b
    return Yield(value, math.hypot(of_b * b.error, of_c * c.error, value / d.value * d.error))
