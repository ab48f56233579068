"""Closure of an injected strength: pseudo-data with a known strength through every stage, and the strength that is fitted.

    python benchmarks/injection.py --strengths 0 0.55 1.1 --seeds 1 2 3 --parallel 2

Each run is `oddjets simulate, process, histogram, closure, workspace, fit` on injection.yaml (the demo's analysis, with a
strength that may turn negative) with another seed of pseudo-data and templates and `--inject PROCESS=STRENGTH`: about
five minutes on two cores. The table gives the fitted strength, its error and the significance; a last line a strength gives
the mean pull and the mean strength over the seeds. Runs that are finished are kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

STAGES = ("simulate", "process", "histogram", "closure", "workspace", "fit")


def run(analysis: str, process: str, strength: float, seed: int, out: Path, workers: int) -> dict | None:
    """Run all stages of one pseudo-experiment, None if one fails; the simulated files are removed in the end."""
    folder = out / f"{process}_{strength:g}_{seed}"
    results = folder / "results.json"
    if not results.is_file():
        for stage in STAGES:
            options = {
                "simulate": ["--seed", str(seed), "--inject", f"{process}={strength}", "--workers", str(workers)],
                "process": ["--workers", str(workers)],
            }.get(stage, [])
            command = [sys.executable, "-m", "oddjets", stage, analysis, "--out", str(folder), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{folder.name}: {stage} failed: {done.stderr[-2000:]}", flush=True)
                return None
        for file in (folder / "simulation").glob("*.root"):
            file.unlink()
    found = json.loads(results.read_text(encoding="utf-8"))
    row = {"strength": strength, "seed": seed, **found["poi"], "z": found["significance"]["z"]}
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--analysis", default="benchmarks/injection.yaml")
    parser.add_argument("--process", default="top")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.0, 0.55, 1.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--parallel", type=int, default=1, help="runs at once")
    parser.add_argument("--workers", type=int, default=2, help="processes of one run")
    parser.add_argument("--out", type=Path, default=Path("output/injection"))
    a = parser.parse_args()
    jobs = [(strength, seed) for seed in a.seeds for strength in a.strengths]
    with ThreadPoolExecutor(a.parallel) as pool:
        results = list(pool.map(lambda job: run(a.analysis, a.process, job[0], job[1], a.out, a.workers), jobs))
    rows = [row for row in results if row is not None]
    if len(rows) < len(jobs):
        print(f"{len(jobs) - len(rows)} of {len(jobs)} runs failed")
    print(f"{'injected':>9} {'seed':>5} {'fitted':>8} {'error':>7} {'z':>6}")
    for row in sorted(rows, key=lambda row: (row["strength"], row["seed"])):
        print(f"{row['strength']:9.2f} {row['seed']:5d} {row['value']:8.2f} {row['error']:7.2f} {row['z']:6.2f}")
    for strength in a.strengths:
        found = [r for r in rows if r["strength"] == strength and r["error"] > 0]
        if len(found) > 1:
            fitted = np.array([r["value"] for r in found])
            pulls = (fitted - strength) / np.array([r["error"] for r in found])
            root = np.sqrt(len(found))
            print(
                f"injected {strength:g}: mean strength {fitted.mean():.2f} +- {fitted.std(ddof=1) / root:.2f}, mean pull"
                f" {pulls.mean():+.2f} +- {1 / root:.2f}, spread of pulls {pulls.std(ddof=1):.2f}, median z"
                f" {np.median([r['z'] for r in found]):.1f}, {len(found)} runs"
            )


if __name__ == "__main__":
    main()
