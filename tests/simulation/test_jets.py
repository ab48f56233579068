"""Clustering hard jets only: the jets of the full clustering."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.core.kinematics import momenta
from oddjets.core.substructure import cluster_jets
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import cluster_hard_jets
from oddjets.simulation.reconstruction import stable_particles

SETUPS = [(0.8, 170.0), (0.4, 30.0), (0.8, 100.0)]


def assert_same(p: np.ndarray, offsets: np.ndarray, radius: float, min_pt: float) -> int:
    full, hard = cluster_jets(p, offsets, radius, min_pt), cluster_hard_jets(p, offsets, radius, min_pt)
    for one, two in zip(full, hard, strict=True):
        np.testing.assert_array_equal(one, two)
    return len(full.momenta)


@pytest.mark.parametrize(("radius", "min_pt"), SETUPS)
def test_simulated_events_have_the_same_jets_and_constituents(
    boosted_w: GeneratedBatch, radius: float, min_pt: float
) -> None:
    offsets, _, p, _ = stable_particles(boosted_w)
    assert assert_same(p, offsets, radius, min_pt) > 30


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), hardness=st.floats(0.2, 3.0), setup=st.sampled_from(SETUPS))
def test_clumps_and_a_sea_have_the_same_jets(seed: int, hardness: float, setup: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    radius, min_pt = setup
    n, clumps, events = 60, 4, 3
    total = n * events
    centre = rng.integers(clumps, size=total) + clumps * np.repeat(np.arange(events), n)
    spread, clump_eta = rng.choice([0.05, 0.6, 3.0], total), rng.uniform(-4, 4, clumps * events)
    eta = np.clip(clump_eta[centre] + rng.normal(0, 1, total) * spread, -6, 6)
    phi = rng.uniform(-np.pi, np.pi, clumps * events)[centre] + rng.normal(0, 1, total) * spread
    p = momenta(rng.pareto(1.5, total) * hardness * min_pt / 10, eta, phi, np.full(total, 0.14))
    assert_same(p, np.arange(events + 1) * n, radius, min_pt)


def test_nothing_gives_no_jets() -> None:
    jets = cluster_hard_jets(np.zeros((0, 4)), np.zeros(3, np.int64), 0.8, 100.0)
    assert len(jets.momenta) == 0
    np.testing.assert_array_equal(jets.event_offsets, [0, 0, 0])
