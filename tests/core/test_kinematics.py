"""Kinematics against the `vector` library, fastjet and the laws that hold."""

from __future__ import annotations

import math

import fastjet
import numpy as np
import pytest
import vector
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oddjets.core import kernels
from oddjets.core.kinematics import delta_phi, delta_r, invariant_mass, momenta, offsets_from, positions, pt_eta_phi

ANGLES = st.floats(-20, 20)
COUNTS = arrays(np.int64, st.integers(0, 20), elements=st.integers(0, 9))


@pytest.fixture(scope="module")
def particles() -> tuple[np.ndarray, ...]:
    """Pt, eta, phi and mass of some particles, the first at rest across the beam."""
    rng = np.random.default_rng(1)
    n = 500
    columns = rng.pareto(1.5, n) * 20, rng.normal(0, 2, n), rng.uniform(-np.pi, np.pi, n), rng.exponential(5, n)
    columns[0][0] = columns[1][0] = columns[2][0] = 0
    return columns


@given(ANGLES, ANGLES)
def test_a_difference_of_azimuths_is_that_of_the_directions(a: float, b: float) -> None:
    d = delta_phi(a, b)
    assert -math.pi <= d <= math.pi
    assert math.isclose(math.cos(d), math.cos(a - b), abs_tol=1e-12)
    assert math.isclose(math.sin(d), math.sin(a - b), abs_tol=1e-12)


def test_what_is_compiled_gives_the_same_bits() -> None:
    a, b = np.random.default_rng(2).uniform(-7, 7, (2, 1000))
    assert [kernels.delta_phi(x, y) for x, y in zip(a, b, strict=True)] == delta_phi(a, b).tolist()


def test_azimuths_keep_their_precision() -> None:
    a = np.array([3.0, -3.0], np.float32)
    assert delta_phi(a, a[::-1]).dtype == np.float32
    np.testing.assert_allclose(delta_phi(a, a[::-1]), [6 - 2 * np.pi, 2 * np.pi - 6], rtol=1e-5)


def test_distances_agree_with_vector(particles: tuple[np.ndarray, ...]) -> None:
    pt, eta, phi, mass = particles
    p = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass})
    expected = p[1:].deltaR(p[:-1])
    np.testing.assert_allclose(delta_r(eta[1:], phi[1:], eta[:-1], phi[:-1]), expected, rtol=1e-12)
    squared = [kernels.delta_r2(*pair) for pair in zip(eta[1:], phi[1:], eta[:-1], phi[:-1], strict=True)]
    np.testing.assert_allclose(squared, expected**2, rtol=1e-12)


def test_momenta_agree_with_vector_and_come_back(particles: tuple[np.ndarray, ...]) -> None:
    pt, eta, phi, mass = particles
    ours, theirs = momenta(*particles), vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass})
    np.testing.assert_allclose(ours, np.stack([theirs.px, theirs.py, theirs.pz, theirs.E], axis=-1), rtol=1e-12)
    for found, put_in in zip(pt_eta_phi(ours), (pt, eta, phi), strict=True):
        np.testing.assert_allclose(found, put_in, rtol=1e-9, atol=1e-12)
    # E^2 - p^2 of fast particles cancels
    slow = ours[:, 3] < 1e3 * mass
    np.testing.assert_allclose(invariant_mass(ours[slow]), mass[slow], rtol=1e-8)


def test_rapidity_is_that_of_fastjet(particles: tuple[np.ndarray, ...]) -> None:
    p = momenta(*particles)
    expected = [fastjet.PseudoJet(*one).rap() for one in p.tolist()]
    np.testing.assert_allclose([kernels.rapidity(one) for one in p], expected, rtol=1e-9, atol=1e-12)
    assert math.isfinite(kernels.rapidity(np.array([0.0, 0.0, 1.0, 1.0])))


def test_rounding_below_zero_is_no_mass() -> None:
    assert invariant_mass(np.array([[3.0, 4.0, 0.0, 5.0 - 1e-12], [0.0, 0.0, 0.0, 2.0]])).tolist() == [0.0, 2.0]


def test_a_momentum_along_the_beam_has_pseudorapidity_zero() -> None:
    pt, eta, _ = pt_eta_phi(np.array([[0.0, 0.0, 7.0, 7.0]]))
    assert (pt.tolist(), eta.tolist()) == ([0.0], [0.0])


@given(COUNTS)
def test_offsets_give_the_counts_back(counts: np.ndarray) -> None:
    offsets = offsets_from(counts)
    assert offsets.dtype == np.int64
    assert offsets[0] == 0
    assert np.diff(offsets).tolist() == counts.tolist()


def test_offsets_of_a_mask_count_what_is_kept() -> None:
    assert offsets_from(np.array([True, False, True])).tolist() == [0, 1, 1, 2]


@given(COUNTS, st.integers(0, 1000))
def test_positions_walk_through_each_list(counts: np.ndarray, seed: int) -> None:
    starts = np.random.default_rng(seed).integers(0, 100, len(counts))
    expected = [start + i for start, count in zip(starts.tolist(), counts.tolist(), strict=True) for i in range(count)]
    assert positions(starts, counts).tolist() == expected
    assert positions(1, counts).tolist() == [1 + i for count in counts.tolist() for i in range(count)]
