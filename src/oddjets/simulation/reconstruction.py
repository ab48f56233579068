"""Reconstruction of generated events as the collections of PFNano."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import invariant_mass, momenta, offsets_from, positions, pt_eta_phi
from oddjets.simulation.detector import DetectedCandidates, detect
from oddjets.simulation.flavour import heavy_hadrons
from oddjets.simulation.gen_particles import generator_jets, generator_particles, match
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import (
    FAT_RADIUS,
    NARROW_MIN_PT,
    NARROW_RADIUS,
    FatJets,
    build_fat_jets,
    cluster_hard_jets,
)
from oddjets.simulation.leptons import Leptons, electron_level, find_leptons
from oddjets.simulation.nanoaod_layout import jagged, truncate_mantissa
from oddjets.simulation.pileup import Particles, PileupPool, overlay
from oddjets.simulation.pileup_profile import EVENT_FILTERS, draw_interactions, draw_pileup
from oddjets.simulation.prefiring import prefiring_weights
from oddjets.simulation.puppi import puppi_weights
from oddjets.simulation.rho import energy_density
from oddjets.simulation.tagger_inputs import tagging_inputs
from oddjets.simulation.taggers import load_taggers, tag
from oddjets.simulation.trigger import emulate
from oddjets.simulation.vertices import find_vertices, from_primary_vertex

__all__ = [
    "MIN_PT_TWO_JETS",
    "candidate_momenta",
    "reconstruct",
    "stable_particles",
    "stored_candidates",
    "stored_jets",
]

#: events with two AK8 jets above are written, GeV
MIN_PT_TWO_JETS = 300.0
_CANDIDATE_BITS, _JET_BITS = 10, 14
_TIGHT_ID = 2 | 4  # NanoAOD's jetId: tight, and tight with lepton veto; a simulated jet is never noise
_MUON_MIN_PT, _ELECTRON_MIN_PT = 3.0, 5.0  # GeV, as NanoAOD


def reconstruct(
    batch: GeneratedBatch, rng: np.random.Generator, *, is_data: bool, pool: PileupPool | None = None
) -> ak.Array:
    """Simulate the detector's answer to a batch of events.

    Args:
        batch: the generated events.
        rng: source of randomness.
        is_data: leave out everything that data would not have.
        pool: what pileup is drawn from; none: no pileup is overlaid.

    Returns:
        One record an event that has two AK8 jets of more than 300 GeV and, of data, was not lost to prefiring; its
        fields are NanoAOD's collections and branches, except run, luminosityBlock and event.
    """
    if pool is None:
        candidates = detect(*stable_particles(batch), rng)
        rho = _density(candidates)
    else:
        candidates, rho, true_interactions, vertices = _detect_with_pileup(batch, pool, is_data, rng)
    f, p = candidates.floats, candidate_momenta(candidates)
    jets = build_fat_jets(p, candidates.offsets)
    muons = find_leptons(candidates, 13, _MUON_MIN_PT, 0.4, rng)
    electrons = find_leptons(candidates, 11, _ELECTRON_MIN_PT, 0.3, rng)
    narrow = cluster_hard_jets(p, candidates.offsets, NARROW_RADIUS, NARROW_MIN_PT)
    fired = emulate(narrow, jets, muons, f["pt"][muons.rows], rng)
    n = len(candidates.offsets) - 1
    if pool is None:
        true_interactions, vertices = draw_pileup(n, is_data, rng)

    truth_of_jets = {} if is_data else heavy_hadrons(batch, jets)
    fat_jets = stored_jets(jets, tag(tagging_inputs(candidates, jets), load_taggers()), truth_of_jets)
    events: dict[str, ak.Array | npt.NDArray[Any]] = {
        "PFCands": stored_candidates(candidates, jets),
        "FatJetPFCands": _references(jets),
        "Muon": _muons(candidates, muons),
        "Electron": _electrons(candidates, electrons),
        "fixedGridRhoFastjetAll": rho,
        "PV_npvs": vertices,
        **{f"HLT_{path}": decision for path, decision in fired.items()},
        **{f"Flag_{name}": np.ones(n, np.bool_) for name in EVENT_FILTERS},
    }
    prefiring = prefiring_weights(narrow.event_offsets, *pt_eta_phi(narrow.momenta)[:2])
    kept = np.ones(n, np.bool_)
    if is_data:
        kept = rng.random(n) < prefiring.Nom
    else:
        truth = generator_jets(batch)
        fat_jets["genJetAK8Idx"] = ak.unflatten(_nearest(fat_jets, truth.jets), ak.num(fat_jets))
        events |= {
            "GenPart": generator_particles(batch),
            "GenJetAK8": truth.jets,
            "SubGenJetAK8": truth.subjets,
            # Pythia's own events have unit weight here
            "genWeight": np.ones(n, np.float32) if batch.weights is None else batch.weights.astype(np.float32),
            "PSWeight": _lists(batch.shower_weights),
            "LHEScaleWeight": _lists(batch.scale_weights),
            "Pileup_nTrueInt": true_interactions,
            **{f"L1PreFiringWeight_{d}": w.astype(np.float32) for d, w in prefiring._asdict().items()},
        }
    events["FatJet"] = fat_jets
    record = ak.zip(events, depth_limit=1)
    return ak.to_packed(record[kept & (ak.sum(fat_jets.pt > MIN_PT_TWO_JETS, axis=1) >= 2)])


def _detect_with_pileup(
    batch: GeneratedBatch, pool: PileupPool, is_data: bool, rng: np.random.Generator
) -> tuple[DetectedCandidates, npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return candidates of PUPPI weight above zero, the density of all, the true number of interactions, and vertices."""
    # randomness of its own: pileup that leaves nothing in the detector changes nothing
    (pileup_rng,) = rng.spawn(1)
    true_interactions = draw_interactions(len(batch.offsets) - 1, is_data, pileup_rng)
    overlaid = overlay(stable_particles(batch), true_interactions, pool, pileup_rng)
    candidates = detect(*overlaid.particles, rng)
    others = find_vertices(overlaid)
    vertices = (1 + np.diff(others.offsets)).astype(np.int32)
    weights = puppi_weights(candidates, from_primary_vertex(candidates, others), vertices)
    return candidates.with_weights(weights), _density(candidates), true_interactions.astype(np.float32), vertices


