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

from oddjets.simulation.detector import Candidates

__all__ = ["puppi_weights"]

_CONE, _MIN_DISTANCE = 0.4, 0.02  # the latter: arXiv:1407.6013
_TRACKER_ETA = 2.5
#: charged pileup within this abs(eta) and above these pT (GeV; central, forward) describes pileup
_REFERENCE_ETA, _REFERENCE_PT = 2.0, (0.1, 0.5)
_MIN_WEIGHT = 0.01
#: of abs(eta) below 2.5, below 3 and above: factors on median and rms, and smallest weighted pT, GeV, a + b x vertices
_MEDIAN_FACTOR, _RMS_FACTOR = (1.0, 0.90, 0.75), (1.0, 1.20, 0.95)
_MIN_PT, _MIN_PT_SLOPE = (0.2, 1.7, 2.0), (0.015, 0.08, 0.08)
#: neutral candidates above are trusted, linearly more between; GeV
_TRUST_FROM, _TRUST_ALL = 20.0, 200.0


def puppi_weights(
    candidates: Candidates, from_primary: npt.NDArray[np.bool_], n_vertices: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """Return the candidates' weights.

    Args:
        candidates: all particle-flow candidates.
        from_primary: (candidates) whether a charged candidate belongs to the primary vertex.
        n_vertices: (events) reconstructed vertices.

    Returns:
        (candidates) 0 to 1; exactly 1 for charged candidates of the primary vertex and exactly 0 for other charged ones.
        All 1 in an event without charged pileup.
    """
    f = candidates.floats
    weights = np.where(candidates.charge != 0, from_primary, 0.0)
    n_vertices = np.asarray(n_vertices, np.int64)
    _fill(weights, candidates.offsets, f["pt"], f["eta"], f["phi"], candidates.charge, from_primary, n_vertices)
    return weights.astype(np.float32)


@numba.njit(cache=True)
def _alphas(wanted, sources, pt, eta, phi):  # type: ignore[no-untyped-def]
    """Alpha of the wanted rows; -inf where no source is near. Sources are sorted by eta."""
    source_eta = eta[sources]
    result = np.full(len(wanted), -np.inf)
    for k in range(len(wanted)):
        i = wanted[k]
        total = 0.0
        for s in range(np.searchsorted(source_eta, eta[i] - _CONE), len(sources)):
            deta = source_eta[s] - eta[i]
            if deta > _CONE:
                break
            j = sources[s]
            dphi = (phi[i] - phi[j] + math.pi) % (2 * math.pi) - math.pi
            squared = deta * deta + dphi * dphi
            if _MIN_DISTANCE**2 < squared < _CONE**2:
                total += pt[j] ** 2 / squared
        if total > 0:
            result[k] = math.log(total)
    return result


@numba.njit(cache=True)
def _describe(alphas):  # type: ignore[no-untyped-def]
    """Median, and rms of what is not above it; alphas without neighbours do not count."""
    finite = alphas[np.isfinite(alphas)]
    if len(finite) == 0:
        return 0.0, 0.0
    median = np.median(finite)
    left = finite[finite <= median]
    return median, max(math.sqrt(((left - median) ** 2).mean()), 1e-5)


@numba.njit(cache=True)
def _fill(weights, offsets, pt, eta, phi, charge, primary, n_vertices):  # type: ignore[no-untyped-def]
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        order = first + np.argsort(eta[first:last])
        charged_primary = order[primary[order]]
        neutral = charge[order] == 0
        pileup = order[(charge[order] != 0) & ~primary[order]]
        if len(pileup) == 0:
            weights[first:last] = 1.0
            continue
        pileup = pileup[np.abs(eta[pileup]) < _REFERENCE_ETA]
        for forward in range(2):
            sources = order if forward else charged_primary
            inside = (np.abs(eta[order]) >= _TRACKER_ETA) == (forward == 1)
            wanted = order[neutral & inside]
            reference = pileup[pt[pileup] > _REFERENCE_PT[forward]]
            median, rms = _describe(_alphas(reference, sources, pt, eta, phi))
            alphas = _alphas(wanted, sources, pt, eta, phi)
            for k in range(len(wanted)):
                i = wanted[k]
                region = 0 if forward == 0 else (1 if abs(eta[i]) < 3.0 else 2)
                weight = 0.0
                if alphas[k] > _MEDIAN_FACTOR[region] * median and rms > 0:
                    distance = (alphas[k] - _MEDIAN_FACTOR[region] * median) / (_RMS_FACTOR[region] * rms)
                    weight = math.erf(distance / math.sqrt(2.0))  # chi2, one degree of freedom, below distance squared
                if weight * pt[i] < _MIN_PT[region] + _MIN_PT_SLOPE[region] * n_vertices[event] or weight < _MIN_WEIGHT:
                    weight = 0.0
                trust = (pt[i] - _TRUST_FROM) / (_TRUST_ALL - _TRUST_FROM)
                weights[i] = min(max(weight, trust), 1.0)
