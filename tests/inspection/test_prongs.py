"""Prongs against soft drop, plain brute force and known configurations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oddjets.core.kinematics import momenta
from oddjets.core.substructure import soft_drop
from oddjets.inspection.prongs import find_prongs


def random_jet(seed: int, size: int = 25) -> NDArray[np.float64]:
    """A jet of three blurred prongs with steeply falling pT."""
    rng = np.random.default_rng(seed)
    eta, phi = rng.uniform(-0.5, 0.5, (2, 3))[:, rng.integers(0, 3, size)] + 0.07 * rng.normal(size=(2, size))
    return momenta(rng.pareto(1.5, size) + 0.5, 1 + eta, 3 + phi, np.full(size, 0.1396))


def transverse(p: NDArray[np.float64]) -> float:
    return math.hypot(p[0], p[1])


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """In rapidity and azimuth."""
    y, phi = (
        [0.5 * math.log((p[3] + p[2]) / (p[3] - p[2])) for p in (a, b)],
        [math.atan2(p[1], p[0]) for p in (a, b)],
    )
    turned = abs(phi[0] - phi[1])
    return math.hypot(y[0] - y[1], min(turned, 2 * math.pi - turned))


def slow_prongs(p: NDArray[np.float64], z_cut: float, least_angle: float, most: int) -> set[frozenset[int]]:
    """Recursive soft drop from its definition: all pairs are tried at each merging."""
    trees: list[tuple[frozenset[int], tuple]] = [(frozenset([i]), ()) for i in range(len(p))]

    def total(tree: tuple) -> NDArray[np.float64]:
        return p[sorted(tree[0])].sum(axis=0)

    while len(trees) > 1:
        pairs = [(distance(total(a), total(b)), i, j) for i, a in enumerate(trees) for j, b in enumerate(trees[:i])]
        _, i, j = min(pairs)
        joined = (trees[i][0] | trees[j][0], (trees[i], trees[j]))
        trees = [tree for k, tree in enumerate(trees) if k not in (i, j)] + [joined]
    branches = trees
    while len(branches) < most:
        angles = [distance(*map(total, parents)) if parents else -1.0 for _, parents in branches]
        widest = int(np.argmax(angles))
        if angles[widest] <= least_angle:
            break
        soft, hard = sorted(branches.pop(widest)[1], key=lambda tree: transverse(total(tree)))
        branches.append(hard)
        if transverse(total(soft)) > z_cut * (transverse(total(soft)) + transverse(total(hard))):
            branches.append(soft)
    return {members for members, _ in branches}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("z_cut", "least_angle", "most"), [(0.1, 0.1, 4), (0.05, 0.0, 3), (0.3, 0.2, 8)])
def test_prongs_are_those_of_the_definition(seed: int, z_cut: float, least_angle: float, most: int) -> None:
    p = random_jet(seed)
    labels = find_prongs(p, z_cut, least_angle, most)
    found = {frozenset(np.flatnonzero(labels == number).tolist()) for number in range(1, labels.max() + 1)}
    assert found == slow_prongs(p, z_cut, least_angle, most)


def test_two_prongs_are_those_of_soft_drop() -> None:
    compared = 0
    for seed in range(40):
        p = random_jet(seed)
        groomed = soft_drop(p, np.array([0, len(p)])).subjets[0]
        if transverse(groomed[1]) == 0 or distance(*groomed) <= 0.1:
            continue
        labels = find_prongs(p, most_prongs=2)
        np.testing.assert_allclose([p[labels == 1].sum(axis=0), p[labels == 2].sum(axis=0)], groomed, rtol=1e-9)
        compared += 1
    assert compared > 20


def test_four_clusters_are_four_prongs_and_a_soft_wide_particle_is_dropped() -> None:
    centres = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)]
    eta, phi, pt = [], [], []
    for (a, b), hard in zip(centres, (100, 200, 150, 80), strict=True):
        eta += [a, a + 0.02, a]
        phi += [b, b, b + 0.02]
        pt += [hard, hard / 2, hard / 4]
    p = momenta([*pt, 1.0], [*eta, -0.7], [*phi, -0.3], np.zeros(13))
    np.testing.assert_array_equal(find_prongs(p), np.repeat([3, 1, 2, 4, 0], [3, 3, 3, 3, 1]))
    assert find_prongs(p, most_prongs=2).max() == 2


def test_narrow_splittings_are_one_prong_and_small_jets_are_jets() -> None:
    near = momenta([100.0, 90.0], [0.0, 0.05], [0.0, 0.0], [0.0, 0.0])
    np.testing.assert_array_equal(find_prongs(near), [1, 1])
    np.testing.assert_array_equal(find_prongs(near, least_angle=0.01), [1, 2])
    np.testing.assert_array_equal(find_prongs(near[:1]), [1])
    assert find_prongs(near[:0]).shape == (0,)


@given(seed=st.integers(0, 1000), size=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_prongs_do_not_depend_on_the_order_of_constituents_and_are_sorted_by_pt(seed: int, size: int) -> None:
    p = random_jet(seed, size)
    labels = find_prongs(p)
    order = np.random.default_rng(seed).permutation(size)
    np.testing.assert_array_equal(find_prongs(p[order]), labels[order])
    pt = [transverse(p[labels == number].sum(axis=0)) for number in range(1, labels.max() + 1)]
    assert 1 <= len(pt) <= 4
    assert pt == sorted(pt, reverse=True)
    assert all(pt)
