"""Yields at a grid of thresholds: sums over events by the number of thresholds that each score passes.

An experiment finds its threshold anew. It takes the nearest one of a grid, so that templates, workspaces and models are made
once a threshold, and all experiments with the same one are fitted together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL, kind_of
from oddjets.io.yields import YieldArrays, envelope
from oddjets.study.events import EventArrays, Patterns, alike

__all__ = ["ThresholdGrid", "find_grid", "letter_sums", "of_letters", "templates_at"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: how far the grid reaches, in standard deviations of the number of events in A, and its steps
REACH, STEPS = 4.0, 11
#: thresholds that are tried at once to find the grid
CANDIDATES = 2000


@dataclass(frozen=True)
class ThresholdGrid:
    """Thresholds on the scores.

    Attributes:
        values: ascending, (thresholds,).
        strict: a score at the threshold fails.
        efficiency: the fraction of events that an experiment's threshold leaves; None: there is one threshold, a fixed one.
    """

    values: Floats
    strict: bool
    efficiency: float | None

    def __len__(self) -> int:
        return len(self.values)

    def ranks(self, scores: Floats) -> Ints:
        """Return how many thresholds each score passes, shape of the scores."""
        found = np.searchsorted(self.values, scores, side="left" if self.strict else "right")
        # no number passes none; it is sorted last
        return np.where(np.isnan(scores), 0, found)

    def chosen(self, above: Floats, total: Floats) -> Ints:
        """Return the place of the threshold that experiments choose, (E,): the one nearest to the efficiency.

        Args:
            above: events with both scores above each threshold, (E, thresholds).
            total: all events, (E,).
        """
        if self.efficiency is None:
            return np.zeros(len(total), np.int64)
        return np.asarray(np.abs(above - self.efficiency * total[:, None]).argmin(axis=1))


def _above(events: EventArrays, candidates: Floats, strict: bool, independent: bool) -> Floats:
    """Return the expected events with both scores above thresholds, (thresholds,)."""
    K = len(candidates) + 1
    leading, subleading = ThresholdGrid(candidates, strict, None).ranks(events.scores)
    if not independent:
        counts = np.bincount(np.minimum(leading, subleading), events.nominal, K)
        return np.flip(np.flip(counts).cumsum())[1:]
    place = alike(events)
    total = np.bincount(place, events.nominal)
    one, other = (np.bincount(place * K + r, events.nominal, len(total) * K) for r in (leading, subleading))
    passing = [np.flip(np.flip(x.reshape(-1, K), 1).cumsum(axis=1), 1)[:, 1:] for x in (one, other)]
    return np.asarray((passing[0] * passing[1] / np.where(total > 0, total, 1.0)[:, None]).sum(axis=0))


def find_grid(
    analysis: Analysis, events: Sequence[EventArrays], strengths: Mapping[str, float], independent: str | None = None
) -> ThresholdGrid:
    """Return the thresholds that experiments choose from.

    Args:
        analysis: its threshold.
        events: of all processes.
        strengths: process -> what its nominal weights are multiplied by; 1 if it is not there.
        independent: the process whose scores know nothing of each other among events alike (see `rates.factorised`).

    Raises:
        OddjetsError: no events, or too few for the efficiency.
    """
    spec = analysis.threshold
    if spec.value is not None:
        return ThresholdGrid(np.array([spec.value]), spec.strict, None)
    assert spec.efficiency is not None
    nominal = [e for e in events if NOMINAL in e.variations]
    expected = sum(float(e.nominal.sum()) * strengths.get(e.process, 1.0) for e in nominal)
    wanted = expected * spec.efficiency
    scores = np.unique(np.concatenate([e.scores.ravel() for e in nominal] or [np.empty(0)]))
    scores = scores[np.isfinite(scores)]
    if not wanted > 0 or len(scores) < 2:
        raise OddjetsError(
            f"threshold.efficiency {spec.efficiency:g}: {expected:g} events are expected, too few to find a threshold"
        )
    # between two scores, so that rounding decides nothing
    candidates = 0.5 * (scores[:-1] + scores[1:])
    candidates = candidates[:: max(len(candidates) // CANDIDATES, 1)]
    counts = wanted + np.linspace(REACH, -REACH, STEPS) * np.sqrt(wanted)
    counts = counts[counts >= min(0.5, wanted)]
    for _ in range(2):
        parts = [(e, strengths.get(e.process, 1.0)) for e in nominal]
        above = np.sum([s * _above(e, candidates, spec.strict, e.process == independent) for e, s in parts], axis=0)
        # once more, with all scores near the thresholds
        first = candidates[max(int((above > counts[0]).sum()) - 2, 0)]
        last = candidates[min(int((above > counts[-1]).sum()) + 2, len(candidates) - 1)]
        near = scores[(scores >= first) & (scores <= last)]
        known, at = candidates, above
        candidates = 0.5 * (near[:-1] + near[1:]) if len(near) > 2 else candidates
        candidates = candidates[:: max(len(candidates) // CANDIDATES, 1)]
    nearest = np.abs(at[None] - counts[:, None]).argmin(axis=1)
    return ThresholdGrid(np.unique(known[nearest]), spec.strict, spec.efficiency)


def of_letters(table: Floats) -> Floats:
    """Return sums by letter at each threshold, of sums by the numbers of thresholds that both scores pass.

    Nothing is subtracted, so that a bin without events is empty, and counts are whole numbers.

    Args:
        table: (..., thresholds + 1, thresholds + 1).

    Returns:
        Letters A, B, C, D, shape (thresholds, 4, ...).
    """

    def passing(x: Floats, axis: int) -> Floats:
        return np.flip(np.flip(x, axis).cumsum(axis), axis).take(range(1, x.shape[axis]), axis)

    def failing(x: Floats, axis: int) -> Floats:
        return x.cumsum(axis).take(range(x.shape[axis] - 1), axis)

    found = []
    # B: the leading jet fails; C: the subleading one
    for leading, subleading in ((passing, passing), (failing, passing), (passing, failing), (failing, failing)):
        both = subleading(leading(table, table.ndim - 2), table.ndim - 1)
        found.append(np.moveaxis(np.diagonal(both, axis1=-2, axis2=-1), -1, 0))
    return np.stack(found, axis=1)


def letter_sums(events: EventArrays, patterns: Patterns, grid: ThresholdGrid) -> dict[str, Floats]:
    """Return variation -> sums of weights and of squared weights, shape (thresholds, 2, letters, cells).

    Args:
        events: of a process.
        patterns: the cells.
        grid: the thresholds.
    """
    K = len(grid) + 1
    codes, place = np.unique(events.codes, return_inverse=True)
    leading, subleading = grid.ranks(events.scores)
    where = (place * K + leading) * K + subleading
    cells = patterns.cells_of(codes)
    found = {}
    for i, name in enumerate(events.variations):
        weights = events.weights[:, i]
        sums: Floats = np.stack([np.bincount(where, w, len(codes) * K * K) for w in (weights, weights**2)])
        # (thresholds, letters, 2, codes)
        by_letter = of_letters(sums.reshape(2, len(codes), K, K))
        found[name] = np.moveaxis(by_letter @ cells.T, 1, 2)
    return found


def templates_at(
    analysis: Analysis, events: Sequence[EventArrays], grid: ThresholdGrid, strengths: Mapping[str, float]
) -> list[YieldArrays]:
    """Return the templates at each threshold, and as data what is expected.

    Args:
        analysis: its fit, systematics and processes.
        events: of all processes, the data-driven one included.
        grid: the thresholds.
        strengths: process -> strength in the data; 1 if it is not there.
    """
    assert analysis.fit is not None
    patterns = Patterns.from_analysis(analysis)
    sums: dict[tuple[str, str], Floats] = {}
    for of_process in events:
        for name, found in letter_sums(of_process, patterns, grid).items():
            before = sums.get((of_process.process, name))
            sums[of_process.process, name] = found if before is None else before + found
    variations: dict[str, list[str]] = {p: [] for p in analysis.processes if (p, NOMINAL) in sums}
    for process, name in sums:
        variations[process].append(name)
    for systematic in analysis.systematics:
        for process, names in variations.items() if kind_of(systematic) == "envelope" else ():
            members = [f"{systematic.name}{i}" for i in range(systematic.members)]
            if not {*members} <= {*names}:
                continue
            both = envelope(
                np.moveaxis(sums[process, NOMINAL], 1, 0), np.stack([sums[process, m][:, 0] for m in members])
            )
            for direction, varied in zip(("Up", "Down"), both, strict=True):
                sums[process, f"{systematic.name}{direction}"] = np.moveaxis(varied, 0, 1)
            names[:] = [n for n in names if n not in members]
            names += [f"{systematic.name}{d}" for d in ("Up", "Down")]
    expected = np.sum([strengths.get(p, 1.0) * sums[p, NOMINAL][:, :1] for p in variations], axis=0)
    data = np.repeat(np.maximum(expected, 0.0), 2, axis=1)
    # of regions that are fitted in their product cells too
    whole = {r: np.array(analysis.binning(analysis.fit.observable, r)) for r in analysis.fit.regions}
    edges = {**whole, **patterns.edges}
    shared = patterns.shared(np.concatenate([e.codes for e in events if NOMINAL in e.variations]))
    made = []
    for t in range(len(grid)):
        contents: dict[tuple[str, str, str], Floats] = {}
        for region, start in patterns.starts.items():
            part = slice(start, start + len(patterns.edges[region]) - 1)
            for process, names in variations.items():
                contents |= {(region, process, n): sums[process, n][t, :, :, part] for n in names}
            contents[region, "data", NOMINAL] = data[t, :, :, part]
        known = {"data": [NOMINAL], **variations}
        made.append(YieldArrays(analysis.fit.observable, edges, known, contents, shared))
    return made
