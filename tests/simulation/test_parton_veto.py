"""The parton jets of the early veto against fastjet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.core.kinematics import momenta
from oddjets.core.substructure import cluster_jets, soft_drop
from oddjets.simulation.parton_veto import leading_jets


@settings(max_examples=50)
@given(seed=st.integers(0, 100_000), size=st.integers(2, 60))
def test_leading_jets_are_those_of_fastjet(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    p = momenta(
        rng.exponential(50, size) + 0.1, rng.uniform(-3, 3, size), rng.uniform(-3.1, 3.1, size), np.full(size, 0.3)
    )
    pt, mass = leading_jets(p)
    jets = cluster_jets(p, np.array([0, size]))
    reference = np.hypot(jets.momenta[:, 0], jets.momenta[:, 1])[:2]
    np.testing.assert_allclose(pt[: len(reference)], reference, rtol=1e-9)
    groomed = soft_drop(p[jets.constituents], jets.constituent_offsets).mass[:2]
    np.testing.assert_allclose(mass[: len(groomed)], groomed, rtol=1e-6, atol=1e-3)


def test_one_parton_has_no_second_jet() -> None:
    pt, mass = leading_jets(momenta([100.0], [0.0], [0.0], [20.0]))
    assert pt.tolist() == pytest.approx([100, 0])
    assert mass.tolist() == pytest.approx([20, 0])
