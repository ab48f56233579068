"""What large sets need, from the numbers of `scaling.py`: ``python benchmarks/budget.py scaling.json``.

Time is linear in events that are read and in jets that are scored. What is not measured is stated in `SETS` and
`GPU_JETS_PER_S` with where it comes from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Set:
    """Data to be processed.

    Attributes:
        events: in the files.
        files: how many.
        passing: part of the events that the base selection keeps.
    """

    events: float
    files: int
    passing: float


#: JetHT 2016 G and H, MiniAOD: 120.75 and 124.05 M events in 1236 and 1309 files (portal records 30508, 30541). 0.2 % pass:
#: a threshold of 0.2 % leaves the paper about 1000 events in A. Run 2: 138 /fb for 16.4 /fb
SETS = {
    "2016 G + H, data": Set(244.8e6, 2545, 0.002),
    "Run 2, data (x 8.4)": Set(244.8e6 * 8.4, 2545 * 8, 0.002),
}
#: ONNX Runtime on one H100 (docs/scoring.md)
GPU_JETS_PER_S = {"small": 41600, "medium": 10600, "large": 2460}
#: work of a jet of 50 constituents relative to the small model's, for a CPU: 0.46, 7.9 and 63 GFLOP
CPU_WORK = {"small": 1.0, "medium": 7.9 / 0.46, "large": 63 / 0.46}
#: LZMA, which portal files have, over ZSTD, which the benchmark's have: 3 to 5 times
LZMA = 4.0
CHUNK_SIZE = 50_000
#: bit/s of a site's link, or of the storage behind it
NETWORK = 10e9


def budget(measured: dict[str, Any]) -> dict[str, float]:
    """Return what an event and a jet cost, from one process's runs with and without inference.

    Returns:
        CPU seconds of reading an event and of scoring a jet, and bytes of an event in the file.
    """
    scored, read = measured["executors"]["futures 1"], measured["executors"]["read"]
    chunks = read["chunks"]["done"]
    return {
        "read_s": read["chunk_cpu_s"] * chunks / read["entries"],
        "jet_s": (scored["chunk_cpu_s"] - read["chunk_cpu_s"]) * chunks / (2 * scored["rows"]),
        "bytes": measured["bytes"] / read["entries"],
        "again_s": _again_s(measured),
    }


def _again_s(measured: dict[str, Any]) -> float:
    """Seconds that a file adds to a run that finds everything done."""
    runs = list(measured["memory"].values())
    first, last = runs[0], runs[-1]
    files = last["chunks"]["planned"] - first["chunks"]["planned"]
    return (last["again_s"] - first["again_s"]) / files if files else 0.0


def table(measured: dict[str, Any]) -> str:
    """Return the budget of all sets in Markdown."""
    cost = budget(measured)
    lines = [
        (
            f"An event: {1e3 * cost['read_s']:.2f} ms of reading, {cost['bytes'] / 1e3:.0f} kB. "
            f"A jet: {1e3 * cost['jet_s']:.1f} ms (small model).\n"
        ),
        "| | " + " | ".join(SETS) + " |",
        "|" + "---|" * (len(SETS) + 1),
    ]

    def row(name: str, value: Callable[[Set], float], unit: str) -> None:
        values = [value(s) for s in SETS.values()]
        digits = 0 if min(values) >= 10 else 1 if min(values) >= 1 else 2
        lines.append(f"| {name} | " + " | ".join(f"{v:,.{digits}f} {unit}".strip() for v in values) + " |")

    def jets(s: Set) -> float:
        return 2 * s.events * s.passing

    row("events", lambda s: s.events / 1e6, "M")
    row("files", lambda s: s.files, "")
    row("bytes, as PFNano", lambda s: s.events * cost["bytes"] / 1e12, "TB")
    row("chunks (dask tasks)", lambda s: s.files * max(round(s.events / s.files / CHUNK_SIZE), 1), "")
    row("reading, ZSTD", lambda s: s.events * cost["read_s"] / 3600, "core-h")
    row("reading, LZMA", lambda s: LZMA * s.events * cost["read_s"] / 3600, "core-h")
    for model, work in CPU_WORK.items():
        row(f"scores, {model} model, CPU", lambda s, work=work: jets(s) * cost["jet_s"] * work / 3600, "core-h")
    for model, rate in GPU_JETS_PER_S.items():
        row(f"scores, {model} model, H100", lambda s, rate=rate: jets(s) / rate / 3600, "GPU-h")
    row("cores that fill 10 Gbit/s, ZSTD", lambda s: NETWORK / 8 * cost["read_s"] / cost["bytes"], "")
    row("all bytes at 10 Gbit/s", lambda s: s.events * cost["bytes"] * 8 / NETWORK / 3600, "h")
    row("a run that finds all done", lambda s: s.files * cost["again_s"] / 60, "min")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, help="the JSON that scaling.py wrote")
    print(table(json.loads(parser.parse_args().measured.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
