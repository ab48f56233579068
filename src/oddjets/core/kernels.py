"""Kinematics of single particles for functions compiled by Numba.

What numba keeps on disk (``__pycache__``) of a function does not notice that another module changed: who changes a formula
here or in `oddjets.core.kinematics` removes it.
"""

from __future__ import annotations

import math

import numba

from oddjets.core import kinematics

__all__ = ["delta_phi", "delta_r2", "rapidity"]

delta_phi = numba.njit(cache=True)(kinematics.delta_phi)


@numba.njit(cache=True)
def delta_r2(eta_a, phi_a, eta_b, phi_b):  # type: ignore[no-untyped-def]
    """Return the squared distance in (eta, phi), or in (y, phi)."""
    return (eta_a - eta_b) ** 2 + delta_phi(phi_a, phi_b) ** 2


@numba.njit(cache=True)
def rapidity(p):  # type: ignore[no-untyped-def]
    """Return the rapidity of a momentum px, py, pz, E."""
    # E >= |pz| up to rounding; the tiny term keeps a massless particle along the beam finite
    return 0.5 * math.log((p[3] + p[2] + 1e-20) / max(p[3] - p[2], 1e-20))
