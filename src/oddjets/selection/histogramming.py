"""Filling of region histograms from event tables, normalised to the luminosity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import combinations_of
from oddjets.config.nuisances import nuisances_of
from oddjets.core.errors import OddjetsError
from oddjets.corrections.correlations import contributions_of
from oddjets.corrections.systematics import NOMINAL, kind_of
from oddjets.io import event_table, histograms
from oddjets.io.combined_scores import CombinedScores
from oddjets.io.event_table import EventTable
from oddjets.io.histograms import DATA, LETTERS, Hist, HistogramSet, ThresholdResult
from oddjets.io.yields import envelope
from oddjets.selection import regions
from oddjets.selection.binned_events import BinnedEvents, Cells, add_weights, bin_events
from oddjets.selection.decorators import HasCuts
from oddjets.selection.event_weights import WeightAudit
from oddjets.selection.needed_columns import columns_needed
from oddjets.selection.normalisation import Normalisation
from oddjets.selection.per_era import at_era
from oddjets.selection.tracked_events import TrackedEvents

__all__ = [
    "HistogramFiller",
    "add_envelope",
    "assembled",
    "histogram_with",
    "make_histograms",
    "smaller_scores",
    "threshold_from",
]

Floats = npt.NDArray[np.float64]


class HistogramFiller:
    """Sums of weights of all histograms, filled from parts of event tables.

    For each part, selection, regions, letters and bins are computed once for the nominal jets and once for each variation
    of jets. Variations of weights use those of the nominal jets, unless a cut or an observable reads the weight.

    Args:
        analysis: regions and observables; data in A are omitted if it is blind.
        processor: defines the cuts.
        threshold: defines the letters.
        audit: records the weights of simulated events.

    Attributes:
        cells: positions of the bins of each histogram in the sums.
        sums: (process, variation) -> sums of weights and of squared weights, shape (2, letters x cells).
        filled: region -> (process, variation) with an event in it, in the order of their first event.
        shared_events: how many events two regions share, for pairs that share any; nominal jets, data and simulation.
    """

    def __init__(
        self,
        analysis: Analysis,
        processor: HasCuts,
        threshold: ThresholdResult,
        audit: WeightAudit | None = None,
    ) -> None:
        self._analysis, self._processor, self._threshold, self._audit = analysis, processor, threshold, audit
        self._processor_used = processor
        self.cells = Cells.from_analysis(analysis)
        self.sums: dict[tuple[str, str], Floats] = {}
        self.filled: dict[str, dict[tuple[str, str], None]] = {region: {} for region in analysis.regions}
        self.shared_events: Counter[tuple[str, str]] = Counter()

    @property
    def size(self) -> int:
        """How many cells a process and a variation have: letters x bins of all histograms."""
        return len(LETTERS) * self.cells.size

    def add(
        self,
        columns: event_table.Columns,
        process: str,
        factors: Mapping[str, float],
        sources: Mapping[str, str] | None = None,
        processor: HasCuts | None = None,
    ) -> None:
        """Add events.

        Args:
            columns: columns of the events.
            process: name on the process axis.
            factors: variation, ``nominal`` first, -> factor of its weights: cross section x luminosity / sum of weights.
            sources: variation -> the events' own variation that it is filled with, where that is another one: of several
                eras, those that do not share a nuisance parameter fill its variations with nominal.
            processor: defines the cuts of these events, where they are not those of all.
        """
        self._processor_used = processor or self._processor
        tracked = TrackedEvents(columns)
        events = self._events(tracked, process)
        self.shared_events.update(events.shared())
        own = tracked.used_variation
        source = {name: (sources or {}).get(name, name) for name in factors}
        varied = {
            name: EventTable.under(tracked, name) if name != NOMINAL else tracked
            for name in dict.fromkeys(source.values())
        }
        tables = {name: varied[source[name]] for name in factors}
        # groups of variations with the same events in the same bins
        groups = [[name for name, table in tables.items() if source[name] == NOMINAL or not (own or table.varies_jets)]]
        groups += [[name] for name in factors if name not in groups[0]]
        passed: dict[str, tuple[str, ...]] = {}
        for names in groups:
            if names[0] != NOMINAL:
                events = self._events(tables[names[0]], process)
            passed |= dict.fromkeys(names, tuple(region for region, mask in events.inside.items() if mask.any()))
            self._sum(events, process, {name: (tables[name]["weight"], factors[name]) for name in names}, columns)
        for name in factors:
            for region in passed[name]:
                self.filled[region].setdefault((process, name))

    def _events(self, table: EventTable, process: str) -> BinnedEvents:
        events = bin_events(self._analysis, self._processor_used, table, self.cells)
        if self._analysis.blind and process == DATA:
            return events.select(self._letters(events) != LETTERS.index("A"))
        return events

    def _letters(self, events: BinnedEvents) -> npt.NDArray[np.int8]:
        return events.letters(self._threshold.value, strict=self._analysis.threshold.strict)

    def _sum(
        self,
        events: BinnedEvents,
        process: str,
        weights: Mapping[str, tuple[npt.NDArray[Any], float]],
        columns: event_table.Columns,
    ) -> None:
        """Add the weights of variations that have these events in these bins."""
        letter = self._letters(events)
        raw = {name: np.asarray(column, np.float64)[events.rows] for name, (column, _) in weights.items()}
        scaled = np.empty((len(events.rows), len(raw)))
        for i, name in enumerate(raw):
            scaled[:, i] = raw[name] * weights[name][1]
        none = np.zeros((2, self.size))
        before = np.stack([self.sums.get((process, name), none) for name in weights], axis=-1)
        after = add_weights(before, events.by_letter(letter), scaled)
        self.sums |= {(process, name): after[..., i] for i, name in enumerate(weights)}
        if self._audit is None or process == DATA:
            return
        nominal = columns["weight"]
        for i, (name, (column, _)) in enumerate(weights.items()):
            if name == NOMINAL:
                self._audit.add(process, scaled[:, i], letter, events.inside)
            elif column is not nominal:
                nominal_weights = raw[NOMINAL] if NOMINAL in raw else np.asarray(nominal, np.float64)[events.rows]
                self._audit.add_varied(process, name, raw[name], nominal_weights, letter, events.inside)

    def of_histogram(self, region: str, observable: str, key: tuple[str, str]) -> Floats:
        """Return the contents of a histogram for a process and a variation, shape (2, letters, bins + 2)."""
        return self.sums[key].reshape(2, len(LETTERS), -1)[..., self.cells.slices[region, observable]]

    def require_finite(self, process: str, dataset: str) -> None:
        """Refuse contents that are not finite, for example because a sum of weights is almost zero.

        Raises:
            OddjetsError: contents are not finite; the message has the dataset.
        """
        for region, observable in self.cells.slices:
            for key in self.filled[region]:
                if key[0] == process and not np.isfinite(self.of_histogram(region, observable, key)).all():
                    raise OddjetsError(
                        f"dataset '{dataset}': its weights make '{observable}' of {region} infinite or NaN: check"
                        " its cross section, 'k_factor' and sum of generator weights"
                    )

    def histograms(self) -> dict[tuple[str, str], Hist]:
        """Return (region, observable) -> histogram."""
        made = {}
        for region, name in self.cells.slices:
            contents = {key: self.of_histogram(region, name, key) for key in self.filled[region]}
            made[region, name] = histogram_with(self._analysis, region, name, contents)
        return made


def histogram_with(
    analysis: Analysis, region: str, observable: str, contents: Mapping[tuple[str, str], Floats]
) -> Hist:
    """Return the histogram of an observable in a region, with its binning and label.

    Args:
        analysis: has both.
        region: its name.
        observable: its name.
        contents: (process, variation) to sums of weights and of squared weights, shape (2, letters, bins + 2).
    """
    found = analysis.observables[observable]
    label = f"{found.label} [{found.unit}]" if found.unit else found.label
    return histograms.histogram_of(observable, analysis.binning(observable, region), label, contents)


def add_envelope(histogram: Hist, process: str, systematic: str, members: int) -> None:
    """Add the variations Up and Down of an envelope: per bin the largest and smallest ratio of a member to nominal.

    Where the nominal content is not positive, the ratio is 1, as in the authors' code. Variances are the nominal ones, scaled.

    Args:
        histogram: filled with the members ``<systematic>0``, ``<systematic>1``, ...; changed in place.
        process: name on the process axis; nothing is added if it has no entries, or only those of variations of jets.
        systematic: its name.
        members: number of members.
    """
    members_of = [f"{systematic}{i}" for i in range(members)]
    if process not in histogram.axes["process"] or not {NOMINAL, *members_of} <= {*histogram.axes["variation"]}:
        return
    centre = float(histogram.axes[-1].centers[0])
    for direction in ("Up", "Down"):
        # an entry of weight 0 creates the category
        entry: dict[str, Any] = {
            "process": process, "letter": "A", "variation": f"{systematic}{direction}",
            histogram.axes[-1].name: [centre], "weight": [0.0],
        }  # fmt: skip
        histogram.fill(**entry)
    view: Any = histogram.view(flow=True)
    index = {v: i for i, v in enumerate(histogram.axes["variation"])}
    of_process = view[list(histogram.axes["process"]).index(process)]
    nominal = of_process[:, index[NOMINAL]]
    both = envelope(
        np.stack([nominal["value"], nominal["variance"]]),
        np.stack([of_process[:, index[member]]["value"] for member in members_of]),
    )
    for direction, (values, variances) in zip(("Up", "Down"), both, strict=True):
        target = of_process[:, index[f"{systematic}{direction}"]]
        target["value"], target["variance"] = values, variances


def _both_below(table: event_table.Columns, score: str, value: float) -> event_table.Columns:
    kept = np.maximum(*(table[f"score_{score}_{j}"] for j in event_table.JETS)) < value
    return {name: array[kept] for name, array in table.items()}


def smaller_scores(analysis: Analysis, processor: HasCuts, columns: event_table.Columns) -> Floats:
    """Return the smaller of the two scores of each event that passes the base selection: all that the threshold needs.

    Args:
        analysis: says which score.
        processor: has the base selection.
        columns: of the events.
    """
    passed = processor.passing(EventTable(columns))
    one, other = (columns[f"score_{analysis.threshold.score}_{j}"][passed] for j in event_table.JETS)
    return np.minimum(one, other)


def threshold_from(analysis: Analysis, lower: Floats | None) -> ThresholdResult:
    """Return the cut on the scores.

    Args:
        analysis: says what is asked.
        lower: `smaller_scores` of all data, in any order, shape (n,); None: there are none.

    Raises:
        OddjetsError: an efficiency is asked for and there is no data.
    """
    names = [f"score_{analysis.threshold.score}_{j}" for j in event_table.JETS]
    return regions.find_threshold(analysis.threshold, None if lower is None else dict.fromkeys(names, lower))


def make_histograms(
    analysis: Analysis,
    processor: HasCuts,
    folder: Path,
    normalisation: Mapping[str, tuple[str, bool, float] | Normalisation],
    luminosity_pb: float,
    energy_TeV: float,
    *,
    below: float | None = None,
    own_factors: Mapping[str, Mapping[str, float]] | None = None,
    audit: WeightAudit | None = None,
) -> HistogramSet:
    """Make all region histograms from the event tables; for a blind analysis without the data in A.

    Args:
        analysis: the analysis.
        processor: defines the cuts; of several eras, each has its own (``at_era``).
        folder: ``out/events``.
        normalisation: dataset -> its process, era and factor, from the manifest of `process`.
        luminosity_pb: integrated luminosity of the data, /pb.
        energy_TeV: centre-of-mass energy, TeV.
        below: keep only events with both scores of the threshold below this.
        own_factors: dataset -> variation -> additional factor, for variations with their own normalisation.
        audit: records the weights of simulated events.

    Raises:
        OddjetsError: the threshold is an efficiency of data and there are no data; or sums of weights are not finite.
        InputFileError: an event table is damaged, or lacks a column that is needed.
    """

    def tables(name: str) -> Iterator[event_table.Columns]:
        """Yield the parts of a dataset's event table; a dataset without events has none."""
        asked = needed[datasets[name].era]
        found = event_table.stream(folder, name, needed=asked) if event_table.parts(folder, name) else ()
        for columns in found:
            yield columns if below is None else _both_below(columns, analysis.threshold.score, below)

    if combinations_of(analysis.scores):
        CombinedScores.require(folder, analysis.name)
    datasets = {name: Normalisation(*given) for name, given in normalisation.items()}
    processors = {n.era: at_era(analysis, processor, n.era) for n in datasets.values()}
    needed = {era: columns_needed(analysis, of_era) for era, of_era in processors.items()}
    of_data = [name for name, n in datasets.items() if n.is_data and event_table.parts(folder, name)]
    lower = [np.empty(0)]
    for name in of_data:
        for columns in tables(name):
            lower.append(smaller_scores(analysis, processors[datasets[name].era], columns))
    threshold = threshold_from(analysis, np.concatenate(lower) if of_data else None)
    filler = HistogramFiller(analysis, processor, threshold, audit)
    found: dict[str, list[str]] = {}
    for dataset, n in datasets.items():
        process = DATA if n.is_data else n.process
        parts = contributions_of(analysis, process, n.era, is_data=n.is_data)
        found.setdefault(process, [name for name, part in parts.items() if not part.member])
        own = (own_factors or {}).get(dataset, {})
        factors = {name: n.factor * own.get(part.source, 1.0) * part.scale for name, part in parts.items()}
        sources = {name: part.source for name, part in parts.items()}
        for columns in tables(dataset):
            if len(columns["event"]):
                filler.add(columns, process, factors, sources, processors[n.era])
        filler.require_finite(process, dataset)
    return assembled(
        analysis, filler.histograms(), found, threshold, luminosity_pb, energy_TeV, shared_events=filler.shared_events
    )


