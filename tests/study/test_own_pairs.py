"""Pairs of own jets: blocks, permutations, known processes, tilted assignments; p is uniform where nothing is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kstest

from oddjets.core.errors import OddjetsError
from oddjets.study.density_ratio import ratio_map, ratio_spectrum
from oddjets.study.own_pairs import Known, OwnPairs, blocks_of
from oddjets.study.two_sample import (
    PairProblem,
    TwoSamplePlan,
    compare_samples,
    permutation_problem,
    refuse_constant,
)
from oddjets.study.width_combination import combine_widths, rank_p


def jets(seed=1, number=400, common=0.0):
    rng = np.random.default_rng(seed)
    pt = rng.exponential(100, number) + 400
    shared = rng.normal(size=number)
    x = np.sqrt(common) * shared + np.sqrt(1 - common) * rng.normal(size=(2, number)) + 0.002 * (pt - 500)
    return pt, x


def problem(seed=1, number=400, common=0.0):
    pt, x = jets(seed, number, common)
    pairs = OwnPairs(blocks_of([pt]))
    return PairProblem(np.stack([x[0][pairs.leading], x[1][pairs.subleading]], axis=1), pairs)


def test_blocks_have_each_event_once_and_are_alike():
    rng = np.random.default_rng(2)
    one, two = rng.random(1000), rng.random(1000)
    blocks = blocks_of([one, two], 16)
    assert np.sort(np.concatenate(blocks)).tolist() == list(range(1000))
    assert min(map(len, blocks)) >= 15
    assert np.mean([np.ptp(one[rows]) for rows in blocks]) < 0.2
    assert np.mean([np.ptp(two[rows]) for rows in blocks]) < 0.2


def test_the_reference_is_all_pairs_and_toys_are_assignments():
    pairs = OwnPairs(blocks_of([np.arange(100.0)], 16))
    assert pairs.reference.sum() == pytest.approx(100)
    # the marginal of each jet is that of the data
    assert np.bincount(pairs.leading, pairs.reference) == pytest.approx(np.ones(100))
    assert np.bincount(pairs.subleading, pairs.reference) == pytest.approx(np.ones(100))
    assert pairs.leading[pairs.actual].tolist() == pairs.subleading[pairs.actual].tolist() == list(range(100))
    toy = pairs.toy(np.random.default_rng(3))
    for of_jet in (pairs.leading, pairs.subleading):
        assert np.sort(of_jet[toy]).tolist() == list(range(100))


def test_every_assignment_is_as_probable_and_a_tilt_is_obeyed():
    pairs = OwnPairs([np.arange(3)])
    rng = np.random.default_rng(4)
    tilt = np.random.default_rng(5).normal(size=9)
    orders = list(permutations(range(3)))
    for tilted in (None, tilt):
        seen = np.zeros(6)
        for _ in range(1000):
            rows = pairs.toy(rng, tilted)
            by_leading = dict(zip(pairs.leading[rows].tolist(), pairs.subleading[rows].tolist(), strict=True))
            seen[orders.index(tuple(by_leading[i] for i in range(3)))] += 1
        logs = np.zeros(6) if tilted is None else np.array([sum(tilt[3 * i + o[i]] for i in range(3)) for o in orders])
        expected = np.exp(logs) / np.exp(logs).sum()
        assert seen / 1000 == pytest.approx(expected, abs=0.06)


def test_known_events_are_added_and_take_the_place_of_the_jets_like_theirs():
    known = Known(np.array([0.5, 0.25]), np.array([0, 0]), np.array([[2, 2], [3, 4]]))
    pairs = OwnPairs([np.arange(6), np.arange(6, 12)], known)
    assert pairs.reference.sum() == pytest.approx(12)
    assert pairs.reference[-2:].tolist() == [0.5, 0.25]
    by_leading = np.bincount(pairs.leading, pairs.reference[:-2], 12)
    assert by_leading[2] < 0.4 < 0.9 < by_leading[1]
    rng = np.random.default_rng(6)
    rows = [pairs.toy(rng) for _ in range(2000)]
    assert all(len(one) == 12 for one in rows)
    seen = np.bincount(np.concatenate(rows), minlength=len(pairs)) / 2000
    assert seen[-2:] == pytest.approx([0.5, 0.25], abs=0.05)
    leading = np.bincount(pairs.leading, seen[:-2], 12)
    assert leading[2] == pytest.approx(np.exp(-0.75), abs=0.04)


def test_p_is_uniform_where_the_jets_are_independent_though_both_follow_pt():
    plan = TwoSamplePlan(toys=9, centres=30, functions=8)
    p = [compare_samples(problem(seed, 200), plan).found["min_p"]["p_value"] for seed in range(40)]
    assert kstest(np.array(p) - 0.05, "uniform").pvalue > 1e-3


def test_jets_that_know_of_each_other_are_found_and_where():
    made = problem(7, 600, common=0.35)
    found = compare_samples(made, TwoSamplePlan(toys=99, centres=60, functions=15, workers=2))
    assert found.found["min_p"]["p_value"] == pytest.approx(0.01)
    assert found.found["min_p"]["beyond"]
    assert found.found["extrapolated"]["z"] > 3
    assert found.unconverged == 0
    where = ratio_map(made.x[:, 0], made.x[:, 1], made.reference, made.observed, found.log_ratio)
    sigma = np.array(where["sigma"])
    assert sigma[0, 0] + sigma[-2, -2] + sigma[-1, -1] > 3
    assert sigma[0, -1] + sigma[-1, 0] < -1
    assert np.sum(where["data"]) == 600
    assert np.sum(where["reference"]) == pytest.approx(600)
    # the same correlation in simulation is no sign of a signal
    same = compare_samples(made, TwoSamplePlan(99, centres=60, functions=15), problem(8, 1200, common=0.35))
    assert same.with_residual is not None
    assert same.with_residual["min_p"]["p_value"] > 0.05


def test_two_samples_are_compared_by_permutations():
    rng = np.random.default_rng(9)
    plan = TwoSamplePlan(toys=19, centres=40, functions=12)
    p = [
        compare_samples(permutation_problem(*np.split(rng.normal(size=(700, 2)), [200])), plan).found["mean_p"][
            "p_value"
        ]
        for _ in range(40)
    ]
    assert kstest(np.array(p) - 0.025, "uniform").pvalue > 1e-3
    moved = permutation_problem(rng.normal(0.4, 1, size=(300, 2)), rng.normal(size=(900, 2)))
    found = compare_samples(moved, TwoSamplePlan(toys=99, centres=40, functions=12))
    assert found.found["min_p"]["p_value"] == pytest.approx(0.01)
    others = np.where(np.arange(1200) < 300, 0.0, moved.reference)
    spectrum = ratio_spectrum(moved.x[:, 0], others, moved.observed, found.log_ratio)
    assert sum(spectrum["data"][6:]) > 1.1 * sum(spectrum["reference"][6:])


def test_the_combination_is_that_of_ranks_and_an_extrapolation_is_of_the_chi2():
    rng = np.random.default_rng(10)
    toys = rng.chisquare([10, 12], (999, 2))
    found = combine_widths(np.array([80.0, 12.0]), toys)
    assert found["best"] == 0
    assert found["min_p"] == {"p_value": 0.001, "z": pytest.approx(3.09, abs=0.01), "beyond": True}
    assert found["widths"][1]["p_value"] == rank_p(12.0, toys[:, 1])
    assert found["extrapolated"]["independent_widths"] == pytest.approx(2, abs=0.25)
    alone = found["widths"][0]["p_chi2"]
    assert found["extrapolated"]["p_value"] == pytest.approx(
        alone * found["extrapolated"]["independent_widths"], rel=1e-3
    )
    # beyond the smallest number
    assert combine_widths(np.array([4000.0, 12.0]), toys)["extrapolated"]["z"] == pytest.approx(62.6, abs=0.2)


def test_few_events_and_constant_columns_are_refused():
    with pytest.raises(OddjetsError, match="100 events are too few"):
        compare_samples(problem(1, 100), TwoSamplePlan())
    with pytest.raises(OddjetsError, match="--column b: all events have the same value, 1"):
        refuse_constant(["a", "b"], np.stack([np.arange(5.0), np.ones(5)], axis=1))
