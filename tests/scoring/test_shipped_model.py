"""The model that comes with oddjets gives the numbers of the authors' network, and tells tops from QCD unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.model_card import load_card
from oddjets.scoring.score import class_probabilities
from oddjets.scoring.scorer import Scorer
from oddjets.training.validate.parity import has_tied_neighbours, run_model
from oddjets.training.validate.reference import PaddedJets

CARD = load_card(Path(__file__).resolve().parents[2] / "models" / "omnilearned_small_simulation.yaml")
#: 30 jets of inclusive QCD and 30 of tops from two held-out files: x, pid, add as the model takes them; label; log pT, eta,
#: log mass and multiplicity of the jet; and the logits of OmniLearned 0.2.0's PET2 in float64 with the checkpoint's weights
#: (`oddjets.training.validate.reference`)
DATA = np.load(Path(__file__).parents[1] / "data" / "held_out_jets.npz")


@pytest.fixture(scope="module")
def jets() -> JetConstituents:
    """The jets as scoring takes them from files."""
    assert CARD.species is not None
    x, pid, add, jet_eta = DATA["x"], DATA["pid"], DATA["add"], DATA["jet"][:, 1].astype(np.float64)
    counts = (x[..., 2] != 0).sum(axis=1)
    real = np.arange(x.shape[1]) < counts[:, np.newaxis]
    x, add = x[real].astype(np.float64), add[real].astype(np.float64)
    eta = x[:, 0] + np.repeat(jet_eta, counts)
    pdg_id = np.array(CARD.species.codes)[pid[real]]
    momentum, energy = np.exp(x[:, 2]) * np.cosh(eta), np.exp(x[:, 3])
    return JetConstituents(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        pt=np.exp(x[:, 2]),
        eta=eta,
        phi=x[:, 1],
        mass=np.sqrt(np.maximum(energy**2 - momentum**2, 0)),
        pdg_id=pdg_id,
        charge=np.where(np.isin(np.abs(pdg_id), [11, 13]), -1, 1) * np.sign(pdg_id) * (np.abs(pdg_id) % 2),
        d0=np.arctanh(add[:, 0]),
        d0_error=add[:, 1],
        dz=np.arctanh(add[:, 2]),
        dz_error=add[:, 3],
        puppi_weight=np.ones(len(x)),
        jet_eta=jet_eta,
        jet_phi=np.zeros(len(counts)),
    )


def test_probabilities_are_those_of_the_authors_network() -> None:
    jets = PaddedJets(DATA["x"], DATA["pid"].astype(np.int64), DATA["add"])
    exact = class_probabilities(DATA["logits"], CARD)
    found = class_probabilities(run_model(CARD, jets), CARD)
    apart = has_tied_neighbours(jets)
    assert np.mean(apart) < 0.1
    np.testing.assert_allclose(found[~apart], exact[~apart], rtol=0, atol=CARD.numerics.tolerance)
    assert np.ptp(exact, axis=0).min() > 0.1  # each class is likely somewhere, or the comparison would mean little


def test_scoring_prepares_what_the_training_saw(jets: JetConstituents) -> None:
    exact = class_probabilities(DATA["logits"], CARD)
    difference = np.abs(Scorer(CARD, "cpu").class_probabilities(jets) - exact).max(axis=1)
    # the inputs are made anew, from positions, momenta and lifetimes: a near tie may turn
    assert np.quantile(difference, 0.9) < CARD.numerics.tolerance


def test_tops_are_found_without_their_labels(jets: JetConstituents) -> None:
    assert CARD.trained_on_labelled == ()
    assert CARD.caveat == ""
    top = DATA["label"] == 10
    score = Scorer(CARD, "cpu").score(jets)
    in_order = np.mean(score[top][:, np.newaxis] > score[~top])
    assert in_order == pytest.approx(CARD.metrics["auc_top"], abs=0.12)  # three standard deviations of 30 and 30 jets
