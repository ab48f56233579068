"""HepMC files of events that Pythia generated here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyhepmc

from oddjets.simulation.generator import GeneratedBatch

_BEAM = -12


def write_hepmc(
    file: Path, batch: GeneratedBatch, weights: Sequence[float] | None, *, cross_section_pb: float | None = 1e-4
) -> Path:
    """Write the events of a batch, with one weight each; None: without weights."""
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["nominal"] if weights is not None else []
    with pyhepmc.open(file, "w") as out:
        for number in range(len(batch.offsets) - 1):
            event = _event(batch, number)
            event.run_info = run
            if weights is not None:
                event.weights = [weights[number]]
            if cross_section_pb is not None:
                section = pyhepmc.GenCrossSection()
                section.set_cross_section(cross_section_pb, 0.01 * cross_section_pb, number + 1, number + 1)
                event.cross_section = section
            out.write(event)
    return file


def _event(batch: GeneratedBatch, number: int) -> pyhepmc.GenEvent:
    first, last = batch.offsets[number], batch.offsets[number + 1]
    status, mother = (batch.integers[name][first:last] for name in ("status", "mother1"))
    codes = np.where(status > 0, 1, np.where(status == _BEAM, 4, np.where(status <= -80, 2, -status)))
    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    event.event_number = number
    particles = {
        i: pyhepmc.GenParticle(batch.momenta[first + i], int(batch.integers["id"][first + i]), int(codes[i]))
        # the first entry is the event as a whole
        for i in range(1, last - first)
    }
    children: dict[int, list[int]] = {}
    for i in particles:
        children.setdefault(int(mother[i]), []).append(i)
    # a particle may stand before its mother in the record, and in no file
    waiting = [i for i in children[0] if codes[i] == 4]
    while waiting:
        parent = waiting.pop(0)
        if daughters := children.get(parent, []):
            vertex = pyhepmc.GenVertex((*batch.vertices[first + daughters[0]], 0.0))
            vertex.add_particle_in(particles[parent])
            for daughter in daughters:
                vertex.add_particle_out(particles[daughter])
            event.add_vertex(vertex)
            waiting += daughters
    return event
