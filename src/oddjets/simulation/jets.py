"""AK8 and AK4 jets of candidates or of stable particles, with what PFNano stores of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import rapidity
from oddjets.core.substructure import ClusteredJets, SoftDropJets, cluster_jets, n_subjettiness, soft_drop

__all__ = [
    "FAT_MIN_PT",
    "FAT_RADIUS",
    "NARROW_MIN_PT",
    "NARROW_RADIUS",
    "FatJets",
    "build_fat_jets",
    "cluster_hard_jets",
]

#: of AK4 jets, which are not stored: trigger and prefiring use them; GeV
NARROW_RADIUS, NARROW_MIN_PT = 0.4, 30.0

FAT_RADIUS = 0.8
_RAPIDITY = 10.0  # what is beyond is put at the edge
#: GeV, as NanoAOD stores AK8 jets
FAT_MIN_PT = 170.0


class FatJets(NamedTuple):
    """AK8 jets of many events; rows are jets."""

    clustered: ClusteredJets
    groomed: SoftDropJets
    #: (jets, 4) tau1 to tau4
    tau: npt.NDArray[np.float64]


def cluster_hard_jets(
    momenta: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64], radius: float, min_pt: float
) -> ClusteredJets:
    """Cluster anti-kT jets above a threshold, leaving out at the start what can be in none of them.

    A particle is left out where the scalar sum of pT within 2 R around it, in rapidity and azimuth, is below the threshold:
    no jet of that pT can contain it. Nor does it hold others back from such a jet, for a hard jet takes what is within R
    before soft particles merge. The jets are those of `cluster_jets`, sooner.

    Args:
        momenta: (particles, 4) px, py, pz, E in GeV.
        offsets: (events + 1) where each event's particles begin and end.
        radius: the jet radius R.
        min_pt: GeV.
    """
    offsets = np.asarray(offsets, np.int64)
    kept = np.flatnonzero(_can_be_in_a_jet(np.ascontiguousarray(momenta), offsets, radius, min_pt))
    jets = cluster_jets(momenta[kept], np.searchsorted(kept, offsets), radius, min_pt)
    return jets._replace(constituents=kept[jets.constituents])


def build_fat_jets(
    momenta: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64], min_pt: float = FAT_MIN_PT
) -> FatJets:
    """Cluster AK8 jets and compute their substructure.

    Args:
        momenta: (particles, 4) px, py, pz, E in GeV.
        offsets: (events + 1) where each event's particles begin and end.
        min_pt: GeV.

    Returns:
        The jets by descending pT.
    """
    jets = cluster_hard_jets(momenta, offsets, FAT_RADIUS, min_pt)
    constituents = momenta[jets.constituents]
    return FatJets(
        jets,
        soft_drop(constituents, jets.constituent_offsets, radius=FAT_RADIUS),
        n_subjettiness(constituents, jets.constituent_offsets, radius=FAT_RADIUS),
    )


@numba.njit(cache=True)
def _can_be_in_a_jet(p, offsets, radius, min_pt):  # type: ignore[no-untyped-def]
    # cells of at least R; the two next ones on each side are all that is within 2 R
    n_y, n_phi = 2 * int(_RAPIDITY / radius) + 1, int(2 * math.pi / radius)
    result = np.zeros(len(p), np.bool_)
    cell_y, cell_phi = np.zeros(len(p), np.int64), np.zeros(len(p), np.int64)
    for event in range(len(offsets) - 1):
        grid = np.zeros((n_y, n_phi))
        for i in range(offsets[event], offsets[event + 1]):
            cell_y[i] = min(max(math.floor(rapidity(p[i]) / radius) + n_y // 2, 0), n_y - 1)
            phi = math.atan2(p[i, 1], p[i, 0]) + math.pi
            cell_phi[i] = min(int(phi / (2 * math.pi) * n_phi), n_phi - 1)
            grid[cell_y[i], cell_phi[i]] += math.hypot(p[i, 0], p[i, 1])
        enough = np.zeros((n_y, n_phi), np.bool_)
        for a in range(n_y):
            for b in range(n_phi):
                total = 0.0
                for c in range(max(a - 2, 0), min(a + 3, n_y)):
                    for d in range(b - 2, b + 3):
                        total += grid[c, d % n_phi]
                enough[a, b] = total >= 0.999 * min_pt  # a sum in another order rounds differently
        for i in range(offsets[event], offsets[event + 1]):
            result[i] = enough[cell_y[i], cell_phi[i]]
    return result
