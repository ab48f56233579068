"""Generator truth in NanoAOD's form: a reduced list of particles, and generator jets."""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numba
import numpy as np

from oddjets.core.kernels import delta_r2
from oddjets.core.kinematics import invariant_mass, pt_eta_phi
from oddjets.core.substructure import soft_drop
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import FAT_RADIUS, cluster_hard_jets
from oddjets.simulation.nanoaod_layout import jagged

__all__ = ["GeneratorJets", "generator_jets", "generator_particles", "match"]

_GEN_JET_MIN_PT = 100.0  # GeV, as NanoAOD
_MATCH_RADIUS = 0.4  # ours


def generator_particles(batch: GeneratedBatch) -> ak.Array:
    """Return ``GenPart``: hard process, top, W, Z, h and the heavy scalar in all their copies, and their decay products.

    Status codes are Pythia's, without sign; of NanoAOD's ``statusFlags`` these bits are set: 0 prompt, 7 hard process,
    8 from hard process, 12 first copy, 13 last copy.

    Args:
        batch: the generated events.

    Returns:
        (events, particles) records.
    """
    c = batch.integers
    keep, mother, flags = _reduce(batch.offsets, c["id"], c["status"], c["mother1"], c["daughter1"], c["daughter2"])
    counts = np.add.reduceat(np.append(keep, False), batch.offsets[:-1]) if len(batch.offsets) > 1 else np.zeros(0)
    pt, eta, phi = pt_eta_phi(batch.momenta[keep])
    return jagged(
        counts.astype(np.int64),
        pt=pt,
        eta=eta,
        phi=phi,
        mass=invariant_mass(batch.momenta[keep]),
        pdgId=c["id"][keep],
        status=np.abs(c["status"][keep]),
        statusFlags=flags[keep],
        genPartIdxMother=mother[keep],
    )


class GeneratorJets(NamedTuple):
    """AK8 jets of stable particles but neutrinos, and their soft-drop prongs; (events, jets) records both."""

    jets: ak.Array
    subjets: ak.Array


def generator_jets(batch: GeneratedBatch) -> GeneratorJets:
    """Cluster ``GenJetAK8`` and their prongs ``SubGenJetAK8``.

    Args:
        batch: the generated events.

    Returns:
        The jets above 100 GeV.
    """
    stable = np.flatnonzero(batch.integers["status"] > 0)
    code = np.abs(batch.integers["id"][stable])
    visible = stable[(code != 12) & (code != 14) & (code != 16)]
    offsets = np.searchsorted(visible, batch.offsets)
    particles = batch.momenta[visible]
    jets = cluster_hard_jets(particles, offsets, FAT_RADIUS, _GEN_JET_MIN_PT)
    pt, eta, phi = pt_eta_phi(jets.momenta)
    counts = np.diff(jets.event_offsets)
    prongs = soft_drop(particles[jets.constituents], jets.constituent_offsets, radius=FAT_RADIUS).subjets.reshape(-1, 4)
    exists = prongs[:, 3] > 0
    event = np.repeat(np.repeat(np.arange(len(counts)), counts), 2)
    sub_pt, sub_eta, sub_phi = pt_eta_phi(prongs[exists])
    return GeneratorJets(
        jagged(counts, pt=pt, eta=eta, phi=phi, mass=invariant_mass(jets.momenta)),
        jagged(
            np.bincount(event[exists], minlength=len(counts)),
            pt=sub_pt,
            eta=sub_eta,
            phi=sub_phi,
            mass=invariant_mass(prongs[exists]),
        ),
    )


@numba.njit(cache=True)
def match(offsets, eta, phi, target_offsets, target_eta, target_phi):  # type: ignore[no-untyped-def]
    """Return for each jet the index, in its event, of the nearest target within 0.4 in (eta, phi); -1 for none.

    Args:
        offsets: (events + 1) where each event's jets begin and end.
        eta: (jets).
        phi: (jets).
        target_offsets: (events + 1) where each event's targets begin and end.
        target_eta: (targets).
        target_phi: (targets).
    """
    result = np.full(len(eta), -1, np.int32)
    for event in range(len(offsets) - 1):
        for i in range(offsets[event], offsets[event + 1]):
            best = _MATCH_RADIUS**2
            for j in range(target_offsets[event], target_offsets[event + 1]):
                distance = delta_r2(eta[i], phi[i], target_eta[j], target_phi[j])
                if distance < best:
                    best = distance
                    result[i] = j - target_offsets[event]
    return result


@numba.njit(cache=True)
def _resonance(pdg):  # type: ignore[no-untyped-def]
    return abs(pdg) in (6, 23, 24, 25, 35)


@numba.njit(cache=True)
def _reduce(offsets, ids, status, mother, first_daughter, last_daughter):  # type: ignore[no-untyped-def]
    n = len(ids)
    keep, index, flags = np.zeros(n, np.bool_), np.full(n, -1, np.int32), np.zeros(n, np.int32)
    kept_index = np.full(n, -1, np.int32)
    for event in range(len(offsets) - 1):
        a = offsets[event]
        kept = 0
        for i in range(a + 1, offsets[event + 1]):
            m = a + mother[i]
            hard = 21 <= abs(status[i]) <= 29
            from_resonance = m > a and _resonance(ids[m])
            if not (hard or _resonance(ids[i]) or from_resonance):
                continue
            keep[i] = True
            kept_index[i] = kept
            kept += 1
            k = m
            while k > a and not keep[k]:
                k = a + mother[k]
            if k > a:
                index[i] = kept_index[k]
            last = True
            if first_daughter[i] > 0:
                for d in range(first_daughter[i], max(first_daughter[i], last_daughter[i]) + 1):
                    if ids[a + d] == ids[i]:
                        last = False
            flags[i] = (
                1
                | (hard << 7)
                | ((hard or from_resonance or _resonance(ids[i])) << 8)
                | ((m <= a or ids[m] != ids[i]) << 12)
                | (last << 13)
            )
    return keep, index, flags
