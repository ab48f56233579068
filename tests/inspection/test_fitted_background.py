"""The sample of the fitted background: yields, equal weights, and jets that look as where they pass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from oddjets.inspection.fitted_background import (
    BackgroundSample,
    FittedYields,
    composition_weights,
    equal_weights,
    fitted_background,
)
from oddjets.inspection.neighbour_text import said_of_background
from oddjets.inspection.neighbours import compare
from oddjets.inspection.permutations import weighted_divisions


def events(rng, n, first=0.0, second=0.0):
    return {
        "x_1": rng.normal(first, 1, n),
        "x_2": rng.normal(second, 1, n),
        "both": rng.integers(0, 1000, n).astype(float),
    }


def test_events_are_taken_by_their_weights():
    rng = np.random.default_rng(1)
    weights = np.tile([0.0, -1.0, 0.5, 1.0], 5000)
    taken = equal_weights(weights, rng)
    counts = np.bincount(taken % 4, minlength=4)
    assert counts[:2].tolist() == [0, 0]
    assert counts[3] == 5000
    assert counts[2] == pytest.approx(2500, abs=150)
    assert len(equal_weights(np.zeros(3), rng)) == len(equal_weights([], rng)) == 0


def test_each_bin_and_process_has_its_fitted_yield():
    rng = np.random.default_rng(2)
    bins_c, bins_b = rng.integers(-1, 4, 4000), rng.integers(-1, 4, 4000)
    c, b = events(rng, 4000), events(rng, 4000)
    c["bin"], b["bin"] = bins_c.astype(float), bins_b.astype(float)
    top_bins = rng.integers(0, 3, 3000)
    top = events(rng, 3000, 5.0) | {"bin": top_bins.astype(float)}
    top["x_1"] += 10.0
    qcd, fitted = np.array([30.0, 60.0, 0.0]), np.array([10.0, 0.0, 5.0])
    sample = fitted_background(
        (c, bins_c),
        (b, bins_b),
        ("qcd", qcd),
        {"top": (top, top_bins, rng.uniform(0.5, 1, 3000))},
        {"top": fitted},
        rng,
    )
    assert sample.fitted == {"qcd": 90.0, "top": 15.0}
    assert sample.events["qcd"] == pytest.approx(90 * sample.scale, abs=3)
    assert sample.events["top"] == pytest.approx(15 * sample.scale, abs=5 * (15 * sample.scale) ** 0.5)
    assert max(sample.lost.values()) < 0.02
    is_top = sample.columns["x_1"] > 7.5
    first = sample.columns["bin"][: sample.events["qcd"]]
    assert np.bincount(first.astype(int)) == pytest.approx(qcd[:2] * sample.scale, abs=1.01)
    assert not (sample.columns["bin"][is_top] == 1).any()


def test_leading_jets_are_of_c_and_subleading_ones_of_b_and_the_event_of_either():
    rng = np.random.default_rng(3)
    c, b = events(rng, 300, 100.0, 200.0), events(rng, 300, 300.0, 400.0)
    c["both"], b["both"] = np.zeros(300), np.ones(300)
    sample = fitted_background((c, np.zeros(300, int)), (b, np.zeros(300, int)), ("qcd", [20.0]), {}, {}, rng)
    assert sample.scale == pytest.approx(15)
    assert sample.events == {"qcd": 300}
    assert np.abs(sample.columns["x_1"] - 100).max() < 10
    assert np.abs(sample.columns["x_2"] - 400).max() < 10
    assert sample.columns["both"].mean() == pytest.approx(0.5, abs=0.15)
    # no event twice
    assert len(np.unique(sample.columns["x_1"])) == 300


def test_what_is_not_represented_is_said():
    rng = np.random.default_rng(4)
    c, b = events(rng, 100), events(rng, 100)
    zeros, ones = np.zeros(100, int), np.ones(100, int)
    sample = fitted_background((c, zeros), (b, zeros), ("qcd", [10.0, 10.0]), {}, {}, rng)
    assert sample.lost["qcd"] == pytest.approx(0.5)
    none = fitted_background((c, zeros), (b, ones), ("qcd", [10.0, 10.0]), {}, {}, rng)
    assert none.events == {"qcd": 0}
    assert len(none.columns["x_1"]) == 0
    heavy = np.ones(200)
    heavy[0] = 1000.0
    sample = fitted_background(
        (c, zeros), (b, zeros), ("qcd", [0.0]), {"w": (events(rng, 200), np.zeros(200, int), heavy)}, {"w": [5.0]}, rng
    )
    assert sample.lost["w"] > 0.5


def test_p_is_uniform_where_abcd_holds():
    """Jets whose properties know of their own score alone: A is like C's leading jets with B's subleading ones."""
    rng = np.random.default_rng(5)
    smallest = []
    for _ in range(60):
        n = 1200
        passed = rng.random((2, n)) < 0.2
        mass = rng.integers(0, 3, n)
        x = rng.normal(0, 1, (2, n)) + np.where(passed, 0.8, 0.0) + 0.2 * mass
        columns = {"x_1": x[0], "x_2": x[1], "mass": mass, "run": rng.integers(1, 9, n)}
        a, b, c, d = (
            np.flatnonzero((passed[0] == one) & (passed[1] == two)) for one, two in ((1, 1), (0, 1), (1, 0), (0, 0))
        )
        counts = [np.bincount(mass[rows], minlength=3) for rows in (b, c, d)]

        def of(rows, columns=columns):
            return {name: values[rows] for name, values in columns.items()}

        sample = fitted_background(
            (of(c), mass[c]), (of(b), mass[b]), ("qcd", counts[0] * counts[1] / counts[2]), {}, {}, rng
        )
        found = compare(of(a), sample.columns, rng, permutations=99, defining={"mass"})
        smallest.append(found.smallest - rng.uniform(0, 0.01))
    assert kstest(smallest, "uniform").pvalue > 0.01


def test_weights_of_compositions_are_ratios_of_yields_within_their_errors():
    rng = np.random.default_rng(6)
    qcd = FittedYields(np.array([40.0, 20.0]), np.array([8.0, 0.0]), 8.0)
    top = FittedYields(np.array([10.0, 0.0]), np.array([5.0, 3.0]), np.sqrt(34.0))
    process, bins = np.array(["qcd"] * 3 + ["top"]), np.array([0, 0, 1, 0])
    sample = BackgroundSample({}, 1.0, {"qcd": 3, "top": 1}, {}, {}, process, bins)
    weights = composition_weights(sample, [0, 1], {"qcd": qcd, "top": top}, 4000, rng)
    assert weights.shape == (4000, 6)
    window, of_sample = weights[:, :2], weights[:, 2:]
    np.testing.assert_array_equal(of_sample[:, 0], of_sample[:, 1])
    assert of_sample[:, 0].std() == pytest.approx(0.2, rel=0.05)
    assert (of_sample[:, 2] == 1).all()
    assert of_sample[:, 3].min() == 0
    np.testing.assert_allclose(window[:, 0], 0.8 * of_sample[:, 0] + 0.2 * of_sample[:, 3])
    # of a sum with the errors of independent bins, and of bins that go together
    drawn = top.draw(4000, rng)
    assert np.corrcoef(drawn[drawn.min(axis=1) > 0].T)[0, 1] == pytest.approx(0, abs=0.1)
    together = FittedYields(np.array([50.0, 50.0]), np.array([5.0, 3.0]), 8.0).draw(4000, rng)
    assert np.corrcoef(together.T)[0, 1] == pytest.approx(1)
    assert together.sum(axis=1).std() == pytest.approx(8, rel=0.05)


def test_divisions_by_weights_take_events_by_them_and_equal_ones_are_uniform():
    rng = np.random.default_rng(7)
    weights = np.tile([1.0, 1.0, 1.0, 0.0, 3.0, 1.0], (3000, 1))
    drawn = weighted_divisions(1, weights, rng)
    assert drawn[0].tolist() == [0]
    counts = np.bincount(drawn[1:, 0], minlength=6)
    assert counts[3] == 0
    assert counts / 3000 == pytest.approx(weights[0] / 7, abs=0.035)
    pairs = weighted_divisions(2, np.ones((3000, 4)), rng)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert np.bincount(pairs[1:].ravel()) / 3000 == pytest.approx(np.full(4, 0.5), abs=0.04)


def test_a_process_that_is_more_than_fitted_is_a_difference_unless_its_yield_is_not_known():
    rng = np.random.default_rng(8)
    found = dict.fromkeys((0.01, 0.5), 0)
    for _ in range(40):
        # a quarter of the background is another process: here 1.5 times what is fitted
        window = {"x_1": np.append(rng.normal(0, 1, 60), rng.normal(2, 1, 30))}
        process = np.array(["qcd"] * 180 + ["top"] * 60)
        columns = {"x_1": np.append(rng.normal(0, 1, 180), rng.normal(2, 1, 60))}
        sample = BackgroundSample(columns, 3.0, {}, {}, {}, process, np.zeros(240, int))
        for error in found:
            yields = {
                "qcd": FittedYields(np.array([60.0]), np.array([0.0]), 0.0),
                "top": FittedYields(np.array([20.0]), np.array([20 * error]), 20 * error),
            }
            weights = composition_weights(sample, np.zeros(90, int), yields, 99, rng)
            p = compare(window, columns, rng, permutations=99, weights=weights).smallest
            found[error] += p <= 0.05
    assert found[0.01] > found[0.5] + 5


def test_it_is_said_what_is_fitted_and_what_is_not_represented():
    sample = BackgroundSample(
        {}, 3.9, {"qcd": 37, "w": 0}, {"qcd": 9.43, "w": 0.5}, {"qcd": 0.0, "w": 1.0}, np.empty(0), np.empty(0)
    )
    assert said_of_background(sample) == [
        "fitted: 9.43 of qcd, 0.5 of w; 3.9 events stand for each",
        "not represented: 100 % of w",
        "yields vary within their errors from permutation to permutation",
    ]
