"""Pileup per particle identification (PUPPI, Bertolini et al., arXiv:1407.6013), as CMS configures it.

A candidate's neighbourhood decides how likely it is to come from the hard interaction: alpha_i = ln sum_j (pT_j / dR_ij)^2
over candidates j with 0.02 < dR < 0.4; j are charged and from the primary vertex for abs(eta_i) < 2.5, and all candidates
beyond. Charged pileup tells how alpha is distributed for pileup: its median and its rms to the left of it. A neutral
candidate's weight is the chi2 distribution function, with one degree of freedom, of its signed distance from that median.

The numbers are those of CMS (cmssw, CommonTools/PileupAlgos, Puppi_cff.py; arXiv:2003.00503). Left out is CMS's small shift
of median and rms by the share of the primary vertex's candidates below the median.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import erf

from oddjets.simulation.detector import DetectedCandidates

__all__ = ["puppi_weights"]

_CONE, _MIN_DISTANCE = 0.4, 0.02  # the latter: arXiv:1407.6013
_TRACKER_ETA = 2.5
#: charged pileup within this abs(eta) and above these pT (GeV; central, forward) describes pileup
_REFERENCE_ETA, _REFERENCE_PT = 2.0, (0.1, 0.5)
_MIN_WEIGHT = 0.01
#: regions of abs(eta), and for each factors on median and rms, and the smallest weighted pT (GeV), a + b x vertices
_ETA_EDGES = (0.0, _TRACKER_ETA, 3.0, np.inf)
_MEDIAN_FACTOR, _RMS_FACTOR = (1.0, 0.90, 0.75), (1.0, 1.20, 0.95)
_MIN_PT, _MIN_PT_SLOPE = (0.2, 1.7, 2.0), (0.015, 0.08, 0.08)
#: neutral candidates above are trusted, linearly more between; GeV
_TRUST_FROM, _TRUST_ALL = 20.0, 200.0


def puppi_weights(
    candidates: DetectedCandidates, from_primary: npt.NDArray[np.bool_], n_vertices: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """Return the candidates' weights.

    Args:
        candidates: all particle-flow candidates.
        from_primary: (candidates) whether a charged candidate belongs to the primary vertex.
        n_vertices: (events) reconstructed vertices.

    Returns:
        (candidates) 0 to 1; exactly 1 for charged candidates of the primary vertex and exactly 0 for other charged ones.
        All are 1 in an event without charged pileup.
    """
    f, charged = candidates.floats, candidates.charge != 0
    n_events = len(candidates.offsets) - 1
    event = np.repeat(np.arange(n_events), np.diff(candidates.offsets))
    pileup = charged & ~from_primary
    weights = np.where(charged, from_primary, 0.0)
    order = np.lexsort((f["eta"], event))
    eta, pt = np.abs(f["eta"]), f["pt"].astype(np.float64)
    for forward, reference_pt in enumerate(_REFERENCE_PT):
        reference = pileup & (eta < _REFERENCE_ETA) & (pt > reference_pt)
        wanted = reference | (~charged & ((eta >= _TRACKER_ETA) == bool(forward)))
        source = np.ones_like(charged) if forward else from_primary
        alphas = np.full(len(pt), -np.inf)
        alphas[order] = _alphas(
            candidates.offsets, pt[order], f["eta"][order], f["phi"][order], wanted[order], source[order]
        )
        described = reference & np.isfinite(alphas)
        median, rms = _median_and_rms(event[described], alphas[described], n_events)
        for region in (1, 2) if forward else (0,):
            inside = np.flatnonzero(~charged & (eta >= _ETA_EDGES[region]) & (eta < _ETA_EDGES[region + 1]))
            at = event[inside]
            distance = (alphas[inside] - _MEDIAN_FACTOR[region] * median[at]) / (_RMS_FACTOR[region] * rms[at])
            # the chi2 distribution function with one degree of freedom, of the squared distance
            weight = erf(np.maximum(distance, 0.0) / np.sqrt(2.0))
            too_soft = weight * pt[inside] < _MIN_PT[region] + _MIN_PT_SLOPE[region] * n_vertices[at]
            weight[too_soft | (weight < _MIN_WEIGHT)] = 0.0
            trust = (pt[inside] - _TRUST_FROM) / (_TRUST_ALL - _TRUST_FROM)
            weights[inside] = np.clip(np.maximum(weight, trust), 0.0, 1.0)
    weights[np.bincount(event[pileup], minlength=n_events)[event] == 0] = 1.0
    return weights.astype(np.float32)


def _median_and_rms(
    event: npt.NDArray[np.int64], alphas: npt.NDArray[np.float64], n_events: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the median of each event's values, and the rms of those not above it; 0 and tiny where there is none."""
    median, rms = np.zeros(n_events), np.full(n_events, 1e-5)
    bounds = np.searchsorted(event, np.arange(n_events + 1))
    for k in np.flatnonzero(np.diff(bounds)):
        values = alphas[bounds[k] : bounds[k + 1]]
        median[k] = np.median(values)
        rms[k] = max(np.sqrt(np.mean((values[values <= median[k]] - median[k]) ** 2)), 1e-5)
    return median, rms


@numba.njit(cache=True)
def _alphas(offsets, pt, eta, phi, wanted, source):  # type: ignore[no-untyped-def]
    """Return alpha of the wanted candidates, -inf where no source is near; candidates are sorted by eta in each event."""
    sums = np.zeros(len(pt))
    for event in range(len(offsets) - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                deta = eta[j] - eta[i]
                if deta > _CONE:
                    break
                forth, back = wanted[i] and source[j], wanted[j] and source[i]
                if not (forth or back):
                    continue
                dphi = abs(phi[i] - phi[j])
                # not by a remainder, for speed: azimuths are in (-pi, pi]
                dphi = min(dphi, 2 * math.pi - dphi)
                squared = deta * deta + dphi * dphi
                if _MIN_DISTANCE**2 < squared < _CONE**2:
                    if forth:
                        sums[i] += pt[j] * pt[j] / squared
                    if back:
                        sums[j] += pt[i] * pt[i] / squared
    return np.log(np.where(sums > 0, sums, 1e-300)) + np.where(sums > 0, 0.0, -np.inf)
