"""The interface of processors to coffea: `process` and `postprocess` for its `Runner`, with any of its executors.

A chunk's accumulator is made of what adds up in any order: histograms, counts, sets. What a file says once (the sums of
weights of its tree Runs, its luminosity sections) is taken with its first chunk. Which events were read is counted, so that
`coffea_results` can tell what is missing, and what is there twice. The pipeline's chunks use `DijetProcessor.table` instead,
and both fill histograms with `oddjets.selection.histogramming.HistogramFiller`.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import uproot
from coffea.processor import ProcessorABC, column_accumulator

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import eras_of, of_era
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections import lookups
from oddjets.corrections.sections import sections_of_file
from oddjets.corrections.systematics import NOMINAL, variations_of
from oddjets.io.event_table import Columns, EventTable
from oddjets.io.fileset import TREE, Dataset, inspect_open
from oddjets.io.histograms import DATA, Hist, ThresholdResult
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.column_scorer import AnyScorer
from oddjets.scoring.model_card import ModelCard
from oddjets.selection.chunk_counts import ChunkCounts
from oddjets.selection.coffea_results import CoffeaResults, results_of
from oddjets.selection.file_layouts import layout_errors
from oddjets.selection.histogramming import HistogramFiller, histogram_with, smaller_scores
from oddjets.selection.per_era import at_era

__all__ = ["CoffeaInterface"]

#: what coffea's Runner tells of a chunk
_OF_A_CHUNK = ("dataset", "filename", "fileuuid", "entrystart", "entrystop")


class _Source(Protocol):
    """The source of a processor's class: a file that workers may not have."""

    def load(self) -> type: ...

    def restored(self, state: Mapping[str, Any]) -> Any: ...