def assembled(
    analysis: Analysis,
    filled: Mapping[tuple[str, str], Hist],
    variations: Mapping[str, Sequence[str]],
    threshold: ThresholdResult,
    luminosity_pb: float,
    energy_TeV: float,
    *,
    shared_events: Mapping[tuple[str, str], int],
) -> HistogramSet:
    """Return histograms that are filled and normalised as a set, with the envelopes of their members.

    Args:
        analysis: its systematics, and whether it is blind.
        filled: (region, observable) to its histogram; changed in place.
        variations: process to the names that it has, ``nominal`` first, without envelopes.
        threshold: the cut that split them into letters.
        luminosity_pb: of the data, /pb.
        energy_TeV: centre-of-mass energy.
        shared_events: see `HistogramSet`.
    """
    found = {process: list(names) for process, names in variations.items()}
    for systematic in analysis.systematics:
        for process in found if kind_of(systematic) == "envelope" else ():
            if process == DATA or (systematic.processes is not None and process not in systematic.processes):
                continue
            for name in nuisances_of(analysis, systematic):
                for histogram in filled.values():
                    add_envelope(histogram, process, name, systematic.members)
                found[process] += [f"{name}Up", f"{name}Down"]
    order = [DATA, *analysis.processes]
    by_process = {p: found[p] for p in sorted(found, key=lambda p: order.index(p) if p in order else len(order))}
    return HistogramSet(
        dict(filled),
        by_process,
        luminosity_pb,
        threshold.blinded() if analysis.blind else threshold,
        energy_TeV,
        blinded=analysis.blind,
        shared_events={
            pair: shared_events[pair] for pair in combinations(analysis.regions, 2) if pair in shared_events
        },
    )
