"""Jets per second of importing Aspen Open Jets, besides scoring, against h5py: ``python benchmarks/aspen.py``.

    python benchmarks/aspen.py --jets 20000 --memory 1 5 10

Random jets with some 50 constituents are written as the published files are made (gzip). Then, in turn: h5py reads all bytes of
the four keys in slices; the import reads the same slices, selects jets and writes their tables, and makes the constituents of
the selected ones as a model would get them, but no model runs. Once all jets are selected (the worst case), and once those over
450 GeV and 60 GeV, as in `aspen_bump.yaml`. Times are CPU seconds of one core, the smallest of the repetitions.

With ``--memory``, the largest memory of `oddjets import-aspen`, in a process of its own, of as many different files as each
number says: all jets are scored, with a tiny model. All files have the same luminosity sections, so that all of their events
are compared.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests")]

from helpers import aspen_files, toy_candidates  # noqa: E402

from oddjets.config.analysis import load_analysis  # noqa: E402
from oddjets.corrections import load_era  # noqa: E402
from oddjets.io import aspen  # noqa: E402
from oddjets.io.aspen_events import chunks_of, event_info_of, repeated_events  # noqa: E402
from oddjets.io.event_table import write_part  # noqa: E402
from oddjets.selection import DijetProcessor  # noqa: E402
from oddjets.selection.aspen_jets import AspenSelection  # noqa: E402


def make(path: Path, jets: int, seed: int = 1) -> None:
    """Write jets with some 50 constituents each, whose numbers do not compress better than those of measured ones."""
    made = {key: values[:jets] for key, values in aspen_files.rows(jets, seed).items()}
    rng = np.random.default_rng(seed)
    counts = np.clip(rng.poisson(50, jets), 1, aspen.MOST_CONSTITUENTS)
    filled = np.arange(aspen.MOST_CONSTITUENTS) < counts[:, None]
    n = int(filled.sum())
    p = rng.normal(0, 10, (n, 3))
    charge = rng.integers(-1, 2, n)
    track = np.where((charge != 0)[:, None], rng.normal(0, 0.01, (n, 4)), -1)
    rest = [charge, np.where(charge == 0, 22, 211 * charge), np.round(rng.random(n), 2)]
    candidates = np.zeros((jets, *aspen.SHAPES["PFCands"]), np.float32)
    candidates[filled] = np.column_stack([p, np.sqrt((p**2).sum(axis=1) + 0.02), track, *rest])
    aspen.write_file(path, [made | {"PFCands": candidates}], simulated=True)


def smallest(work: Callable[[], Any], repeat: int) -> float:
    """Return the smallest CPU time, s."""
    times = []
    for _ in range(repeat):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


#: what a process does whose memory is measured: ru_maxrss would be at least that of the process that started it
IMPORT = """
import sys
from pathlib import Path
from oddjets.config.analysis import load_analysis
from oddjets.workflow.executors.memory import peak_MB
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext
run = RunContext(load_analysis(Path("analysis.yaml")), Path(sys.argv[1]))
run_stage(run, stage_of(run, "process"))
print(peak_MB())
"""


def print_memory(folder: Path, jets: int, chunk: int, numbers: list[int]) -> None:
    """Print the largest memory of imports of several different files."""
    toy_candidates.write(folder)
    for seed in range(1, max(numbers) + 1):
        make(folder / f"jets{seed}.h5", jets, seed)
    for number in numbers:
        files = [f"jets{seed}.h5" for seed in range(1, number + 1)]
        selection = {"cuts": ["jet_pt", "jet_mass"], "jets": {"pt_min": 300, "mass_min": 0}}
        aspen_files.analysis(
            folder,
            aspen={"files": files, "events": True, "chunk_size": chunk},
            selection=selection,
            scores={"mine": {"card": "mine.yaml"}},
            threshold={"score": "mine", "efficiency": 0.1},
            execution={"executor": "iterative", "provider": "cpu"},
        )
        command = [sys.executable, "-c", IMPORT, f"out{number}"]
        found = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
        print(f"{number} files of {jets} jets: {float(found):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=int, default=20_000, help="in the file")
    parser.add_argument("--memory", type=int, nargs="+", help="numbers of files")
    parser.add_argument("--chunk", type=int, default=10_000, help="jets that are read at a time")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            print_memory(folder, options.jets, options.chunk, options.memory)
            return
        path = folder / "jets.h5"
        make(path, options.jets)
        size = path.stat().st_size
        print(f"{options.jets} jets, {size / 1e6:.1f} MB, {size / options.jets:.0f} bytes a jet")
        with aspen.open_datasets(path) as datasets:
            chunks = chunks_of(datasets["event_info"][:], options.chunk)

        def read() -> None:
            with aspen.open_datasets(path) as datasets:
                for start, stop in chunks:
                    for dataset in datasets.values():
                        dataset[start:stop]

        alone = smallest(read, options.repeat)
        print(f"h5py: {options.jets / alone:,.0f} jets/s")
        for what, cuts in {"all jets": (300, 0), "above 450 and 60 GeV": (450, 60)}.items():
            selection = {"cuts": ["jet_pt", "jet_mass"], "jets": {"pt_min": cuts[0], "mass_min": cuts[1]}}
            analysis = load_analysis(aspen_files.analysis(folder, selection=selection))
            era, era_folder = load_era(str(analysis.era))
            # what is no scorer is never run, and has the constituents made
            processor = DijetProcessor(analysis, era, era_folder, {"none": None})  # type: ignore[dict-item]
            importing = AspenSelection(processor, False, None)

            def convert(importing: AspenSelection = importing) -> int:
                selected = 0
                repeated_events(event_info_of(path))
                with aspen.open_datasets(path) as datasets:
                    for start, stop in chunks:
                        jets = importing.read(datasets, start, stop).jets
                        selected += len(jets["event"])
                        write_part(folder / "part.parquet", jets, {})
                return selected

            selected = convert()
            taken = smallest(convert, options.repeat)
            print(f"import of {what} ({selected}): {options.jets / taken:,.0f} jets/s, {taken / alone:.2f} times h5py")


if __name__ == "__main__":
    main()
