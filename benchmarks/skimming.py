"""What a skim saves: ``python benchmarks/skimming.py --events 12500 --heavy 0.003``.

The files of `processing.py` are skimmed, and both are processed up to the pair's constituents, scoring off, each in a fresh
process on one core. The rows must agree in every value. Times are CPU seconds, without imports and compilation.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from processing import ANALYSIS, in_own_process, make_files, ours, run_processor

from oddjets.config import Analysis
from oddjets.workflow import RunContext
from oddjets.workflow.skim import skim


def make_skim(folder: Path, files: list[Path]) -> list[Path]:
    """Skim the files for the benchmark's analysis; its model only says that constituents are needed."""
    metadata = {"process": "qcd", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    fileset = folder / f"{files[0].stem}.json"
    fileset.write_text(json.dumps({"qcd": {"files": [str(file.resolve()) for file in files], "metadata": metadata}}))
    scores = {"sum": {"card": "omnilearned_small_simulation.yaml"}}
    changes = {"fileset": str(fileset.resolve()), "scores": scores, "luminosity": 1.0, "execution": {"workers": 1}}
    run = RunContext(Analysis.model_validate(ANALYSIS | changes), folder / "none")
    out = folder / f"skim-{files[0].stem}"
    shutil.rmtree(out, ignore_errors=True)  # a finished one would not be made again
    made = skim(run, out)
    return [made.parent / name for name in json.loads(made.read_text(encoding="utf-8"))["qcd"]["files"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=12_500)
    parser.add_argument("--heavy", type=float, default=0.003, help="part of the events whose jets keep their masses")
    parser.add_argument("--folder", type=Path, help="keeps the files; else a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files, _, _ = in_own_process(partial(make_files, folder, arguments.events, arguments.heavy))
        small, _, _ = in_own_process(partial(make_files, folder, 100, 1.0))
        skimmed, skim_s, skim_memory = in_own_process(
            partial(make_skim, folder, files), partial(make_skim, folder, small)
        )
        runs = {
            name: in_own_process(partial(run_processor, ours, paths, 50_000), partial(run_processor, ours, small, 100))
            for name, paths in (("files", files), ("skim", skimmed))
        }
        rows = {name: result["rows"] for name, (result, _, _) in runs.items()}
        for column in rows["files"][0]:
            one, other = (np.concatenate([part[column] for part in rows[name]]) for name in ("files", "skim"))
            np.testing.assert_array_equal(one, other, err_msg=column)
        kept = sum(len(part["event"]) for part in rows["skim"])
        print(f"{kept} of {arguments.events} events pass; made in {skim_s:.1f} CPU s with {skim_memory:.0f} MB\n")
        print("| | MB | CPU s | files / this | peak memory, MB |\n|---|---|---|---|---|")
        for name, paths in (("files", files), ("skim", skimmed)):
            _, seconds, memory = runs[name]
            size = sum(path.stat().st_size for path in paths) / 1e6
            print(f"| {name} | {size:.1f} | {seconds:.2f} | {runs['files'][1] / seconds:.1f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
