"""A parametric detector like CMS: particles to particle-flow candidates.

Sources of the numbers, by short name:

- Delphes: the Delphes CMS card (``cards/delphes_card_CMS.tcl``, arXiv:1307.6346): tracking efficiencies and momentum
  resolutions, calorimeter resolutions, thresholds, energy fractions, and the granularity where stated below;
- TRK: CMS-TRK-11-001 (arXiv:1405.6569), whose abstract gives, for particles of pT 1-10 GeV in abs(eta) < 1.4,
  transverse impact-parameter resolutions of 90-25 um and longitudinal ones of 150-45 um;
- ours: a choice without a source.

Left out: losses and fakes of tracks in dense jets; confusion (a charged particle with a track deposits nothing, so particle
flow subtracts perfectly); bending of untracked charged particles; bremsstrahlung, conversions and nuclear interactions; the
beam spot's width across the beam, and that calorimeter positions depend on the vertex; reconstruction of the primary vertex
(it is the origin); dead channels and noise. Pileup is in `pileup`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import offsets_from

__all__ = ["DetectedCandidates", "detect"]

# pdg codes of candidates, as CMS writes them
_CHARGED_HADRON, _PHOTON, _NEUTRAL_HADRON, _FORWARD_HADRON = 211, 22, 130, 1
_PION_MASS, _ELECTRON_MASS, _MUON_MASS = 0.13957, 0.000511, 0.10566

_TRACKER_ETA = 2.5  # Delphes
_TRACK_MIN_PT = 0.3  # ours: Delphes has tracks from 0.1 GeV; CMS particle flow needs a few hits more
_CALO_ETA = 5.0  # Delphes
_ECAL_ETA = 2.958  # Delphes' last fine cell; ours: beyond, all energy is measured as hadrons'
_HCAL_ETA = 3.0  # Delphes
#: charged particles without a track that curl up before the calorimeter: 0.3 x 3.8 T x 1.29 m / 2, Delphes' field
_CURL_PT = 0.74
_ECAL_STEP = 0.0174  # Delphes; 360 steps in phi
_ECAL_PHI = 360
_HCAL_STEP = 0.087  # Delphes inside abs(eta) < 1.65; ours: the same everywhere, where Delphes and CMS have larger cells
_HCAL_PHI = 72
_ECAL_MIN, _HCAL_MIN = 0.5, 1.0  # GeV, Delphes
_ECAL_SIGNIFICANCE = 2.0  # Delphes
#: ours: Delphes' 2 would lose every neutral hadron below 9 GeV and then correct the jets' energy, which nothing here does
_HCAL_SIGNIFICANCE = 1.0
_K0_LAMBDA_ECAL = 0.3  # Delphes
# TRK: sigma^2 = constant^2 + (scattering / pT)^2 through the quoted ends, in um and um GeV
_D0_CONSTANT, _D0_SCATTERING = 23.4, 86.9
_DZ_CONSTANT, _DZ_SCATTERING = 42.6, 143.8
_SCATTERING_ETA = 1.4  # beyond, ours: scattering grows as sqrt(cosh eta) (d0) and cosh(eta)^1.5 (dz)
_UM = 1e-4  # cm


class DetectedCandidates(NamedTuple):
    """Particle-flow candidates of many events."""

    #: (events + 1) where each event's candidates begin and end
    offsets: npt.NDArray[np.int64]
    #: (candidates) float32: pt, eta, phi, mass in GeV; d0, d0Err, dz, dzErr in cm (0, -1, 0, -1 for neutrals)
    floats: dict[str, npt.NDArray[np.float32]]
    #: (candidates) 211, 11, 13 with sign; 22 photon, 130 neutral hadron, 1 forward hadron
    pdg_id: npt.NDArray[np.int32]
    #: (candidates) -1, 0, 1
    charge: npt.NDArray[np.int32]
    #: (candidates) PUPPI weight, 0 to 1; momenta in jets and isolation are multiplied by it
    puppi_weight: npt.NDArray[np.float32]

    def with_weights(self, weights: npt.NDArray[np.float32]) -> DetectedCandidates:
        """Return the candidates of PUPPI weight above zero, with their weights."""
        kept = weights > 0
        return DetectedCandidates(
            offsets_from(kept)[self.offsets],
            {name: column[kept] for name, column in self.floats.items()},
            self.pdg_id[kept],
            self.charge[kept],
            weights[kept],
        )


def detect(
    offsets: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int32],
    momenta: npt.NDArray[np.float64],
    vertices: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> DetectedCandidates:
    """Turn stable particles into particle-flow candidates.

    Args:
        offsets: (events + 1) where each event's particles begin and end.
        ids: (particles) PDG codes.
        momenta: (particles, 4) px, py, pz, E in GeV.
        vertices: (particles, 3) production points in mm.
        rng: source of randomness; used in the order of the events.

    Returns:
        The candidates: tracks first, then photons, then neutral hadrons, in each event; PUPPI weights are 1.
    """
    bounds, floats, integers = _detect(offsets, ids, momenta, vertices, rng)
    names = ("pt", "eta", "phi", "mass", "d0", "d0Err", "dz", "dzErr")
    return DetectedCandidates(
        bounds,
        {name: np.ascontiguousarray(floats[:, k]) for k, name in enumerate(names)},
        np.ascontiguousarray(integers[:, 0]),
        np.ascontiguousarray(integers[:, 1]),
        np.ones(len(integers), np.float32),
    )


@numba.njit(cache=True)
def _charge(pdg):  # type: ignore[no-untyped-def]
    """Return the charge of charged particles that live longer than c tau = 10 mm; 0 for all others."""
    a = abs(pdg)
    sign = 1 if pdg > 0 else -1
    if a in (211, 321, 2212, 3222):
        return sign
    if a in (11, 13, 3112, 3312, 3334):
        return -sign
    return 0


@numba.njit(cache=True)
def _tracking_efficiency(a, pt, barrel):  # type: ignore[no-untyped-def]
    """Return the tracking efficiency of Delphes; ``a`` is the absolute PDG code."""
    if a == 13:
        if pt <= 1.0:
            return 0.75 if barrel else 0.70
        return 0.99 if barrel else 0.98
    if a == 11:
        if pt <= 1.0:
            return 0.73 if barrel else 0.50
        if pt <= 100.0:
            return 0.95 if barrel else 0.83
        return 0.99 if barrel else 0.90
    if pt <= 1.0:
        return 0.70 if barrel else 0.60
    return 0.95 if barrel else 0.85


@numba.njit(cache=True)
def _pt_resolution(a, pt, eta):  # type: ignore[no-untyped-def]
    """Return the relative pT resolution as in Delphes after TRK; electrons as hadrons, for CMS adds the ECAL."""
    if eta <= 0.5:
        return math.hypot(0.01, pt * (1.0e-4 if a == 13 else 1.5e-4))
    if eta <= 1.5:
        return math.hypot(0.015, pt * (1.5e-4 if a == 13 else 2.5e-4))
    return math.hypot(0.025, pt * (3.5e-4 if a == 13 else 5.5e-4))


@numba.njit(cache=True)
def _ecal_resolution(energy, eta):  # type: ignore[no-untyped-def]
    """Return the energy resolution of the ECAL in GeV, as in Delphes, with its 0.40 GeV of noise."""
    if eta > 2.5:
        return math.sqrt((energy * 0.107) ** 2 + energy * 2.08**2)
    shape = 1 + 0.64 * eta**2 if eta <= 1.5 else 2.16 + 5.6 * (eta - 2) ** 2
    return shape * math.sqrt((energy * 0.008) ** 2 + energy * 0.11**2 + 0.40**2)


@numba.njit(cache=True)
def _hcal_resolution(energy, eta):  # type: ignore[no-untyped-def]
    """Return the energy resolution of the HCAL in GeV, as in Delphes."""
    if eta <= 3.0:
        return math.sqrt((energy * 0.050) ** 2 + energy * 1.50**2)
    return math.sqrt((energy * 0.130) ** 2 + energy * 2.70**2)


@numba.njit(cache=True)
def _log_normal(mean, sigma, rng):  # type: ignore[no-untyped-def]
    """Draw a positive energy of this mean and width, as Delphes smears calorimeters."""
    if mean <= 0:
        return 0.0
    b = math.sqrt(math.log(1 + (sigma / mean) ** 2))
    return mean * math.exp(b * rng.normal() - 0.5 * b * b)


@numba.njit(cache=True)
def _add_track(floats, integers, n, a, q, pt, eta, phi, v, rng):  # type: ignore[no-untyped-def]
    eta_abs = abs(eta)
    stretch = math.cosh(eta_abs) / math.cosh(_SCATTERING_ETA) if eta_abs > _SCATTERING_ETA else 1.0
    d0_err = _UM * math.hypot(_D0_CONSTANT, _D0_SCATTERING * math.sqrt(stretch) / pt)
    dz_err = _UM * math.hypot(_DZ_CONSTANT, _DZ_SCATTERING * stretch**1.5 / pt)
    # straight line from the production point to the closest approach to the beam, mm to cm
    d0 = 0.1 * (v[1] * math.cos(phi) - v[0] * math.sin(phi))
    dz = 0.1 * (v[2] - (v[0] * math.cos(phi) + v[1] * math.sin(phi)) * math.sinh(eta))
    floats[n, 0] = max(0.1, pt * (1 + _pt_resolution(a, pt, eta_abs) * rng.normal()))
    floats[n, 1], floats[n, 2] = eta, phi
    floats[n, 3] = _ELECTRON_MASS if a == 11 else (_MUON_MASS if a == 13 else _PION_MASS)
    floats[n, 4], floats[n, 5] = d0 + d0_err * rng.normal(), d0_err
    floats[n, 6], floats[n, 7] = dz + dz_err * rng.normal(), dz_err
    integers[n, 0] = -a * q if a in (11, 13) else _CHARGED_HADRON * q
    integers[n, 1] = q


@numba.njit(cache=True)
def _add_towers(floats, integers, n, grid, hit, n_hit, step, n_phi, ecal, rng):  # type: ignore[no-untyped-def]
    """Read out and clear the towers that were hit; positions are uniform within a tower."""
    for h in range(n_hit):
        ie, ip = hit[h] // n_phi, hit[h] % n_phi
        true = grid[ie, ip]
        grid[ie, ip] = 0.0
        eta = -_CALO_ETA + (ie + rng.random()) * step
        phi = -math.pi + (ip + rng.random()) * 2 * math.pi / n_phi
        eta_abs = abs(eta)
        energy = _log_normal(true, _ecal_resolution(true, eta_abs) if ecal else _hcal_resolution(true, eta_abs), rng)
        sigma = _ecal_resolution(energy, eta_abs) if ecal else _hcal_resolution(energy, eta_abs)
        if (
            energy < max(_ECAL_MIN, _ECAL_SIGNIFICANCE * sigma)
            if ecal
            else energy < max(_HCAL_MIN, _HCAL_SIGNIFICANCE * sigma)
        ):
            continue
        floats[n, 0], floats[n, 1], floats[n, 2] = energy / math.cosh(eta), eta, phi
        floats[n, 5] = floats[n, 7] = -1.0
        integers[n, 0] = _PHOTON if ecal else (_NEUTRAL_HADRON if eta_abs < _HCAL_ETA else _FORWARD_HADRON)
        n += 1
    return n


@numba.njit(cache=True)
def _deposit(grid, hit, n_hit, eta, phi, energy, step, n_phi):  # type: ignore[no-untyped-def]
    ie = int((eta + _CALO_ETA) / step)
    ip = min(int((phi + math.pi) / (2 * math.pi) * n_phi), n_phi - 1)
    if grid[ie, ip] == 0.0:
        hit[n_hit] = ie * n_phi + ip
        n_hit += 1
    grid[ie, ip] += energy
    return n_hit


@numba.njit(cache=True)
def _detect(offsets, ids, p, vertices, rng):  # type: ignore[no-untyped-def]
    n_events = len(offsets) - 1
    # a particle makes at most one track or two towers
    floats, integers = np.zeros((2 * len(ids), 8), np.float32), np.zeros((2 * len(ids), 2), np.int32)
    ecal = np.zeros((int(2 * _CALO_ETA / _ECAL_STEP) + 1, _ECAL_PHI))
    hcal = np.zeros((int(2 * _CALO_ETA / _HCAL_STEP) + 1, _HCAL_PHI))
    ecal_hit, hcal_hit = np.zeros(len(ids) + 1, np.int64), np.zeros(len(ids) + 1, np.int64)
    bounds = np.zeros(n_events + 1, np.int64)
    n = 0
    for event in range(n_events):
        n_ecal = n_hcal = 0
        for i in range(offsets[event], offsets[event + 1]):
            a = abs(ids[i])
            pt = math.hypot(p[i, 0], p[i, 1])
            if a in (12, 14, 16) or pt < 0.05:
                continue
            eta, phi = math.asinh(p[i, 2] / pt), math.atan2(p[i, 1], p[i, 0])
            eta_abs = abs(eta)
            if eta_abs >= _CALO_ETA:
                continue
            q = _charge(ids[i])
            if q != 0:
                if (
                    eta_abs < _TRACKER_ETA
                    and pt > _TRACK_MIN_PT
                    and rng.random() < _tracking_efficiency(a, pt, eta_abs <= 1.5)
                ):
                    _add_track(floats, integers, n, a, q, pt, eta, phi, vertices[i], rng)
                    n += 1
                    continue
                if a == 13 or pt < _CURL_PT:
                    continue
            fraction = 1.0 if a in (11, 22) else (_K0_LAMBDA_ECAL if a in (310, 3122) else 0.0)
            if eta_abs >= _ECAL_ETA:
                fraction = 0.0
            if fraction > 0:
                n_ecal = _deposit(ecal, ecal_hit, n_ecal, eta, phi, fraction * p[i, 3], _ECAL_STEP, _ECAL_PHI)
            if fraction < 1:
                n_hcal = _deposit(hcal, hcal_hit, n_hcal, eta, phi, (1 - fraction) * p[i, 3], _HCAL_STEP, _HCAL_PHI)
        n = _add_towers(floats, integers, n, ecal, ecal_hit, n_ecal, _ECAL_STEP, _ECAL_PHI, True, rng)
        n = _add_towers(floats, integers, n, hcal, hcal_hit, n_hcal, _HCAL_STEP, _HCAL_PHI, False, rng)
        bounds[event + 1] = n
    return bounds, floats[:n], integers[:n]
