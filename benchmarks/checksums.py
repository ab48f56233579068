"""Checksums of the event tables' rows, whoever works on which chunks: ``python benchmarks/checksums.py``.

Simulates the set ``tiny`` and runs the stage `process` with the shipped small model on it, again and again, each time in a
folder of its own, so that nothing is taken from an earlier run. Rows are sorted by run, section and event, and the bytes of
all columns count, with their names. Two minutes; needs Pythia. ``--page docs/cluster.md`` replaces the table there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pages import replace_between

from oddjets.config import load_analysis
from oddjets.io import event_table
from oddjets.simulation import simulate
from oddjets.workflow import RunContext, run_stages, with_simulation
from oddjets.workflow.pipeline import stage_of

#: what stands around the table in the documentation
BEGIN, END = "<!-- checksums: begin -->", "<!-- checksums: end -->"
#: executor, workers, events a chunk
WAYS = (
    ("iterative", 1, 50_000),
    ("iterative", 1, 97),
    ("futures", 1, 300),
    ("futures", 2, 50_000),
    ("futures", 2, 61),
    ("coffea.processor:FuturesExecutor", 2, 200),
    ("dask", 1, 50_000),
    ("dask", 2, 131),
    ("dask-awkward", 2, 131),
)


def checksum(folder: Path) -> tuple[int, str]:
    """Return how many rows there are in event tables, and the sha256 of all of them, sorted."""
    digest, number = hashlib.sha256(), 0
    for name in event_table.datasets(folder):
        table = event_table.read(folder, name)
        number += len(table["event"])
        for column in sorted(table):
            digest.update(f"{name}.{column}:{table[column].dtype};".encode())
            digest.update(table[column].tobytes())
    return number, digest.hexdigest()


def rows_of(fileset: Path, out: Path, execution: dict[str, Any]) -> tuple[int, str]:
    """Do the stage `process` of the shipped demo on other files; return what `checksum` does."""
    content = {"extends": "demo_small.yaml", "simulate": None}
    out.mkdir()
    file = out / "analysis.yaml"
    file.write_text(yaml.safe_dump(content | {"fileset": str(fileset), "execution": execution}), encoding="utf-8")
    run = RunContext(load_analysis(file), out / "out")
    run_stages(run, [stage_of(run, "process")])
    return checksum(run.out / "events")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="docs/cluster.md: its table is replaced")
    arguments = parser.parse_args()
    lines = ["| executor | workers | events a chunk | rows | sha256 |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fileset = simulate(with_simulation({"set": "tiny"}, None, None, None, False), folder / "files", 2)
        total = sum(len(entry["files"]) for entry in json.loads(fileset.read_text(encoding="utf-8")).values())
        print(f"{total} files")
        for i, (executor, workers, chunk_size) in enumerate(WAYS):
            if executor == "dask-awkward" and find_spec("dask_awkward") is None:
                continue
            execution = {"executor": executor, "workers": workers, "chunk_size": chunk_size, "provider": "cpu"}
            number, digest = rows_of(fileset, folder / str(i), execution)
            lines.append(f"| {executor} | {workers} | {chunk_size} | {number} | `{digest[:16]}` |")
            print(lines[-1], flush=True)
    if arguments.page is not None:
        replace_between(arguments.page, BEGIN, END, "\n".join(lines))


if __name__ == "__main__":
    main()
