"""Files of Aspen Open Jets as input in place of `process`: tables of single jets and, on request, event tables.

A chunk is done when its table of jets is there: its metadata hold the key of all that its rows depend on, and what was
counted. An interrupted import goes on with the chunks that are missing; with other options all keys are others.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.console import console, progress
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.worker_pool import run_tasks
from oddjets.corrections import luminosity
from oddjets.io import aspen
from oddjets.io.aspen_catalogue import load_aspen_catalogue
from oddjets.io.aspen_events import chunks_of, event_info_of, events_of_earlier_files, repeated_events
from oddjets.io.event_table import parts
from oddjets.io.histograms import DATA
from oddjets.scoring.class_groups import share_columns
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.selection import aspen_jets, input_anomalies
from oddjets.workflow.aspen_keys import decides_rows
from oddjets.workflow.executors.aspen_worker import DATASET, JETS, AspenChunk, AspenWorker, counts_of
from oddjets.workflow.executors.chunk_worker import ChunkWorker, versions
from oddjets.workflow.executors.records import EVENTS
from oddjets.workflow.stages.cutflow import write_cutflow

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["has_all_jets", "import_aspen"]

#: of the jets of a published file on average: with fewer a file is hardly what its name says. The sizes of single files are not
#: known here, and the last of a series may be small, so that it is no error
_SMALL = 0.1


def has_all_jets(run: RunContext, extra: Mapping[str, Any]) -> bool:
    """Tell whether all tables of single jets are there."""
    wanted = extra.get("jets", {}).get("parts", ())
    return {part.name for part in parts(run.out / JETS, DATASET)} == set(wanted)


def import_aspen(run: RunContext, events: Path) -> dict[str, Any]:
    """Make tables of jets, and of events; chunks that are there are kept.

    Args:
        run: of an analysis with the option ``aspen``.
        events: the folder of the event tables.

    Raises:
        InputFileError: a file that is none of the layout, or a copy of another one; events that are in two files.
        OddjetsError: a simulation that does not fit.
    """
    analysis = run.analysis
    spec = analysis.aspen
    assert spec is not None
    cards = {name: load_card(path) for name, path in run.resolved.cards.items()}
    scores = analysis.execution.scores(run.out, analysis.folder) if cards else None
    simulated = _simulated(run)
    _refuse_copies(run.aspen_files)
    _refuse_mixture(run.aspen_files)
    published = _published(run.aspen_files)
    chunks = _plan(run, spec.chunk_size)
    names = [chunk.name for chunk in chunks]
    pairs = events if spec.events else None
    todo = [chunk for chunk in chunks if counts_of(chunk, run.out, pairs) is None]
    if len(todo) < len(chunks):
        console.print(f"import-aspen: {len(chunks) - len(todo)} of {len(chunks)} chunks were there already")
    workers = analysis.execution.processes if analysis.execution.executor != "iterative" else 1
    worker = AspenWorker(
        ChunkWorker(
            source=run.resolved.source,
            analysis=analysis,
            cards=tuple((name, str(path)) for name, path in run.resolved.cards.items()),
            output=None,
            threads=2 if workers == 1 else 1,
        ),
        run.out,
        pairs,
        scores,
    )
    with progress("importing (jets)", sum(chunk.stop - chunk.start for chunk in todo)) as bar:
        for chunk in run_tasks(todo, worker, workers, "import-aspen"):
            bar.advance(chunk.stop - chunk.start)
    found = _Counts()
    for chunk in chunks:
        counts = counts_of(chunk, run.out, pairs)
        if counts is None:
            raise OddjetsError(
                f"{run.out / JETS / DATASET / chunk.name}: was changed while the import went on; run it again"
            )
        found.add(counts)
    _remove_others(run.out / JETS / DATASET, names)
    _remove_others(events / DATASET, names if spec.events else [])
    extra = _summary(run, found, names, published) | {"shares": _shares(run, cards)}
    _report(extra)
    _copy_simulation(run, events, simulated)
    extra["datasets"] |= simulated
    extra["not_modelled"] = _not_modelled(analysis, extra)
    write_cutflow(run, extra)
    return extra


def _plan(run: RunContext, chunk_size: int) -> list[AspenChunk]:
    """Divide all files into chunks, and find the jets of events that were there before."""
    analysis = run.analysis
    era, folder = run.resolved.eras[str(analysis.era)]
    rows_key = provenance.content_key(
        {**decides_rows(run), "golden": luminosity.input_digests(analysis, era, folder, []).get("golden_json"),
         "code": code_sha256(aspen_jets.__name__), "versions": versions()}
    )  # fmt: skip
    elsewhere = events_of_earlier_files(run.aspen_files)
    chunks = []
    for place, file in enumerate(run.aspen_files):
        event_info = event_info_of(file.path)
        in_others = elsewhere.get(place, np.empty(0, np.int64))
        repeated = repeated_events(event_info)
        # a row is left out for one reason
        repeated[in_others] = False
        left_out = {"jets_of_events_before": np.flatnonzero(repeated), "jets_of_events_in_other_files": in_others}
        for start, stop in chunks_of(event_info, chunk_size):
            here = {why: rows[slice(*np.searchsorted(rows, (start, stop)))] for why, rows in left_out.items()}
            chunks.append(AspenChunk(file.path, file.identity, start, stop, here, rows_key))
    return chunks


def _remove_others(folder: Path, names: list[str]) -> None:
    for file in folder.glob("part-*.parquet") if folder.is_dir() else ():
        if file.name not in names:
            file.unlink()
    if folder.is_dir() and not names:
        shutil.rmtree(folder)


def _refuse_copies(files: list[aspen.AspenFile]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        if file.identity in seen:
            raise InputFileError(
                f"{file.path}: the same content as {seen[file.identity].name}; keep one of the two files"
            )
        seen[file.identity] = file.path


def _refuse_mixture(files: list[aspen.AspenFile]) -> None:
    made = [file.path for file in files if file.simulated]
    if made and len(made) < len(files):
        measured = next(file.path for file in files if not file.simulated)
        raise InputFileError(
            f"{made[0]}: says that its jets are simulated, and {measured.name} does not: figures would call all of them"
            " pseudo-data; import them into folders of their own"
        )


def _published(files: list[aspen.AspenFile]) -> dict[str, Any]:
    """Say how many of the published files are there, and return it."""
    catalogue = load_aspen_catalogue()
    listed = set(catalogue.names)
    names = {file.path.name for file in files}
    there, jets = len(listed & names), sum(file.rows for file in files if file.path.name in listed)
    if there and there < len(listed):
        share = f"{100 * jets / catalogue.total_jets:.3g} %"
        console.print(
            f"import-aspen: {there} of the {len(listed)} published files are there, with {share} of the published jets: all"
            " numbers are those of a part of the data"
        )
    mean = catalogue.total_jets / len(listed)
    small = sorted(file.path.name for file in files if file.path.name in listed and file.rows < _SMALL * mean)
    if small:
        console.print(
            f"import-aspen: less than {100 * _SMALL:g} % of the {mean:,.0f} jets of a published file on average: {len(small)}"
            f" of the files with a published name ({small[0]} is the first); each counts as a whole file in a stated"
            " luminosity: if they are a part of it or something else, rename them and state their own luminosity"
        )
    if others := sorted(names - listed):
        console.print(
            f"import-aspen: files without a published name: {len(others)} ({escape(others[0])} is the first); a stated"
            f" luminosity {'counts the others alone' if there else 'is taken to be theirs'}"
        )
    return {
        "there": there, "listed": len(listed), "read": len(files), "jets": jets, "jets_listed": catalogue.total_jets,
        "simulated": sum(file.simulated for file in files), "small": small,
    }  # fmt: skip


class _Counts:
    """Sums of what was counted in chunks."""

    def __init__(self) -> None:
        self.entries = 0
        self.anomalies: Counter[str] = Counter()
        self.inference: dict[str, dict[str, Any]] = {}
        self.sums: dict[str, np.ndarray] = {}
        self.sections: set[int] = set()

    def add(self, counts: Mapping[str, Any]) -> None:
        """Add what was counted in a chunk."""
        self.entries += counts["entries"]
        self.anomalies.update(counts["input_anomalies"])
        for name, how in counts["inference"].items():
            total = self.inference.setdefault(name, {"computed": 0, "from_cache": 0, "providers": []})
            total |= {key: total[key] + how[key] for key in ("computed", "from_cache")}
            total["providers"] = sorted({*total["providers"], *how["providers"]})
        for name in ("jets_raw", "raw", "n_minus_1"):
            if counts[name]:
                self.sums[name] = self.sums.get(name, np.zeros(())) + np.asarray(counts[name])
        self.sections.update(counts["sections"])

    def added(self, name: str, otherwise: list[Any]) -> list[Any]:
        """Return sums of integers; ``otherwise`` where nothing was added."""
        return self.sums[name].astype(np.int64).tolist() if name in self.sums else otherwise


def _summary(run: RunContext, found: _Counts, names: list[str], published: dict[str, Any]) -> dict[str, Any]:
    """Return what the chunks add up to."""
    analysis = run.analysis
    assert analysis.aspen is not None
    measured = _luminosity(run, found)
    common = {
        "process": DATA,
        "is_data": True,
        "files": [str(file.path) for file in run.aspen_files],
        "parts": names,
        "entries": found.entries,
        "input_anomalies": dict(found.anomalies),
        "inference": found.inference,
        "lacking": list(aspen.LACKING),
        "inject": {file.path.name: dict(file.inject) for file in run.aspen_files if file.inject},
        "published_files": published,
        "era": str(analysis.era),
        "luminosity_pb": analysis.luminosity,
        "sum_of_weights": None,
        **({"generator": "oddjets"} if any(file.simulated for file in run.aspen_files) else {}),
        **measured,
    }
    cuts = ["all", "usable", *aspen_jets.jet_cuts_of(analysis)]
    extra: dict[str, Any] = {
        "cuts": ["all", *analysis.selection.cuts],
        "jets": {**common, "cuts": cuts, "raw": found.added("jets_raw", [0] * len(cuts))},
        # what the YAML states as luminosity is that of all files
        "fraction_of_data": published["there"] / published["listed"] if published["there"] else 1.0,
        "datasets": {},
    }
    if analysis.aspen.events:
        raw = found.added("raw", [0] * len(extra["cuts"]))
        n_minus_1 = found.added("n_minus_1", [[0, 0]] * len(analysis.selection.cuts))
        extra["datasets"][DATASET] = {
            **common, "jets": common["entries"], "entries": raw[0], "rows": raw[-1], "raw": raw,
            "weighted": [float(n) for n in raw], "n_minus_1": [[n, float(w)] for n, w in n_minus_1],
        }  # fmt: skip
    return extra


def _luminosity(run: RunContext, found: _Counts) -> dict[str, Any]:
    """Return the certified luminosity of the sections that were read; nothing without a golden JSON."""
    analysis = run.analysis
    if analysis.selection.golden_json is None or not found.sections:
        return {}
    era, folder = run.resolved.eras[str(analysis.era)]
    sections = np.array(sorted(found.sections), np.int64)
    measured = luminosity.luminosity_of_sections(analysis, era, folder, sections, DATASET)
    return {"luminosity_pb": measured.luminosity_pb, "luminosity": measured.as_dict()}


def _shares(run: RunContext, cards: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {
        name: {column: group for group, column in share_columns(card, name).items()}
        for name, card in cards.items()
        if isinstance(card, ModelCard) and name in run.analysis.scores
    }


def _report(extra: Mapping[str, Any]) -> None:
    jets = extra["jets"]
    flow = ", ".join(f"{cut} {number}" for cut, number in zip(jets["cuts"], jets["raw"], strict=False))
    console.print(f"import-aspen: jets: {flow or 'none'}")
    for name, strengths in jets["inject"].items():
        said = ", ".join(f"{process} {strength:g} times" for process, strength in strengths.items())
        console.print(f"import-aspen: {escape(name)}: simulated with {escape(said)} its cross section")
    console.print(f"import-aspen: the files lack {escape('; '.join(aspen.LACKING))}")
    input_anomalies.report(DATASET, jets["input_anomalies"])


def _not_modelled(analysis: Analysis, extra: Mapping[str, Any]) -> list[str]:
    """Return the processes of pairs that have no simulation, and are not estimated from data, and say so."""
    simulated = {dataset["process"] for dataset in extra["datasets"].values()}
    absent = [n for n, process in analysis.processes.items() if not process.data_driven and n not in simulated]
    if absent and extra["datasets"]:
        console.print(
            f"import-aspen: not modelled, as there is no simulation ('aspen.simulation'): {', '.join(absent)}"
        )
    return absent


def _simulated(run: RunContext) -> dict[str, dict[str, Any]]:
    """Return the datasets of simulated processes in another analysis's folder, checked before anything is imported.

    Raises:
        OddjetsError: there are none, or they do not fit.
    """
    source = run.aspen_simulation
    if source is None:
        return {}
    if source.resolve() == run.out.resolve():
        raise OddjetsError(f"aspen.simulation: {source}: is the output folder itself; name that of the simulation")
    manifest = provenance.read_manifest(source, "process")
    if manifest is None or "extra" not in manifest:
        raise OddjetsError(
            f"aspen.simulation: {source}: no results of the stage 'process'; run `oddjets process` of it first"
        )
    processes = run.analysis.processes
    taken = {n: d for n, d in manifest["extra"]["datasets"].items() if not d["is_data"] and d["process"] in processes}
    if not taken:
        there = sorted({d["process"] for d in manifest["extra"]["datasets"].values()})
        raise OddjetsError(
            f"aspen.simulation: {source}: none of its processes ({', '.join(there)}) is one of {', '.join(processes)}"
        )
    if DATASET in taken:
        raise OddjetsError(
            f"aspen.simulation: {source}: the name '{DATASET}' of one of its datasets is that of the data"
        )
    scores = [f"score_{name}_1" for name, score in run.analysis.scores.items() if score.combined is None]
    for name, dataset in taken.items():
        for part in dataset["parts"]:
            file = source / EVENTS / name / part
            if not file.is_file():
                raise OddjetsError(f"aspen.simulation: {file} is gone; run `oddjets process` of it again")
            columns = pq.read_schema(file, memory_map=False).names
            if lacking := [score for score in scores if score not in columns]:
                wanted = lacking[0].removeprefix("score_").removesuffix("_1")
                there = [c.removeprefix("score_").removesuffix("_1") for c in columns if c.startswith("score_")]
                raise OddjetsError(
                    f"aspen.simulation: {source}: the events of '{name}' have no score '{wanted}';"
                    f" {nearest(wanted, [c for c in there if not c.endswith('_2')])}: process it with the same scores"
                )
    cuts = ["all", *run.analysis.selection.cuts]
    if manifest["extra"]["cuts"] == cuts:
        return taken
    # other cuts have another cutflow: what is left is known at its end alone
    n = len(cuts) - 1
    return {
        name: {
            **dataset, "raw": [dataset["raw"][0]] + [dataset["raw"][-1]] * n,
            "weighted": [dataset["weighted"][0]] + [dataset["weighted"][-1]] * n,
            "n_minus_1": [[dataset["raw"][-1], dataset["weighted"][-1]]] * n,
        }
        for name, dataset in taken.items()
    }  # fmt: skip


def _copy_simulation(run: RunContext, events: Path, simulated: Mapping[str, Mapping[str, Any]]) -> None:
    """Take the event tables of simulated processes, in place of earlier ones."""
    for folder in events.iterdir():
        if folder.is_dir() and folder.name != DATASET:
            shutil.rmtree(folder)
    for name, dataset in simulated.items():
        assert run.aspen_simulation is not None
        (events / name).mkdir(parents=True)
        for part in dataset["parts"]:
            shutil.copyfile(run.aspen_simulation / EVENTS / name / part, events / name / part)
