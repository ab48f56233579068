"""From event tables to region histograms, normalised to the luminosity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.expressions import evaluate
from oddjets.corrections.systematics import NOMINAL, kind_of, variations_of
from oddjets.io import event_table, histograms
from oddjets.io.histograms import DATA, Hist, HistogramSet, ThresholdResult
from oddjets.selection import regions
from oddjets.selection.event_weights import WeightAudit
from oddjets.selection.needed_columns import columns_needed
from oddjets.selection.processor import DijetProcessor

__all__ = ["add_envelope", "fill_table", "make_histograms"]


def fill_table(
    target: Mapping[tuple[str, str], Hist],
    analysis: Analysis,
    processor: DijetProcessor,
    table: event_table.EventTable,
    *,
    process: str,
    variation: str,
    threshold: ThresholdResult,
    factor: float,
    audit: WeightAudit | None = None,
) -> None:
    """Add events, as one variation sees them, to all region histograms; data in A only if the analysis is not blind.

    Args:
        target: (region, observable) to histogram; filled in place.
        analysis: regions and observables.
        processor: has the cuts.
        table: the events under this variation.
        process: the name on the process axis.
        variation: the name on the variation axis.
        threshold: splits into letters.
        factor: multiplies every weight: cross section x luminosity / sum of weights.
        audit: takes the weights of simulated events too.
    """
    base = processor.passing(table)
    weights = np.asarray(table["weight"], dtype=np.float64) * factor
    leading, subleading = (table[f"score_{threshold.score}_{j}"] for j in event_table.JETS)
    letter = regions.letters(leading, subleading, threshold.value, strict=analysis.threshold.strict)
    if analysis.blind and process == DATA:
        base = base & (letter != "A")
    values = {name: evaluate(o.expression, table) for name, o in analysis.observables.items()}
    masks = {region: base & regions.region_mask(analysis, processor, region, table) for region in analysis.regions}
    if audit is not None and process != DATA:
        if variation == NOMINAL:
            audit.add(process, weights, letter, masks)
        elif (nominal := table.under(NOMINAL)["weight"]) is not table["weight"]:
            audit.add_varied(process, variation, table["weight"], nominal, letter, masks)
    for (region, observable), histogram in target.items():
        mask = masks[region]
        axes: dict[str, Any] = {
            "process": process,
            "letter": letter[mask],
            "variation": variation,
            observable: np.broadcast_to(values[observable], mask.shape)[mask],
        }
        histogram.fill(**axes, weight=weights[mask])


def add_envelope(histogram: Hist, process: str, systematic: str, members: int) -> None:
    """Add the variations Up and Down of an envelope: per bin the largest and smallest ratio of a member to nominal.

    Where the nominal content is not positive, the ratio is 1, as in the authors' code. Variances are the nominal ones, scaled.

    Args:
        histogram: filled with the members ``<systematic>0``, ``<systematic>1``, ...; changed in place.
        process: on the process axis; nothing is added where it has no entries.
        systematic: the name.
        members: how many.
    """
    if process not in histogram.axes["process"]:
        return
    centre = float(histogram.axes[-1].centers[0])
    for direction, choose in (("Up", np.max), ("Down", np.min)):
        name = f"{systematic}{direction}"
        # an entry of weight 0 makes the category
        entry: dict[str, Any] = {
            "process": process, "letter": "A", "variation": name, histogram.axes[-1].name: [centre], "weight": [0.0]
        }  # fmt: skip
        histogram.fill(**entry)
        view: Any = histogram.view(flow=True)
        index = {v: i for i, v in enumerate(histogram.axes["variation"])}
        p = list(histogram.axes["process"]).index(process)
        nominal = view[p, :, index[NOMINAL], :]
        varied = np.stack([view[p, :, index[f"{systematic}{i}"], :]["value"] for i in range(members)])
        positive = nominal["value"] > 0
        ratios = np.divide(varied, nominal["value"], out=np.ones_like(varied), where=positive)
        ratio = choose(ratios, axis=0)
        target = view[p, :, index[name], :]
        target["value"] = nominal["value"] * ratio
        target["variance"] = nominal["variance"] * ratio**2


def _both_below(table: event_table.Columns, score: str, value: float) -> event_table.Columns:
    kept = np.maximum(*(table[f"score_{score}_{j}"] for j in event_table.JETS)) < value
    return {name: array[kept] for name, array in table.items()}


def _refuse_not_finite(target: Mapping[tuple[str, str], Hist], process: str, dataset: str) -> None:
    """Refuse contents that are no numbers, as where a sum of weights is next to nothing.

    Raises:
        OddjetsError: names the dataset that was filled last.
    """
    for (region, observable), histogram in target.items():
        if process not in histogram.axes["process"]:
            continue
        view: Any = histogram.view(flow=True)[list(histogram.axes["process"]).index(process)]
        if not (np.isfinite(view["value"]).all() and np.isfinite(view["variance"]).all()):
            raise OddjetsError(
                f"dataset '{dataset}': its weights make '{observable}' of {region} infinite or no number: look at its"
                " cross section, 'k_factor' and sum of generator weights"
            )


def make_histograms(
    analysis: Analysis,
    processor: DijetProcessor,
    folder: Path,
    normalisation: Mapping[str, tuple[str, bool, float]],
    luminosity_pb: float,
    energy_TeV: float,
    *,
    below: float | None = None,
    own_factors: Mapping[str, Mapping[str, float]] | None = None,
    audit: WeightAudit | None = None,
) -> HistogramSet:
    """Make all region histograms from the event tables; those of a blind analysis are without the data in A.

    Args:
        analysis: what was asked.
        processor: has the cuts.
        folder: ``out/events``.
        normalisation: dataset to (process, is_data, factor), from the manifest of `process`.
        luminosity_pb: of the data, /pb.
        energy_TeV: centre-of-mass energy.
        below: keep only events with both scores of the threshold below this.
        own_factors: dataset and variation to a further factor, for those with a normalisation of their own.
        audit: takes the weights of simulated events too.

    Raises:
        OddjetsError: a threshold from data without data.
        OddjetsError: weights of a dataset whose sums are not finite.
        InputFileError: a broken event table, or rows without a column that is needed and that others have.
    """

    def tables(name: str) -> Iterator[event_table.Columns]:
        """The events of a dataset, piece by piece; a dataset without events has no table."""
        found = event_table.stream(folder, name, needed=needed) if event_table.parts(folder, name) else ()
        for columns in found:
            yield columns if below is None else _both_below(columns, analysis.threshold.score, below)

    needed = columns_needed(analysis, processor)
    scores = [f"score_{analysis.threshold.score}_{j}" for j in event_table.JETS]
    of_data = [name for name, (_, is_data, _) in normalisation.items() if is_data and event_table.parts(folder, name)]
    lower = [np.empty(0)]
    for name in of_data:
        for columns in tables(name):
            passed = processor.passing(event_table.EventTable(columns))
            lower.append(np.minimum(*(columns[column][passed] for column in scores)))
    # the smaller of the two scores is all that the threshold needs of an event
    joined = dict.fromkeys(scores, np.concatenate(lower)) if of_data else None
    threshold = regions.find_threshold(analysis.threshold, joined)
    target = {
        (region, name): histograms.empty_histogram(
            name, analysis.binning(name, region), f"{o.label} [{o.unit}]" if o.unit else o.label
        )
        for region in analysis.regions
        for name, o in analysis.observables.items()
    }
    found: dict[str, list[str]] = {}
    for dataset, (process, is_data, factor) in normalisation.items():
        process = DATA if is_data else process
        variations = variations_of(analysis, process, is_data=is_data)
        names = [NOMINAL, *(v.name for v in variations)]
        found.setdefault(process, [NOMINAL, *(v.name for v in variations if v.kind != "envelope")])
        for columns in tables(dataset):
            for name in names if len(columns["event"]) else ():
                fill_table(
                    target,
                    analysis,
                    processor,
                    event_table.EventTable(columns, name),
                    process=process,
                    variation=name,
                    threshold=threshold,
                    factor=factor * (own_factors or {}).get(dataset, {}).get(name, 1.0),
                    audit=audit,
                )
        _refuse_not_finite(target, process, dataset)
    for systematic in analysis.systematics:
        for process in found if kind_of(systematic) == "envelope" else ():
            if process == DATA or (systematic.processes is not None and process not in systematic.processes):
                continue
            for histogram in target.values():
                add_envelope(histogram, process, systematic.name, systematic.members)
            found[process] += [f"{systematic.name}Up", f"{systematic.name}Down"]
    order = [DATA, *analysis.processes]
    by_process = {p: found[p] for p in sorted(found, key=lambda p: order.index(p) if p in order else len(order))}
    return HistogramSet(
        target,
        by_process,
        luminosity_pb,
        threshold.blinded() if analysis.blind else threshold,
        energy_TeV,
        blinded=analysis.blind,
    )
