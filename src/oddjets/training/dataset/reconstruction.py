"""Reconstruction of generated events as labelled jets with the model's input features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import offsets_from, positions
from oddjets.scoring.inputs import ConstituentIndex, prepare, take_constituents
from oddjets.scoring.model_card import ModelCard
from oddjets.simulation.detector import detect
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import build_fat_jets
from oddjets.simulation.reconstruction import candidate_momenta, stable_particles, stored_candidates, stored_jets
from oddjets.training.dataset.truth_labels import match_partons, match_resonances
from oddjets.training.export.pairs import MAX_CONSTITUENTS
from oddjets.training.export.published_card import published_description

__all__ = ["CARD", "INFO", "MAX_ABS_ETA", "MIN_MASS", "MIN_PT", "TrainingJets", "reconstruct_jets"]

#: jets that are kept: pT and soft-drop mass in GeV; the selection of the analysis is inside
MIN_PT, MAX_ABS_ETA, MIN_MASS = 400.0, 2.4, 20.0
#: columns of the dataset ``info``; masses and pT in GeV
INFO = (
    "pt",
    "eta",
    "phi",
    "msoftdrop",
    "mass",
    "tau1",
    "tau2",
    "tau3",
    "tau4",
    "n_constituents",
    "label",
    "resonance_mass",
    "n_b_hadrons",
    "n_c_hadrons",
    "event",
)
#: how OmniLearned takes constituents; the model that this would describe is yet to be trained
CARD = ModelCard.model_validate(
    published_description("small")
    | {
        "name": "training",
        "file": "training.onnx",
        "sha256": "0" * 64,
        "opset": 20,
        "output": {"name": "logits", "kind": "logits", "n_classes": 210, "softmax": "0-199"},
        "numerics": {"reference": "none", "tolerance": 0.0},
    }
)


class TrainingJets(NamedTuple):
    """Jets with their constituents as model inputs; rows are jets."""

    #: (jets, 150, 9) float32, zero beyond the last constituent
    data: npt.NDArray[np.float32]
    #: (jets, columns of `INFO`) float64
    info: npt.NDArray[np.float64]


def reconstruct_jets(
    batch: GeneratedBatch, labels: Mapping[tuple[int, int], int], rng: np.random.Generator, first_event: int
) -> TrainingJets:
    """Simulate the detector's answer to events, and keep the jets that pass the selection and are matched.

    Args:
        batch: the generated events.
        labels: see `Recipe`.
        rng: source of randomness.
        first_event: the number of the batch's first event.
    """
    candidates = detect(*stable_particles(batch), rng)
    jets = build_fat_jets(candidate_momenta(candidates), candidates.offsets, MIN_PT)
    truth = match_resonances(batch, jets, labels) if labels else match_partons(batch, jets)
    stored = stored_jets(jets, {}, {})
    column = {name: ak.to_numpy(ak.flatten(stored[name])).astype(np.float64) for name in stored.fields}
    column |= {
        "n_constituents": column["nConstituents"],
        "label": truth.label,
        "resonance_mass": truth.resonance_mass,
        "n_b_hadrons": truth.b_hadrons,
        "n_c_hadrons": truth.c_hadrons,
        "event": first_event + np.repeat(np.arange(len(stored)), ak.to_numpy(ak.num(stored))),
    }
    chosen = (column["pt"] > MIN_PT) & (np.abs(column["eta"]) < MAX_ABS_ETA) & (column["msoftdrop"] > MIN_MASS)
    rows = np.flatnonzero(chosen & (truth.label >= 0))
    info = np.stack([column[name] for name in INFO], axis=-1, dtype=np.float64)[rows]
    data = _features(stored_candidates(candidates, jets), jets.clustered.constituent_offsets, rows, column)
    return TrainingJets(data, info)


def _features(
    candidates: ak.Array,
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    column: dict[str, npt.NDArray[np.float64]],
) -> npt.NDArray[np.float32]:
    """Return the inputs that scoring would prepare for these jets, (jets, 150, 9)."""
    flat = ak.flatten(candidates)
    branches = {name: ak.to_numpy(flat[name]) for name in flat.fields}
    counts = np.diff(offsets)[rows]
    index = ConstituentIndex(positions(offsets[:-1][rows], counts), offsets_from(counts))
    jets = take_constituents(index, branches, column["eta"][rows], column["phi"][rows])
    tensors = prepare(jets, CARD).tensors(np.arange(len(rows)), MAX_CONSTITUENTS)
    species = tensors["pid"][..., np.newaxis].astype(np.float32)
    return np.concatenate([tensors["x"], species, tensors["add"]], axis=-1)
