"""An analysis of files of random jets, with a score of branches: for tests of the way that work is done."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from helpers.analyses import content
from helpers.toy_nano import toy_nano

from oddjets.config.analysis import load_analysis
from oddjets.io import event_table
from oddjets.selection.chunk_counts import ChunkCounts
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext

#: of a chunk; the files have 60, 40 and 50 events, so that there are 3, 2 and 2 chunks
CHUNK_SIZE = 20


def files(folder: Path) -> dict[str, list[Path]]:
    """Two files of data and one of simulation; no event is in two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "data": [
            toy_nano(folder / "data1.root", 60, is_data=True, run=1, seed=1),
            toy_nano(folder / "data2.root", 40, is_data=True, run=2, seed=2),
        ],
        "top": [toy_nano(folder / "top.root", 50, seed=3)],
    }


def write(
    folder: Path, found: Mapping[str, Sequence[Path]], eras: Mapping[str, str] | None = None, **changes: Any
) -> Path:
    """Write the analysis and its fileset; datasets whose names begin with "data" are data.

    Args:
        folder: where to.
        found: dataset to its files.
        eras: dataset to its era; None: the analysis's, or the simulated one.
        changes: of the analysis.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fileset = {}
    for name, paths in found.items():
        is_data = name.startswith("data")
        metadata = {"process": "data" if is_data else "top", "is_data": is_data}
        metadata |= {"era": (eras or {}).get(name, changes.get("era", "simulation"))}
        metadata |= {"luminosity_pb": 10.0} if is_data else {"cross_section_pb": 1.0}
        fileset[name] = {"files": [str(path) for path in paths], "metadata": metadata}
    (folder / "fileset.json").write_text(json.dumps(fileset), encoding="utf-8")
    plain = {
        "scores": {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
        "threshold": {"score": "xbb", "value": 0.5},
        "processes": {"top": {"label": "top pairs"}},
        "systematics": ["jms"],
        "execution": {"executor": "iterative", "chunk_size": CHUNK_SIZE},
        "fit": None,
    }
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(content(**plain | changes)), encoding="utf-8")
    return file


def run_of(file: Path, out: Path | None = None, **execution: Any) -> RunContext:
    """Return the run of a written analysis, into ``out`` beside it."""
    analysis = load_analysis(file)
    changed = analysis.execution.model_copy(update=execution)
    return RunContext(analysis.model_copy(update={"execution": changed}), out or file.parent / "out")


def process(run: RunContext) -> RunContext:
    """Do the stage `process`."""
    run_stages(run, [stage_of(run, "process")])
    return run


def rows(run: RunContext) -> dict[str, dict[str, Any]]:
    """Return the event tables, dataset by dataset, rows sorted."""
    folder = run.out / "events"
    return {name: event_table.read(folder, name) for name in event_table.datasets(folder)}


def assert_same_rows(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """The same datasets, columns and bits."""
    assert list(one) == list(other)
    for name in one:
        assert list(one[name]) == list(other[name])
        for column in one[name]:
            np.testing.assert_array_equal(one[name][column], other[name][column], err_msg=f"{name}.{column}")


def records(run: RunContext) -> dict[str, dict[str, Any]]:
    """Return the records of chunks, by name of file."""
    return {file.name: json.loads(file.read_text()) for file in sorted((run.out / "chunks").glob("*/*.json"))}


def pieces(run: RunContext) -> list[str]:
    """Return the parts of event tables that are in ``events``."""
    return sorted(str(file.relative_to(run.out / "events")) for file in (run.out / "events").glob("*/*"))


def quick_rows(chunk: Chunk) -> tuple[dict[str, Any], ChunkCounts]:
    """What a processor might make of a chunk, without reading it: rows and counts that depend on the entries alone."""
    entries = np.arange(chunk.start, chunk.stop)
    number = zlib.crc32(chunk.uuid.encode())
    values = np.sin(entries + number % 10**6)
    kept = values > 0
    columns = {"run": np.full(len(entries), number % 10**9), "luminosityBlock": entries // 10, "event": entries}
    columns |= {"pt_1": 500 + 100 * values, "weight": np.ones(len(entries)), "passes_nominal": kept}
    n, passed = len(entries), int(kept.sum())
    raw, weighted = [n, *[passed] * 6], [float(n), *[float(values[kept].sum())] * 6]
    counts = ChunkCounts(n, raw, weighted, [(passed, weighted[-1])] * 6, Counter(), {})
    return {name: array[kept] for name, array in columns.items()}, counts


#: a processor that misbehaves where a file says so, so that its text, and with it the content key, stays
PROCESSOR = """
import os
import signal
import time
from pathlib import Path

from dijet_anomaly import DijetAnomaly

FLAGS = Path({folder!r})


class Mine(DijetAnomaly):
    def event_columns(self, events):
        start = events.metadata["entrystart"]
        if (FLAGS / f"fail-{{start}}").exists():
            raise ZeroDivisionError("a bug of mine")
        if (FLAGS / f"hang-{{start}}").exists():
            (FLAGS / "hanging").touch()
            until = time.monotonic() + 120
            while (FLAGS / f"hang-{{start}}").exists() and time.monotonic() < until:
                time.sleep(0.05)
        if (FLAGS / f"die-{{start}}").exists():
            (FLAGS / f"die-{{start}}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return {{}}
"""


def misbehaving(folder: Path) -> dict[str, str]:
    """Write a processor that fails, hangs or dies at a chunk if a file ``fail-START`` and so on is in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(PROCESSOR.format(folder=str(folder)), encoding="utf-8")
    return {"processor": "mine.py:Mine"}
