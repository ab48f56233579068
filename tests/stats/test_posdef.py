"""Positive definite neighbours: positive matrices stay, the others become positive."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.stats.histfactory.posdef import nearby_positive, solve_absolute, solve_positive


def _symmetric(seed, n, size):
    raw = np.random.default_rng(seed).normal(size=(n, size, size))
    return raw + raw.transpose(0, 2, 1)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 6))
def test_every_matrix_becomes_positive_definite(seed, size):
    assert np.linalg.eigvalsh(nearby_positive(_symmetric(seed, 5, size))).min() > 0


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 6))
def test_positive_definite_matrices_stay(seed, size):
    raw = _symmetric(seed, 4, size)
    positive = raw @ raw + 0.1 * np.eye(size)
    np.testing.assert_array_equal(nearby_positive(positive), positive)


def test_a_positive_system_is_solved_exactly():
    raw = _symmetric(3, 4, 5)
    matrices, right = raw @ raw + np.eye(5), np.ones((4, 5))
    np.testing.assert_allclose(np.einsum("tkl,tl->tk", matrices, solve_positive(matrices, right)), right)


def test_the_solution_of_an_indefinite_system_points_down():
    matrices = _symmetric(4, 20, 5)
    gradient = np.random.default_rng(5).normal(size=(20, 5))
    assert (np.einsum("tk,tk->t", solve_absolute(matrices, -gradient), gradient) < 0).all()


@pytest.mark.parametrize("solve", [solve_positive, solve_absolute])
def test_a_matrix_with_nan_has_no_solution_and_spoils_no_other(solve):
    matrices = np.stack([np.eye(2), np.full((2, 2), np.nan)])
    found = solve(matrices, np.ones((2, 2)))
    np.testing.assert_array_equal(found[0], [1, 1])
    assert np.isnan(found[1]).all()


def test_an_indefinite_matrix_has_no_solution_and_spoils_no_other():
    found = solve_positive(np.stack([np.diag([1.0, -1.0]), np.eye(2)]), np.ones((2, 2)))
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], [1, 1])
