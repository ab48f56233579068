"""Files of Aspen Open Jets as input in place of `process`: tables of single jets and, on request, event tables.

A chunk is done when its table of jets is there: its metadata hold the key of all that its rows depend on, and what was
counted. An interrupted import goes on with the chunks that are missing; with other options all keys are others.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.markup import escape

from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.corrections import luminosity
from oddjets.corrections.lookups import load_era
from oddjets.io import aspen
from oddjets.io.aspen_catalogue import load_aspen_catalogue
from oddjets.io.duplicate_events import find_duplicate
from oddjets.io.event_table import parts, write_part
from oddjets.io.histograms import DATA
from oddjets.scoring.cache import ScoreCache
from oddjets.scoring.class_groups import share_columns
from oddjets.scoring.column_scorer import scorer_of
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.selection import aspen_jets, input_anomalies
from oddjets.workflow.aspen_keys import decides_rows
from oddjets.workflow.executors.chunk_worker import versions
from oddjets.workflow.stages.cutflow import write_cutflow

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["DATASET", "JETS", "has_all_jets", "import_aspen"]

#: the folder of the tables of single jets, and the dataset's name in it and in events/
JETS, DATASET = "jets", "aspen"


class _Chunk(NamedTuple):
    """Rows of a file, and the name of their tables."""

    start: int
    stop: int
    name: str


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
    era, folder = load_era(str(analysis.era), analysis.folder)
    cards = {name: load_card(path) for name, path in run.resolved.cards.items()}
    scorers = {
        name: scorer_of(card, provider=analysis.execution.provider, threads=analysis.execution.processes)
        for name, card in cards.items()
    }
    processor = run.resolved.source.load()(analysis, era, folder, scorers)
    golden = analysis.selection.golden_json
    certified = None if golden is None else luminosity.certified_sections(analysis, era, folder)[0]
    selection = aspen_jets.AspenSelection(processor, spec.events, certified)
    rows_key = provenance.content_key(
        {**decides_rows(run), "golden": luminosity.input_digests(analysis, era, folder, []).get("golden_json"),
         "code": code_sha256(aspen_jets.__name__), "versions": versions()}
    )  # fmt: skip
    scores = analysis.execution.scores(run.out, analysis.folder) if scorers else None
    _refuse_copies(run.aspen_files)
    published = _say_what_is_there(run.aspen_files)
    found: list[dict[str, Any]] = []
    names: list[str] = []
    kept = 0
    for file in run.aspen_files:
        key = provenance.content_key([rows_key, file.identity])
        with aspen.open_datasets(file.path) as datasets:
            event_info = np.asarray(datasets["event_info"][:], np.int64)
            repeated = aspen.repeated_events(file.path, event_info)
            for chunk in _chunks(file, event_info, spec.chunk_size):
                names.append(chunk.name)
                place, pairs = run.out / JETS / DATASET / chunk.name, events / DATASET / chunk.name
                counts = _finished(place, pairs if spec.events else None, key)
                kept += counts is not None
                if counts is None:
                    cache = ScoreCache(scores, file.identity, chunk.start, chunk.stop) if scores is not None else None
                    made = selection.read(datasets, chunk.start, chunk.stop, repeated, cache)
                    counts = made.counts
                    note = {
                        "dataset": DATASET, "process": DATA, "is_data": True, "file": file.path.name, "key": key,
                        "fileuuid": file.identity, "entrystart": chunk.start, "entrystop": chunk.stop, "lacking": aspen.LACKING,
                    }  # fmt: skip
                    if made.events is not None:
                        write_part(pairs, made.events, note)
                    # last: it says that the chunk is done
                    write_part(place, made.jets, {**note, "counts": counts})
                found.append(counts)
    _remove_others(run.out / JETS / DATASET, names)
    _remove_others(events / DATASET, names if spec.events else [])
    if kept:
        console.print(f"import-aspen: {kept} of {len(found)} chunks were there already")
    extra = _summary(run, found, names, published) | {"shares": _shares(run, cards)}
    _report(extra)
    if spec.events:
        _refuse_overlap(run, events)
    _add_simulation(run, events, extra)
    for folder in events.iterdir():
        # of simulation that is no longer asked for
        if folder.is_dir() and folder.name not in extra["datasets"]:
            shutil.rmtree(folder)
    write_cutflow(run, extra)
    return extra


def _chunks(file: aspen.AspenFile, event_info: np.ndarray, size: int) -> Iterator[_Chunk]:
    for start, stop in aspen.chunks_of(event_info, size):
        yield _Chunk(start, stop, f"part-{file.path.stem}-{file.identity[:8]}-{start:09d}.parquet")


def _finished(place: Path, pairs: Path | None, key: str) -> dict[str, Any] | None:
    """Return what was counted in a chunk; None if it was not finished, or with other options."""
    try:
        notes = [
            json.loads((pq.read_schema(file, memory_map=False).metadata or {})[b"oddjets"])
            for file in (place, *([pairs] if pairs is not None else []))
        ]
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None
    counts: dict[str, Any] = notes[0].get("counts", {})
    return counts if counts and all(note.get("key") == key for note in notes) else None


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


def _say_what_is_there(files: list[aspen.AspenFile]) -> dict[str, int]:
    """Say how many of the published files are there; nothing of files with other names."""
    listed = set(load_aspen_catalogue().names)
    there = listed & {file.path.name for file in files}
    if there and len(there) < len(listed):
        console.print(
            f"import-aspen: {len(there)} of the {len(listed)} published files are there: all numbers are those of a part of the"
            " data"
        )
    return {"there": len(there), "listed": len(listed), "read": len(files)}


def _summary(
    run: RunContext, found: list[dict[str, Any]], names: list[str], published: dict[str, int]
) -> dict[str, Any]:
    """Return what the chunks add up to."""
    analysis = run.analysis
    assert analysis.aspen is not None
    anomalies: Counter[str] = Counter()
    inference: dict[str, dict[str, Any]] = {}
    for counts in found:
        anomalies.update(counts["input_anomalies"])
        for name, how in counts["inference"].items():
            total = inference.setdefault(name, {"computed": 0, "from_cache": 0, "providers": []})
            total |= {key: total[key] + how[key] for key in ("computed", "from_cache")}
            total["providers"] = sorted({*total["providers"], *how["providers"]})

    def added(name: str) -> list[Any]:
        rows = [counts[name] for counts in found if counts[name]]
        return np.sum(rows, axis=0).tolist() if rows else []

    measured = _luminosity(run, found)
    common = {
        "process": DATA,
        "is_data": True,
        "files": [str(file.path) for file in run.aspen_files],
        "parts": names,
        "entries": sum(counts["entries"] for counts in found),
        "input_anomalies": dict(anomalies),
        "inference": inference,
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
        "jets": {**common, "cuts": cuts, "raw": added("jets_raw")},
        # what the YAML states as luminosity is that of all files
        "fraction_of_data": published["there"] / published["listed"] if published["there"] else 1.0,
        "datasets": {},
    }
    if analysis.aspen.events:
        raw = added("raw") or [0] * len(extra["cuts"])
        n_minus_1 = added("n_minus_1") or [[0, 0.0]] * len(analysis.selection.cuts)
        extra["datasets"][DATASET] = {
            **common, "jets": common["entries"], "entries": raw[0], "rows": raw[-1], "raw": raw,
            "weighted": [float(n) for n in raw], "n_minus_1": [[int(n), w] for n, w in n_minus_1],
        }  # fmt: skip
    return extra


def _luminosity(run: RunContext, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the certified luminosity of the sections that were read; nothing without a golden JSON."""
    analysis = run.analysis
    if analysis.selection.golden_json is None or not found:
        return {}
    era, folder = run.resolved.eras[str(analysis.era)]
    sections = np.unique(np.concatenate([np.asarray(counts["sections"], np.int64) for counts in found]))
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


