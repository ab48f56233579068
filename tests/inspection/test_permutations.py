"""P values of permutations against exact enumeration, and their correction for the number of columns."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from oddjets.inspection.permutations import correct, divisions


def test_divisions_are_of_different_events_and_all_equally_probable():
    drawn = divisions(2, 5, 20_000, np.random.default_rng(1))
    assert drawn[0].tolist() == [0, 1]
    assert drawn.shape == (20_001, 2)
    kinds = [tuple(sorted(pair)) for pair in drawn[1:].tolist()]
    counts = [kinds.count(pair) for pair in combinations(range(5), 2)]
    assert sum(counts) == 20_000
    # ten divisions: the chi2 of nine degrees of freedom is above 27.9 once in a thousand
    assert sum((count - 2000) ** 2 / 2000 for count in counts) < 27.9


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_p_counts_what_is_as_large(values):
    found = correct(np.array(values, float)[:, None])
    assert found.p[0] == sum(v >= values[0] for v in values) / len(values)
    assert found.corrected[0] == pytest.approx(found.p[0])


def test_copies_of_a_column_count_as_one():
    values = np.random.default_rng(2).exponential(size=(1000, 1))
    values[0] = 5.0
    one, ten = correct(values), correct(np.repeat(values, 10, axis=1))
    assert ten.corrected == pytest.approx(np.repeat(one.corrected, 10))


def test_independent_columns_count_as_many():
    rng = np.random.default_rng(3)
    values = rng.exponential(size=(20_000, 20))
    values[0] = 1.0
    values[0, 7] = -np.log(0.002)
    # twenty columns of which the smallest p is 0.002: 1 - 0.998^20
    assert correct(values).corrected[7] == pytest.approx(1 - 0.998**20, abs=0.005)


def test_a_column_that_is_not_counted_has_no_corrected_p_and_changes_none():
    values = np.random.default_rng(4).exponential(size=(500, 3))
    values[0, 0] = 100.0
    found = correct(values, np.array([False, True, True]))
    assert np.isnan(found.corrected[0])
    assert found.p[0] == 1 / 500
    assert found.corrected[1:] == pytest.approx(correct(values[:, 1:]).corrected)


def test_the_step_down_orders_corrected_p_as_the_columns_differ():
    values = np.random.default_rng(5).exponential(size=(999, 4))
    values[0] = [9.0, 6.0, 3.0, 0.1]
    found = correct(values)
    assert (np.diff(found.corrected) >= 0).all()
    assert (found.corrected >= found.p - 1e-12).all()


def test_columns_of_different_kinds_have_equal_parts_of_the_false_alarms():
    """One column of a wide tail, one of a narrow of another form: the smaller p wins, whatever the scale is."""
    rng = np.random.default_rng(6)
    first = []
    for _ in range(600):
        values = np.stack([rng.exponential(1000.0, 200), rng.gamma(3.0, 1e-3, 200)], axis=1)
        found = correct(values)
        if found.corrected[0] != found.corrected[1]:
            first.append(int(np.argmin(found.corrected)))
    assert len(first) > 300
    assert 0.001 < binom.cdf(sum(first), len(first), 0.5) < 0.999


def test_the_smallest_corrected_p_is_uniform_if_nothing_differs():
    rng = np.random.default_rng(7)
    smallest = []
    for _ in range(500):
        common = rng.normal(size=(100, 1))
        values = np.exp(common + rng.normal(size=(100, 6)))
        smallest.append(round(100 * correct(values).corrected.min()))
    # exactly uniform on 1/100, 2/100, ..., 1
    assert kstest(np.array(smallest) - rng.uniform(size=500), "uniform", args=(0, 100)).pvalue > 0.01
