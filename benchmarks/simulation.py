"""Selected events per CPU second of each simulated process: ``python benchmarks/simulation.py [PROCESS ...]``.

Selected: the two leading AK8 jets have pT > 450 GeV, abs(eta) < 2.5 and soft-drop mass > 60 GeV. The time is that of one
process's CPU, split into Pythia, detector, what is made of its candidates (jets, taggers, truth) and writing. The
reference, in the same run, is the same process without the early veto. Events are templates': of all processes but QCD they
have the weights of shower variations, which pseudo-data do without. Compilation and initialisation are outside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import awkward as ak
import numpy as np

from oddjets.simulation import load_processes, reconstruction
from oddjets.simulation.detector import detect
from oddjets.simulation.generator import GeneratedBatch, generate, prepare_multiparton_tables
from oddjets.simulation.writer import write_nano

#: CPU seconds that each measurement takes, about
TARGET_SECONDS = 5.0


def main(names: list[str]) -> None:
    """Measure and print JSON lines, and a table in the end."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tables = prepare_multiparton_tables(Path(folder) / "multiparton.dat")
        for name in names or load_processes():
            for veto in (True, False):
                measure(name, veto, tables, 0.3)  # compiles
                row = measure(name, veto, tables, TARGET_SECONDS)
                rows.append(row)
                print(json.dumps(row), flush=True)
    print(
        "\n| process | selected/s | without veto | ratio | ms each: Pythia | detector | jets | writing | Pythia's part |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for on, off in zip(rows[::2], rows[1::2], strict=True):
        each = [1e3 * on[part] / on["selected"] for part in ("pythia", "detector", "jets", "writing")]
        print(
            f"| {on['process']} | {on['rate']:.1f} | {off['rate']:.2f} | {on['rate'] / off['rate']:.1f} | "
            + " | ".join(f"{x:.1f}" for x in each)
            + f" | {each[0] / sum(each):.0%} |"
        )


def measure(name: str, veto: bool, tables: Path, seconds: float) -> dict[str, Any]:
    """Simulate for some CPU seconds."""
    process = load_processes()[name]
    spent = dict.fromkeys(("pythia", "detector", "jets", "writing"), 0.0)
    rng = np.random.default_rng(1)
    selected = finished = tried = 0

    def timed(*arguments: Any) -> Any:
        start = time.process_time()
        candidates = detect(*arguments)
        spent["detector"] += time.process_time() - start
        return candidates

    batches: Iterator[GeneratedBatch] = generate(
        process, 10_000_000, 5, early_veto=veto, tables=tables, shower_variations=process.shower_variations
    )
    next(batches)  # initialises
    with mock.patch.object(reconstruction, "detect", timed):
        while sum(spent.values()) < seconds:
            start = time.process_time()
            batch = next(batches)
            spent["pythia"] += time.process_time() - start
            tried, finished = tried + batch.tried, finished + len(batch.offsets) - 1
            start, detector = time.process_time(), spent["detector"]
            events = reconstruction.reconstruct(batch, rng, is_data=False)
            spent["jets"] += time.process_time() - start - (spent["detector"] - detector)
            start = time.process_time()
            write_nano(tables.with_suffix(".root"), [events], {"run": np.array([1], np.uint32)})
            spent["writing"] += time.process_time() - start
            jets = events.FatJet
            good = (jets.pt > 450) & (abs(jets.eta) < 2.5) & (jets.msoftdrop > 60)
            selected += int(ak.sum(ak.sum(good[:, :2], axis=1) == 2))
    total = sum(spent.values())
    counts = {"tried": tried, "finished": finished, "selected": selected, "rate": selected / total}
    return {"process": name, "early_veto": veto, **counts, **spent}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("process", nargs="*", help=f"all, if none is named; of {', '.join(load_processes())}")
    asked = parser.parse_args().process
    if unknown := {*asked} - {*load_processes()}:
        parser.error(f"no process {', '.join(sorted(unknown))}")
    main(asked)