def _refuse_overlap(run: RunContext, events: Path) -> None:
    found = find_duplicate(events, [DATASET])
    if found is not None:
        (number, block, event), one, other = found
        names = {file.identity: file.path.name for file in run.aspen_files}
        raise InputFileError(
            f"{names.get(one, one)} and {names.get(other, other)} overlap: both hold event {number}:{block}:{event}"
            " (run:luminosityBlock:event); leave one of them out"
        )


def _add_simulation(run: RunContext, events: Path, extra: dict[str, Any]) -> None:
    """Take the event tables of simulated processes from another analysis's folder."""
    source = run.aspen_simulation
    if source is None:
        return
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
    scores = [f"score_{name}_1" for name, score in run.analysis.scores.items() if score.combined is None]
    for name, dataset in taken.items():
        (events / name).mkdir(parents=True, exist_ok=True)
        for part in dataset["parts"]:
            columns = pq.read_schema(source / "events" / name / part, memory_map=False).names
            if lacking := [score for score in scores if score not in columns]:
                raise OddjetsError(
                    f"aspen.simulation: {source}: the events of '{name}' have no column '{lacking[0]}';"
                    f" {nearest(lacking[0], [c for c in columns if c.startswith('score_')])}: process it with the same scores"
                )
            shutil.copyfile(source / "events" / name / part, events / name / part)
        cuts = len(extra["cuts"]) - 1
        same = manifest["extra"]["cuts"] == extra["cuts"]
        # other cuts have another cutflow: what is left is known at its end alone
        extra["datasets"][name] = dataset if same else {
            **dataset, "raw": [dataset["raw"][0]] + [dataset["raw"][-1]] * cuts,
            "weighted": [dataset["weighted"][0]] + [dataset["weighted"][-1]] * cuts,
            "n_minus_1": [[dataset["raw"][-1], dataset["weighted"][-1]]] * cuts,
        }  # fmt: skip