def _density(candidates: DetectedCandidates) -> npt.NDArray[np.float32]:
    f = candidates.floats
    return np.asarray(energy_density(candidates.offsets, f["pt"], f["eta"], f["phi"]), np.float32)


def stable_particles(batch: GeneratedBatch) -> Particles:
    """Return offsets, PDG codes, momenta and vertices of the stable particles, as `detect` takes them."""
    stable = batch.integers["status"] > 0
    offsets = offsets_from(stable)[batch.offsets]
    return offsets, batch.integers["id"][stable], batch.momenta[stable], batch.vertices[stable]


def candidate_momenta(candidates: DetectedCandidates) -> npt.NDArray[np.float64]:
    """Return (candidates, 4) px, py, pz, E in GeV, times PUPPI weights."""
    p = momenta(*(candidates.floats[name] for name in ("pt", "eta", "phi", "mass")))
    return p * candidates.puppi_weight[:, None]


def _lists(table: npt.NDArray[np.float64]) -> ak.Array:
    """Make a branch with the same number of values in every event."""
    return jagged(np.full(len(table), table.shape[1]), x=table.ravel()).x


def _nearest(jets: ak.Array, targets: ak.Array) -> npt.NDArray[np.int32]:
    """Return the index of the generator jet of each jet, flat."""

    def columns(collection: ak.Array) -> tuple[npt.NDArray[Any], ...]:
        offsets = offsets_from(ak.to_numpy(ak.num(collection)))
        return offsets, *(ak.to_numpy(ak.flatten(collection[name])) for name in ("eta", "phi"))

    return np.asarray(match(*columns(jets), *columns(targets)), np.int32)


def stored_jets(
    jets: FatJets, tags: dict[str, npt.NDArray[np.float64]], truth: dict[str, npt.NDArray[np.int32]]
) -> ak.Array:
    """Return ``FatJet`` with the precision of files.

    Args:
        jets: of some events.
        tags: fields from taggers, (jets) each.
        truth: integer fields, (jets) each.

    Returns:
        (events, jets) records.
    """
    pt, eta, phi = pt_eta_phi(jets.clustered.momenta)
    n = len(pt)
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": invariant_mass(jets.clustered.momenta),
        "msoftdrop": jets.groomed.mass,
        **{f"tau{k + 1}": jets.tau[:, k] for k in range(4)},
        # anti-kT jets without neighbours are discs
        "area": np.full(n, np.pi * FAT_RADIUS**2),
        **tags,
    }
    return jagged(
        np.diff(jets.clustered.event_offsets),
        **{name: truncate_mantissa(column.astype(np.float32), _JET_BITS) for name, column in columns.items()},
        jetId=np.full(n, _TIGHT_ID, np.int32),
        nConstituents=np.diff(jets.clustered.constituent_offsets).astype(np.int32),
        **truth,
    )


def _constituent_counts(jets: FatJets) -> npt.NDArray[np.int64]:
    """Count the constituents of all jets, (events)."""
    return np.diff(jets.clustered.constituent_offsets[jets.clustered.event_offsets])


def stored_candidates(candidates: DetectedCandidates, jets: FatJets) -> ak.Array:
    """Return ``PFCands``: the candidates of the AK8 jets, jet after jet, with the precision of files.

    Args:
        candidates: of some events.
        jets: of the same events.

    Returns:
        (events, candidates) records.
    """
    rows = jets.clustered.constituents
    return jagged(
        _constituent_counts(jets),
        **{name: truncate_mantissa(c[rows], _CANDIDATE_BITS) for name, c in candidates.floats.items()},
        pdgId=candidates.pdg_id[rows],
        charge=candidates.charge[rows],
        puppiWeight=candidates.puppi_weight[rows],
    )


def _references(jets: FatJets) -> ak.Array:
    """Return pairs of jet and candidate, both counted in the event."""
    n_jets = np.diff(jets.clustered.event_offsets)
    jet = np.arange(len(jets.clustered.momenta)) - np.repeat(jets.clustered.event_offsets[:-1], n_jets)
    counts = _constituent_counts(jets)
    return jagged(
        counts,
        jetIdx=np.repeat(jet, np.diff(jets.clustered.constituent_offsets)),
        pFCandsIdx=positions(0, counts),
    )


def _lepton_columns(candidates: DetectedCandidates, leptons: Leptons) -> dict[str, npt.NDArray[Any]]:
    kinematics = {name: candidates.floats[name][leptons.rows] for name in ("pt", "eta", "phi", "mass")}
    return {**kinematics, "charge": candidates.charge[leptons.rows]}


def _muons(candidates: DetectedCandidates, muons: Leptons) -> ak.Array:
    return jagged(
        muons.counts,
        **_lepton_columns(candidates, muons),
        **{f"{working_point}Id": muons.identified for working_point in ("loose", "medium", "tight")},
        pfRelIso04_all=muons.isolation,
    )


def _electrons(candidates: DetectedCandidates, electrons: Leptons) -> ak.Array:
    columns = _lepton_columns(candidates, electrons)
    return jagged(
        electrons.counts,
        **columns,
        cutBased=electron_level(electrons, columns["pt"], columns["eta"]),
        pfRelIso03_all=electrons.isolation,
    )
