"""The parts of the closure: closed forms, calibrated errors and verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from oddjets.stats.closure_parts import (
    abcd_constant,
    advice,
    closure_parts,
    effective_events,
    extrapolate,
    predicted,
    spread,
    verdict,
)

GRID = (0.002, 0.01, 0.05, 0.1)


def letters(constant, rate=0.1, events=1e4):
    """Expected yields of one bin: both jets pass with this rate, A is off the product by the constant."""
    d = events * (1 - rate) ** 2
    b = c = events * rate * (1 - rate)
    return np.array([[constant * b * c / d], [b], [c], [d]])


def test_the_constant_is_the_ratio_of_sums():
    yields = np.concatenate([letters(1.2), letters(0.8, rate=0.2)], axis=-1)
    prediction = predicted(yields)
    np.testing.assert_allclose(prediction, [yields[1, i] * yields[2, i] / yields[3, i] for i in (0, 1)])
    assert abcd_constant(yields) == pytest.approx((1.2 * prediction[0] + 0.8 * prediction[1]) / prediction.sum())
    empty = yields.copy()
    empty[3, 1] = 0
    assert abcd_constant(empty) == pytest.approx(1.2)
    assert np.isnan(abcd_constant(np.zeros((4, 2))))


def test_the_constant_is_unbiased_where_b_and_c_have_few_events():
    """Bins without events in B or C count: they are as likely as those with more than expected."""
    rng = np.random.default_rng(1)
    truth = np.concatenate([letters(1.0, rate=0.02, events=100)] * 20, axis=-1)
    drawn = rng.poisson(truth, (4000, 4, 20)).astype(float)
    assert np.mean(abcd_constant(drawn) * np.nansum(predicted(drawn), axis=-1)) == pytest.approx(
        truth[0].sum(), rel=0.05
    )
    assert np.mean(np.nansum(predicted(drawn), axis=-1)) == pytest.approx(truth[0].sum(), rel=0.05)


def test_effective_events_are_counts_of_unit_weights_whatever_the_unit():
    yields = letters(1.0)
    expected = (yields[1, 0], yields[1, 0] ** 2 / yields[3, 0])
    assert effective_events(yields, yields) == pytest.approx(expected)
    assert effective_events(0.3 * yields, 0.09 * yields) == pytest.approx(expected)
    assert effective_events(np.zeros((4, 1)), np.zeros((4, 1))) == (0, 0)


def test_a_straight_line_is_found_and_followed_to_the_working_point():
    rng = np.random.default_rng(2)
    x = np.log(np.array(GRID) / 0.005)
    # neighbouring efficiencies share events
    root = 0.02 * np.tril(np.ones((4, 4)))[::-1][:, ::-1]
    found = []
    for _ in range(300):
        measured = 0.9 + 0.03 * x + root @ rng.normal(size=4)
        replicas = measured[:, None] + root @ rng.normal(size=(4, 150))
        points = np.column_stack([measured, replicas])
        found.append(extrapolate(points, GRID, 0.005, np.ones(4, bool)))
    for name, truth in (("value", 0.9), ("slope", 0.03)):
        values = np.array([getattr(one, name) for one in found])
        errors = np.array([getattr(one, "error" if name == "value" else "slope_error") for one in found])
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(300))
        # errors are scaled where chi2 is large by chance, so they are a little too large on average
        assert 0.8 < values.std() / errors.mean() < 1.1
    assert np.mean([one.chi2 for one in found]) == pytest.approx(2.0, abs=0.4)
    assert found[0].ndf == 2


def test_a_line_that_is_not_straight_has_larger_errors():
    x = np.log(np.array(GRID) / 0.005)
    replicas = 0.005 * np.random.default_rng(9).normal(size=(4, 400))
    straight, bent = (
        extrapolate(np.column_stack([y, y[:, None] + replicas]), GRID, 0.005, np.ones(4, bool))
        for y in (0.9 + 0.03 * x, 0.9 + 0.03 * x**2)
    )
    assert straight.chi2 == pytest.approx(0, abs=1e-6)
    assert bent.error == pytest.approx(straight.error * np.sqrt(bent.chi2 / 2), rel=0.01)
    assert bent.chi2 > 20


def test_one_measurement_stands_and_none_is_nan():
    points = np.column_stack([np.full(4, 0.8), 0.8 + 0.1 * np.random.default_rng(3).normal(size=(4, 500))])
    one = extrapolate(points, GRID, 0.002, np.array([False, False, True, False]))
    assert (one.value, one.ndf) == (pytest.approx(0.8), 0)
    assert one.error == pytest.approx(0.1, rel=0.15)
    assert np.isnan(one.slope)
    assert np.isnan(extrapolate(points, GRID, 0.002, np.zeros(4, bool)).value)


def test_the_error_of_replicas_is_their_standard_deviation_without_outliers():
    drawn = np.random.default_rng(4).normal(1.0, 0.2, 4001)
    drawn[:20] = 1e6
    assert spread(drawn) == pytest.approx(0.2, rel=0.06)
    assert np.isnan(spread(np.full(10, np.nan)))


@pytest.mark.parametrize(
    ("constant", "error", "said"),
    [
        (1.0, 0.05, "closes"),
        (1.2, 0.1, "closes"),
        (1.21, 0.1, "inconclusive"),
        (1.0, 0.11, "inconclusive"),
        (1.31, 0.1, "does not close"),
        (0.5, 0.15, "does not close"),
        (0.97, 0.004, "does not close"),
        (None, None, "inconclusive"),
        (float("nan"), 0.1, "inconclusive"),
        (1.0, 0.0, "inconclusive"),
    ],
)
def test_verdicts(constant, error, said):
    assert verdict(constant, error) == said


def replicated(truth, rng, replicas=200):
    """Counts and their bootstrap: each replica a Poisson number about the counts."""
    measured = rng.poisson(truth).astype(float)
    return np.concatenate(
        [measured[:, None], rng.poisson(measured[:, None], (len(truth), replicas, *truth.shape[1:]))], axis=1
    )


def test_the_parts_multiply_to_the_constant_and_its_error_covers():
    rng = np.random.default_rng(5)
    rates = np.sqrt(np.array(GRID))
    found = []
    for _ in range(60):
        events = replicated(np.stack([letters(0.9 * 0.7, r, 2e4) for r in rates]), rng)
        pairs = replicated(np.stack([letters(0.7, r, 1e6) for r in rates]), rng)
        found.append(closure_parts(events, pairs, events[:, 0], GRID, 0.002))
    for one in found:
        assert one["constant"] == pytest.approx(one["structural"]["value"] * one["correlation"]["value"])
        json.dumps(one, allow_nan=False)
    for name, truth in (("structural", 0.7), ("correlation", 0.9)):
        off = [(one[name]["value"] - truth) / one[name]["error"] for one in found]
        assert np.std(off) == pytest.approx(1.0, abs=0.3)
        assert abs(np.mean(off)) < 0.5
    verdicts = [one["verdict"] for one in found]
    assert "closes" not in verdicts
    assert verdicts.count("does not close") > 30
    assert all(found[0][name]["used"] == [True] * 4 for name in ("structural", "correlation", "unmixed"))


def test_few_events_are_not_used_and_decide_nothing():
    rng = np.random.default_rng(6)
    rates = np.sqrt(np.array(GRID))
    events = replicated(np.stack([letters(1.0, r, 1500) for r in rates]), rng)
    found = closure_parts(events, 100 * events, events[:, 0], GRID, 0.002)
    assert found["correlation"]["used"] == [False, True, True, True]
    assert found["structural"]["used"] == [True] * 4
    nothing = closure_parts(events[:1] / 100, events[:1], events[:1, 0] / 100, GRID[:1], 0.002)
    assert (nothing["structural"]["used"], nothing["constant"], nothing["verdict"]) == ([False], None, "inconclusive")
    json.dumps(nothing, allow_nan=False)


def test_advice_follows_closure_and_counts():
    many, few = letters(1.0, 0.1, 1e4)[None], letters(1.0, 0.1, 20)[None]
    off = {"value": 0.6, "error": 0.02}
    assert advice("product", off, None)["treatment"] == "as-published"
    assert advice("union", {"value": 0.99, "error": 0.01}, many)["treatment"] == "as-published"
    assert advice("union", off, many)["treatment"] == "cells"
    assert advice("union", off, few)["treatment"] == "structural"
    assert advice("union", off, np.concatenate([many, few]))["treatment"] == "cells"
    assert advice("unknown", None, None)["treatment"] is None
    assert advice("union", {"value": None, "error": None}, many)["treatment"] is None
