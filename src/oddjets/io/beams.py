"""The energy of the beams of simulated files, and the program that made these."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from oddjets.io.fileset import TREE
from oddjets.io.remote.access import open_file

__all__ = ["OURS", "beam_energy", "is_ours"]

#: beginning of the title of the tree in files of `oddjets simulate`
OURS = "oddjets simulation"
#: events that are looked at
_EVENTS = 100


def is_ours(path: str) -> bool:
    """Return whether a ROOT file was made by `oddjets simulate`, by the title of its tree."""
    with open_file(path) as file:
        return TREE in file and str(file[TREE].title).startswith(OURS)


def beam_energy(path: str) -> float | None:
    """Return the energy of both beams of a NanoAOD file, TeV; None where its events do not tell.

    An incoming parton has the momentum x E: NanoAOD stores both factors (``LHEPart_incomingpz``, ``Generator_x1``).

    Args:
        path: a file that can be read.
    """
    with open_file(path) as file:
        tree: Any = file[TREE]
        names = ["LHEPart_incomingpz", "LHEPart_status", "Generator_x1", "Generator_x2"]
        if any(name not in tree for name in names):
            return None
        found = tree.arrays(names, entry_stop=_EVENTS)
    energies = []
    with suppress(ValueError, IndexError):
        for event in found:
            momenta = np.abs(np.asarray(event.LHEPart_incomingpz)[np.asarray(event.LHEPart_status) == -1])
            fractions = np.array([event.Generator_x1, event.Generator_x2])
            if len(momenta) == 2 and (fractions > 0).all():
                # the product does not depend on which parton is which
                energies.append(2 * float(np.sqrt(momenta.prod() / fractions.prod())))
    return float(np.median(energies)) / 1000 if energies else None
