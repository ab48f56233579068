"""Events per second of the executors, memory against events, and what a second run costs: ``python benchmarks/scaling.py``.

    python benchmarks/scaling.py --folder FOLDER --json scaling.json --page docs/scaling.md

Executors: a file of `processing.py` (1500 candidates each, ZSTD(5)), the shipped small model on a CPU, chunks
of some 25 s. Every run is the whole stage `process` in a fresh process: workers start, import and compile in its time. The
rows of all runs must agree in every bit. ``read`` is the same with a score of branches: reading without inference.
What two cores can do at best is told by two runs of one worker side by side, which share nothing but the machine. All are done
three times in turn and the fastest of each counts: a virtual machine may be slower by a third for minutes at a time.

Memory: files of random jets without candidates, of which a tenth passes; all are copies of one, each with a UUID of its own and
in a dataset of its own, since copies of events in one dataset are refused. Two processes, 100 000 events a chunk.

Second runs: the same command after it is finished, and after the manifest and one chunk's record are gone.

Needs Pythia to make the files, 2 GB of disk and forty minutes on two idle cores. `budget.py` says what follows for large sets.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import budget
import numpy as np
import uproot
import yaml
from pages import replace_between
from processing import FILTERS, TRIGGERS, in_own_process, make_files

from oddjets.config import load_analysis
from oddjets.core.provenance import read_manifest
from oddjets.io import event_table
from oddjets.workflow import RunContext, run_stages
from oddjets.workflow.pipeline import stage_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from helpers.toy_nano import toy_nano

#: what stands around the tables in the documentation
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
#: part of the events whose jets keep their masses; two thirds of these pass, so that a chunk takes long
HEAVY = 0.5
#: two runs of one worker each that share nothing but the machine: twice the work in the time of the slower one
BESIDE = "two runs of one worker, side by side 2"
EVENTS_A_TOY_FILE = 100_000
MODEL = {"scores": {"odd": {"card": "omnilearned_small_simulation.yaml"}}, "threshold": {"score": "odd", "value": 0.5}}
BRANCHES = {
    "scores": {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
    "threshold": {"score": "xbb", "value": 0.5},
}
ANALYSIS = {
    "name": "scaling",
    "title": "Scaling",
    "era": "simulation",
    "processor": "dijet_anomaly.py:DijetAnomaly",
    "luminosity": 1.0,
    "processes": {"qcd": {"label": "QCD"}},
    "selection": {"triggers": list(TRIGGERS), "filters": list(FILTERS)},
    "observables": {"mass": {"expression": "mass_1", "label": "mass", "unit": "GeV", "bins": 9, "range": [60, 240]}},
    "regions": {"SR": {"all": "tau21_low"}, "VR1": {"any": "not tau21_low"}},
}
METADATA = {"process": "qcd", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}


def write(folder: Path, fileset: dict[str, list[Path]], **changes: Any) -> Path:
    """Write an analysis of files."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        name: {"files": [str(f.resolve()) for f in files], "metadata": METADATA} for name, files in fileset.items()
    }
    (folder / "fileset.json").write_text(json.dumps(content), encoding="utf-8")
    file = folder / "scaling.yaml"
    analysis = ANALYSIS | {"fileset": str((folder / "fileset.json").resolve())} | changes
    file.write_text(yaml.safe_dump(analysis), encoding="utf-8")
    return file


def process(file: Path) -> dict[str, Any]:
    """Do the stage `process` into ``out`` beside the analysis; what it took and counted."""
    run = RunContext(load_analysis(file), file.parent / "out")
    started = time.perf_counter()
    run_stages(run, [stage_of(run, "process")])
    seconds = time.perf_counter() - started
    manifest = read_manifest(run.out, "process")
    assert manifest is not None
    datasets = manifest["extra"]["datasets"].values()
    counts = {name: sum(dataset[name] for dataset in datasets) for name in ("entries", "rows")}
    records = [json.loads(record.read_text()) for record in (run.out / "chunks").glob("*/*.json")]
    # the median leaves out the first chunk of a worker, which compiles
    each = {name: statistics.median(record["cost"][name] for record in records) for name in ("seconds", "cpu_seconds")}
    busy: Counter[int] = Counter()
    for record in records:
        busy[record["cost"]["worker"]] += record["cost"]["seconds"]
    return {
        "seconds": seconds,
        "chunks": manifest["extra"]["chunks"],
        "chunk_s": each["seconds"],
        "chunk_cpu_s": each["cpu_seconds"],
        "outside_s": seconds - max(busy.values()),
        **counts,
    }


