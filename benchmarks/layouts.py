"""Events per second of the processor on every layout of PF candidates: ``python benchmarks/layouts.py``.

    python benchmarks/layouts.py --events 5000 --folder FOLDER

The PFNano events of ``benchmarks/processing.py`` (1500 candidates an event) are written in each layout of
`oddjets.io.layouts`, as TTree and, of the first, as RNTuple. For each file, in turn and several times: the processor, up to the
constituents of the pair, without a model; and uproot, which reads the same branches of the same events as arrays: all
branches of jets and leptons, and the candidates' branches that the layout has, where a model would read them. Times are CPU
seconds of one core, the smallest of the repetitions; the first, which imports and compiles, does not count, nor does reading
the analysis and the model card, which a worker does once for all its files. Clustering jets
again is work that uproot does not do, and so is the selection where there are no candidates. Without candidates an event is
small: the file has the events 20 times, so that opening it is not most of the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import uproot
from coffea.nanoevents import NanoEventsFactory

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "benchmarks")]

from helpers.chunks import copy  # noqa: E402
from helpers.layouts import CHANGES  # noqa: E402
from processing import ANALYSIS, Sum, make_files  # noqa: E402

from oddjets.config import Analysis  # noqa: E402
from oddjets.corrections import load_era  # noqa: E402
from oddjets.io import nanoaod_schema  # noqa: E402
from oddjets.io.layouts import LAYOUTS  # noqa: E402
from oddjets.selection import DijetProcessor  # noqa: E402

METADATA = {"process": "qcd", "is_data": False, "era": "simulation", "cross_section_pb": 1.0, "dataset": "qcd"}
MODES = ("TTree", "RNTuple")
#: how often the file without candidates has the events
COPIES = 20


def many_without_candidates(columns: dict[str, Any]) -> None:
    """The events without candidates, many times."""
    CHANGES["nanoaod"](columns)
    for name in columns:
        columns[name] = ak.concatenate([columns[name]] * COPIES)


def processor_of(layout: str) -> DijetProcessor:
    content = json.loads(json.dumps(ANALYSIS))
    if "v15" in layout:
        content["selection"]["taggers"] = {"names": "v15"}
    without_model = layout == "nanoaod"
    if without_model:
        content["scores"] = {"sum": {"signal": ["xbb"], "background": ["qcd"]}}
    analysis = Analysis.model_validate(content)
    return DijetProcessor(analysis, *load_era(analysis.era, Path()), {} if without_model else {"sum": Sum()})


def process(path: Path, processor: DijetProcessor, log: list[Any] | None = None) -> int:
    """Run a processor over a file; return the rows that it keeps."""
    with uproot.open(path) as file:
        n = int(file["Events"].num_entries)
        events = NanoEventsFactory.from_root(
            file,
            treepath="Events",
            schemaclass=nanoaod_schema.PFNano,
            mode="virtual",
            metadata={**METADATA, "filename": str(path), "fileuuid": "0", "entrystart": 0, "entrystop": n},
            access_log=log,
        ).events()
        return len(processor.table(events)[0]["event"])


def read(path: Path, branches: list[str]) -> int:
    """Read branches as arrays, by uproot alone."""
    with uproot.open(path) as file:
        tree = file["Events"]
        return sum(len(tree[name].array()) for name in branches)


def branches_of(path: Path, layout: str) -> list[str]:
    """What the processor reads of a file: what coffea noted, and the candidates that it reads itself."""
    log: list[Any] = []
    process(path, processor_of(layout), log)
    row = next(row for row in LAYOUTS if row.name == layout)
    own = ["FatJet_rawFactor"] if row.weighted else []
    return sorted({accessed.branch for accessed in log} | set(row.required) | set(own))


def cpu(function: Callable[[], object]) -> float:
    begun = time.process_time()
    function()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--heavy", type=float, default=1.0, help="part of the events whose jets keep their masses")
    parser.add_argument("--folder", type=Path, default=None, help="for the files, which are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        source = make_files(folder, options.events, options.heavy)[0]
        print(f"{'layout':28} {'format':8} {'rows':>6} {'events/s':>9} {'uproot':>9} {'time / uproot':>14}")
        for layout, change in (CHANGES | {"nanoaod": many_without_candidates}).items():
            number = options.events * (COPIES if layout == "nanoaod" else 1)
            for mode in MODES if layout in ("pfnano", "nanoaod_v15") else MODES[:1]:
                path = folder / f"{layout}-{mode}-{number}-{options.heavy}.root"
                if not path.is_file():
                    copy(source, path, change, rntuple=mode == "RNTuple")
                branches = branches_of(path, layout)
                processor = processor_of(layout)
                rows = process(path, processor)
                pairs = [
                    (cpu(lambda: process(path, processor)), cpu(lambda: read(path, branches)))  # noqa: B023
                    for _ in range(options.repeat)
                ]
                ours, theirs = (min(times) for times in zip(*pairs, strict=True))
                ratio = (
                    f"{ours / theirs:14.2f}"
                    if next(r for r in LAYOUTS if r.name == layout).source != "reclustered"
                    else ""
                )
                print(
                    f"{layout:28} {mode:8} {rows:6} {number / ours:9.0f} {number / theirs:9.0f} {ratio}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
