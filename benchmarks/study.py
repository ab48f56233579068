"""Null experiments of the paper's size, by stage, beside the verbs: ``python benchmarks/study.py [--bank FILE]``.

The set-up is the paper's: 16.39 /fb, 0.2 %, 19 bins of the leading jet's mass in SR and in VR1, four letters each, all
systematics of demo.yaml. Experiments are drawn from the bank with --source independent; each finds its threshold anew and makes
both fits and the limit. *The verbs* is what `histogram`, `workspace` and `fit` compute for one experiment, from event tables of
its size, ten times, without limits. Both in one run; times are wall-clock times, and CPU seconds of all processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from oddjets.config.analysis import load_analysis
from oddjets.core.resources import find
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.event_table import write_part
from oddjets.io.histograms import DATA
from oddjets.selection.histogramming import make_histograms
from oddjets.stats.model import Model
from oddjets.stats.workspace import build
from oddjets.study import null
from oddjets.study.bank import Bank, factors_of
from oddjets.study.events import read_events
from oddjets.study.experiments import run_chunks
from oddjets.study.independence import classes_of
from oddjets.study.rates import rates_of
from oddjets.study.summary import describe, read_chunks
from oddjets.study.thresholds import find_grid, templates_at
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.validation import resolve

LUMINOSITY = 16393.38
CHANGES = {
    "threshold": {"efficiency": 0.002},
    "observables": {"leading_mass": {"bins": 19}},
}


class Clock:
    """Wall-clock and CPU seconds by stage."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []
        self._now = self._read()

    @staticmethod
    def _read() -> tuple[float, float]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)

    def stage(self, name: str) -> None:
        """End a stage."""
        before, self._now = self._now, self._read()
        self.rows.append((name, self._now[0] - before[0], self._now[1] - before[1]))
        print(f"{name:<60}{self.rows[-1][1]:9.2f} s{self.rows[-1][2]:9.2f} s CPU", flush=True)


def verbs(analysis, processor, bank, folder: Path, rng) -> None:
    """Make the histograms, workspace and fit of one experiment, from event tables of its size."""
    normalisation = {}
    data = []
    for process in analysis.processes:
        (columns,) = bank.tables(process)
        factor = factors_of(analysis, process, LUMINOSITY)[NOMINAL]
        if process != analysis.data_driven:
            number = np.arange(len(columns["event"]))
            known = {"run": np.ones_like(number), "luminosityBlock": number}
            write_part(folder / process / "part-0.parquet", columns | known, {})
            normalisation[process] = (process, False, factor)
        rows = np.repeat(np.arange(len(columns["event"])), rng.poisson(np.maximum(columns["weight"] * factor, 0)))
        data.append({name: array[rows] for name, array in columns.items() if "__" not in name})
    common = set(data[0]).intersection(*data)
    joined = {name: np.concatenate([part[name] for part in data]) for name in common}
    number = np.arange(len(joined["weight"]))
    joined |= {"event": number, "run": np.ones_like(number), "luminosityBlock": number}
    joined |= {"weight": np.ones(len(joined["weight"]))}
    write_part(folder / DATA / "part-0.parquet", joined, {})
    normalisation[DATA] = (DATA, True, 1.0)
    clock = Clock()
    histograms = make_histograms(analysis, processor, folder, normalisation, LUMINOSITY, 13.0)
    clock.stage("  histogram")
    built, _ = build(analysis, histograms)
    clock.stage("  workspace")
    model = Model(built)
    clock.stage("  reading the workspace")
    model.significance()
    clock.stage("  both fits")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", default="bank.parquet")
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verbs", type=int, default=10, help="how often the verbs run")
    options = parser.parse_args()
    # of the worker processes: several threads of each would only get into each other's way
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    resolved = resolve(load_analysis(find("demo.yaml", "processors"), CHANGES))
    analysis = resolved.analysis
    processor = ChunkWorker(resolved.source, analysis, (), None, 1).build()
    bank = Bank.open(find(options.bank, "datasets"))
    plan = null.NullPlan(experiments=options.experiments)
    start = time.perf_counter()
    clock = Clock()
    classes = classes_of(analysis, processor)
    events = []
    for process in analysis.processes:
        factors = factors_of(analysis, process, LUMINOSITY)
        events += read_events(analysis, processor, bank.tables(process), process, factors, classes=classes)
    clock.stage(f"events of the bank ({sum(len(e) for e in events if NOMINAL in e.variations)})")
    grid = find_grid(analysis, events, {"top": 0.0}, "qcd")
    clock.stage(f"grid of {len(grid)} thresholds")
    templates_at(analysis, events, grid, {})
    clock.stage("templates of all thresholds and variations")
    rates_of(events, grid, "qcd", "top", {}, independent=True)
    clock.stage("rates")
    study = null.of_events(analysis, "independent", plan, events, events)
    clock.stage("all of the above again, and workspaces")
    experiments = study.truths["nominal"]
    experiments.procedure(experiments.central)
    clock.stage("a model and its starting points (once a threshold and worker)")
    with tempfile.TemporaryDirectory() as folder:
        files = run_chunks(experiments, options.experiments, Path(folder), workers=options.workers)
        clock.stage(f"{options.experiments} experiments, {options.workers} workers, with limits")
        found = describe(read_chunks(files), [], ["SR", "VR1"], 0.0)
    print(f"together {time.perf_counter() - start:.1f} s; {found['failed']} failed; {found['events']}")
    print(f"z: mean {found['z']['mean']:.3f}, sd {found['z']['sd']:.3f}")
    for i in range(options.verbs):
        print(f"the verbs, {i + 1}")
        with tempfile.TemporaryDirectory() as folder:
            verbs(analysis, processor, bank, Path(folder), np.random.default_rng(i))
    print(f"largest memory of a process {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