def fresh(file: Path) -> dict[str, Any]:
    """As `process`, in a process of its own; also that process's peak memory."""
    result, _, memory = in_own_process(partial(process, file))
    return {**result, "client_MB": memory}


def rows(folder: Path) -> dict[str, np.ndarray]:
    return event_table.read(folder / "out" / "events", "qcd")


# ---- the executors -----------------------------------------------------------------------------------------------


def executors(folder: Path, files: list[Path], chunk_size: int, repeats: int) -> dict[str, Any]:
    """Run each with one and with two workers, again and again in turn; keep the fastest, refuse rows that differ."""
    names = ["futures", *(["dask"] if find_spec("distributed") else [])]
    names += ["dask-awkward"] if find_spec("dask_awkward") else []
    variants = [(name, workers) for name in names for workers in (1, 2)] + [("iterative", 1)]
    found: dict[str, list[dict[str, Any]]] = {}
    tables: list[dict[str, np.ndarray]] = []
    for i in range(repeats):
        for name, workers in variants:
            execution = {"executor": name, "workers": workers, "chunk_size": chunk_size, "provider": "cpu"}
            file = write(folder / f"{name}-{workers}-{i}", {"qcd": files}, **MODEL, execution=execution)
            found.setdefault(f"{name} {workers}", []).append(fresh(file))
            tables.append(rows(file.parent))
        execution = {"executor": "futures", "workers": 1, "chunk_size": chunk_size, "provider": "cpu"}
        pair = [write(folder / f"beside-{i}-{j}", {"qcd": files}, **MODEL, execution=execution) for j in range(2)]
        with ThreadPoolExecutor(2) as both:
            slower = max(both.map(fresh, pair), key=lambda run: run["seconds"])
        found.setdefault(BESIDE, []).append({**slower, "entries": 2 * slower["entries"]})
        execution = {"executor": "futures", "workers": 1, "chunk_size": chunk_size}
        file = write(folder / f"read-{i}", {"qcd": files}, **BRANCHES, execution=execution)
        found.setdefault("read", []).append(fresh(file))
    for table in tables:
        for column, values in tables[0].items():
            np.testing.assert_array_equal(values, table[column], err_msg=column)
    return {key: min(runs, key=lambda run: run["seconds"]) for key, runs in found.items()}


# ---- memory ------------------------------------------------------------------------------------------------------


def copies(folder: Path, number: int) -> dict[str, list[Path]]:
    """Return datasets of one file each, which differ in their UUIDs alone."""
    source = folder / "toy.root"
    if not source.is_file():
        toy_nano(source, EVENTS_A_TOY_FILE)
    with uproot.open(source) as file:
        uuid = file.file.uuid.bytes
    content = source.read_bytes()
    assert content.count(uuid) == 1
    found = {}
    for i in range(number):
        file = folder / f"toy-{i}.root"
        if not file.is_file():
            file.write_bytes(content.replace(uuid, uuid[:-4] + i.to_bytes(4, "big")))
        found[f"qcd{i}"] = [file]
    return found


def memory(folder: Path, largest: int) -> dict[str, Any]:
    """Run over ever more events."""
    found = {}
    number = 1
    while number * EVENTS_A_TOY_FILE <= largest:
        execution = {"executor": "futures", "workers": 2, "chunk_size": EVENTS_A_TOY_FILE}
        selection = {"triggers": ["PFHT800", "PFJet450"], "jets": {"pt_min": 760.0, "tight_id": False}}
        changes = {"selection": selection, "execution": execution}
        file = write(folder / f"memory-{number}", copies(folder, number), **BRANCHES, **changes)
        found[str(number * EVENTS_A_TOY_FILE)] = {**fresh(file), "again_s": command("process", file)}
        number *= 10
    return found


# ---- second runs -------------------------------------------------------------------------------------------------


