"""The pileup profile and the event filters.

Pseudo-data and simulation have slightly different profiles, so that a pileup weight has something to correct. Without an
overlay of pileup, only ``PV_npvs`` follows the number of interactions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["EVENT_FILTERS", "PILEUP_DATA", "PILEUP_SIMULATION", "draw_interactions", "draw_pileup"]

#: 2016 UL
EVENT_FILTERS = (
    "goodVertices",
    "globalSuperTightHalo2016Filter",
    "HBHENoiseFilter",
    "HBHENoiseIsoFilter",
    "EcalDeadCellTriggerPrimitiveFilter",
    "BadPFMuonFilter",
    "BadPFMuonDzFilter",
    "eeBadScFilter",
)
#: mean and standard deviation of the normal distribution of the true number of interactions (below 1 it is 1); ours
PILEUP_SIMULATION = (23.0, 7.0)
PILEUP_DATA = (24.5, 7.0)
_VERTEX_EFFICIENCY = 0.7  # ours


def draw_interactions(n: int, is_data: bool, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw ``Pileup_nTrueInt``: the mean of the number of interactions beside the hard one.

    Args:
        n: events.
        is_data: which profile.
        rng: source of randomness.
    """
    mean, sigma = PILEUP_DATA if is_data else PILEUP_SIMULATION
    return np.maximum(rng.normal(mean, sigma, n), 1.0)


def draw_pileup(
    n: int, is_data: bool, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Draw the true number of interactions and, where none are overlaid, the reconstructed vertices that it gives.

    Args:
        n: events.
        is_data: which profile.
        rng: source of randomness.

    Returns:
        ``Pileup_nTrueInt`` and ``PV_npvs``, (n) each.
    """
    true = draw_interactions(n, is_data, rng)
    vertices = 1 + rng.poisson(_VERTEX_EFFICIENCY * true)
    return true.astype(np.float32), vertices.astype(np.int32)
