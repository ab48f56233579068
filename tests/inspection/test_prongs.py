"""Prongs of jets: against soft drop of the core, and where the prongs were put."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.core.kinematics import momenta
from oddjets.core.substructure import soft_drop
from oddjets.inspection.prongs import MOST_PRONGS, NO_PRONG, find_prongs


def random_jet(seed: int, size: int) -> np.ndarray:
    """A jet of random constituents around (0.5, pi): some of them on the other side of the azimuth's cut."""
    rng = np.random.default_rng(seed)
    return momenta(
        rng.exponential(20.0, size) + 0.1,
        rng.normal(0.5, 0.25, size),
        rng.normal(np.pi, 0.25, size),
        np.full(size, 0.139),
    )


def cluster_of(rng: np.random.Generator, pt: float, eta: float, phi: float, size: int = 12) -> np.ndarray:
    """Constituents within 0.02 of a direction."""
    return momenta(
        rng.dirichlet(np.ones(size)) * pt, rng.normal(eta, 0.01, size), rng.normal(phi, 0.01, size), np.zeros(size)
    )


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, MOST_PRONGS))
def test_the_prongs_add_up_to_the_soft_dropped_jet(seed: int, size: int, most: int) -> None:
    p = random_jet(seed, size)
    groomed = soft_drop(p, np.array([0, size]))
    found = find_prongs(p, most=most)
    np.testing.assert_allclose(found.momenta.sum(axis=0), groomed.momenta[0], rtol=1e-9, atol=1e-9)
    for number, momentum in enumerate(found.momenta):
        np.testing.assert_allclose(p[found.members == number].sum(axis=0), momentum, rtol=1e-9, atol=1e-9)
    pts = np.hypot(found.momenta[:, 0], found.momenta[:, 1])
    assert 1 <= len(pts) <= most
    assert (np.diff(pts) <= 0).all()
    assert found.members.min() >= NO_PRONG
    if most == 2:
        subjets = groomed.subjets[0]
        np.testing.assert_allclose(found.momenta, subjets[np.any(subjets != 0, axis=1)], rtol=1e-9, atol=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 30))
def test_the_order_of_constituents_does_not_matter(seed: int, size: int) -> None:
    p = random_jet(seed, size)
    order = np.random.default_rng(seed + 1).permutation(size)
    np.testing.assert_array_equal(find_prongs(p).members[order], find_prongs(p[order]).members)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_prongs_are_found_where_they_are(number: int) -> None:
    rng = np.random.default_rng(number)
    places = [(300.0, 0.0, 0.0), (200.0, 0.45, 0.1), (150.0, -0.1, 0.5), (120.0, 0.1, -0.45)][:number]
    p = np.concatenate([cluster_of(rng, *place) for place in places])
    truth = np.repeat(np.arange(number), 12)
    soft = momenta([1.5], [-0.7], [-0.2], [0.0])
    found = find_prongs(np.concatenate([p, soft]))
    if number == 1:
        # within the only prong soft drop goes on, to pieces that it finds there
        assert found.members[-1] == NO_PRONG
        return
    np.testing.assert_array_equal(found.members[:-1], truth)
    # removed by soft drop, or soft part of a prong: never one of its own
    assert found.members[-1] in (NO_PRONG, 0, 1, 2)
    assert len(found.momenta) == number


def test_a_jet_of_one_constituent_or_none() -> None:
    one = momenta([500.0], [0.3], [1.0], [0.0])
    assert find_prongs(one).members.tolist() == [0]
    nothing = find_prongs(np.empty((0, 4)))
    assert len(nothing.members) == len(nothing.momenta) == 0


def test_where_nothing_passes_the_hardest_constituent_is_left() -> None:
    p = momenta([500.0, 1.0, 1.0], [0.0, 0.3, -0.2], [0.0, 0.2, 0.3], np.zeros(3))
    found = find_prongs(p)
    assert found.members.tolist() == [0, NO_PRONG, NO_PRONG]
    np.testing.assert_allclose(found.momenta, soft_drop(p, np.array([0, 3])).momenta)
