"""The results of a processor in coffea's `Runner`: chunks added up, checked, and normalised to the luminosity."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections.correlations import contributions_of
from oddjets.corrections.lookups import Era
from oddjets.corrections.luminosity import luminosities_of_eras
from oddjets.io.fileset import Dataset, FileInfo, sum_of_weights, sums_of_variations
from oddjets.io.histograms import DATA, LETTERS, Hist, HistogramSet, ThresholdResult
from oddjets.io.remote.access import is_remote
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard
from oddjets.selection import input_anomalies
from oddjets.selection.file_layouts import describe_layouts, warn_of_stale_weights
from oddjets.selection.histogramming import assembled, histogram_with, threshold_from
from oddjets.selection.normalisation import (
    Luminosities,
    cutflow_of,
    factors,
    luminosities_read,
    own_factors,
    total_luminosity,
)
from oddjets.selection.score_checks import check_columns, refuse_useless_columns
from oddjets.selection.sums_checks import refuse_unlike_sums, sums_problems
from oddjets.selection.trigger_menus import trigger_menus

__all__ = ["CoffeaResults", "results_of"]

Floats = npt.NDArray[np.float64]
#: problems named at most
_SHOWN = 5


class CoffeaResults(dict[str, Any]):
    """The result of `postprocess`: a dictionary whose error for a missing key has the reason.

    * ``datasets``: dataset to what its chunks added up to, not normalised: see `DijetProcessor.process`. The only part that
      may be added to that of another run of other files; `postprocess` normalises the sum.
    * ``cutflow``: the content of ``cutflow.json``.
    * ``threshold``: the cut on the scores, as found in data.
    * ``histograms``: (region, observable) to `hist.Hist` at the luminosity.
    * ``histogram_set``: the same with luminosity and threshold, which `oddjets.stats.build` makes a workspace of.
    * ``refused``: why some of these are missing.
    """

    def __missing__(self, key: str) -> Any:
        if key in ("cutflow", "threshold", "histograms", "histogram_set") and self["refused"]:
            raise OddjetsError(f"there is no '{key}': " + "\n".join(self["refused"]))
        raise KeyError(f"no '{key}' in the results; {nearest(key, self)}")


def results_of(
    analysis: Analysis,
    eras: Mapping[str, tuple[Era, Path]],
    datasets: Mapping[str, Dataset],
    accumulated: Mapping[str, Any],
    threshold: ThresholdResult | None,
    cards: Mapping[str, ModelCard | ColumnCard],
) -> CoffeaResults:
    """Check and normalise what chunks added up to.

    Args:
        analysis: what was asked.
        eras: its eras, and where their relative paths start.
        datasets: what is known of each dataset, and all its files.
        accumulated: dataset to its accumulator.
        threshold: the cut that histograms were filled with; None: none was known, and there are no histograms.
        cards: score to its model's card, of the scores that have one.

    Raises:
        OddjetsError: events were counted twice, or sums of weights that cannot be right.
    """
    results = CoffeaResults(datasets=dict(accumulated), refused=[])
    read = {name: dataset for name, dataset in datasets.items() if name in accumulated}
    _refuse_double(accumulated)
    for name in read:
        input_anomalies.report(name, accumulated[name]["input_anomalies"])
        warn_of_stale_weights(name, accumulated[name]["input_anomalies"], 2 * accumulated[name]["rows"])
    # a first pass, which finds the threshold, is over data alone
    problems = [
        f"dataset '{name}': no file of it was read (to leave it out, give oddjets.processor a 'fileset' without it)"
        for name, dataset in datasets.items()
        if name not in accumulated and (threshold is not None or dataset.metadata.is_data)
    ]
    problems += [problem for name, dataset in read.items() for problem in _incomplete(dataset, accumulated[name])]
    if problems:
        return _refused(results, "not normalised, because not all events were read", *problems)
    refuse_useless_columns(
        analysis,
        {
            name: (DATA if dataset.metadata.is_data else dataset.metadata.process, accumulated[name]["score_columns"])
            for name, dataset in read.items()
        },
    )
    fileset = {name: (dataset, _files(accumulated[name])) for name, dataset in read.items()}
    describe_layouts(fileset, cards)
    check_columns(cards, {name: accumulated[name]["inference"] for name in read})
    trigger_menus(analysis, fileset)
    if errors := sums_problems(fileset):
        raise OddjetsError("\n".join(errors))
    for name, (dataset, files) in fileset.items():
        if not dataset.metadata.is_data and dataset.metadata.generator_cut is None:
            weights = accumulated[name]["weights"]
            refuse_unlike_sums(name, files, {info.path: weights[info.uuid] for info in files})
    processed = _processed(analysis, eras, fileset, accumulated)
    luminosity = luminosities_read(analysis, processed)
    results["cutflow"] = cutflow_of(processed, luminosity)
    of_data = [name for name, (dataset, _) in fileset.items() if dataset.metadata.is_data]
    lower = np.concatenate([accumulated[name]["smaller_scores"].value for name in of_data]) if of_data else None
    if analysis.threshold.value is None and lower is None and threshold is None:
        return _refused(
            results,
            f"threshold: an efficiency of {analysis.threshold.efficiency} needs data, and no data were read: run over"
            " the data first, and then over everything with processor.with_threshold(RESULTS)",
        )
    found = threshold_from(analysis, lower) if lower is not None or threshold is None else threshold
    results["threshold"] = found.blinded() if analysis.blind else found
    if threshold is None:
        return _refused(
            results,
            f"threshold: these data give {found.value:.6g} for an efficiency of {found.efficiency_asked}: run again"
            " with processor.with_threshold(RESULTS), which fills the histograms",
        )
    if found.value != threshold.value:
        return _refused(
            results,
            f"threshold: the histograms were filled with {threshold.value:.6g}, and these data give {found.value:.6g}:"
            " give the results of these data to with_threshold()",
        )
    if luminosity is None:
        return _refused(
            results,
            f"{analysis.name}: no luminosity: give 'luminosity' (/pb) in the YAML, or 'luminosity_pb' in the metadata of"
            " every dataset of data, and read the data in the same run",
        )
    energy = next(iter(eras.values()))[0].energy_TeV
    made = _normalised(analysis, energy, accumulated, processed, luminosity, found)
    results |= {"histograms": dict(made.histograms), "histogram_set": made}
    return results


def _refused(results: CoffeaResults, *why: str) -> CoffeaResults:
    """Note why something is missing, and say it."""
    shown = [*why[: _SHOWN + 1], *([f"and {len(why) - _SHOWN - 1} more"] if len(why) > _SHOWN + 1 else [])]
    results["refused"] = shown
    for line in shown:
        console.print(line, markup=False)
    return results


def _refuse_double(accumulated: Mapping[str, Any]) -> None:
    """Refuse chunks that were added twice, by an executor that does work again, or by a file that is listed twice."""
    for_all: dict[str, list[tuple[int, int]]] = {}
    paths = {info.uuid: info.path for found in accumulated.values() for info in found.get("files", ())}
    for name, found in accumulated.items():
        for uuid, ranges in found["chunks"].items():
            for text, times in ranges.items():
                start, stop = (int(number) for number in text.split(":"))
                for_all.setdefault(uuid, []).extend([(start, stop)] * times)
            spans = sorted(for_all[uuid])
            # an empty file is one chunk of no events
            twice = [a for a, b in itertools.pairwise(spans) if b[0] < a[1] or a == b]
            if twice:
                raise OddjetsError(
                    f"{paths.get(uuid, uuid)}: events {twice[0][0]} to {twice[0][1]} were counted twice (dataset '{name}'): the"
                    " executor added a chunk again, or the file is listed twice; nothing of this run can be used"
                )


def _incomplete(dataset: Dataset, found: Mapping[str, Any]) -> list[str]:
    """Say which of a dataset's events are missing, as `maxchunks` and skipped files leave them out."""
    problems = []
    files = {_same(info.path): info for info in found.get("files", ())}
    wanted = {_same(path): path for path in dataset.files}
    for uuid in found["chunks"].keys() - {info.uuid for info in files.values()}:
        problems.append(f"dataset '{dataset.name}': the beginning of a file (UUID {uuid}) was not read")
    for path, shown in wanted.items():
        if path not in files:
            problems.append(f"dataset '{dataset.name}': {shown} was not read to its end, or not at all")
            continue
        info = files[path]
        spans = (tuple(int(n) for n in text.split(":")) for text in found["chunks"].get(info.uuid, {}))
        read = sum(stop - start for start, stop in spans)
        if read != info.entries:
            problems.append(f"dataset '{dataset.name}': {shown}: {read} of {info.entries} events were read")
    problems += [
        f"dataset '{dataset.name}': {files[path].path} is not a file of the processor's fileset"
        for path in files.keys() - wanted.keys()
    ]
    return problems


