"""Four-momenta, distances in (eta, phi) and offsets of jagged arrays.

Where results of another order of operations are wanted bit by bit, the formula stands there with its reason.
`oddjets.core.kernels` has what numba's functions call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["delta_phi", "delta_r", "invariant_mass", "momenta", "offsets_from", "positions", "pt_eta_phi"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def delta_phi(a: Any, b: Any) -> Any:
    """Return the difference of azimuths a - b, in [-pi, pi): of numbers or of arrays, in the type that they have."""
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def delta_r(
    eta_a: npt.NDArray[Any], phi_a: npt.NDArray[Any], eta_b: npt.NDArray[Any], phi_b: npt.NDArray[Any]
) -> Floats:
    """Return distances in (eta, phi).

    Args:
        eta_a: pseudorapidities; all four have shapes that broadcast.
        phi_a: azimuths.
        eta_b: pseudorapidities.
        phi_b: azimuths.
    """
    # a damaged jet of infinite eta, whose generator jet has it too: its distance is NaN, near to nothing
    with np.errstate(invalid="ignore"):
        return np.asarray(np.hypot(eta_a - eta_b, delta_phi(phi_a, phi_b)), np.float64)


def momenta(pt: npt.ArrayLike, eta: npt.ArrayLike, phi: npt.ArrayLike, mass: npt.ArrayLike) -> Floats:
    """Return Cartesian four-momenta in double precision.

    Args:
        pt: transverse momenta in GeV, (n,).
        eta: pseudorapidities, (n,).
        phi: azimuths, (n,).
        mass: masses in GeV, (n,).

    Returns:
        (n, 4): px, py, pz, E in GeV.
    """
    pt, eta, phi, mass = (np.asarray(x, np.float64) for x in (pt, eta, phi, mass))
    return np.stack(
        [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)], axis=-1
    )


def pt_eta_phi(p: Floats) -> tuple[Floats, Floats, Floats]:
    """Return transverse momenta (GeV), pseudorapidities and azimuths, (n,) each.

    Args:
        p: (n, 3 or 4) px, py, pz in GeV and what follows. Pseudorapidity is 0 where the transverse momentum is.
    """
    pt = np.hypot(p[:, 0], p[:, 1])
    eta = np.arcsinh(np.divide(p[:, 2], pt, out=np.zeros_like(pt), where=pt > 0))
    return pt, eta, np.arctan2(p[:, 1], p[:, 0])


def invariant_mass(p: Floats) -> Floats:
    """Return the masses of four-momenta (..., 4) = px, py, pz, E; rounding below zero gives zero."""
    squared = p[..., 3] ** 2 - p[..., 0] ** 2 - p[..., 1] ** 2 - p[..., 2] ** 2
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), np.float64)


def offsets_from(counts: npt.ArrayLike) -> Integers:
    """Return where each list begins and ends in an array of all entries, (n + 1,).

    Args:
        counts: entries of each list, (n,); a mask counts as ones and zeros.
    """
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def positions(starts: Integers | int, counts: npt.NDArray[np.integer]) -> Integers:
    """Return start, start + 1, ... of each list, ``counts`` of them, list after list, (sum of counts,).

    Args:
        starts: of each list, (n,), or of all.
        counts: how many of each, (n,).
    """
    first = np.cumsum(counts, dtype=np.int64) - counts
    return np.asarray(np.arange(counts.sum()) + np.repeat(starts - first, counts), np.int64)
