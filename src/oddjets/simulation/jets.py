"""AK8 and AK4 jets of candidates or of stable particles, with what PFNano stores of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.clustering import ClusteredJets, SoftDropJets, cluster_jets, n_subjettiness, soft_drop

__all__ = ["FAT_MIN_PT", "FAT_RADIUS", "NARROW_MIN_PT", "NARROW_RADIUS", "FatJets", "build_fat_jets", "eta_phi"]

#: of AK4 jets, which are not stored: trigger and prefiring use them; GeV
NARROW_RADIUS, NARROW_MIN_PT = 0.4, 30.0

FAT_RADIUS = 0.8
#: GeV, as NanoAOD stores AK8 jets
FAT_MIN_PT = 170.0


class FatJets(NamedTuple):
    """AK8 jets of many events; rows are jets."""

    clustered: ClusteredJets
    groomed: SoftDropJets
    #: (jets, 4) tau1 to tau4
    tau: npt.NDArray[np.float64]


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
    jets = cluster_jets(momenta, offsets, FAT_RADIUS, min_pt)
    constituents = momenta[jets.constituents]
    return FatJets(
        jets,
        soft_drop(constituents, jets.constituent_offsets, radius=FAT_RADIUS),
        n_subjettiness(constituents, jets.constituent_offsets, radius=FAT_RADIUS),
    )


def eta_phi(p: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return pT (GeV), eta and phi of momenta (n, 4); eta is 0 where pT is."""
    pt = np.hypot(p[:, 0], p[:, 1])
    eta = np.arcsinh(np.divide(p[:, 2], pt, out=np.zeros_like(pt), where=pt > 0))
    return pt, eta, np.arctan2(p[:, 1], p[:, 0])
