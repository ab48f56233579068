"""Inputs of the emulated taggers: displaced tracks around a jet's two prongs, and its substructure.

No input knows the truth, and none is the jet's mass or pT.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import delta_r2
from oddjets.simulation.detector import DetectedCandidates
from oddjets.simulation.jets import FatJets

__all__ = ["INPUTS", "tagging_inputs"]

_TRACK_MIN_PT = 1.0  # GeV; ours, as CMS's taggers
_MAX_D0 = 0.5  # cm; ours: beyond, strange hadrons
_DISPLACED = 3.0  # significance; ours
_N_LARGEST = 3
_PER_PRONG = (
    "significance_1",
    "significance_2",
    "significance_3",
    "n_displaced",
    "displaced_mass",
    "displaced_fraction",
)
INPUTS = (
    *(f"{name}_prong_{k}" for k in (1, 2) for name in _PER_PRONG),
    "tau21",
    "tau32",
    "n_tracks",
    "n_constituents",
)


def tagging_inputs(candidates: DetectedCandidates, jets: FatJets) -> npt.NDArray[np.float64]:
    """Return the taggers' inputs.

    Tracks belong to the nearer of the two soft-drop prongs. The impact parameter's sign is positive where the track
    passes the beam downstream of the prong's direction; its significance enters as sign(S) ln(1 + abs(S)).

    Args:
        candidates: all particle-flow candidates.
        jets: the AK8 jets that they make.

    Returns:
        (jets, inputs), columns as in ``INPUTS``.
    """
    rows, f = jets.clustered.constituents, candidates.floats
    columns = np.stack([f[name][rows] for name in ("pt", "eta", "phi", "d0", "d0Err")], axis=-1).astype(np.float64)
    return np.asarray(
        _inputs(
            jets.clustered.constituent_offsets, columns, candidates.charge[rows] != 0, jets.groomed.subjets, jets.tau
        )
    )


@numba.njit(cache=True)
def _inputs(offsets, tracks, charged, prongs, tau):  # type: ignore[no-untyped-def]
    n_jets = len(offsets) - 1
    result = np.zeros((n_jets, 2 * (_N_LARGEST + 3) + 4))
    for jet in range(n_jets):
        largest = np.full((2, _N_LARGEST), -10.0)
        displaced = np.zeros((2, 4))
        axis_eta, axis_phi, prong_pt = np.zeros(2), np.zeros(2), np.zeros(2)
        for k in range(2):
            p = prongs[jet, k]
            prong_pt[k] = math.hypot(p[0], p[1])
            if prong_pt[k] > 0:
                axis_eta[k], axis_phi[k] = math.asinh(p[2] / prong_pt[k]), math.atan2(p[1], p[0])
        count = np.zeros(2)
        n_tracks = 0
        for i in range(offsets[jet], offsets[jet + 1]):
            pt, eta, phi, d0, error = tracks[i]
            if not charged[i] or pt < _TRACK_MIN_PT:
                continue
            n_tracks += 1
            if abs(d0) > _MAX_D0:
                continue
            near, near_d = 0, np.inf
            for k in range(2):
                d = delta_r2(eta, phi, axis_eta[k], axis_phi[k])
                if prong_pt[k] > 0 and d < near_d:
                    near, near_d = k, d
            s = abs(d0) / error * (1.0 if -d0 * math.sin(phi - axis_phi[near]) > 0 else -1.0)
            x = s
            for m in range(_N_LARGEST):
                if x > largest[near, m]:
                    largest[near, m], x = x, largest[near, m]
            if s > _DISPLACED:
                count[near] += 1
                displaced[near, 0] += pt * math.cos(phi)
                displaced[near, 1] += pt * math.sin(phi)
                displaced[near, 2] += pt * math.sinh(eta)
                displaced[near, 3] += pt * math.cosh(eta)
        for k in range(2):
            first = k * (_N_LARGEST + 3)
            for m in range(_N_LARGEST):
                s = largest[k, m]
                result[jet, first + m] = math.copysign(math.log1p(abs(s)), s)
            q = displaced[k]
            result[jet, first + 3] = count[k]
            squared = q[3] ** 2 - q[0] ** 2 - q[1] ** 2 - q[2] ** 2
            result[jet, first + 4] = math.log1p(math.sqrt(max(squared, 0.0)))
            result[jet, first + 5] = math.hypot(q[0], q[1]) / max(prong_pt[k], 1.0)
        last = 2 * (_N_LARGEST + 3)
        result[jet, last] = tau[jet, 1] / max(tau[jet, 0], 1e-6)
        result[jet, last + 1] = tau[jet, 2] / max(tau[jet, 1], 1e-6)
        result[jet, last + 2] = n_tracks
        result[jet, last + 3] = offsets[jet + 1] - offsets[jet]
    return result
