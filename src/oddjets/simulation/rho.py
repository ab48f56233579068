"""The energy density of an event."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["energy_density"]

_CELL = 0.55  # cell of CMS's fixed grid
_GRID_ETA = 5.0


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
