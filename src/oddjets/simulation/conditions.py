"""What surrounds a collision: pileup profile, energy density, prefiring, event filters.

There is no pileup overlay: the number of interactions is drawn, and only ``PV_npvs`` follows it. Pseudo-data and
simulation have slightly different profiles, so that a pileup weight has something to correct.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["EVENT_FILTERS", "PILEUP_DATA", "PILEUP_SIMULATION", "draw_pileup", "energy_density"]

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
#: mean and standard deviation of the normal distribution (truncated below 1) of the true number of interactions; ours
PILEUP_SIMULATION = (23.0, 7.0)
PILEUP_DATA = (24.5, 7.0)
_VERTEX_EFFICIENCY = 0.7  # ours
_CELL = 0.55  # cell of CMS's fixed grid
_GRID_ETA = 5.0


def draw_pileup(
    n: int, is_data: bool, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Draw the true number of interactions and the reconstructed vertices that it gives.

    Args:
        n: events.
        is_data: which profile.
        rng: source of randomness.

    Returns:
        ``Pileup_nTrueInt`` and ``PV_npvs``, (n) each.
    """
    mean, sigma = PILEUP_DATA if is_data else PILEUP_SIMULATION
    true = np.maximum(rng.normal(mean, sigma, n), 1.0)
    vertices = 1 + rng.poisson(_VERTEX_EFFICIENCY * true)
    return true.astype(np.float32), vertices.astype(np.int32)


@numba.njit(cache=True)
def energy_density(offsets, pt, eta, phi):  # type: ignore[no-untyped-def]
    """Return the median of pT per area over cells of a fixed grid in abs(eta) < 5, GeV: ``fixedGridRhoFastjetAll``.

    Args:
        offsets: (events + 1) where each event's candidates begin and end.
        pt: (candidates) GeV.
        eta: (candidates).
        phi: (candidates).
    """
    n_eta, n_phi = int(2 * _GRID_ETA / _CELL), int(2 * np.pi / _CELL)
    area = (2 * _GRID_ETA / n_eta) * (2 * np.pi / n_phi)
    rho = np.zeros(len(offsets) - 1, np.float32)
    for event in range(len(rho)):
        grid = np.zeros((n_eta, n_phi))
        for i in range(offsets[event], offsets[event + 1]):
            if abs(eta[i]) < _GRID_ETA:
                ie = int((eta[i] + _GRID_ETA) / (2 * _GRID_ETA) * n_eta)
                ip = int((phi[i] + np.pi) / (2 * np.pi) * n_phi)
                grid[min(ie, n_eta - 1), min(ip, n_phi - 1)] += pt[i]
        rho[event] = np.median(grid) / area
    return rho
