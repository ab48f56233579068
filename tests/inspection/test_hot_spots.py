"""Hot spots and dead regions in (eta, phi), against slow sums, across the end of phi, and their probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from oddjets.inspection.hot_spots import ETA_STEP, PHI_CELLS, SIZES, cells_of, scan, strongest
from oddjets.inspection.permutations import correct, divisions


def slow(eta, phi, n):
    """The largest excess and deficit by counting jets in every square."""
    total, start = len(eta), np.floor(np.nanmin(eta) / ETA_STEP)
    row = np.floor(eta / ETA_STEP) - start
    column = np.floor((phi + np.pi) / (2 * np.pi) * PHI_CELLS) % PHI_CELLS
    best = [0.0, 0.0]
    top = int(np.nanmax(row)) + 1
    for size in SIZES:
        step = size // 2
        for a in range(0, max(top - size, 0) + step, step):
            for b in range(0, PHI_CELLS, step):
                inside = (row >= a) & (row < a + size) & ((column - b) % PHI_CELLS < size)
                k, mu = inside[:n].sum(), inside.sum() * n / total
                if mu and k != mu:
                    value = 2 * ((k * np.log(k / mu) if k else 0.0) - k + mu)
                    best[int(k < mu)] = max(best[int(k < mu)], value)
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_scan_is_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    eta, phi = rng.uniform(-1.3, 2.4, (60, 2)), rng.uniform(-np.pi, np.pi, (60, 2))
    eta[3, 1] = phi[3, 1] = np.nan
    cells, shape, _ = cells_of(eta, phi)
    found = scan(cells, shape, np.arange(20, dtype=np.int32)[None])
    assert found[0] == pytest.approx(slow(eta, phi, 20))


@pytest.mark.parametrize("place", [(0.7, 1.2), (-2.3, 3.13), (2.39, -3.13)])
def test_a_noisy_tower_is_found_where_it_is(place):
    rng = np.random.default_rng(1)
    eta, phi = rng.uniform(-2.4, 2.4, (600, 2)), rng.uniform(-np.pi, np.pi, (600, 2))
    eta[:10, 0] = rng.normal(place[0], 0.05, 10)
    phi[:10, 0] = (rng.normal(place[1], 0.05, 10) + np.pi) % (2 * np.pi) - np.pi
    cells, shape, start = cells_of(eta, phi)
    drawn = divisions(60, 600, 300, rng)
    assert correct(scan(cells, shape, drawn)).corrected[0] < 0.02
    spot = strongest(cells, shape, start, drawn)[0]
    assert abs(spot.eta - place[0]) < 0.4
    assert abs((spot.phi - place[1] + np.pi) % (2 * np.pi) - np.pi) < 0.4
    assert spot.found >= 8 > 3 > spot.expected


def test_a_dead_region_is_found_where_it_is():
    rng = np.random.default_rng(2)
    eta, phi = rng.uniform(-2.4, 2.4, (4000, 2)), rng.uniform(-np.pi, np.pi, (4000, 2))
    dead = (np.abs(eta - 1.0) < 0.4) & (np.abs(phi) < 0.4)
    alive = ~dead.any(axis=1)
    alive[1500:] = True
    eta, phi, n = eta[alive], phi[alive], int(alive[:1500].sum())
    cells, shape, start = cells_of(eta, phi)
    drawn = divisions(n, len(eta), 300, rng)
    assert correct(scan(cells, shape, drawn)).corrected[1] < 0.02
    spot = strongest(cells, shape, start, drawn)[1]
    assert (spot.eta, spot.phi) == pytest.approx((1.0, 0.0), abs=0.3)
    assert spot.found < 0.3 * spot.expected


def test_p_is_uniform_if_there_is_no_spot():
    """Of jets that are not uniform themselves: more in the centre, and a hole that both samples have."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(100):
        eta, phi = rng.normal(0, 1, (150, 2)), rng.uniform(-np.pi, 2.0, (150, 2))
        cells, shape, _ = cells_of(eta, phi)
        values = scan(cells, shape, divisions(40, 150, 99, rng))
        found.append(correct(values).corrected.min() - rng.uniform(0, 0.01))
    assert kstest(found, "uniform").pvalue > 0.01


def test_no_jet_at_all_is_no_error():
    cells, shape, _ = cells_of(np.full((5, 2), np.nan), np.full((5, 2), np.nan))
    assert scan(cells, shape, np.arange(2, dtype=np.int32)[None]).tolist() == [[0.0, 0.0]]
