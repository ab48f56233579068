"""Digests of a finished analysis: ``python benchmarks/digests.py freeze DIR FILE``, later ``... compare DIR FILE``.

Whoever changes code that should change no number freezes the output folder of an analysis before (the demo's, say), runs the
same analysis again afterwards, in a folder of its own, and compares. Every bit counts: of the rows of the event tables (a
digest a column), of histograms (values and variances), of thresholds, cutflow, closure, workspace and results. Keys, times
and versions do not. What was renamed on purpose stands in `RENAMED`. The exit code is 1 where anything differs.

It reads the files with pyarrow and json alone, so that one script serves two states of the code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

#: name of a digest in a frozen file -> its name today
RENAMED: dict[str, str] = {}
#: what says how long or with what something was made, not what
_NOT_COMPARED = ("timing_s", "writer_info", "versions")
_DOCUMENTS = (
    "results.json",
    "threshold.json",
    "cutflow.json",
    "closure.json",
    "workspace.json",
    "workspace_report.json",
)
#: changed things that are printed at most
_PRINTED = 40


def digests(out: Path) -> dict[str, str]:
    """Return name to digest of all that an output folder holds.

    Raises:
        SystemExit: the folder has no event tables.
    """
    found = dict(_of_rows(out / "events"))
    if not found:
        raise SystemExit(f"{out}: no event tables here; give the output folder of a finished analysis")
    for file in sorted((out / "histograms").glob("*.json")):
        found |= {f"histograms/{file.stem}{place}": value for place, value in _leaves(_read(file))}
    for name in _DOCUMENTS:
        if (out / name).is_file():
            found |= {f"{name}{place}": value for place, value in _leaves(_read(out / name))}
    return found


def _of_rows(events: Path) -> Iterator[tuple[str, str]]:
    """Yield a digest for every column of every dataset, rows sorted by run, section and event."""
    for folder in sorted(path for path in events.glob("*") if path.is_dir()):
        tables = [pq.read_table(file) for file in sorted(folder.glob("*.parquet"))]
        columns = {
            name: np.concatenate([table[name].to_numpy() for table in tables]) for name in tables[0].column_names
        }
        # a stable sort: rows of imported files, which have no event numbers, stay as they are
        order = np.lexsort([columns[name] for name in ("event", "luminosityBlock", "run")])
        yield f"events/{folder.name}/rows", str(len(order))
        for name, values in columns.items():
            kind = "scores" if name.startswith(("score_", "prob")) else "events"
            digest = hashlib.sha256(f"{values.dtype}".encode() + values[order].tobytes()).hexdigest()
            yield f"{kind}/{folder.name}/{name}", digest[:16]


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _leaves(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield place and digest of every leaf; lists of numbers are one leaf, bit by bit."""
    if isinstance(content, dict):
        for name, inner in content.items():
            if name not in _NOT_COMPARED:
                yield from _leaves(inner, f"{place}/{name}")
    elif isinstance(content, list) and any(isinstance(inner, (dict, list)) for inner in content):
        for i, inner in enumerate(content):
            yield from _leaves(inner, f"{place}/{i}")
    else:
        # repr of a float is exact
        yield place, hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("freeze", "compare"))
    parser.add_argument("folder", type=Path, help="output folder of a finished analysis")
    parser.add_argument("file", type=Path, help="where the digests are kept")
    arguments = parser.parse_args()
    if arguments.what == "compare" and not arguments.file.is_file():
        raise SystemExit(f"{arguments.file}: no such file; `digests.py freeze DIR FILE` writes it")
    now = digests(arguments.folder)
    if arguments.what == "freeze":
        arguments.file.write_text(json.dumps(now, indent=1), encoding="utf-8")
        print(f"{len(now)} digests in {arguments.file}")
        return
    frozen = {RENAMED.get(name, name): value for name, value in _read(arguments.file).items()}
    changed = sorted(name for name in frozen.keys() | now.keys() if frozen.get(name) != now.get(name))
    for name in changed[:_PRINTED]:
        how = "is gone" if name not in now else "is new" if name not in frozen else "differs"
        print(f"{name} {how}")
    print(f"{len(changed)} of {len(frozen.keys() | now.keys())} digests differ")
    sys.exit(1 if changed else 0)


if __name__ == "__main__":
    main()