def _same(path: str) -> str:
    """Return the same name for a file, however its path is written."""
    return path if is_remote(path) else str(Path(path).resolve())


def _files(found: Mapping[str, Any]) -> list[FileInfo]:
    return sorted(found["files"], key=lambda info: info.path)


def _processed(
    analysis: Analysis,
    eras: Mapping[str, tuple[Era, Path]],
    fileset: Mapping[str, tuple[Dataset, Sequence[FileInfo]]],
    accumulated: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the stage `process` would leave in its manifest, as far as a normalisation needs it."""
    sections = {name: np.array(sorted(found.get("sections", ())), np.int64) for name, found in accumulated.items()}
    measured = luminosities_of_eras(analysis, eras, fileset, sections)
    datasets = {}
    for name, (dataset, files) in fileset.items():
        found, metadata = accumulated[name], dataset.metadata
        datasets[name] = {
            **metadata.model_dump(mode="json"),
            "sum_of_weights": sum_of_weights(dataset, files),
            "sums_of_variations": sums_of_variations(files),
            "entries": found["entries"],
            "rows": found["rows"],
            "raw": found["raw"].tolist(),
            "weighted": found["weighted"].tolist(),
            "n_minus_1": list(zip(found["n_minus_1"].tolist(), found["n_minus_1_weighted"].tolist(), strict=True)),
            "input_anomalies": found["input_anomalies"],
        }
        if name in measured:
            datasets[name]["luminosity_pb"] = measured[name].luminosity_pb
    return {"cuts": ["all", *analysis.selection.cuts], "datasets": datasets}


def _normalised(
    analysis: Analysis,
    energy_TeV: float,
    accumulated: Mapping[str, Any],
    processed: Mapping[str, Any],
    luminosity: Luminosities,
    threshold: ThresholdResult,
) -> HistogramSet:
    """Add up the datasets of each process, each with its factor."""
    own = own_factors(analysis, processed)
    sums: dict[tuple[str, str], dict[tuple[str, str], Floats]] = {}
    names: dict[str, list[str]] = {}
    shared: Counter[tuple[str, str]] = Counter()
    for dataset, n in factors(analysis, processed, luminosity).items():
        process = DATA if n.is_data else n.process
        parts = contributions_of(analysis, process, n.era, is_data=n.is_data)
        names.setdefault(process, [name for name, part in parts.items() if not part.member])
        shared.update(accumulated[dataset]["shared_events"])
        for key, histogram in accumulated[dataset]["histograms"].items():
            of_histogram = sums.setdefault(key, {})
            for name, part in parts.items():
                scale = n.factor * own.get(dataset, {}).get(part.source, 1.0) * part.scale
                contents = _contents(histogram, process, part.source) * np.array([scale, scale**2])[:, None, None]
                of_histogram[process, name] = of_histogram.get((process, name), 0.0) + contents
                if not np.isfinite(contents).all():
                    raise OddjetsError(
                        f"dataset '{dataset}': its weights make '{key[1]}' of {key[0]} infinite or NaN: check its cross"
                        " section, 'k_factor' and sum of generator weights"
                    )
    filled = {
        (region, name): histogram_with(analysis, region, name, sums.get((region, name), {}))
        for region in analysis.regions
        for name in analysis.observables
    }
    return assembled(analysis, filled, names, threshold, total_luminosity(luminosity), energy_TeV, shared_events=shared)


def _contents(histogram: Hist, process: str, variation: str) -> Floats:
    """Return sums of weights and of squared weights, shape (2, letters, bins + 2), wherever adding has put the categories."""
    view: Any = histogram.view(flow=True)
    place = [axis.index(name) for axis, name in zip(histogram.axes, (process, "", variation), strict=False) if name]
    cells = view[place[0], : len(LETTERS), place[1]]
    return np.stack([cells["value"], cells["variance"]])
