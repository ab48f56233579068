"""Labels of jets by generator truth: the parton or the whole resonance that a jet contains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import delta_r2
from oddjets.core.kinematics import invariant_mass, pt_eta_phi
from oddjets.simulation.flavour import heavy_hadrons
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import FAT_RADIUS, FatJets
from oddjets.training.class_labels import QCD

__all__ = ["JetTruth", "match_partons", "match_resonances"]

#: PDG codes that are followed to their decay products
_RESONANCES = (6, 8, 23, 24, 25, 32, 34, 35, 36)
_OUTGOING, _GLUON, _CHARM, _BOTTOM = 23, 21, 4, 5  # Pythia's status of outgoing hard partons; PDG codes


class JetTruth(NamedTuple):
    """The truth labels of jets; (jets) each."""

    #: OmniLearned's class; -1: not matched
    label: npt.NDArray[np.int64]
    #: GeV; 0 for QCD
    resonance_mass: npt.NDArray[np.float64]
    #: weakly decaying hadrons in the jet
    b_hadrons: npt.NDArray[np.int32]
    c_hadrons: npt.NDArray[np.int32]


def match_partons(batch: GeneratedBatch, jets: FatJets) -> JetTruth:
    """Label QCD jets: b or c where they hold such a hadron, else by the nearest outgoing parton of the hard process.

    Args:
        batch: the generated events.
        jets: their jets; those without a hard parton within 0.8 are not matched.
    """
    c = batch.integers
    hard = np.flatnonzero(np.abs(c["status"]) == _OUTGOING)
    _, eta, phi = pt_eta_phi(batch.momenta[hard])
    _, jet_eta, jet_phi = pt_eta_phi(jets.clustered.momenta)
    nearest = _nearest(
        jets.clustered.event_offsets, jet_eta, jet_phi, np.searchsorted(hard, batch.offsets), eta, phi, FAT_RADIUS
    )
    light = np.where(np.abs(c["id"][hard][nearest]) == _GLUON, QCD["QCD_g"], QCD["QCD_q"])
    hadrons = heavy_hadrons(batch, jets)
    flavour = hadrons["hadronFlavour"]
    label = np.where(flavour == _BOTTOM, QCD["QCD_b"], np.where(flavour == _CHARM, QCD["QCD_c"], light))
    label = np.where(nearest >= 0, label, -1)
    return JetTruth(label, np.zeros(len(label)), hadrons["nBHadrons"], hadrons["nCHadrons"])


def match_resonances(batch: GeneratedBatch, jets: FatJets, labels: Mapping[tuple[int, int], int]) -> JetTruth:
    """Label jets that hold one whole resonance: it and all its decay products are within 0.8 of the jet's axis.

    Args:
        batch: the generated events.
        jets: their jets.
        labels: (PDG code of the resonance, flavour of its first decay product; 0: any) -> class.
    """
    c = batch.integers
    _, eta, phi = pt_eta_phi(batch.momenta)
    _, jet_eta, jet_phi = pt_eta_phi(jets.clustered.momenta)
    row, flavour = _matched(
        np.array(sorted({code for code, _ in labels})),
        batch.offsets,
        c["id"],
        c["daughter1"],
        c["daughter2"],
        eta,
        phi,
        jets.clustered.event_offsets,
        jet_eta,
        jet_phi,
        FAT_RADIUS,
    )
    code = np.abs(c["id"][row])
    label = np.full(len(row), -1)
    for (resonance, product), index in labels.items():
        label[(row >= 0) & (code == resonance) & ((flavour == product) | (product == 0))] = index
    hadrons = heavy_hadrons(batch, jets)
    mass = np.where(row >= 0, invariant_mass(batch.momenta[row]), 0.0)
    return JetTruth(label, mass, hadrons["nBHadrons"], hadrons["nCHadrons"])


@numba.njit(cache=True)
def _nearest(jet_offsets, jet_eta, jet_phi, offsets, eta, phi, radius):  # type: ignore[no-untyped-def]
    """Return the index of the nearest target of the same event within the radius; -1 for none."""
    result = np.full(len(jet_eta), -1)
    for event in range(len(offsets) - 1):
        for jet in range(jet_offsets[event], jet_offsets[event + 1]):
            best = radius**2
            for i in range(offsets[event], offsets[event + 1]):
                d = delta_r2(eta[i], phi[i], jet_eta[jet], jet_phi[jet])
                if d < best:
                    best, result[jet] = d, i
    return result


@numba.njit(cache=True)
def _last_copy(k, first, ids, d1, d2):  # type: ignore[no-untyped-def]
    """Return the row of a particle after all its recoils and emissions."""
    while True:
        following = -1
        for d in range(d1[k], max(d1[k], d2[k]) + 1):
            if d > 0 and ids[first + d] == ids[k]:
                following = first + d
        if following < 0:
            return k
        k = following


@numba.njit(cache=True)
def _products(k, first, ids, d1, d2):  # type: ignore[no-untyped-def]
    """Return the rows of the partons that a resonance decays to, also through other resonances."""
    found = [0 for _ in range(0)]
    waiting = [k]
    while len(waiting) > 0:
        last = _last_copy(waiting.pop(), first, ids, d1, d2)
        if d1[last] <= 0:
            continue
        for d in range(d1[last], max(d1[last], d2[last]) + 1):
            row = first + d
            if abs(ids[row]) in _RESONANCES:
                waiting.append(row)
            else:
                found.append(row)
    return found


@numba.njit(cache=True)
def _matched(codes, offsets, ids, d1, d2, eta, phi, jet_offsets, jet_eta, jet_phi, radius):  # type: ignore[no-untyped-def]
    """Return for each jet the row of the resonance in it (its last copy), -1 for none, and a decay product's flavour."""
    result, flavour = np.full(len(jet_eta), -1), np.zeros(len(jet_eta), np.int64)
    for event in range(len(offsets) - 1):
        first = offsets[event]
        if jet_offsets[event] == jet_offsets[event + 1]:
            continue
        for k in range(first, offsets[event + 1]):
            if abs(ids[k]) not in codes or _last_copy(k, first, ids, d1, d2) != k:
                continue
            products = _products(k, first, ids, d1, d2)
            for jet in range(jet_offsets[event], jet_offsets[event + 1]):
                near = delta_r2(eta[k], phi[k], jet_eta[jet], jet_phi[jet]) < radius**2
                for q in products:
                    is_parton = abs(ids[q]) <= 5 or abs(ids[q]) == 21
                    near &= is_parton and delta_r2(eta[q], phi[q], jet_eta[jet], jet_phi[jet]) < radius**2
                if near and len(products) > 1:
                    result[jet], flavour[jet] = k, abs(ids[products[0]])
    return result, flavour
