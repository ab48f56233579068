"""Each run against the others, and the azimuths of all jets: what is found, and that nothing is where nothing was put."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import kstest

from oddjets.inspection.by_run import compare_runs, even_azimuth, rate_at, run_groups, turned
from oddjets.inspection.hot_spots import ETA_STEP, PHI_CELLS, TURNED_SIZES, cells_of, scan_turned
from oddjets.inspection.neighbour_text import said_of_runs
from oddjets.inspection.neighbours import HOT


def events(rng, n, runs=4):
    """Jets back to back, more of them in the centre, and columns that know nothing of runs."""
    phi = rng.uniform(-np.pi, np.pi, n)
    return {
        "run": np.sort(rng.integers(1, runs + 1, n)),
        "eta_1": rng.normal(0, 1, n),
        "eta_2": rng.normal(0, 1, n),
        "phi_1": phi,
        "phi_2": (phi + np.pi + rng.normal(0, 0.1, n) + np.pi) % (2 * np.pi) - np.pi,
        "mass_1": rng.gamma(3, 30, n),
        "flag": rng.random(n) < 0.2,
        "n_vertices": np.sort(rng.poisson(20, n)),
    }


def with_spot(columns, rows, place, rng):
    """Put the leading jets of some events at a place, and turn the other ones with them."""
    columns["eta_1"][rows] = rng.normal(place[0], 0.1, len(rows))
    turn = rng.normal(place[1], 0.1, len(rows)) - columns["phi_1"][rows]
    for j in (1, 2):
        columns[f"phi_{j}"][rows] = (columns[f"phi_{j}"][rows] + turn + np.pi) % (2 * np.pi) - np.pi
    return columns


def test_p_is_uniform_over_all_runs_and_columns_and_over_azimuths():
    rng = np.random.default_rng(1)
    runs, azimuths = [], []
    for _ in range(40):
        columns = events(rng, 100)
        runs.append(min(g.found.smallest for g in compare_runs(columns, rng, permutations=99)) - rng.uniform(0, 0.01))
        even = even_azimuth(columns, rng, permutations=99)
        assert even is not None
        azimuths.append(even.smallest - rng.uniform(0, 0.01))
    assert kstest(runs, "uniform").pvalue > 0.01
    assert kstest(azimuths, "uniform").pvalue > 0.01


@pytest.mark.parametrize("place", [(-0.7, 2.1), (1.4, 3.12)])
def test_a_spot_of_one_run_is_found_in_its_run_and_at_its_place(place):
    rng = np.random.default_rng(2)
    columns = events(rng, 1200, runs=6)
    columns = with_spot(columns, np.flatnonzero(columns["run"] == 3)[:40], place, rng)
    groups = compare_runs(columns, rng, permutations=299)
    assert [(g.first, g.last) for g in groups] == [(run, run) for run in range(1, 7)]
    worst = min(groups, key=lambda group: group.found.smallest)
    assert worst.first == 3
    assert set(columns["run"][worst.rows]) == {3}
    assert {c.name: c.corrected for c in worst.found.columns}[HOT] == pytest.approx(1 / 300)
    assert all(g.found.smallest > 0.02 for g in groups if g is not worst)
    even = even_azimuth(columns, rng, permutations=299)
    assert even is not None
    assert even.columns[0].corrected == pytest.approx(1 / 300)
    for found in (worst.found, even):
        assert found.hot is not None
        assert abs(found.hot.eta - place[0]) < 0.5
        assert abs((found.hot.phi - place[1] + np.pi) % (2 * np.pi) - np.pi) < 0.5
    # only the run with the spot has more events in it than others
    rate = rate_at(columns, even.hot, 299, rng)
    assert rate is not None
    assert rate.p == pytest.approx(1 / 300)
    most = int(np.argmax(np.array(rate.found) / rate.expected))
    assert rate.first[most] <= 3 <= rate.last[most]
    assert sum(rate.found) <= even.hot.found
    said = said_of_runs(groups)
    assert "run 3 is the most different of 6;" in said[0]
    assert "run 3: 0.0033" in said[1]


def test_a_column_that_changes_in_a_run_is_first_and_conditions_are_not_counted():
    rng = np.random.default_rng(3)
    columns = events(rng, 400)
    columns["mass_1"][columns["run"] == 2] += 40
    groups = compare_runs(columns, rng, permutations=199)
    assert groups[1].found.columns[0].name == "mass_1"
    assert groups[1].found.smallest == pytest.approx(1 / 200)
    assert groups[1].found.columns[0].window[1] > groups[1].found.columns[0].reference[1] + 20
    # vertices follow the run here
    by_name = {c.name: c for c in groups[0].found.columns}
    assert by_name["n_vertices"].corrected is None
    assert by_name["n_vertices"].p < 0.01


def test_runs_are_joined_until_there_are_few_with_enough_events():
    rng = np.random.default_rng(4)
    runs = rng.permutation(np.repeat(np.arange(300_001, 300_101), rng.integers(1, 20, 100)))
    groups = run_groups(runs)
    assert 4 <= len(groups) <= 8
    assert sorted(np.concatenate(groups)) == list(range(len(runs)))
    ends = [(runs[rows].min(), runs[rows].max()) for rows in groups]
    assert all(last < first for (_, last), (first, _) in pairwise(ends))
    assert [len(rows) for rows in run_groups([1] * 30 + [2] * 3)] == [33]
    assert run_groups([]) == []
    assert compare_runs({"run": np.ones(50), "x": rng.normal(0, 1, 50)}, rng) == []


def test_the_scan_of_azimuths_is_the_slow_one():
    rng = np.random.default_rng(5)
    eta, phi = rng.uniform(-1.3, 2.4, (80, 2)), rng.uniform(-np.pi, np.pi, (80, 2))
    eta[3, 1] = phi[3, 1] = np.nan
    cells, shape, start = cells_of(eta, phi)
    values, spots = scan_turned(cells, shape, start, 0, rng)
    row, column = cells[cells >= 0] // PHI_CELLS, cells[cells >= 0] % PHI_CELLS
    best = [(0.0, 0, 0.0), (0.0, 0, 0.0)]
    for size in TURNED_SIZES:
        for a in range(0, max(shape[0] - size, 0) + size // 2, size // 2):
            for b in range(0, PHI_CELLS, size // 2):
                band = (row >= a) & (row < a + size)
                k, mu = int((band & ((column - b) % PHI_CELLS < size)).sum()), band.sum() * size / PHI_CELLS
                if mu and k != mu:
                    value = 2 * ((k * np.log(k / mu) if k else 0.0) - k + mu)
                    best[int(k < mu)] = max(best[int(k < mu)], (value, k, mu))
    assert values[0] == pytest.approx([one[0] for one in best])
    assert [(spot.found, spot.expected) for spot in spots] == [(one[1], pytest.approx(one[2])) for one in best]
    assert start % ETA_STEP == pytest.approx(0, abs=1e-9) or start % ETA_STEP == pytest.approx(ETA_STEP)


def test_turned_events_keep_their_eta_and_the_angle_between_their_jets():
    rng = np.random.default_rng(6)
    columns = events(rng, 50)
    found = turned(columns, rng)
    np.testing.assert_array_equal(found["eta_1"], columns["eta_1"])
    between = [(x["phi_1"] - x["phi_2"]) % (2 * np.pi) for x in (columns, found)]
    np.testing.assert_allclose(*between)
    assert np.abs(found["phi_1"]).max() <= np.pi
    assert even_azimuth({"eta_1": np.ones(3)}, rng) is None
