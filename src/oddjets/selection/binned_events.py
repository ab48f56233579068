"""Regions and histogram bins of the events of a table.

They depend neither on weights nor on the threshold, so `bin_events` finds them once. `BinnedEvents.by_letter` splits the bins
by letter for a threshold, and the product of the resulting matrix with a matrix of weights is the histograms of all its
columns, for example variations or pseudo-experiments. `add_weights` adds the product for a part of the events.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csc_array

from oddjets.config.analysis import Analysis
from oddjets.core.expressions import evaluate
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import LETTERS
from oddjets.selection import regions
from oddjets.selection.decorators import HasCuts

__all__ = ["BinnedEvents", "Cells", "add_weights", "bin_events", "bin_numbers"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: largest number of edges for which comparing with each edge is faster than a binary search
_FEW_EDGES = 64


@dataclass(frozen=True)
class Cells:
    """The bins of all histograms of a letter, one after the other.

    Attributes:
        edges: (region, observable) -> its bin edges, (bins + 1,), in the observable's unit.
        slices: (region, observable) -> its cells: underflow, the bins, overflow.
        size: number of cells.
    """

    edges: Mapping[tuple[str, str], Floats]
    slices: Mapping[tuple[str, str], slice]
    size: int

    @classmethod
    def from_analysis(cls, analysis: Analysis) -> Cells:
        """Return the cells of all regions and observables of an analysis, in its order."""
        edges, slices, size = {}, {}, 0
        for region in analysis.regions:
            for name in analysis.observables:
                found = np.array(analysis.binning(name, region), np.float64)
                edges[region, name] = found
                slices[region, name] = slice(size, size + len(found) + 1)
                size += len(found) + 1
        return cls(edges, slices, size)


@dataclass(frozen=True)
class BinnedEvents:
    """The events of a table that are in a region, for one variation of its jets.

    Attributes:
        rows: their rows in the table, ascending, shape (n,).
        scores: scores of the leading and the subleading jet, shape (2, n).
        inside: region -> mask of the events in it, shape (n,).
        matrix: 1 if an event is in a cell, shape (cells, n).
    """

    rows: npt.NDArray[np.intp]
    scores: Floats
    inside: Mapping[str, Mask]
    matrix: csc_array

    def letters(self, threshold: float | Floats, *, strict: bool = False) -> npt.NDArray[np.int8]:
        """Return the numbers of the letters, shape (n,), or (thresholds, n) for thresholds of shape (thresholds, 1)."""
        leading, subleading = self.scores
        return regions.letter_numbers(leading, subleading, threshold, strict=strict)

    def by_letter(self, letter: npt.NDArray[np.int8]) -> csc_array:
        """Return the matrix with cells split by letter, shape (letters x cells, n): all cells of A, all of B, and so on.

        Args:
            letter: the number of each event's letter, shape (n,).
        """
        size, n = self.matrix.shape
        per_event = np.diff(self.matrix.indptr)
        indices = self.matrix.indices + np.repeat(letter.astype(self.matrix.indices.dtype) * size, per_event)
        return csc_array((self.matrix.data, indices, self.matrix.indptr), shape=(len(LETTERS) * size, n))

    def shared(self) -> dict[tuple[str, str], int]:
        """Return how many events two regions share, for pairs that share any; each pair is in the regions' order."""
        pairs = itertools.combinations(self.inside.items(), 2)
        counts = {(one, other): int(np.count_nonzero(a & b)) for (one, a), (other, b) in pairs}
        return {pair: count for pair, count in counts.items() if count}

    def select(self, kept: Mask) -> BinnedEvents:
        """Return some of the events; ``kept`` has shape (n,)."""
        inside = {region: mask[kept] for region, mask in self.inside.items()}
        return BinnedEvents(self.rows[kept], self.scores[:, kept], inside, self.matrix[:, np.flatnonzero(kept)])


def bin_numbers(values: npt.ArrayLike, edges: Floats) -> npt.NDArray[np.int32]:
    """Return the bin of each value: 0 is the underflow, 1 the first bin; NaN is in the overflow, as in boost-histogram.

    Args:
        values: shape (n,).
        edges: ascending, shape (bins + 1,); a value equal to an edge is in the bin above.
    """
    values = np.asarray(values, np.float64)
    if len(edges) > _FEW_EDGES:
        # NaN is sorted last
        return np.searchsorted(edges, values, side="right").astype(np.int32)
    below = np.zeros(values.shape, np.uint8)
    for edge in edges:
        below += values < edge
    return len(edges) - below.astype(np.int32)


def bin_events(analysis: Analysis, processor: HasCuts, table: EventTable, cells: Cells) -> BinnedEvents:
    """Apply the base selection and all regions to a table, and find the bins of all observables.

    Args:
        analysis: regions, observables and the threshold's score.
        processor: defines the cuts.
        table: the events, with a variation applied.
        cells: cells of the analysis.
    """
    base = processor.passing(table)
    masks = {region: base & mask for region, mask in regions.region_masks(analysis, processor, table).items()}
    rows = np.flatnonzero(np.any(list(masks.values()), axis=0)) if masks else np.empty(0, np.intp)
    inside = {region: mask[rows] for region, mask in masks.items()}
    scores = np.stack([table[f"score_{analysis.threshold.score}_{j}"][rows] for j in JETS])
    values = {
        name: np.broadcast_to(evaluate(o.expression, table), base.shape)[rows]
        for name, o in analysis.observables.items()
    }
    found, events = [], []
    for region, mask in inside.items():
        places = np.flatnonzero(mask).astype(np.int32)
        for name, of_observable in values.items():
            key = region, name
            found.append(bin_numbers(of_observable[places], cells.edges[key]) + np.int32(cells.slices[key].start))
            events.append(places)
    where = (np.concatenate(found), np.concatenate(events)) if found else (np.empty(0, int), np.empty(0, int))
    ones = np.ones(len(where[0]))
    return BinnedEvents(rows, scores, inside, coo_array((ones, where), shape=(cells.size, len(rows))).tocsc())


def add_weights(sums: Floats, matrix: csc_array, weights: Floats) -> Floats:
    """Add events to sums of weights and of squared weights, in the events' order.

    Args:
        sums: sums of all events before, shape (2, cells, variations).
        matrix: 1 if an event is in a cell, shape (cells, n).
        weights: shape (n, variations).

    Returns:
        The new sums, shape (2, cells, variations), bit for bit the same as if events were added one by one, independent of
        how a table is divided.
    """
    cells, n = matrix.shape
    first = np.arange(cells, dtype=matrix.indices.dtype)
    # the previous sums come first, like an event in each cell, so that the order of additions is fixed
    together = csc_array(
        (
            np.ones(cells + matrix.nnz),
            np.concatenate([first, matrix.indices]),
            np.concatenate([first, matrix.indptr + first.dtype.type(cells)]),
        ),
        shape=(cells, cells + n),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        parts = zip(sums, (weights, np.square(weights)), strict=True)
    return np.stack([together @ np.concatenate([before, of_events]) for before, of_events in parts])
