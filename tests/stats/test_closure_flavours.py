"""The factor of flavours in the ABCD closure, against what can be counted by hand, and the benchmark's kinds of jets."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from oddjets.stats.closure_flavours import flavour_coupling, flavour_excess, flavour_part
from oddjets.stats.closure_parts import abcd_constant

FILE = Path(__file__).parents[2] / "benchmarks" / "btag_closure.py"


def letters(number: float, x: float, y: float) -> np.ndarray:
    """Yields in A, B, C, D of independent jets that pass with the probabilities x and y, shape (4, 1)."""
    return number * np.array([[x * y], [(1 - x) * y], [x * (1 - y)], [(1 - x) * (1 - y)]])


#: b b, b light (both orders), light light of jets of different events: a tenth are b jets, which pass more often
PAIRS = np.stack([letters(1, 0.4, 0.4), letters(9, 0.4, 0.05) + letters(9, 0.05, 0.4), letters(81, 0.05, 0.05)])


def test_more_pairs_of_a_kind_couple_the_jets_where_each_pair_is_independent() -> None:
    # three times as many b b as chance makes
    events = PAIRS * np.array([3.0, 1.0, 1.0])[:, None, None]
    assert abcd_constant(events[0]) == pytest.approx(1.0)
    assert abcd_constant(PAIRS.sum(axis=0)) == pytest.approx(1.0)
    # of 102 events 3 are b b, of 100 pairs one
    assert flavour_excess(events, 7 * PAIRS) == pytest.approx([3 / 1.02, 1 / 1.02, 1 / 1.02])
    a, b, c, d = events.sum(axis=0)[:, 0]
    assert flavour_coupling(events, 7 * PAIRS) == pytest.approx(a * d / (b * c))
    assert a * d / (b * c) > 1.15


def test_a_correlation_within_a_pair_of_flavours_is_not_theirs() -> None:
    events = PAIRS.copy()
    events[2] += np.array([1.0, -1.0, -1.0, 1.0])[:, None]
    assert flavour_coupling(events, PAIRS) == pytest.approx(1.0)
    assert abcd_constant(events.sum(axis=0)) > 1.1


def test_a_part_has_the_excess_of_each_kind_and_is_known_where_control_events_are_many() -> None:
    rng = np.random.default_rng(1)
    replicas = 1 + 0.05 * rng.normal(size=(21, 1, 1))
    replicas[0] = 1.0
    # two efficiencies; at the first there are too few events in B and C
    events = np.stack([0.1 * PAIRS[:, None] * replicas, 20 * PAIRS[:, None] * replicas], axis=1)
    found = flavour_part(events, 3 * events, events[:, :, 0], (0.01, 0.05), 0.05)
    assert found["used"] == [False, True]
    assert found["values"] == [None, pytest.approx(1.0)]
    assert found["excess"] == pytest.approx([1.0, 1.0, 1.0])


def test_the_benchmark_knows_jets_by_hadrons_then_by_partons() -> None:
    spec = importlib.util.spec_from_file_location("btag_closure", FILE)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    zeros = np.zeros(3)
    columns = {
        "weight": np.ones(3), "eta_1": zeros, "phi_1": np.full(3, 3.1), "eta_2": zeros, "phi_2": zeros,
        "flavour_1": np.array([5.0, 0.0, 0.0]), "flavour_2": np.array([0.0, 4.0, 0.0]),
        "hard_id_a": np.array([21.0, 21.0, -2.0]), "hard_eta_a": zeros, "hard_phi_a": np.full(3, -3.1),
        "hard_id_b": np.array([21.0, 21.0, 3.0]), "hard_eta_b": np.array([0.0, 0.0, 1.5]), "hard_phi_b": zeros,
    }  # fmt: skip
    made = benchmark.with_codes(columns)
    assert made["code_1"].tolist() == [5, 21, 1]
    assert made["code_2"].tolist() == [21, 4, 0]
    masks = np.array(benchmark.groups(made))
    assert masks.sum(axis=0).tolist() == [1, 1, 1]
    assert [[*benchmark.PAIRS, "other"][i] for i in masks.argmax(axis=0)] == ["bg", "cg", "other"]
