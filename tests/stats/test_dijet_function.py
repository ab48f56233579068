"""The smooth fit to the sidebands gives back what was put in, and its p-values mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import poisson

from oddjets.report.figures.bump import signal_window
from oddjets.stats import dijet_function

CENTRES = np.linspace(63.75, 236.25, 24)


def falling(norm: float = 400.0) -> np.ndarray:
    """A spectrum that three parameters describe exactly: a power of x times a power of 1 - x."""
    x = CENTRES / 13_000
    return np.asarray(norm * ((1 - x) / (1 - x[0])) ** 100 * (x / x[0]) ** -1.2)


def all_but(first: int, last: int) -> np.ndarray:
    mask = np.ones(len(CENTRES), dtype=bool)
    mask[first:last] = False
    return mask


def test_noiseless_spectrum_is_given_back_in_the_window_too() -> None:
    truth = falling()
    found = dijet_function.fit(truth, dijet_function.design(CENTRES, 3), all_but(12, 18))
    np.testing.assert_allclose(found.expected[0], truth, rtol=1e-6)
    assert found.deviance[0] == pytest.approx(0, abs=1e-8)


def test_agrees_with_a_general_minimiser() -> None:
    counts = np.random.default_rng(3).poisson(falling(60.0)).astype(float)
    terms, mask = dijet_function.design(CENTRES, 3), all_but(12, 18)

    def negative_log_likelihood(theta: np.ndarray) -> float:
        return -float(poisson.logpmf(counts, np.exp(terms @ theta))[mask].sum())

    general = minimize(negative_log_likelihood, np.zeros(3), method="BFGS", options={"gtol": 1e-7}).x
    np.testing.assert_allclose(dijet_function.fit(counts, terms, mask).expected[0], np.exp(terms @ general), rtol=1e-4)


def test_errors_cover_the_truth() -> None:
    truth = falling(200.0)
    toys = np.random.default_rng(4).poisson(truth, (400, len(truth))).astype(float)
    window = ~all_but(12, 18)
    terms = dijet_function.design(CENTRES, 3)
    expected, error = dijet_function.window_background(dijet_function.fit(toys, terms, ~window), terms, window)
    pulls = (expected - truth[window].sum()) / error
    assert abs(pulls.mean()) < 0.25
    # the linear sum over the window's bins is a little too careful
    assert 0.7 < pulls.std() < 1.15


def test_f_test_stops_at_the_order_that_suffices() -> None:
    rng = np.random.default_rng(5)
    orders = [
        dijet_function.choose_order(rng.poisson(falling(4000.0)).astype(float), CENTRES, all_but(12, 18))[0]
        for _ in range(40)
    ]
    # two parameters cannot bend enough, and a fourth is wanted by chance in a few only
    assert min(orders) >= 3
    assert np.mean(np.array(orders) == 3) > 0.75


def test_certain_background_gives_the_poisson_probability() -> None:
    np.testing.assert_allclose(
        dijet_function.local_p_value([0, 3, 12], 5.0, 0.0), poisson.sf(np.array([0, 3, 12]) - 1, 5.0)
    )


def test_uncertain_background_is_a_mixture_of_poissons() -> None:
    rng = np.random.default_rng(6)
    b, s = 20.0, 4.0
    mixed = poisson.sf(29, rng.gamma((b / s) ** 2, s**2 / b, 400_000)).mean()
    assert dijet_function.local_p_value(30, b, s) == pytest.approx(mixed, rel=0.02)


def test_a_bump_is_found_and_elsewhere_costs() -> None:
    counts = np.random.default_rng(7).poisson(falling(60.0)).astype(float)
    terms = dijet_function.design(CENTRES, 3)
    overall, smallest, local = dijet_function.global_p_value(counts, terms, 5, toys=300)
    assert len(local) == len(CENTRES) - 4
    assert smallest == min(local)
    # the smallest of many p-values is small more often than any one
    assert overall > smallest
    bumped = counts.copy()
    bumped[12:17] += 15
    assert dijet_function.global_p_value(bumped, terms, 5, toys=300)[0] == pytest.approx(1 / 301)


def test_signal_window_is_the_shortest_that_holds_enough() -> None:
    assert signal_window(np.array([1.0, 2, 30, 40, 20, 5, 2])) == (2, 4)
    assert signal_window(np.array([0.0, 0, 0, 5, 0])) == (3, 4)


def test_global_p_value_is_uniform_without_a_bump() -> None:
    rng = np.random.default_rng(9)
    terms = dijet_function.design(CENTRES, 3)
    spectra = rng.poisson(falling(60.0), (40, len(CENTRES))).astype(float)
    values = [
        dijet_function.global_p_value(counts, terms, 5, toys=60, seed=seed)[0] for seed, counts in enumerate(spectra)
    ]
    # the mean of 40 uniform numbers has an error of 0.046
    assert np.mean(values) == pytest.approx(0.5, abs=0.15)
