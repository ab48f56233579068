"""Smearing: random numbers that depend on the event alone, resolutions that widen as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oddjets.corrections import jet_resolution


def test_random_numbers_are_standard_normal_and_independent():
    n = 20_000
    event = np.arange(n)
    one = jet_resolution.standard_normal(np.ones(n), np.ones(n), event, 1, "jmr")
    assert stats.kstest(one, "norm").pvalue > 1e-3
    for other in (
        jet_resolution.standard_normal(np.ones(n), np.ones(n), event, 2, "jmr"),
        jet_resolution.standard_normal(np.ones(n), np.ones(n), event, 1, "jer"),
        jet_resolution.standard_normal(np.ones(n), 2 * np.ones(n), event, 1, "jmr"),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(n)


@given(st.permutations(range(12)))
def test_random_numbers_do_not_depend_on_order_or_neighbours(order):
    event = np.arange(12)
    whole = jet_resolution.standard_normal(np.ones(12), np.ones(12), event, 1, "jmr")
    order = np.array(order)
    np.testing.assert_array_equal(
        jet_resolution.standard_normal(np.ones(12), np.ones(12), event[order], 1, "jmr"), whole[order]
    )
    np.testing.assert_array_equal(
        jet_resolution.standard_normal(np.ones(1), np.ones(1), event[3:4], 1, "jmr"), whole[3:4]
    )


def test_mass_resolution_widens_and_narrows_about_the_generated_mass():
    mass, gen = np.array([[90.0, 70.0]]), np.array([[80.0, 80.0]])
    up = jet_resolution.mass_resolution(mass, gen, +1, 0.02, np.zeros((1, 2)))
    down = jet_resolution.mass_resolution(mass, gen, -1, 0.02, np.zeros((1, 2)))
    # m' = m + (s - 1)(m - m_gen)
    np.testing.assert_allclose(up, [[90.2, 69.8]])
    np.testing.assert_allclose(down, [[89.8, 70.2]])


def test_mass_resolution_without_a_match_smears_up_only():
    mass, gen, noise = np.array([[100.0, 100.0]]), np.full((1, 2), np.nan), np.array([[1.0, -1.0]])
    up = jet_resolution.mass_resolution(mass, gen, +1, 0.02, noise)
    np.testing.assert_allclose(up, 100 * (1 + 0.1 * np.sqrt(1.02**2 - 1) * noise))
    np.testing.assert_array_equal(jet_resolution.mass_resolution(mass, gen, -1, 0.02, noise), mass)


def test_groomed_gen_mass_is_that_of_the_two_subjets():
    # two massless subjets: m^2 = 2 pt1 pt2 (cosh d_eta - cos d_phi)
    subjets = {"pt": [400.0, 100.0, 50.0], "eta": [0.1, 0.3, 2.0], "phi": [3.1, -3.1, 0.0], "mass": [0.0, 0.0, 0.0]}
    d_phi = 2 * np.pi - 6.2
    expected = np.sqrt(2 * 400 * 100 * (np.cosh(0.2) - np.cos(d_phi)))
    found = jet_resolution.groomed_gen_mass(
        np.array([[0.1, np.nan]]),
        np.array([[3.1, np.nan]]),
        {k: np.array(v) for k, v in subjets.items()},
        np.array([0, 3]),
    )
    assert found[0, 0] == pytest.approx(expected)
    assert np.isnan(found[0, 1])
