"""The ABCD closure of all regions, measured on event tables: jets of one event, and jets of different events.

Sources are the simulation of the data-driven process, and data with both scores below the threshold, from which the other
processes are subtracted by weight. All data, with the others subtracted, are the source of jets of different events where that
simulation has fewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import JETS, Columns
from oddjets.io.histograms import ThresholdResult
from oddjets.selection.closure_events import ClosureEvents, EfficiencyGrid, effective_number, smaller_scores
from oddjets.selection.decorators import HasCuts
from oddjets.selection.mixing import (
    PAIRS,
    PairedEvents,
    abcd_yields,
    abcd_yields_of_events,
    abcd_yields_of_pairs,
)
from oddjets.selection.region_products import RegionDescription, describe_region, with_cells
from oddjets.stats.closure_flavours import flavour_part
from oddjets.stats.closure_parts import DEFINITION, advice, closure_parts, structural_part

__all__ = ["CONTROL", "has_flavours", "measure_closure"]

Floats = npt.NDArray[np.float64]

#: efficiencies in data below the threshold
CONTROL_EFFICIENCIES = (0.02, 0.05, 0.10)
#: the source of what is measured there
CONTROL = "data with both scores below the threshold"
#: replicas of the bootstrap
REPLICAS = 100
#: seed of the replicas and of the pairing
SEED = 1
#: events whose jets are paired, at most; more make no visible difference to the error
MOST_EVENTS = 200_000
#: pairs of flavours of the two jets in either order, by the heaviest quark of a jet's hadrons
FLAVOUR_PAIRS = {
    "b b": (5, 5),
    "b c": (5, 4),
    "b light": (5, 0),
    "c c": (4, 4),
    "c light": (4, 0),
    "light light": (0, 0),
}


def measure_closure(
    analysis: Analysis,
    processor: HasCuts,
    events: ClosureEvents,
    threshold: ThresholdResult,
    *,
    pairs: int = PAIRS,
) -> dict[str, Any]:
    """Measure the parts of the closure of all regions.

    Args:
        analysis: regions and observable (`Analysis.abcd_bins`); of a blind one the data in A are not looked at.
        processor: defines the cuts.
        events: from `read_closure_events`.
        threshold: the working point.
        pairs: how many pairs of jets of different events are made at least, if there are so many.

    Returns:
        The ``definition`` of the constants, ``efficiencies`` and their ``thresholds``, ``working_point``, ``sources`` of the
        two parts, ``notes``, and by region ``kind`` (product, union, unknown), ``why``, ``cells``, ``advice`` and the entries
        of `closure_parts`, also for ``flavours`` (with ``flavour_coupling``, of
        `oddjets.stats.closure_flavours.flavour_part`) and for ``control``, data below the threshold.

    Raises:
        OddjetsError: there is neither simulation of the data-driven process nor data.
    """
    observable, _ = analysis.abcd_bins
    if not observable:
        raise OddjetsError(
            "the closure needs an observable, in whose bins B C / D is computed: give one in 'observables'"
        )
    asked = analysis.model_copy(
        update={"regions": {name: region for name, region in analysis.regions.items() if region.part_of is None}}
    )
    grid = EfficiencyGrid.from_events(asked, events, threshold)
    descriptions = {region: describe_region(asked, processor, region) for region in asked.regions}
    measured = _Measurement(asked, processor, observable, grid.at, pairs)
    notes: list[str] = []
    regions: dict[str, dict[str, Any]] = {region: {} for region in asked.regions}
    sources: dict[str, str | None] = {"structural": None, "correlation": None}
    n_simulated = 0.0 if events.simulation is None else effective_number(events.simulation[1])
    if events.simulation is not None and len(events.simulation[1]) > 1:
        sources = dict.fromkeys(sources, events.source or f"simulation of '{asked.data_driven}'")
        regions = measured.parts(*events.simulation, grid.efficiencies, grid.thresholds)
    else:
        notes.append(f"there is no simulation of '{asked.data_driven}': what jets have in common is seen in data alone")
    control = _control(measured, events, threshold)
    for region, found in control.items():
        regions[region]["control"] = found
    if analysis.blind:
        notes.append("the data in A are blinded, so that jets of data are not paired anew")
    elif events.data is not None and events.n_data > 1 and effective_number(events.data[1]) > n_simulated:
        subtracted = len(events.data[1]) > events.n_data
        sources["structural"] = "data, other processes subtracted" if subtracted else "data"
        if sources["correlation"] is None and control:
            sources["correlation"] = CONTROL
        structural = measured.structural(*events.data, grid.efficiencies, grid.thresholds)
        for region, found in structural.items():
            other = regions[region] if n_simulated else control.get(region)
            regions[region] |= structural_part(found, other)
    cells = _counts_in_cells(asked, processor, events, threshold, measured.observable, descriptions)
    for region, description in descriptions.items():
        kind = "union" if description.is_union else "product" if description.is_product else "unknown"
        regions[region] = {
            "kind": kind,
            "why": description.unknown,
            "cells": [cell.name for cell in description.cells] if description.is_union else [],
            **regions[region],
            "advice": advice(kind, regions[region].get("structural"), cells.get(region)),
        }
    return {
        "definition": DEFINITION,
        "efficiencies": list(grid.efficiencies),
        "thresholds": list(grid.thresholds),
        "working_point": grid.at,
        "observable": measured.observable,
        "sources": sources,
        "notes": notes,
        "regions": regions,
    }


@dataclass(frozen=True)
class _Measurement:
    """Constants of all regions of an analysis, for the events that are given."""

    analysis: Analysis
    processor: HasCuts
    observable: str
    at: float
    n_pairs: int

    def parts(
        self, columns: Columns, weights: Floats, efficiencies: Sequence[float], thresholds: Sequence[float]
    ) -> dict[str, dict[str, Any]]:
        """Return the parts of the closure by region; those of each pair of flavours too, where there is truth."""
        source = PairedEvents.from_columns(columns, weights, REPLICAS, SEED)
        groups = _flavour_pairs if has_flavours(columns) else _one_group
        asked = (self.analysis, self.processor)
        events = abcd_yields_of_events(*asked, source, thresholds, self.observable, split=groups)
        pairs = abcd_yields_of_pairs(
            *asked, self._most(source), thresholds, self.observable, seed=SEED, pairs=self.n_pairs, split=groups
        )
        masks = groups(columns)
        squares = [
            self._squares({name: array[mask] for name, array in columns.items()}, weights[mask], thresholds)
            for mask in masks
        ]
        found: dict[str, dict[str, Any]] = {}
        for region in self.analysis.regions:
            of_groups = np.stack([one[region] for one in squares])
            found[region] = closure_parts(
                events[region].sum(axis=0), pairs[region].sum(axis=0), of_groups.sum(axis=0), efficiencies, self.at
            )
            if len(masks) > 1:
                total = float(events[region][:, 0, 0].sum())
                found[region]["flavours"] = {
                    name: {
                        "share": float(events[region][i, 0, 0].sum() / total) if total else 0.0,
                        **closure_parts(events[region][i], pairs[region][i], of_groups[i], efficiencies, self.at),
                    }
                    for i, name in enumerate(FLAVOUR_PAIRS)
                }
                coupling = flavour_part(events[region], pairs[region], of_groups, efficiencies, self.at)
                for name in ("excess", "excess_errors"):
                    coupling[name] = dict(zip(FLAVOUR_PAIRS, coupling[name], strict=True))
                found[region]["flavour_coupling"] = coupling
        return found

    def structural(
        self, columns: Columns, weights: Floats, efficiencies: Sequence[float], thresholds: Sequence[float]
    ) -> dict[str, dict[str, Any]]:
        """Return what only jets of different events tell, by region; the events as they are stay unseen."""
        source = PairedEvents.from_columns(columns, weights, REPLICAS, SEED)
        pairs = self._pairs(source, thresholds)
        squares = self._squares(columns, weights, thresholds)
        found = {}
        for region in self.analysis.regions:
            whole = closure_parts(pairs[region], pairs[region], squares[region], efficiencies, self.at)
            found[region] = {"structural": whole["structural"]}
        return found

    def _pairs(self, source: PairedEvents, thresholds: Sequence[float]) -> dict[str, Floats]:
        return abcd_yields_of_pairs(
            self.analysis,
            self.processor,
            self._most(source),
            thresholds,
            self.observable,
            seed=SEED,
            pairs=self.n_pairs,
        )

    def _most(self, source: PairedEvents) -> PairedEvents:
        n = len(source.weights)
        return source if n <= MOST_EVENTS else source.select(np.random.default_rng(SEED).permutation(n) < MOST_EVENTS)

    def _squares(self, columns: Columns, weights: Floats, thresholds: Sequence[float]) -> dict[str, Floats]:
        found = abcd_yields(
            self.analysis, self.processor, columns, np.square(weights)[None], thresholds, self.observable
        )
        return {region: yields[:, 0] for region, yields in found.items()}


def _control(measured: _Measurement, events: ClosureEvents, threshold: ThresholdResult) -> dict[str, dict[str, Any]]:
    """Return the parts of the closure in data with both scores below the threshold, other processes subtracted."""
    if events.data is None:
        return {}
    columns, weights = events.data
    below = np.maximum(*(columns[f"score_{threshold.score}_{j}"] for j in JETS)) < threshold.value
    if np.count_nonzero(below[: events.n_data]) < 2:
        return {}
    kept = {name: array[below] for name, array in columns.items()}
    lower = events.smaller_scores(threshold.score)[below[: events.n_data]]
    thresholds = [float(np.quantile(lower, 1 - e)) for e in CONTROL_EFFICIENCIES]
    return {
        region: {"efficiencies": list(CONTROL_EFFICIENCIES), "thresholds": thresholds, **found}
        for region, found in measured.parts(kept, weights[below], CONTROL_EFFICIENCIES, thresholds).items()
    }


def _counts_in_cells(
    analysis: Analysis,
    processor: HasCuts,
    events: ClosureEvents,
    threshold: ThresholdResult,
    observable: str,
    descriptions: Mapping[str, RegionDescription],
) -> dict[str, Floats]:
    """Return the expected yields of the product cells of unions, data minus simulation in B, C and D, (cells, 4, bins)."""
    if events.data is None:
        return {}
    columns, weights = events.data
    # the data in A are not looked at
    outside = ~(smaller_scores(columns, threshold.score) >= threshold.value)
    kept = {name: array[outside] for name, array in columns.items()}
    found = {}
    for region, description in descriptions.items():
        if not description.is_union:
            continue
        try:
            asked = with_cells(analysis, processor, [region])
        except OddjetsError:
            continue  # its cells cannot be said by cuts, so that only its structural constant helps
        counted = abcd_yields(asked, processor, kept, weights[outside][None], [threshold.value], observable)
        found[region] = np.stack([counted[name][0, 0] for name, one in asked.regions.items() if one.part_of == region])
    return found


def has_flavours(columns: Columns) -> bool:
    """Return whether a table has the flavours of all of its jets."""
    return all(f"flavour_{j}" in columns and bool(np.isfinite(columns[f"flavour_{j}"]).all()) for j in JETS)


def _flavour_pairs(columns: Columns) -> list[npt.NDArray[np.bool_]]:
    one, other = (columns[f"flavour_{j}"] for j in JETS)
    return [((one == a) & (other == b)) | ((one == b) & (other == a)) for a, b in FLAVOUR_PAIRS.values()]


def _one_group(columns: Columns) -> list[npt.NDArray[np.bool_]]:
    return [np.ones(len(columns["weight"]), bool)]