class CoffeaInterface(ProcessorABC):  # type: ignore[misc]
    """The methods of `DijetProcessor` for coffea's `Runner`; `oddjets.processor` sets the attributes.

    Attributes:
        analysis: what was asked.
        era: its corrections.
        era_folder: where the era's relative paths start.
        datasets: what is known of each dataset, and which files it has.
        threshold: the cut on the scores, where it was found in a first pass.
        scorers: score name to scorer, for the scores that have a model card.
        source: the file that the class is of; it travels with the processor.
    """

    analysis: Analysis
    era: lookups.Era
    era_folder: Path
    datasets: Mapping[str, Dataset] = {}
    threshold: ThresholdResult | None = None
    scorers: Mapping[str, AnyScorer] = {}
    source: _Source | None = None

    @abstractmethod
    def table(self, events: Any) -> tuple[dict[str, npt.NDArray[Any]], ChunkCounts]:
        """Turn a chunk into rows of the event table, and counts."""

    @abstractmethod
    def passing(self, table: EventTable) -> npt.NDArray[np.bool_]:
        """Return which events pass the base selection."""

    @property
    def fileset(self) -> dict[str, dict[str, Any]]:
        """The datasets as coffea's `Runner` takes them: ``{dataset: {"files": {path: tree}}}``.

        Without metadata, which the processor knows: coffea keeps those of a file for as long as the session lives, and a cross
        section that was mended would not be seen.
        """
        return {name: {"files": dict.fromkeys(dataset.files, TREE)} for name, dataset in self.datasets.items()}

    def with_threshold(self, found: CoffeaResults | ThresholdResult | float) -> Any:
        """Return this processor with a cut on the scores, so that it fills histograms.

        Args:
            found: what a first pass over the data returned, or its ``threshold``, or a number.

        Raises:
            OddjetsError: the first pass read no data, or not all; no number; not the threshold that the analysis fixes.
        """
        cut = found["threshold"] if isinstance(found, CoffeaResults) else found
        fixed, value = self.analysis.threshold.value, cut.value if isinstance(cut, ThresholdResult) else cut
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise OddjetsError(
                f"with_threshold: {value!r} is no threshold: give a number, or the results of a first pass"
            )
        if fixed is not None and value != fixed:
            raise OddjetsError(f"with_threshold: {value:.6g}, and the analysis fixes 'threshold.value' at {fixed:.6g}")
        changed = copy.copy(self)
        changed.threshold = cut if isinstance(cut, ThresholdResult) else _given(self.analysis, float(cut))
        return changed

    def process(self, events: Any) -> dict[str, Any]:
        """Return what a chunk adds to the accumulator of coffea's `Runner`.

        Args:
            events: a chunk, as the Runner gives it, with coffea's PFNano or NanoAOD schema, or `PFNano`.

        Returns:
            Dataset to a mapping of things that add up:

            * ``entries``, ``rows``: events read, and rows that pass nominally or varied;
            * ``raw``, ``weighted``: events and weights after each cut, the first being all, shape (cuts + 1,); ``n_minus_1``,
              ``n_minus_1_weighted``: likewise what passes all other cuts, shape (cuts,);
            * ``input_anomalies``: what was odd and dealt with, counted; ``inference``: how jets got their scores;
              ``score_columns``: the ends of columns that are scores; ``varied_scores``: how jets got the scores of variations;
            * ``histograms``: (region, observable) to a `hist.Hist` of process, letter, variation and the observable, with
              Weight storage, not normalised; only where the threshold is known;
            * ``shared_events``: pair of regions to how many events are in both, likewise;
            * ``smaller_scores``: of data after the base selection, from which the threshold is found;
            * ``chunks``: file to range of entries to how often it was read; ``weights``: file to the sum of its generator
              weights; ``files``: what each file says once; ``sections``: luminosity sections, with a golden JSON.

        Raises:
            OddjetsError: dask-awkward arrays; a dataset that the processor does not know; metadata that contradict.
            InputFileError: a file without what a model needs of PF candidates; see `DijetProcessor.table`.
        """
        if hasattr(events, "__dask_graph__"):
            raise OddjetsError(
                "process() was given a dask-awkward array, as by coffea's apply_to_fileset: selection and scores are NumPy and"
                " ONNX, which dask-awkward cannot trace; give the processor to coffea's Runner with a DaskExecutor, or set"
                " 'execution.executor: dask' and run the analysis"
            )
        dataset = self._introduce(events)
        metadata = events.metadata
        start, stop, uuid = int(metadata["entrystart"]), int(metadata["entrystop"]), str(metadata["fileuuid"])
        here = at_era(self.analysis, self, dataset.metadata.era)
        if len(events):
            columns, counts = here.table(events)
        else:
            columns, counts = {"event": np.empty(0, np.uint64)}, _nothing(len(self.analysis.selection.cuts))
        found: dict[str, Any] = _counted(counts) | {
            "rows": len(columns["event"]),
            "chunks": {uuid: {f"{start}:{stop}": 1}},
            "weights": {uuid: counts.weighted[0]},
        }
        if start == 0:
            found |= self._of_file(events, dataset)
        if dataset.metadata.is_data:
            lower = smaller_scores(self.analysis, here, columns) if len(columns["event"]) else np.empty(0)
            found["smaller_scores"] = column_accumulator(np.asarray(lower, np.float64))
        if (threshold := self._threshold_used) is not None:
            found |= self._histograms(columns, dataset, threshold, here)
        return {dataset.name: found}

    def postprocess(self, accumulator: Mapping[str, Any]) -> CoffeaResults:
        """Return the results: histograms normalised to the luminosity, cutflow, threshold.

        Args:
            accumulator: what chunks added up to.

        Raises:
            OddjetsError: events were counted twice.
        """
        here = {era: at_era(self.analysis, self, era) for era in eras_of(self.analysis)}
        eras = {era: (processor.era, processor.era_folder) for era, processor in here.items()}
        return results_of(self.analysis, eras, self.datasets, accumulator, self._threshold_used, self._cards)

    # ---- the parts -----------------------------------------------------------------------------------------------------

    @property
    def _cards(self) -> dict[str, ModelCard | ColumnCard]:
        return {name: scorer.card for name, scorer in self.scorers.items()}

    @property
    def _threshold_used(self) -> ThresholdResult | None:
        """The cut that histograms are filled with; None: a first pass over data has to find it."""
        if self.threshold is None and self.analysis.threshold.value is not None:
            return _given(self.analysis, self.analysis.threshold.value)
        return self.threshold

    def _introduce(self, events: Any) -> Dataset:
        """Tell a chunk what is known of its dataset, where the Runner's fileset does not say it."""
        metadata = getattr(events, "metadata", None) or {}
        if missing := [name for name in _OF_A_CHUNK if name not in metadata]:
            raise OddjetsError(
                f"process() takes chunks of coffea's Runner; the metadata of this one have no '{missing[0]}'. For events that"
                " you opened yourself use table()"
            )
        name = metadata["dataset"]
        if name not in self.datasets:
            raise OddjetsError(
                f"dataset '{name}' is not in the fileset of the processor, so its process, cross section and files are unknown:"
                " make a processor with it, oddjets.processor(ANALYSIS, fileset=FILESET)"
            )
        dataset = self.datasets[name]
        known = dataset.metadata.model_dump(mode="json")
        for key, value in known.items():
            said = metadata.setdefault(key, value)
            if (list(said) if isinstance(said, tuple) else said) != value and key != "processed_lumis":
                raise OddjetsError(
                    f"dataset '{name}': the fileset of coffea's Runner says {key} is {said!r}, and the processor's says"
                    f" {value!r}: give processor.fileset to the Runner, and an empty 'metadata_cache' if it had another fileset"
                    " before"
                )
        return dataset

    def _of_file(self, events: Any, dataset: Dataset) -> dict[str, Any]:
        """Return what a file says once, whatever chunks it is cut into."""
        path, is_data = str(events.metadata["filename"]), dataset.metadata.is_data
        given = dataset.metadata.sum_of_weights is not None
        info = inspect_open(_file_of(events), path, is_data=is_data, sum_is_given=given)
        if errors := layout_errors({dataset.name: (dataset, [info])}, self._cards, self.analysis):
            raise InputFileError("\n".join(errors))
        # of two thousand names, those that somebody asks for later
        triggers = of_era(self.analysis, dataset.metadata.era).selection.triggers
        asked = frozenset(f"HLT_{name}" for name in triggers)
        found: dict[str, Any] = {"files": {dataclasses.replace(info, branches=info.branches & asked)}}
        if is_data and self.analysis.selection.golden_json is not None:
            access = self.analysis.execution.access(self.analysis.folder)
            found["sections"] = set(sections_of_file(path, access).tolist())
        return found

    def _histograms(self, columns: Columns, dataset: Dataset, threshold: ThresholdResult, here: Any) -> dict[str, Any]:
        """Fill a chunk's histograms; all have all of the dataset's categories, so that adding them keeps their order."""
        is_data = dataset.metadata.is_data
        process = DATA if is_data else dataset.metadata.process
        variations = variations_of(here.analysis, process, is_data=is_data)
        names = [NOMINAL, *(v.name for v in variations)]
        filler = HistogramFiller(self.analysis, here, threshold)
        if len(columns["event"]):
            filler.add(columns, process, dict.fromkeys(names, 1.0))
        else:
            filler.sums |= {(process, name): np.zeros((2, filler.size)) for name in names}
        made: dict[tuple[str, str], Hist] = {
            (region, observable): histogram_with(
                self.analysis,
                region,
                observable,
                {(process, name): filler.of_histogram(region, observable, (process, name)) for name in names},
            )
            for region, observable in filler.cells.slices
        }
        return {"histograms": made, "shared_events": dict(filler.shared_events)}

    def __reduce_ex__(self, protocol: Any) -> Any:
        # a class of a file is in no module that workers can import: the file travels
        if self.source is not None and type(self) is self.source.load():
            return self.source.restored, (self.__dict__,)
        return super().__reduce_ex__(protocol)


