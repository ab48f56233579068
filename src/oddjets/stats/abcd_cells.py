"""Product cells of regions in the fit: which there are, and which of their bins are merged.

A bin of a cell needs events in B, C and D: with fewer than four of them the estimate B C / D is far from Gaussian, and the
fitted strength is biased. So bins are joined from the highest to the lowest one until a group expects at least that many in
each of B, C and D; what is left at the lowest end joins the group above it. What is expected is data minus simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.io.histograms import DATA
from oddjets.io.yields import RegionYields
from oddjets.stats.cell_bins import LEAST_IN_BIN, Groups, bin_groups, channels_of

__all__ = [
    "bin_groups",
    "merged_cells",
    "with_merged_cells",
]


def with_merged_cells(analysis: Analysis, histograms: RegionYields) -> tuple[RegionYields, dict[str, Any]]:
    """Merge the bins of product cells that have too few events.

    Args:
        analysis: with a fit with ``abcd: cells``; otherwise nothing changes.
        histograms: of all regions, cells included.

    Returns:
        The histograms, and for the report: region -> cell -> its groups of bins.
    """
    fit = analysis.fit
    assert fit is not None
    made: dict[str, Groups] = {}
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
            made[name] = groups
    return histograms.with_merged_bins(fit.observable, made), report


def merged_cells(cells: Mapping[str, Mapping[str, list[list[int]]]]) -> list[str]:
    """Return a warning for each cell with merged bins."""
    return [
        f"{cell}: {sum(map(len, groups))} bins are merged to {len(groups)}, as bins had fewer than {LEAST_IN_BIN:.0f} expected"
        " events in B, C or D"
        for of_region in cells.values()
        for cell, groups in of_region.items()
        if any(len(group) > 1 for group in groups)
    ]
