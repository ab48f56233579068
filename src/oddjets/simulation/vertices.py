"""Vertices of pileup interactions, and the assignment of tracks to the primary vertex.

The hard interaction's vertex is taken to be found, to be the primary one and to lie at z = 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import offsets_from
from oddjets.simulation.detector import DetectedCandidates
from oddjets.simulation.pileup import EventsWithPileup

__all__ = ["Vertices", "find_vertices", "from_primary_vertex"]

#: a vertex needs so many charged particles; CMS asks for more than four degrees of freedom
_MIN_TRACKS = 5
#: two interactions closer than this are one vertex, cm; ours
_SEPARATION = 0.05


class Vertices(NamedTuple):
    """Reconstructed vertices besides the primary one."""

    #: (events + 1) where each event's vertices begin and end
    offsets: npt.NDArray[np.int64]
    #: (vertices) relative to the primary vertex, cm; ascending in each event
    z: npt.NDArray[np.float64]


def find_vertices(overlaid: EventsWithPileup) -> Vertices:
    """Return the vertices that pileup leaves.

    An interaction is one if it has at least five charged particles in the tracker, and if neither the primary vertex nor
    another one, met before along the beam, is within 0.05 cm.

    Args:
        overlaid: events with pileup.
    """
    n_events = len(overlaid.offsets) - 1
    event = np.repeat(np.arange(n_events), np.diff(overlaid.offsets))
    candidate = (overlaid.tracks >= _MIN_TRACKS) & (np.abs(overlaid.z) > _SEPARATION)
    event, z = event[candidate], overlaid.z[candidate]
    order = np.lexsort((z, event))
    event, z = event[order], z[order]
    kept = _separated(event, z)
    counts = np.bincount(event[kept], minlength=n_events)
    return Vertices(offsets_from(counts), z[kept])


def from_primary_vertex(candidates: DetectedCandidates, vertices: Vertices) -> npt.NDArray[np.bool_]:
    """Return which charged candidates belong to the primary vertex: it is the nearest one along the beam.

    Charged candidates above 20 GeV, and those beyond abs(eta) 2.4 within 0.3 cm, belong to it in any case, as in CMS's
    PUPPI (cmssw, Puppi_cff.py: PtMaxCharged, EtaMinUseDeltaZ, DeltaZCut).

    Args:
        candidates: all particle-flow candidates.
        vertices: the other vertices.

    Returns:
        (candidates); False for neutral ones.
    """
    f = candidates.floats
    nearest = _nearest_is_primary(candidates.offsets, f["dz"], vertices.offsets, vertices.z)
    kept = nearest | (f["pt"] > 20.0) | ((np.abs(f["eta"]) > 2.4) & (np.abs(f["dz"]) < 0.3))
    return np.asarray(kept & (candidates.charge != 0))


@numba.njit(cache=True)
def _separated(event, z):  # type: ignore[no-untyped-def]
    kept = np.zeros(len(z), np.bool_)
    last_event, last = -1, 0.0
    for i in range(len(z)):
        if event[i] != last_event or z[i] - last > _SEPARATION:
            kept[i] = True
            last_event, last = event[i], z[i]
    return kept


@numba.njit(cache=True)
def _nearest_is_primary(offsets, dz, vertex_offsets, z):  # type: ignore[no-untyped-def]
    result = np.ones(len(dz), np.bool_)
    for event in range(len(offsets) - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for v in range(vertex_offsets[event], vertex_offsets[event + 1]):
                if abs(dz[i] - z[v]) < abs(dz[i]):
                    result[i] = False
                    break
    return result
