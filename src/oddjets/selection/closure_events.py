"""The events that the ABCD closure is measured on, and the efficiencies at which it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import combinations_of
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table
from oddjets.io.combined_scores import CombinedScores
from oddjets.io.event_table import JETS, Columns
from oddjets.io.histograms import DATA, ThresholdResult
from oddjets.selection.decorators import HasCuts
from oddjets.selection.mixing import select_nominal
from oddjets.selection.normalisation import Normalisation
from oddjets.selection.per_era import at_era
from oddjets.stats.closure_parts import EFFICIENCIES

__all__ = ["ClosureEvents", "EfficiencyGrid", "effective_number", "read_closure_events", "smaller_scores"]

Floats = npt.NDArray[np.float64]

#: an efficiency of the list within this factor of the working point gives way to it
_SAME = 1.05


@dataclass(frozen=True)
class ClosureEvents:
    """The events that the closure is measured on.

    Attributes:
        simulation: columns of the data-driven process's simulation, and its weights; None: there is none.
        data: columns of data and of the other processes, and weights: 1 for data, negative for what is subtracted; None:
            there are no data.
        n_data: events of data, which come first.
        source: what the simulation is called; "": simulation of the data-driven process.
    """

    simulation: tuple[Columns, Floats] | None
    data: tuple[Columns, Floats] | None
    n_data: int
    source: str = ""

    def smaller_scores(self, score: str) -> Floats:
        """Return the smaller score of each event of data, shape (n_data,)."""
        return np.empty(0) if self.data is None else smaller_scores(self.data[0], score)[: self.n_data]


def read_closure_events(
    analysis: Analysis, processor: HasCuts, folder: Path, normalisation: Mapping[str, Normalisation]
) -> ClosureEvents:
    """Read the nominal events that pass the base selection.

    Args:
        analysis: names the data-driven process.
        processor: has the base selection.
        folder: ``out/events``.
        normalisation: of each dataset.

    Raises:
        InputFileError: an event table is damaged, or what combinations of scores are made with is not there.
    """
    if combinations_of(analysis.scores):
        CombinedScores.require(folder, analysis.name)
    read: dict[str, list[tuple[Columns, Floats]]] = {}
    for dataset, (process, is_data, factor, era) in normalisation.items():
        if not event_table.parts(folder, dataset):
            continue
        process = DATA if is_data else process
        # what a fit scales by a thousand is not subtracted a thousandfold
        factor /= 1.0 if is_data or process not in analysis.processes else analysis.processes[process].template_scale
        for columns in event_table.stream(folder, dataset):
            kept = select_nominal(at_era(analysis, processor, era), columns)
            read.setdefault(process, []).append((kept, np.asarray(kept["weight"], np.float64) * factor))
    simulation = _joined(read.get(str(analysis.data_driven), []))
    data = _joined(read.get(DATA, []))
    others = [
        (columns, -weights)
        for process, parts in read.items()
        if process not in (DATA, analysis.data_driven)
        for columns, weights in parts
    ]
    if data is None:
        return ClosureEvents(simulation, None, 0)
    return ClosureEvents(simulation, _joined([data, *others]), len(data[1]))


@dataclass(frozen=True)
class EfficiencyGrid:
    """The efficiencies at which the closure is measured.

    Attributes:
        efficiencies: ascending.
        thresholds: of each.
        at: the efficiency of the working point, one of them.
    """

    efficiencies: tuple[float, ...]
    thresholds: tuple[float, ...]
    at: float

    @classmethod
    def from_events(cls, analysis: Analysis, events: ClosureEvents, threshold: ThresholdResult) -> EfficiencyGrid:
        """Return the grid of some events: their quantiles, and the working point instead of what is near it.

        Args:
            analysis: whether it is blind.
            events: the simulation, or the data.
            threshold: the working point.

        Raises:
            OddjetsError: no events, or the efficiency of the threshold is not known.
        """
        with_data = events.data is not None and events.n_data > 0
        simulated = events.simulation is not None and len(events.simulation[1]) > 0
        asked = threshold.efficiency_asked
        known: Sequence[float] = EFFICIENCIES
        # of blinded data, how many pass a threshold and how their scores go on above it is not looked at
        if simulated and (analysis.blind or not with_data):
            assert events.simulation is not None
            lower, weights, asked = smaller_scores(events.simulation[0], threshold.score), events.simulation[1], None
        elif with_data and not (analysis.blind and asked is None):
            lower, weights = events.smaller_scores(threshold.score), np.ones(events.n_data)
            known = [e for e in EFFICIENCIES if asked is None or not analysis.blind or e > asked]
        elif with_data:
            raise OddjetsError(
                "the data in A are blinded, the threshold is a fixed one, and there is no simulation of"
                f" '{analysis.data_driven}': the efficiency of the threshold is not known before the data are unblinded"
            )
        else:
            raise OddjetsError(
                f"there are no events of data or of '{analysis.data_driven}' after the base selection: nothing to test"
            )
        at = asked or float(weights[lower >= threshold.value].sum() / weights.sum())
        if not 0 < at < 1:
            raise OddjetsError(
                f"the threshold {threshold.value:g} keeps {at:.3g} of the events: no efficiency to extrapolate to; choose"
                " another"
            )
        others = [e for e in known if not at / _SAME < e < at * _SAME]
        found = {at: threshold.value} | {e: _quantile(lower, weights, 1 - e) for e in others}
        efficiencies = tuple(sorted(found))
        return cls(efficiencies, tuple(found[e] for e in efficiencies), at)


def effective_number(weights: Floats) -> float:
    """Return how many events of equal weights have the same relative error."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0


def smaller_scores(columns: Columns, score: str) -> Floats:
    """Return the smaller score of both jets of each event, -inf where one is no number, shape (n,)."""
    lower = np.minimum(*(np.asarray(columns[f"score_{score}_{j}"], np.float64) for j in JETS))
    return np.where(np.isnan(lower), -np.inf, lower)


def _joined(parts: Sequence[tuple[Columns, Floats]]) -> tuple[Columns, Floats] | None:
    """Return the events of several tables as one, with the columns that all have; None without tables."""
    if not parts:
        return None
    names = set(parts[0][0]).intersection(*(columns for columns, _ in parts))
    joined = {name: np.concatenate([columns[name] for columns, _ in parts]) for name in sorted(names)}
    return joined, np.concatenate([weights for _, weights in parts])


def _quantile(values: Floats, weights: Floats, level: float) -> float:
    """Return the quantile of weighted values; NumPy's (linear) where all weigh the same."""
    if np.ptp(weights) == 0:
        return float(np.quantile(values, level))
    order = np.argsort(values)
    below = np.cumsum(np.maximum(weights[order], 0))
    return float(values[order][np.searchsorted(below, level * below[-1])])
