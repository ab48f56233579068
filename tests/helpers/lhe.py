"""Les Houches event files of HH, with Pythia's hard process and undecayed Higgs bosons."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oddjets.simulation.generator import initialise, require_pythia
from oddjets.simulation.processes import load_processes
from oddjets.simulation.pythia_hooks import mass_acceptance_hook

#: decays that the hard process of `oddjets simulate` has, and an LHE file of undecayed Higgs bosons leaves to Pythia
DECAYS = ("25:onMode = off", "25:onIfMatch = 5 -5")
CROSS_SECTION_PB = 1.077e-4


def write_hh(
    file: Path, events: int, seed: int, *, strategy: int = 3, weight: Callable[[int], float] = lambda number: 1.0
) -> Path:
    """Write events of HH as `oddjets simulate` generates them; of each number (from 0) with a weight."""
    process = load_processes()["hh"]
    assert process.mass_acceptance is not None
    # Pythia holds no reference to it
    hook = mass_acceptance_hook(process.mass_acceptance, seed, require_pythia())
    lines = [*process.pythia, "PartonLevel:all = off", "HadronLevel:all = off"]
    pythia = initialise(lines, seed, None, [hook])
    made: list[str] = []
    while len(made) < events:
        if pythia.next():
            made.append(_event(pythia, weight(len(made))))
    head = f"2212 2212 6500. 6500. 0 0 0 0 {strategy} 1\n{CROSS_SECTION_PB} 1e-6 1. 9999"
    body = "\n".join(made)
    file.write_text(
        f'<LesHouchesEvents version="3.0">\n<init>\n{head}\n</init>\n{body}\n</LesHouchesEvents>\n', encoding="utf-8"
    )
    return file


def _event(pythia: Any, weight: float) -> str:
    hard = [pythia.process[i] for i in range(3, pythia.process.size())]
    wanted = [p for p in hard if p.status() == -21 or p.idAbs() in (25, 35)]
    rows = []
    for particle in wanted:
        code = particle.idAbs()
        status, mothers = (-1, "0 0") if particle.status() == -21 else (2, "1 2") if code == 35 else (1, "3 3")
        p = particle.p()
        mass = math.sqrt(max(p.m2Calc(), 0.0))
        numbers = " ".join(f"{x:.10e}" for x in (p.px(), p.py(), p.pz(), p.e(), mass))
        rows.append(f"{particle.id()} {status} {mothers} {particle.col()} {particle.acol()} {numbers} 0. 9.")
    head = f"{len(rows)} 9999 {weight:.8e} {pythia.process.scale():.8e} 7.8e-3 1.1e-1"
    return "\n".join(["<event>", head, *rows, "</event>"])
