"""Agreement of two scores, against scipy and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from oddjets.stats.agreement import overlap, rank_correlation


def test_rank_correlation_is_spearmans_with_ties() -> None:
    rng = np.random.default_rng(4)
    first = rng.integers(0, 20, 300).astype(float)
    second = first + rng.normal(0, 5, 300).round()
    found = rank_correlation(first, second)
    assert found.value == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert found.n == 300


def test_the_error_of_a_rank_correlation_is_what_samples_scatter_by() -> None:
    rng = np.random.default_rng(5)
    values, errors = [], []
    for _ in range(400):
        common = rng.normal(size=200)
        found = rank_correlation(common + rng.normal(size=200), common + rng.normal(size=200))
        values.append(found.value)
        errors.append(found.error)
    # the scatter of 400 is known to 3.5 %, the formula to some per cent
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.15)


@given(st.integers(0, 1000), st.integers(4, 60))
def test_monotonic_functions_change_nothing(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0.1, 1, (2, n))
    once, again = rank_correlation(first, second), rank_correlation(np.log(first), second**3)
    assert again.value == pytest.approx(once.value, abs=1e-12)
    assert overlap(np.log(first), second**3, 0.3) == overlap(first, second, 0.3)


def test_a_constant_has_no_rank_correlation() -> None:
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5)).value)
    assert np.isnan(rank_correlation(np.ones(1), np.ones(1)).value)
    assert np.isnan(rank_correlation(np.arange(3), np.arange(3)).error)


def test_overlap_counts_common_events() -> None:
    first = np.array([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    second = np.array([9.0, 0, 7, 1, 8, 2, 3, 4, 5, 6])
    # the three highest: {0, 1, 2} and {0, 4, 2}
    found = overlap(first, second, 0.3)
    assert found.value == pytest.approx(2 / 3)
    assert found.error == pytest.approx(1 / 3)
    assert found.n == 3
    assert overlap(first, second, 1.0).value == 1
    assert overlap(first, second, 1e-6).n == 1
    assert overlap(first[:0], second[:0], 0.1).n == 0


def test_independent_scores_overlap_by_the_efficiency() -> None:
    first, second = np.random.default_rng(2).normal(size=(2, 200_000))
    found = overlap(first, second, 0.05)
    assert found.value == pytest.approx(0.05, abs=4 * found.error)
