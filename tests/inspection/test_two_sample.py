"""The statistic of Anderson and Darling against its definition and against SciPy; columns that follow another one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import anderson_ksamp, spearmanr

from oddjets.inspection.permutations import divisions
from oddjets.inspection.two_sample import anderson_darling, rank_correlation, without_trend

NUMBERS = st.lists(st.integers(-3, 3), min_size=2, max_size=12)


def by_definition(x, y):
    joined = np.concatenate([x, y])
    n, m, N = len(x), len(y), len(joined)
    total = 0.0
    for value in np.unique(joined)[:-1]:
        below, mine = (joined <= value).sum(), (np.asarray(x) <= value).sum()
        total += (joined == value).sum() * (N * mine - n * below) ** 2 / (below * (N - below))
    return total / (n * m)


def statistic(x, y):
    joined = np.concatenate([x, y]).astype(float)
    return float(anderson_darling([joined], np.arange(len(x), dtype=np.int32)[None])[0, 0])


@given(NUMBERS, NUMBERS)
def test_the_statistic_is_the_formula_with_ties(x, y):
    assert statistic(x, y) == pytest.approx(by_definition(x, y))


def test_the_statistic_is_that_of_scipy():
    """SciPy standardises the same sum by constants of the sample sizes."""
    rng = np.random.default_rng(1)
    pairs = [(rng.normal(size=15), rng.normal(shift, 1, 40)) for shift in (0.7, 1.0, 1.5, 2.0, 3.0)]
    ours = [statistic(x, y) for x, y in pairs]
    with warnings.catch_warnings():
        # its p value is the end of its table
        warnings.simplefilter("ignore", UserWarning)
        theirs = [anderson_ksamp([x, y], variant="right").statistic for x, y in pairs]
    slope, offset = np.polyfit(theirs, ours, 1)
    assert offset == pytest.approx(1.0)
    assert np.array(ours) == pytest.approx(slope * np.array(theirs) + offset)


@given(st.integers(0, 1000))
def test_no_monotone_transformation_changes_it(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=8), rng.normal(size=20)
    assert statistic(np.exp(x), np.exp(y)) == pytest.approx(statistic(x, y))
    assert statistic(-(x**3), -(y**3)) == pytest.approx(statistic(x, y))


def test_nan_is_a_value_below_all_others():
    x, y = np.array([1.0, np.nan, 2.0]), np.array([np.nan, 0.5, 3.0, 4.0])
    below = statistic(np.nan_to_num(x, nan=-9.0), np.nan_to_num(y, nan=-9.0))
    assert statistic(x, y) == pytest.approx(below)


def test_columns_and_divisions_are_independent_of_each_other():
    rng = np.random.default_rng(2)
    columns = [rng.normal(size=50), rng.integers(0, 4, 50).astype(float)]
    drawn = divisions(12, 50, 20, rng)
    found = anderson_darling(columns, drawn)
    for r, events in enumerate(drawn):
        inside = np.isin(np.arange(50), events)
        assert found[r] == pytest.approx([by_definition(column[inside], column[~inside]) for column in columns])


def test_ten_thousand_events_and_fifty_columns_do_not_fill_the_memory():
    """The arrays are those of the columns and of the divisions, not of columns times divisions."""
    import tracemalloc

    rng = np.random.default_rng(3)
    columns = [rng.normal(size=10_000) for _ in range(50)]
    drawn = divisions(200, 10_000, 20, rng)
    anderson_darling(columns, drawn[:1])
    tracemalloc.start()
    anderson_darling(columns, drawn)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_what_follows_from_the_position_is_removed():
    rng = np.random.default_rng(4)
    position = rng.uniform(60, 240, 2000)
    follows = 0.02 * position + (1 + position / 240) * rng.normal(size=2000)
    left = without_trend(follows, position, rng)
    inside = (position > 120) & (position < 160)
    raw = statistic(follows[inside], follows[~inside])
    assert raw > 6
    assert statistic(left[inside], left[~inside]) < 3
    # of two values, too, whose order would be that of the position
    decision = (rng.random(2000) < 0.9).astype(float)
    left = without_trend(decision, position, rng)
    assert statistic(left[inside], left[~inside]) < 3
    # and a column of its own is kept: order and all
    own = rng.normal(size=2000)
    assert np.corrcoef(without_trend(own, position, rng), own)[0, 1] > 0.995


def test_a_position_that_is_the_same_for_all_changes_no_order():
    values = np.array([3.0, 1.0, 2.0, 5.0])
    assert (
        np.argsort(without_trend(values, np.ones(4), np.random.default_rng(1))).tolist() == np.argsort(values).tolist()
    )


def test_the_rank_correlation_is_spearmans():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 9, 60).astype(float)
    y = x + rng.normal(0, 3, 60)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(np.exp(x), y**3) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(np.ones(60), y) == 0.0
