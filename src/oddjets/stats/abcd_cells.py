"""Product cells of regions in the fit: which there are, and which of their bins are merged.

A bin of a cell needs events in B, C and D: with fewer than four of them the estimate B C / D is far from Gaussian, and the
fitted strength is biased. So bins are joined from the highest to the lowest one until a group expects at least that many in
each of B, C and D; what is left at the lowest end joins the group above it. What is expected is data minus simulation.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.io.histograms import DATA, LETTERS, Hist, HistogramSet, histogram_of
from oddjets.stats.closure_parts import LEAST_IN_BIN

__all__ = [
    "bin_groups",
    "channels_of",
    "merge_bins",
    "merged_cells",
    "shown_edges",
    "sums_over_cells",
    "with_merged_cells",
]

Floats = npt.NDArray[np.float64]
Groups = list[list[int]]


def channels_of(analysis: Analysis, region: str) -> list[str]:
    """Return the names under which a region of the fit has channels: itself, or its product cells where the fit has them."""
    assert analysis.fit is not None
    cells = [name for name, one in analysis.regions.items() if one.part_of == region]
    return cells if cells and analysis.fit.abcd == "cells" else [region]


def bin_groups(expected: Floats, least: float = LEAST_IN_BIN) -> Groups:
    """Return which neighbouring bins are merged, the lowest first.

    Args:
        expected: events in B, C and D, shape (3, bins).
        least: events that each group has in each letter, unless all bins together have fewer.
    """
    groups: Groups = []
    waiting: list[int] = []
    for i in reversed(range(expected.shape[1])):
        waiting.insert(0, i)
        if (expected[:, waiting].sum(axis=1) >= least).all():
            groups.insert(0, waiting)
            waiting = []
    if waiting and groups:
        groups[0] = waiting + groups[0]
    elif waiting:
        groups = [waiting]
    return groups


def merge_bins(histogram: Hist, groups: Groups) -> Hist:
    """Return a histogram with groups of neighbouring bins as its bins; under- and overflow stay."""
    processes, letters, variations, axis = histogram.axes
    view: Any = histogram.view(flow=True)
    starts = [0, *(group[0] + 1 for group in groups), len(axis) + 1]
    contents = {}
    for p, process in enumerate(processes):
        for v, variation in enumerate(variations):
            cells = view[p, : len(letters), v]
            both = np.stack([cells["value"], cells["variance"]])
            contents[process, variation] = np.add.reduceat(both, starts, axis=-1)
    assert tuple(letters) == LETTERS
    edges = [axis.edges[group[0]] for group in groups] + [axis.edges[-1]]
    return histogram_of(axis.name, edges, axis.label, contents)


def with_merged_cells(analysis: Analysis, histograms: HistogramSet) -> tuple[HistogramSet, dict[str, Any]]:
    """Merge the bins of product cells that have too few events.

    Args:
        analysis: with a fit with ``abcd: cells``; otherwise nothing changes.
        histograms: of all regions, cells included.

    Returns:
        The histograms, and for the report: region -> cell -> its groups of bins.
    """
    fit = analysis.fit
    assert fit is not None
    made = dict(histograms.histograms)
    report: dict[str, Any] = {}
    scales = {poi.process: float(np.clip(poi.init, *poi.bounds)) for poi in fit.pois}
    simulated = [p for p in analysis.processes if p != analysis.data_driven and p in histograms.variations]
    for region in fit.regions:
        names = channels_of(analysis, region)
        for name in names if names != [region] else ():
            expected = []
            for letter in "BCD":
                rest = histograms.values(name, fit.observable, DATA, letter)
                for process in simulated:
                    template = np.maximum(histograms.values(name, fit.observable, process, letter), 0.0)
                    rest = rest - scales.get(process, 1.0) * template
                expected.append(rest)
            groups = bin_groups(np.array(expected))
            report.setdefault(region, {})[name] = groups
            made[name, fit.observable] = merge_bins(made[name, fit.observable], groups)
    return dataclasses.replace(histograms, histograms=made), report


def _common_edges(groups: Mapping[str, Groups]) -> list[int]:
    """Return the places of the edges that all cells of a region have, the first and the last one included."""
    shared = set.intersection(*({group[0] for group in of_cell} for of_cell in groups.values()))
    return [*sorted(shared), max(group[-1] for of_cell in groups.values() for group in of_cell) + 1]


def sums_over_cells(groups: Mapping[str, Groups]) -> dict[str, Groups]:
    """Return cell -> for each bin of the region as it is shown, the merged bins of the cell that add up to it.

    Args:
        groups: cell -> its groups of bins; the region is shown in the bins whose edges all cells have.
    """
    places = _common_edges(groups)
    return {
        cell: [
            [i for i, group in enumerate(of_cell) if low <= group[0] < high] for low, high in itertools.pairwise(places)
        ]
        for cell, of_cell in groups.items()
    }


def shown_edges(groups: Mapping[str, Groups], edges: Sequence[float]) -> list[float]:
    """Return the bin edges of a region as it is shown: those that all of its cells have."""
    return [float(edges[i]) for i in _common_edges(groups)]


def merged_cells(cells: Mapping[str, Mapping[str, list[list[int]]]]) -> list[str]:
    """Return a warning for each cell with merged bins."""
    return [
        f"{cell}: {sum(map(len, groups))} bins are merged to {len(groups)}, as bins had fewer than {LEAST_IN_BIN:.0f} expected"
        " events in B, C or D"
        for of_region in cells.values()
        for cell, groups in of_region.items()
        if any(len(group) > 1 for group in groups)
    ]
