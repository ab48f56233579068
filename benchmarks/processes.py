"""Every simulated process: a picture of its jets, and where its known masses peak.

    python benchmarks/processes.py --out output/processes

Each process is simulated by itself, early veto on; finished files of an earlier run are kept. Some ten minutes of CPU.
Writes ``figures/processes.{json,png,pdf}`` and prints a table: soft-drop mass of jets (pT > 450 GeV) that hold all quarks
of a W, Z, H or t, its median and half of its central 68 %, over those within 30 % of the known mass.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import uproot

from oddjets.config import SimulationSpec
from oddjets.config.analysis import Process
from oddjets.report.colors import process_colors
from oddjets.report.figure_files import write_figure
from oddjets.report.figures import processes as picture
from oddjets.simulation import load_processes, simulate
from oddjets.simulation.resonances import MASSES, NEEDED_BRANCHES, matched_masses

#: selected events of each process, about
EVENTS = 600
SYMBOLS = {24: "W", 23: "Z", 25: "H", 6: "t"}
#: tables leave out resonances with fewer matched jets
ENOUGH_JETS = 40


def main() -> None:
    """Simulate, draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("output/processes"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found = {}
    print("| process | resonance | jets | median (GeV) | half of central 68 % (GeV) | median over known mass |")
    print("|---|---|---|---|---|---|")
    for name, process in load_processes().items():
        tries = round(EVENTS / process.cost.selected)
        fileset = simulate(SimulationSpec(seed=7, templates={name: tries}), options.out / name, options.workers)
        files = sorted((fileset.parent / name).glob("*.root"))
        found[name] = picture.histograms(files)
        events = uproot.concatenate([f"{file}:Events" for file in files], list(NEEDED_BRANCHES))
        for code, mass in MASSES.items():
            masses = matched_masses(events, code)
            masses = masses[np.abs(masses / mass - 1) < 0.3]
            if len(masses) >= ENOUGH_JETS:
                low, median, high = np.percentile(masses, [16, 50, 84])
                error = 1.253 * (high - low) / 2 / np.sqrt(len(masses))
                print(
                    f"| {name} | {SYMBOLS[code]} ({mass:g}) | {len(masses)} | {median:.1f} +- {error:.1f} | "
                    f"{(high - low) / 2:.1f} | {median / mass:.3f} |",
                    flush=True,
                )
    header = {"label": ["oddjets", "simulation"]}
    colors = process_colors({name: Process(label=process.label) for name, process in load_processes().items()})
    for file in write_figure(
        options.out / "figures", "processes", picture.figure_data(picture.rows(found, colors), header)
    ):
        print(file)


if __name__ == "__main__":
    main()
