"""Formulas of jet smearing: reproducible random numbers, resolutions, generator masses.

Functions take and return arrays; jets of the pair have shape (events, 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_r, invariant_mass, momenta

__all__ = ["groomed_gen_mass", "hybrid_smearing", "is_matched", "mass_resolution", "mass_scale", "standard_normal"]

Array = npt.NDArray[np.float64]


def mass_scale(mass: Array, sign: int, size: float) -> Array:
    """Return the soft-drop mass under JMS: m (1 +- size)."""
    return mass * (1.0 + sign * size)


def mass_resolution(mass: Array, gen_mass: Array, sign: int, size: float, noise: Array) -> Array:
    """Return the soft-drop mass under JMR: m' = m + (s - 1)(m - m_gen) with s = 1 +- size.

    Args:
        mass: soft-drop mass, GeV.
        gen_mass: groomed mass of the matched generator jet, GeV; NaN where there is none.
        sign: +1 or -1.
        size: relative size of the resolution's uncertainty.
        noise: standard normal numbers, for jets without a match: those are smeared by an extra
            sqrt(s^2 - 1) x 10 % of the mass (up; a smearing can't undo resolution, so down leaves them).

    Returns:
        The varied mass, GeV, not below 0.
    """
    scale = 1.0 + sign * size
    matched = np.isfinite(gen_mass)
    shifted = mass + (scale - 1.0) * (mass - np.where(matched, gen_mass, 0.0))
    smeared = mass * (1.0 + 0.1 * np.sqrt(max(scale**2 - 1.0, 0.0)) * noise)
    return np.maximum(np.where(matched, shifted, smeared), 0.0)


def standard_normal(
    run: npt.NDArray[Any], block: npt.NDArray[Any], event: npt.NDArray[Any], jet: int | npt.NDArray[Any], stream: str
) -> Array:
    """Return standard normal numbers that depend on (run, luminosityBlock, event, jet) and the stream alone.

    So a jet's smearing is the same for every chunking, executor and order of reading. Two rounds of the splitmix64 mixer
    (Steele, Lea & Flood 2014) over the identifiers, then Box-Muller.

    Args:
        run: shape (n,), integers, as are `block` and `event`.
        block: luminosity block.
        event: event number.
        jet: the jet's number in the event, one for all or shape (n,).
        stream: names the use, so that two uses are independent.
    """
    salt = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")

    def mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    state = np.full(np.shape(event), np.uint64(salt))
    for part in (run, block, event, np.full(np.shape(event), jet)):
        state = mix(state ^ np.asarray(part).astype(np.uint64))
    first, second = mix(state), mix(mix(state) ^ np.uint64(0xD1B54A32D192ED03))
    # 53 bits, never exactly zero
    u = ((first >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    v = ((second >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return np.asarray(np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v))


def is_matched(
    pt: Array, gen_pt: Array, distance: Array, resolution: Array, radius: float = 0.8
) -> npt.NDArray[np.bool_]:
    """Return which jets match their generator jet: distance below half the radius, |pT - pT_gen| < 3 sigma pT.

    Args:
        pt: GeV, any shape; all others broadcast with it.
        gen_pt: of the nearest generator jet, GeV; NaN where there is none.
        distance: to it in (eta, phi).
        resolution: sigma, relative, of simulation.
        radius: of the jets.
    """
    return np.isfinite(gen_pt) & (distance < radius / 2) & (np.abs(pt - gen_pt) < 3 * resolution * pt)


def hybrid_smearing(
    pt: Array, gen_pt: Array, distance: Array, resolution: Array, scale_factor: Array, noise: Array, radius: float = 0.8
) -> Array:
    """Return what multiplies a simulated jet's four-momentum so that its resolution is that of data.

    CMS's hybrid method (arXiv:1607.03663, section 8): where the jet matches a generator jet (`is_matched`), the difference
    is scaled: 1 + (s - 1)(pT - pT_gen) / pT. Elsewhere it is smeared: 1 + sigma sqrt(max(s^2 - 1, 0)) x a standard normal
    number.

    Args:
        pt: GeV, any shape; all others broadcast with it.
        gen_pt: of the nearest generator jet, GeV; NaN where there is none.
        distance: to it in (eta, phi).
        resolution: sigma, relative, of simulation.
        scale_factor: s, resolution in data over that in simulation.
        noise: standard normal numbers.
        radius: of the jets.

    Returns:
        The factor, not below 0.
    """
    matched = is_matched(pt, gen_pt, distance, resolution, radius)
    scaled = 1 + (scale_factor - 1) * (pt - np.where(matched, gen_pt, 0.0)) / pt
    smeared = 1 + resolution * np.sqrt(np.maximum(scale_factor**2 - 1, 0.0)) * noise
    return np.asarray(np.maximum(np.where(matched, scaled, smeared), 0.0))


def groomed_gen_mass(
    jet_eta: Array,
    jet_phi: Array,
    subjets: Mapping[str, npt.NDArray[Any]],
    offsets: npt.NDArray[np.int64],
    radius: float = 0.8,
) -> Array:
    """Return the mass of the summed generator subjets near each jet: the groomed generator mass.

    `GenJetAK8_mass` is not groomed, and `SubGenJetAK8` has no index of its jet: subjets within ``radius`` of the axis of
    the (generator) jet are its own.

    Args:
        jet_eta: shape (events, 2); NaN where there is no generator jet.
        jet_phi: likewise.
        subjets: flat pt, eta, phi, mass (GeV).
        offsets: where each event's subjets start, shape (events + 1,).
        radius: in (eta, phi).

    Returns:
        Shape (events, 2), GeV; NaN where fewer than two subjets are found.
    """
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts)), counts)
    pt, eta, phi, mass = (np.asarray(subjets[k], dtype=np.float64) for k in ("pt", "eta", "phi", "mass"))
    p = momenta(pt, eta, phi, mass)
    out = np.full(jet_eta.shape, np.nan)
    for j in range(jet_eta.shape[1]):
        near = delta_r(eta, phi, jet_eta[owner, j], jet_phi[owner, j]) < radius
        n_near = np.bincount(owner[near], minlength=len(counts))
        sums = [np.bincount(owner[near], weights=component, minlength=len(counts)) for component in p[near].T]
        out[:, j] = np.where(n_near >= 2, invariant_mass(np.stack(sums, axis=-1)), np.nan)
    return out