def _given(analysis: Analysis, value: float) -> ThresholdResult:
    return ThresholdResult(analysis.threshold.score, value, analysis.threshold.efficiency, None, 0, 0)


def _file_of(events: Any) -> Any:
    factory = getattr(events, "attrs", {}).get("@events_factory")
    handle = getattr(factory, "file_handle", None)
    root = handle if isinstance(handle, uproot.ReadOnlyDirectory) else getattr(handle, "root_directory", None)
    if root is None:
        raise OddjetsError(
            f"{events.metadata['filename']}: not read from a ROOT file, and other files have no sums of weights: give"
            " format='root' to coffea's Runner"
        )
    return root


def _counted(counts: ChunkCounts) -> dict[str, Any]:
    """Return a chunk's counts, in a form that coffea adds up: arrays element by element, sets as unions."""
    cuts: Sequence[tuple[int, float]] = counts.n_minus_1
    return {
        "entries": counts.entries,
        "raw": np.array(counts.raw, np.int64),
        "weighted": np.array(counts.weighted, np.float64),
        "n_minus_1": np.array([raw for raw, _ in cuts], np.int64),
        "n_minus_1_weighted": np.array([weighted for _, weighted in cuts], np.float64),
        "input_anomalies": dict(counts.input_anomalies),
        "inference": {score: dict(how) for score, how in counts.inference.items()},
        "score_columns": {score: dict(values) for score, values in counts.score_columns.items()},
        "varied_scores": {name: dict(jets) for name, jets in counts.varied_scores.items()},
    }


def _nothing(cuts: int) -> ChunkCounts:
    """Return the counts of a file without events, whose branches nobody looks at."""
    return ChunkCounts(0, [0] * (cuts + 1), [0.0] * (cuts + 1), [(0, 0.0)] * cuts)