def command(verb: str, file: Path) -> float:
    """Return what a command takes, start of Python included."""
    started = time.perf_counter()
    arguments = [sys.executable, "-m", "oddjets", verb, str(file), "--out", str(file.parent / "out")]
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - started


def second_runs(file: Path) -> dict[str, float]:
    """Time commands on a finished analysis, and on one that was stopped before its last chunk."""
    found = {"process, finished": command("process", file), "run, first": command("run", file)}
    found["run, finished"] = command("run", file)
    out = file.parent / "out"
    (out / "manifests" / "process.json").unlink()
    found["process, all chunks kept"] = command("process", file)
    (out / "manifests" / "process.json").unlink()
    min((out / "chunks").glob("*/*.json")).unlink()
    found["process, one chunk missing"] = command("process", file)
    return found


# ---- the tables --------------------------------------------------------------------------------------------------


def speed(run: dict[str, Any]) -> float:
    """Return events per second."""
    return float(run["entries"] / run["seconds"])


def tables(result: dict[str, Any]) -> str:
    """Return everything in Markdown."""
    runs = result["executors"]
    lines = [
        (
            "| executor | workers | s | events/s | ratio to one process | efficiency | a chunk: s, CPU s | outside chunks, s"
            " | peak of a worker, MB |"
        ),
        "|" + "---|" * 9,
    ]
    one = speed(runs["futures 1"])
    for key, run in runs.items():
        if key == "read":
            continue
        name, workers = key.rsplit(maxsplit=1)
        alone = one if key == BESIDE else speed(runs.get(f"{name} 1", run))
        efficiency = f"{speed(run) / alone / int(workers):.0%}" if workers != "1" else ""
        lines.append(
            f"| {name} | {workers} | {run['seconds']:.1f} | {speed(run):.0f} | {speed(run) / one:.2f} | {efficiency}"
            f" | {run['chunk_s']:.1f}, {run['chunk_cpu_s']:.1f} | {run['outside_s']:.1f} | {run['chunks']['peak_MB']:.0f} |"
        )
    lines += ["", "| events | chunks | s | events/s | client, MB | worker, MB | again, s |", "|" + "---|" * 7]
    lines += [
        f"| {int(number):_} | {run['chunks']['planned']} | {run['seconds']:.0f} | {run['entries'] / run['seconds']:.0f}"
        f" | {run['client_MB']:.0f} | {run['chunks']['peak_MB']:.0f} | {run['again_s']:.1f} |"
        for number, run in result["memory"].items()
    ]
    lines += ["", "| command | s |", "|---|---|"]
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in result["second runs"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=4, help="of each run of an executor")
    parser.add_argument("--chunk-size", type=int, default=2700, help="events; some 25 s on one core")
    parser.add_argument("--repeats", type=int, default=3, help="of each run of an executor; the fastest counts")
    parser.add_argument("--largest", type=int, default=10_000_000, help="events of the last run for memory")
    parser.add_argument("--folder", type=Path, help="keeps the files; else a temporary one")
    parser.add_argument("--page", type=Path, help="docs/scaling.md: its tables are replaced")
    parser.add_argument("--json", type=Path, help="where the numbers go, for budget.py")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        number = arguments.chunks * arguments.chunk_size
        files, _, _ = in_own_process(partial(make_files, folder, number, HEAVY))
        with tempfile.TemporaryDirectory(dir=folder) as outputs:
            result = {
                "machine": f"{os.cpu_count()} cores, {platform.machine()}",
                "load before": os.getloadavg()[0],
                "bytes": sum(file.stat().st_size for file in files),
                "executors": executors(Path(outputs), files, arguments.chunk_size, arguments.repeats),
                "memory": memory(Path(outputs), arguments.largest),
                "second runs": second_runs(Path(outputs) / "futures-2-0" / "scaling.yaml"),
            }
    chunk = result["executors"]["futures 1"]["chunks"]
    each = chunk["seconds"] / chunk["done"]
    how = f"{result['machine']}, load before {result['load before']:.1f}; {number:_} events, {each:.1f} s a chunk"
    text = "\n\n".join((how, tables(result), budget.table(result)))
    print(text)
    if arguments.page is not None:
        replace_between(arguments.page, BEGIN, END, text)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
