"""Scores of jets whose constituents are stored with few bits, as PFNano's, and as components, as in Aspen Open Jets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from oddjets.core import resources
from oddjets.core.kinematics import momenta, offsets_from
from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.model_card import load_card
from oddjets.scoring.scorer import Scorer
from oddjets.selection.aspen_jets import constituents_of

JETS, CONSTITUENTS = 12, 30


@pytest.fixture(scope="module")
def stored() -> JetConstituents:
    """Jets with momenta of few bits: in each some directions are equal, and one constituent has exactly 1 GeV."""
    rng = np.random.default_rng(3)
    n = JETS * CONSTITUENTS
    pt = np.round(rng.exponential(20, n) + 0.5, 1)
    pt[::CONSTITUENTS] = 1
    eta, phi = (np.round(rng.normal(0, 0.2, n) * 64) / 64 for _ in range(2))
    charge = rng.integers(-1, 2, n)
    none = np.where(charge == 0, -1.0, 0.0)
    axes = np.zeros(JETS)
    return JetConstituents(
        offsets=offsets_from(np.full(JETS, CONSTITUENTS)),
        jet_eta=axes,
        jet_phi=axes,
        pt=pt,
        eta=eta,
        phi=phi,
        mass=np.where(charge == 0, 0.0, 0.13957),
        pdg_id=np.where(charge == 0, 22, 211 * charge).astype(np.int32),
        charge=charge.astype(np.int32),
        d0=none,
        d0_error=none,
        dz=none,
        dz_error=none,
        puppi_weight=np.ones(n),
    )


def through_components(jets: JetConstituents, dtype: type) -> JetConstituents:
    """Return jets whose momenta went through components of a type, by the code that reads files of Aspen Open Jets."""
    candidates = np.zeros((JETS, CONSTITUENTS, 11), dtype)
    p = momenta(*(np.asarray(a, np.float64) for a in (jets.pt, jets.eta, jets.phi, jets.mass)))
    rest = (jets.d0, jets.d0_error, jets.dz, jets.dz_error, jets.charge, jets.pdg_id, jets.puppi_weight)
    candidates[:] = np.column_stack([p, *rest]).reshape(JETS, CONSTITUENTS, 11)
    return constituents_of(candidates, jets.jet_eta, jets.jet_phi, Counter())


def test_rounding_of_components_alone_changes_scores(stored: JetConstituents) -> None:
    scorer = Scorer(load_card(resources.find("omnilearned_small_simulation.yaml", "models")), provider="cpu")
    wanted = scorer.score(stored)
    np.testing.assert_allclose(scorer.score(through_components(stored, np.float64)), wanted, atol=1e-6)
    # single precision takes apart what was equal: other neighbours, and 1 GeV that is no padding any more
    single = through_components(stored, np.float32)
    assert np.abs(scorer.score(single) - wanted).max() > 1e-5
    mended = replace(single, pt=stored.pt, eta=stored.eta, phi=stored.phi)
    np.testing.assert_allclose(scorer.score(mended), wanted, atol=1e-6)
