"""Trigger paths of 2016, emulated: offline quantities with an online resolution against the path's threshold.

The names are CMS's, the emulation and its resolutions are ours: a few percent of smearing makes turn-ons of realistic
width. Trimming is replaced by soft drop. Paths with b tags are absent.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import delta_r2
from oddjets.core.kinematics import pt_eta_phi
from oddjets.core.substructure import ClusteredJets
from oddjets.simulation.jets import FatJets
from oddjets.simulation.leptons import Leptons

__all__ = ["emulate"]

# relative online resolutions, all ours
_HT_RESOLUTION, _JET_RESOLUTION, _MASS_RESOLUTION, _MUON_RESOLUTION = 0.03, 0.05, 0.10, 0.03
_MUON_EFFICIENCY = 0.9  # plateau, ours
_MUON_ISOLATION = 0.15  # ours
_HT_JET_MIN_PT, _HT_JET_ETA = 40.0, 2.5  # ours, near CMS's (30-40 GeV, 2.5-3)
_WIDE_JET_RADIUS = 1.1  # CMS dijet searches, arXiv:1806.00843


def emulate(
    jets: ClusteredJets,
    fat_jets: FatJets,
    muons: Leptons,
    muon_pt: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> dict[str, npt.NDArray[np.bool_]]:
    """Decide the trigger paths.

    Args:
        jets: the AK4 jets above 30 GeV.
        fat_jets: the AK8 jets.
        muons: the muons.
        muon_pt: (muons) GeV.
        rng: source of randomness.

    Returns:
        Path name without ``HLT_`` -> (events) decision.
    """
    n = len(jets.event_offsets) - 1
    event = np.repeat(np.arange(n), np.diff(jets.event_offsets))
    pt, eta, phi = pt_eta_phi(jets.momenta)
    central = (pt > _HT_JET_MIN_PT) & (np.abs(eta) < _HT_JET_ETA)
    ht = np.bincount(event[central], pt[central], n) * (1 + _HT_RESOLUTION * rng.normal(size=n))
    mjj, deta = _wide_jets(jets.event_offsets, jets.momenta, pt, eta, phi)
    mjj *= 1 + _HT_RESOLUTION * rng.normal(size=n)

    fat_event = np.repeat(np.arange(n), np.diff(fat_jets.clustered.event_offsets))
    fat_pt, fat_eta, _ = pt_eta_phi(fat_jets.clustered.momenta)
    fat_pt = fat_pt * (1 + _JET_RESOLUTION * rng.normal(size=len(fat_pt)))
    fat_mass = fat_jets.groomed.mass * (1 + _MASS_RESOLUTION * rng.normal(size=len(fat_pt)))
    in_fat_ht = (fat_pt > 200.0) & (np.abs(fat_eta) < _HT_JET_ETA)
    fat_ht = np.bincount(fat_event[in_fat_ht], fat_pt[in_fat_ht], n)

    online_pt = pt * (1 + _JET_RESOLUTION * rng.normal(size=len(pt)))
    muon_event = np.repeat(np.arange(n), muons.counts)
    online_muon_pt = muon_pt * (1 + _MUON_RESOLUTION * rng.normal(size=len(muon_pt)))
    fired = (
        muons.identified
        & (muons.isolation < _MUON_ISOLATION)
        & (online_muon_pt > 24.0)
        & (rng.random(len(muon_pt)) < _MUON_EFFICIENCY)
    )

    def any_of(index: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return np.bincount(index[mask], minlength=n) > 0

    return {
        "PFHT800": ht > 800.0,
        "PFHT900": ht > 900.0,
        "PFJet450": any_of(event, online_pt > 450.0),
        "AK8PFJet360_TrimMass30": any_of(fat_event, (fat_pt > 360.0) & (fat_mass > 30.0)),
        "AK8PFHT700_TrimR0p1PT0p03Mass50": (fat_ht > 700.0) & any_of(fat_event, in_fat_ht & (fat_mass > 50.0)),
        "PFHT650_WideJetMJJ900DEtaJJ1p5": (ht > 650.0) & (mjj > 900.0) & (deta < 1.5),
        "PFHT650_WideJetMJJ950DEtaJJ1p5": (ht > 650.0) & (mjj > 950.0) & (deta < 1.5),
        "IsoMu24": any_of(muon_event, fired),
    }


@numba.njit(cache=True)
def _wide_jets(offsets, p, pt, eta, phi):  # type: ignore[no-untyped-def]
    """Return mass and eta distance of the two leading AK4 jets with the jets around them; 0 and inf without two jets."""
    n = len(offsets) - 1
    mass, distance = np.zeros(n), np.full(n, np.inf)
    for event in range(n):
        first = offsets[event]
        if offsets[event + 1] - first < 2:
            continue
        wide = np.zeros((2, 4))
        for j in range(first, offsets[event + 1]):
            r2 = np.zeros(2)
            for k in range(2):
                r2[k] = delta_r2(eta[j], phi[j], eta[first + k], phi[first + k])
            k = 0 if r2[0] < r2[1] else 1
            if r2[k] < _WIDE_JET_RADIUS**2:
                wide[k] += p[j]
        s = wide[0] + wide[1]
        mass[event] = np.sqrt(max(s[3] ** 2 - s[0] ** 2 - s[1] ** 2 - s[2] ** 2, 0.0))
        e0 = np.arcsinh(wide[0, 2] / np.hypot(wide[0, 0], wide[0, 1]))
        e1 = np.arcsinh(wide[1, 2] / np.hypot(wide[1, 0], wide[1, 1]))
        distance[event] = abs(e0 - e1)
    return mass, distance
