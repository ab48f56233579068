"""The product cells of a region: their channels, which bins are merged, and in which bins the region is shown."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis

__all__ = ["LEAST_IN_BIN", "Groups", "bin_groups", "channels_of", "shown_edges", "sums_over_cells"]

Floats = npt.NDArray[np.float64]
Groups = list[list[int]]

#: expected events in B, C and D of a cell's bin that ABCD needs there
LEAST_IN_BIN = 4.0


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
