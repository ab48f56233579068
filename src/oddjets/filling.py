"""From event tables to region histograms, normalised to the luminosity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oddjets import events, histograms, regions
from oddjets.config import Analysis
from oddjets.expressions import evaluate
from oddjets.histograms import DATA, Hist, HistogramSet, ThresholdResult
from oddjets.processor import DijetProcessor
from oddjets.systematics import NOMINAL, variations_of

__all__ = ["fill_table", "make_histograms"]


def fill_table(
    target: Mapping[tuple[str, str], Hist],
    analysis: Analysis,
    processor: DijetProcessor,
    table: events.EventTable,
    *,
    process: str,
    variation: str,
    threshold: ThresholdResult,
    factor: float,
) -> None:
    """Add events, as one variation sees them, to all region histograms.

    Args:
        target: (region, observable) to histogram; filled in place.
        analysis: regions and observables.
        processor: has the cuts.
        table: the events under this variation.
        process: the name on the process axis.
        variation: the name on the variation axis.
        threshold: splits into letters.
        factor: multiplies every weight: cross section x luminosity / sum of weights.
    """
    base = np.ones(table.size, dtype=bool)
    for name in analysis.selection.cuts:
        base &= np.asarray(getattr(processor, name)(table), dtype=bool)
    weights = np.asarray(table["weight"], dtype=np.float64) * factor
    letter = regions.letters(table[f"score_{threshold.score}_1"], table[f"score_{threshold.score}_2"], threshold.value)
    values = {name: evaluate(o.expression, table) for name, o in analysis.observables.items()}
    masks = {region: base & regions.region_mask(analysis, processor, region, table) for region in analysis.regions}
    for (region, observable), histogram in target.items():
        mask = masks[region]
        axes: dict[str, Any] = {
            "process": process,
            "letter": letter[mask],
            "variation": variation,
            observable: np.broadcast_to(values[observable], mask.shape)[mask],
        }
        histogram.fill(**axes, weight=weights[mask])


def make_histograms(
    analysis: Analysis,
    processor: DijetProcessor,
    folder: Path,
    normalisation: Mapping[str, tuple[str, bool, float]],
    luminosity_pb: float,
    energy_TeV: float,
) -> HistogramSet:
    """Make all region histograms from the event tables.

    Args:
        analysis: what was asked.
        processor: has the cuts.
        folder: ``out/events``.
        normalisation: dataset to (process, is_data, factor), from the manifest of `process`.
        luminosity_pb: of the data, /pb.
        energy_TeV: centre-of-mass energy.

    Raises:
        OddjetsError: a threshold from data without data.
        InputFileError: a broken event table.
    """
    # a dataset without events has no table
    tables = {name: events.read(folder, name) if events.parts(folder, name) else {} for name in normalisation}
    data = [
        {
            column: table[column][table["passes_nominal"]]
            for column in (f"score_{analysis.threshold.score}_{j}" for j in events.JETS)
        }
        for name, table in tables.items()
        if table and normalisation[name][1]
    ]
    joined = {column: np.concatenate([d[column] for d in data]) for column in data[0]} if data else None
    threshold = regions.find_threshold(analysis.threshold, joined)
    target = {
        (region, name): histograms.empty_histogram(
            name, analysis.binning(name, region), f"{o.label} [{o.unit}]" if o.unit else o.label
        )
        for region in analysis.regions
        for name, o in analysis.observables.items()
    }
    found: dict[str, list[str]] = {}
    for dataset, columns in tables.items():
        process, is_data, factor = normalisation[dataset]
        process = DATA if is_data else process
        names = [NOMINAL, *(v.name for v in variations_of(analysis, process, is_data=is_data))]
        found.setdefault(process, names)
        if not columns or not len(columns["event"]):
            continue
        for name in names:
            fill_table(
                target,
                analysis,
                processor,
                events.EventTable(columns, name),
                process=process,
                variation=name,
                threshold=threshold,
                factor=factor,
            )
    order = [DATA, *analysis.processes]
    variations = {p: found[p] for p in sorted(found, key=lambda p: order.index(p) if p in order else len(order))}
    return HistogramSet(target, variations, luminosity_pb, threshold, energy_TeV)
