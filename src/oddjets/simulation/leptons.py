"""Muons and electrons with their isolation, from particle-flow candidates."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import delta_r2
from oddjets.simulation.detector import DetectedCandidates

__all__ = ["Leptons", "electron_level", "find_leptons"]

#: largest isolation C0 + C1 / pT (GeV) of CMS's cut-based electron identification Fall17-94X-V2, the one of 2016 UL
#: (cmssw, cutBasedElectronID_Fall17_94X_V2_cff.py): C0 of veto, loose, medium, tight, and C1
_BARREL_ISOLATION, _BARREL_SLOPE = (0.198, 0.112, 0.0478, 0.0287), 0.506
_ENDCAP_ISOLATION, _ENDCAP_SLOPE = (0.203, 0.108, 0.0658, 0.0445), 0.963
_BARREL_ETA = 1.479


class Leptons(NamedTuple):
    """Leptons of one flavour in many events; rows are leptons."""

    #: (events) how many
    counts: npt.NDArray[np.int64]
    #: (leptons) rows of the candidates
    rows: npt.NDArray[np.int64]
    #: (leptons) sum of the pT around over the lepton's pT
    isolation: npt.NDArray[np.float64]
    #: (leptons) whether it is identified
    identified: npt.NDArray[np.bool_]


def find_leptons(
    candidates: DetectedCandidates, flavour: int, min_pt: float, cone: float, rng: np.random.Generator
) -> Leptons:
    """Find leptons among the candidates.

    Every candidate of the flavour is a true lepton. It is identified with the efficiency of the Delphes CMS card: muons 0.95
    (abs(eta) < 2.4; above 1 TeV it falls there, and not here); electrons 0.95 (abs(eta) < 1.5) or 0.85; none below 10 GeV.
    Isolation sums candidates by their PUPPI weight (ours; CMS's branches of these names subtract pileup on average).

    Args:
        candidates: all particle-flow candidates.
        flavour: 13 or 11.
        min_pt: GeV.
        cone: radius of the isolation cone.
        rng: source of randomness.

    Returns:
        The leptons in the order of the candidates.
    """
    f = candidates.floats
    rows = np.flatnonzero((np.abs(candidates.pdg_id) == flavour) & (f["pt"] > min_pt))
    event = np.searchsorted(candidates.offsets, rows, side="right") - 1
    eta = np.abs(f["eta"][rows])
    efficiency = np.where(eta < 2.4, 0.95, 0.0) if flavour == 13 else np.where(eta < 1.5, 0.95, 0.85)
    return Leptons(
        np.bincount(event, minlength=len(candidates.offsets) - 1),
        rows,
        _isolation(
            rows, event, candidates.offsets, f["pt"], f["pt"] * candidates.puppi_weight, f["eta"], f["phi"], cone
        ),
        (rng.random(len(rows)) < efficiency) & (f["pt"][rows] > 10.0),
    )


def electron_level(
    electrons: Leptons, pt: npt.NDArray[np.floating], eta: npt.NDArray[np.floating]
) -> npt.NDArray[np.int32]:
    """Return NanoAOD's ``cutBased``: 0 fail, 1 veto, 2 loose, 3 medium, 4 tight.

    Of CMS's identification the emulation has the isolation, which every level includes; an identified electron passes
    all other cuts. So an electron of a jet is rarely identified, as in CMS.

    Args:
        electrons: the electrons, with their isolation in a cone of 0.3.
        pt: (electrons) GeV.
        eta: (electrons).
    """
    barrel = np.abs(eta) < _BARREL_ETA
    slope = np.where(barrel, _BARREL_SLOPE, _ENDCAP_SLOPE)
    limits = np.where(barrel[:, None], _BARREL_ISOLATION, _ENDCAP_ISOLATION) + (slope / pt)[:, None]
    # the limits fall from level to level
    level = (electrons.isolation[:, None] < limits).sum(axis=1)
    return np.where(electrons.identified, level, 0).astype(np.int32)


@numba.njit(cache=True)
def _isolation(rows, event, offsets, pt, weighted_pt, eta, phi, cone):  # type: ignore[no-untyped-def]
    result = np.zeros(len(rows))
    for k in range(len(rows)):
        i = rows[k]
        for j in range(offsets[event[k]], offsets[event[k] + 1]):
            if j != i and delta_r2(eta[i], phi[i], eta[j], phi[j]) < cone**2:
                result[k] += weighted_pt[j]
        result[k] /= pt[i]
    return result
