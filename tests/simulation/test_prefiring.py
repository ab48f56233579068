"""Prefiring: the weight is the probability that an event is kept, and pseudo-data are thinned by it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core import resources
from oddjets.simulation import prefiring
from oddjets.simulation.prefiring import prefiring_probability, prefiring_weights
from oddjets.simulation.reconstruction import reconstruct

if TYPE_CHECKING:
    from conftest import Sample

    from oddjets.simulation.generator import GeneratedBatch

JET = st.tuples(st.floats(20, 2000), st.floats(-5, 5))


@given(st.lists(st.lists(JET, max_size=4), min_size=1, max_size=5))
def test_a_weight_is_the_product_over_the_events_jets(events: list[list[tuple[float, float]]]) -> None:
    pt, eta = (np.array([jet[k] for event in events for jet in event], float) for k in range(2))
    weights = prefiring_weights(np.cumsum([0, *map(len, events)]), pt, eta)
    for row, event in enumerate(events):
        single = [float(prefiring_probability(np.array([p]), np.array([e]))[0]) for p, e in event]
        assert weights.Nom[row] == pytest.approx(prod(1 - p for p in single))
    assert np.all(weights.Up <= weights.Nom)
    assert np.all(weights.Nom <= weights.Dn)


@given(JET)
def test_only_forward_jets_prefire_alike_on_both_sides(jet: tuple[float, float]) -> None:
    pt, eta = np.array([jet[0]]), np.array([jet[1]])
    p = prefiring_probability(pt, eta)
    assert p == prefiring_probability(pt, -eta)
    assert 0 <= p <= 0.4
    if not 2 <= abs(eta) < 3 or pt < 30:
        assert prefiring_probability(pt, eta, +1) == 0
    assert prefiring_probability(pt + 100, eta) >= p


def test_the_uncertainty_is_a_fifth_or_the_maps_own() -> None:
    pt, eta = np.array([300.0, 120.0]), np.array([2.9, 2.1])
    nominal = prefiring_probability(pt, eta)
    np.testing.assert_allclose(nominal, [0.4, 0.006])
    np.testing.assert_allclose(prefiring_probability(pt, eta, +1) - nominal, [0.08, 0.005])
    np.testing.assert_allclose(nominal - prefiring_probability(pt, eta, -1), [0.08, 0.005])


def test_templates_carry_weights_and_pseudo_data_none(sample: Sample) -> None:
    events = sample.events("qcd")
    nominal = ak.to_numpy(events.L1PreFiringWeight_Nom)
    assert 0.5 < nominal.mean() < 1
    assert np.all(ak.to_numpy(events.L1PreFiringWeight_Up) <= nominal)
    assert not any(field.startswith("L1PreFiring") for field in sample.events("data").fields)


@pytest.mark.slow
def test_weighted_templates_describe_thinned_pseudo_data(
    boosted_w: GeneratedBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a map so large that a few hundred events show it; the same seed gives both the same detector
    monkeypatch.setattr(prefiring, "_PROBABILITY", np.full((4, 6), 0.6))
    expected, variance, kept, unthinned = 0.0, 0.0, 0, 0
    for seed in range(6):
        weights = ak.to_numpy(reconstruct(boosted_w, np.random.default_rng(seed), is_data=False).L1PreFiringWeight_Nom)
        expected += weights.sum()
        variance += (weights * (1 - weights)).sum()
        unthinned += len(weights)
        kept += len(reconstruct(boosted_w, np.random.default_rng(seed), is_data=True))
    assert unthinned - expected > 6 * np.sqrt(variance)  # the test would see thinning left out
    assert kept == pytest.approx(float(expected), abs=4 * float(np.sqrt(variance)))


def test_the_era_multiplies_by_the_nominal_weight() -> None:
    era = yaml.safe_load(resources.find("simulation", "corrections", None, suffixes=(".yaml",)).read_text())
    assert era["corrections"]["pref"]["nominal"] == "L1PreFiringWeight_Nom"
