"""Jets with known constituents, and models whose logit is a sum over them: what a score rests on is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from oddjets.inspection.constituent_groups import SPECIES, weighted_pt
from oddjets.inspection.displays import species_of
from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.model_card import ModelCard, load_card

CARD = load_card(Path(__file__).resolve().parents[2] / "models" / "omnilearned_small_simulation.yaml")
KINDS = np.array([(211, 1), (-321, -1), (130, 0), (22, 0), (11, -1), (-13, 1)])
#: what a constituent of each species adds to the logit, in the order of SPECIES
WEIGHTS = np.array([0.05, -0.1, 0.03, 0.7, -0.9])


def random_jets(counts: list[int], seed: int = 0) -> JetConstituents:
    """Jets of three prongs; d0 and dz in units of their errors are steeply falling."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    jet = np.repeat(np.arange(len(counts)), counts)
    pdg_id, charge = KINDS[rng.choice(6, n, p=[0.4, 0.1, 0.1, 0.3, 0.05, 0.05])].T
    eta, phi = rng.uniform(-0.4, 0.4, (2, 3, len(counts)))[:, rng.integers(0, 3, n), jet] + rng.normal(0, 0.05, (2, n))
    tracked = charge != 0
    return JetConstituents(
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        pt=np.float32(0.3 + rng.pareto(1.2, n)),
        eta=np.float32(eta),
        phi=np.float32(phi),
        mass=np.float32(np.where(tracked, 0.13957, 0.0)),
        pdg_id=pdg_id,
        charge=charge,
        d0=np.float32(np.where(tracked, 0.003 * rng.standard_t(1.5, n), -1)),
        d0_error=np.float32(np.where(tracked, 0.003, -1)),
        dz=np.float32(np.where(tracked, 0.005 * rng.standard_t(1.5, n), -1)),
        dz_error=np.float32(np.where(tracked, 0.005, -1)),
        puppi_weight=np.float32(rng.choice([0.0, 0.5, 1.0], n, p=[0.1, 0.2, 0.7])),
        jet_eta=np.zeros(len(counts)),
        jet_phi=np.zeros(len(counts)),
    )


class Additive:
    """A model whose logit is a sum over the constituents that it sees."""

    def __init__(self, weight: Callable[[JetConstituents], NDArray[Any]], card: ModelCard = CARD) -> None:
        self.card = card
        self.weight = weight
        self.inferences = 0

    def score(self, jets: JetConstituents) -> NDArray[np.float64]:
        self.inferences += jets.n_jets
        jet = np.repeat(np.arange(jets.n_jets), np.diff(jets.offsets))
        values = np.where(weighted_pt(jets, self.card) > 0, self.weight(jets), 0.0)
        return expit(np.bincount(jet, values, minlength=jets.n_jets))


def by_species(jets: JetConstituents) -> NDArray[np.float64]:
    species = species_of(jets.pdg_id, jets.charge)
    return np.sum([weight * (species == name) for name, weight in zip(SPECIES, WEIGHTS, strict=True)], axis=0)
