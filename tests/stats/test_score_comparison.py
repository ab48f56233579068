"""What compares scores: closed forms, SciPy, brute force, and pseudo-experiments for the errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from oddjets.stats.score_comparison import (
    area_under_curve,
    efficiency,
    find_cuts,
    gain,
    least_tail,
    overlap,
    rank_correlation,
    thresholds,
)
from oddjets.stats.score_comparison import improvement as improvement_at
from oddjets.stats.score_comparison import rejection as rejection_at

#: the tail probability of signal is that of background to this power, with scores that are exponential
POWER = 0.4


def draw(rng, signal=1000, background=4000):
    return rng.exponential(1 / POWER, signal), np.ones(signal), rng.exponential(1.0, background), np.ones(background)


def improvement(signal, s, background, b, fraction):
    return improvement_at(signal, s, find_cuts(background, b, [fraction])[0])


def rejection(signal, s, background, b, target):
    return rejection_at(background, b, find_cuts(signal, s, [target])[0])


def integers(size, least, most):
    return st.lists(st.integers(least, most), min_size=size, max_size=size).map(np.array)


samples = st.integers(4, 30).flatmap(lambda n: st.tuples(integers(n, -3, 3), integers(n, -3, 3), integers(n, 1, 4)))


@settings(max_examples=50)
@given(samples)
def test_a_whole_weight_counts_as_so_many_events(sample):
    first, second, weights = sample
    copies = [np.repeat(scores, weights).astype(float) for scores in (first, second)]
    found = rank_correlation(first.astype(float), second.astype(float), weights.astype(float))
    if np.ptp(copies[0]) == 0 or np.ptp(copies[1]) == 0 or found.events <= 3:
        assert np.isnan(found.value)
    else:
        assert found.value == pytest.approx(scipy_stats.spearmanr(*copies).statistic, abs=1e-12)


@settings(max_examples=50)
@given(samples, samples)
def test_the_area_counts_pairs(one, other):
    signal, background = one[0].astype(float), other[0].astype(float)
    s, b = one[2].astype(float), other[2].astype(float)
    pairs = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    assert area_under_curve(signal, s, background, b).value == pytest.approx(s @ pairs @ b / (s.sum() * b.sum()))


def test_the_error_of_the_area_is_that_of_delong():
    rng = np.random.default_rng(1)
    signal, s, background, b = draw(rng, 40, 60)
    pairs = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    # the published formula has the sample variances, with n - 1
    published = pairs.mean(axis=1).var(ddof=1) / 40 + pairs.mean(axis=0).var(ddof=1) / 60
    ours = area_under_curve(signal, s, background, b).up ** 2
    assert ours == pytest.approx(published, rel=0.03)


def test_the_area_has_its_closed_form():
    found = area_under_curve(*draw(np.random.default_rng(2), 20_000, 20_000))
    # the integral of x^POWER
    assert found.value == pytest.approx(1 / (1 + POWER), abs=3 * found.up)
    assert found.up < 0.003


@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.1, 10))
def test_equal_weights_have_the_interval_of_clopper_and_pearson(passing, others, weight):
    number = passing + others
    found = efficiency(np.arange(number) < passing, np.full(number, weight))
    reference = scipy_stats.binomtest(passing, number).proportion_ci(0.6826894921370859, "exact")
    assert found.value == pytest.approx(passing / number)
    # where all or none pass SciPy's is one-sided at the same level on each side
    assert found.value - found.down == pytest.approx(reference.low, abs=1e-9)
    assert found.value + found.up == pytest.approx(reference.high, abs=1e-9)
    assert found.events == pytest.approx(passing)


def test_no_events_have_no_efficiency():
    found = efficiency(np.zeros(0, bool), np.zeros(0))
    assert np.isnan(found.value)
    assert found.events == 0


def test_weights_that_differ_widen_the_interval_as_a_bootstrap_says():
    rng = np.random.default_rng(3)
    weights = rng.exponential(1.0, 2000)
    # those that pass are heavier: one effective number for all events would be wrong
    passing = rng.random(2000) < 0.1
    weights[passing] *= 3
    found = efficiency(passing, weights)
    counts = rng.poisson(1.0, (1000, 2000))
    shares = (counts @ (weights * passing)) / (counts @ weights)
    # Clopper-Pearson's covers at least as much as is asked
    assert 0.97 * shares.std() < (found.up + found.down) / 2 < 1.12 * shares.std()
    wrong = np.sqrt(found.value * (1 - found.value) / (weights.sum() ** 2 / np.square(weights).sum()))
    assert wrong < 0.9 * shares.std()


def test_the_interval_stays_within_zero_and_one_with_negative_weights():
    found = efficiency(np.array([True, True, False]), np.array([2.0, -1.0, -0.5]))
    assert 0 <= found.value - found.down <= found.value + found.up <= 1


@settings(max_examples=50)
@given(samples, st.floats(0.01, 1))
def test_a_threshold_keeps_no_less_and_as_little_as_it_can(sample, fraction):
    scores, _, weights = sample
    (found,) = thresholds(scores.astype(float), weights.astype(float), [fraction])
    total = weights.sum()
    assert weights[scores >= found].sum() >= fraction * total * (1 - 1e-9)
    assert weights[scores > found].sum() < fraction * total
    assert found in scores


def test_events_without_a_score_pass_last():
    scores = np.array([-np.inf, 0.5, -np.inf, 0.7])
    assert thresholds(scores, np.ones(4), [0.25, 0.5, 0.75]).tolist() == [0.7, 0.5, -np.inf]


def test_the_improvement_has_its_closed_form():
    signal, s, background, b = draw(np.random.default_rng(4), 40_000, 400_000)
    for fraction in (0.05, 0.01):
        found = improvement(signal, s, background, b, fraction)
        assert find_cuts(background, b, [fraction])[0].kept.value == pytest.approx(fraction, rel=1e-3)
        expected = fraction**POWER / fraction**0.5
        assert found.estimate.value == pytest.approx(expected, abs=3 * found.estimate.up)
        assert found.estimate.up < 0.02 * expected
        assert found.slope == pytest.approx(POWER, abs=0.05)


def test_the_errors_are_the_spread_of_pseudo_experiments():
    rng = np.random.default_rng(5)
    values: dict[str, list] = {"improvement": [], "rejection": [], "area": []}
    for _ in range(250):
        sample = draw(rng)
        values["improvement"].append(improvement(*sample, 0.01).estimate)
        values["rejection"].append(rejection(*sample, 0.3))
        values["area"].append(area_under_curve(*sample))
    truth = {"improvement": 0.01 ** (POWER - 0.5), "rejection": 0.3 ** (-1 / POWER), "area": 1 / (1 + POWER)}
    for name, found in values.items():
        value, down, up, _ = np.transpose(found)
        assert np.mean((down + up) / 2) == pytest.approx(value.std(), rel=0.1), name
        covered = (value - down <= truth[name]) & (truth[name] <= value + up)
        # 0.683 +- 0.03 of 250 experiments, and a little more: Clopper-Pearson
        assert 0.6 < covered.mean() < 0.8, name


def test_weighted_events_have_the_spread_of_weighted_pseudo_experiments():
    rng = np.random.default_rng(6)
    found = []
    for _ in range(300):
        signal, s, background, b = draw(rng)
        found.append(improvement(signal, rng.exponential(1.0, len(s)), background, rng.exponential(1.0, len(b)), 0.02))
    value, down, up, _ = np.transpose([one.estimate for one in found])
    assert np.mean((down + up) / 2) == pytest.approx(value.std(), rel=0.12)
    # half of the events: exponential weights have <w>^2 / <w^2> = 1/2
    assert np.mean([one.estimate.events for one in found]) == pytest.approx(0.02 * 4000 / 2, rel=0.1)


def test_a_signal_that_never_passes_has_an_upper_error_only():
    found = improvement(np.zeros(50), np.ones(50), np.arange(1.0, 1001.0), np.ones(1000), 0.01)
    assert found.estimate.value == found.estimate.down == 0
    # 1 - 0.841^(1/50), over the root of 1 %
    assert found.estimate.up == pytest.approx((1 - 0.15865525393145707 ** (1 / 50)) / 0.1)


def test_without_background_above_the_rejection_is_infinite():
    found = rejection(np.arange(10.0, 20.0), np.ones(10), np.zeros(100), np.ones(100), 0.5)
    assert np.isinf(found.value)
    assert found.events == 0


def test_equal_scores_are_all_kept_and_the_improvement_is_for_them():
    background = np.repeat([0.0, 1.0], [90, 10])
    found = improvement(np.repeat([0.0, 1.0], [50, 50]), np.ones(100), background, np.ones(100), 0.02)
    assert find_cuts(background, np.ones(100), [0.02])[0].kept.value == pytest.approx(0.1)
    assert found.estimate.value == pytest.approx(0.5 / np.sqrt(0.1))


def test_the_error_of_a_gain_is_the_spread_of_pseudo_experiments():
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        signal, s, background, b = draw(rng)
        # the other score is the same with noise: most events are common, so most of the errors cancel
        other = [scores + rng.normal(0, 0.3, len(scores)) for scores in (signal, background)]
        cut, moved = (find_cuts(scores, b, [0.02])[0] for scores in (background, other[1]))
        one, two = improvement_at(signal, s, cut), improvement_at(other[0], s, moved)
        ratio = gain(
            (two, moved),
            (one, cut),
            (other[0] >= moved.threshold, signal >= cut.threshold, s),
            (other[1] >= moved.threshold, background >= cut.threshold, b),
        )
        assert ratio.value == pytest.approx(two.estimate.value / one.estimate.value)
        found.append((ratio.value, ratio.up, np.hypot(*(x.estimate.up / x.estimate.value for x in (one, two)))))
    value, error, independent = np.transpose(found)
    assert error.mean() == pytest.approx(value.std(), rel=0.12)
    assert error.mean() < 0.6 * independent.mean()


def test_a_score_gains_nothing_over_itself():
    signal, s, background, b = draw(np.random.default_rng(8))
    (cut,) = find_cuts(background, b, [0.01])
    one = improvement_at(signal, s, cut), cut
    masks = [(x >= cut.threshold, x >= cut.threshold, w) for x, w in ((signal, s), (background, b))]
    assert gain(one, one, *masks)[:3] == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("truth", [0.0, 0.3, 0.8])
def test_the_error_of_a_rank_correlation_is_the_spread_of_pseudo_experiments(truth):
    rng = np.random.default_rng(9)
    found = []
    for _ in range(400):
        first, noise = rng.normal(size=(2, 200))
        found.append(rank_correlation(first, truth * first + np.sqrt(1 - truth**2) * noise, np.ones(200)))
    value, down, up, number = np.transpose(found)
    # of a bivariate normal distribution
    expected = 6 / np.pi * np.arcsin(truth / 2)
    assert value.mean() == pytest.approx(expected, abs=0.015)
    assert np.mean((down + up) / 2) == pytest.approx(value.std(), rel=0.12)
    assert (number == 200).all()


def test_what_is_always_the_same_has_no_rank_correlation():
    assert np.isnan(rank_correlation(np.ones(10), np.arange(10.0), np.ones(10)).value)


def test_a_score_agrees_with_itself():
    found = rank_correlation(np.arange(30.0), np.arange(30.0) ** 3, np.ones(30))
    assert found.value == pytest.approx(1.0)
    assert found.up == pytest.approx(0, abs=1e-9)


def test_the_overlap_of_independent_selections():
    first, second = np.arange(1000) % 10 == 0, np.arange(1000) // 100 == 0
    found = overlap(first, second, np.ones(1000))
    # 100 each, 10 common
    assert found.value == pytest.approx(0.1)
    assert found.events == pytest.approx(190)
    # 10 of 190, as a binomial number; and 2 J / (1 + J)
    reference = scipy_stats.binomtest(10, 190).proportion_ci(0.6826894921370859, "exact")
    low, high = (2 * x / (1 + x) for x in reference)
    assert (found.value - found.down, found.value + found.up) == pytest.approx((low, high))


def test_the_union_is_what_either_selects_at_one_tail_probability():
    rng = np.random.default_rng(10)
    background, weights = list(rng.normal(size=(2, 500))), rng.exponential(1.0, 500)
    events = list(rng.normal(1.0, 1.0, size=(2, 300)))
    scores = least_tail(background, background, weights)
    (cut,) = thresholds(scores, weights, [0.1])
    # the same by hand: each score's lowest threshold that keeps no more than -cut
    kept = [[weights[one >= value].sum() / weights.sum() for value in one] for one in background]
    cuts = [one[np.array(shares) <= -cut * (1 + 1e-9)].min() for one, shares in zip(background, kept, strict=True)]
    by_hand = (events[0] >= cuts[0]) | (events[1] >= cuts[1])
    assert (least_tail(events, background, weights) >= cut).tolist() == by_hand.tolist()
    assert weights[scores >= cut].sum() == pytest.approx(0.1 * weights.sum(), abs=weights.max())


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_only_the_order_of_scores_and_ratios_of_weights_count(seed, factor):
    rng = np.random.default_rng(seed)
    signal, _, background, _ = draw(rng, 60, 120)
    s, b = rng.exponential(1.0, 60), rng.exponential(1.0, 120)
    plain = (signal, s, background, b)
    other = (np.arctan(signal), factor * s, np.arctan(background), factor * b)
    for one, two in (
        (area_under_curve(*plain), area_under_curve(*other)),
        (improvement(*plain, 0.1).estimate, improvement(*other, 0.1).estimate),
        (rejection(*plain, 0.5), rejection(*other, 0.5)),
    ):
        assert two == pytest.approx(one, rel=1e-6)
