"""Duplicates, events of one section, and rates by run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from oddjets.inspection.multiplicities import crowd, duplicates, rate_by_run


def table(n, seed=1):
    rng = np.random.default_rng(seed)
    columns = {f"{name}_{j}": rng.normal(size=n).astype(np.float32) for name in ("pt", "eta", "phi") for j in (1, 2)}
    return columns | {
        "run": rng.integers(1, 4, n).astype(np.uint32),
        "luminosityBlock": rng.integers(1, 9, n).astype(np.uint32),
        "event": np.arange(n, dtype=np.uint64),
    }


def test_events_that_are_there_twice_are_found_by_number_and_by_jets():
    columns = table(40)
    for name in ("run", "luminosityBlock", "event"):
        columns[name][30] = columns[name][2]
        columns[name][35] = columns[name][34]
    for name in list(columns)[:6]:
        columns[name][[20, 39]] = columns[name][5]
        columns[name][38] = columns[name][33]
    found = duplicates(columns, 10)
    # those without an event of the window are others' business
    assert found.same_number == [[2, 30]]
    assert found.same_jets == [[5, 20, 39]]
    assert found.compared == ("pt_1", "pt_2", "eta_1", "eta_2", "phi_1", "phi_2")


def test_no_event_is_twice_where_none_is_and_nan_is_equal_to_nothing():
    columns = table(40)
    columns["pt_2"][:] = np.nan
    assert duplicates(columns, 40).same_jets == []
    empty = {name: values[:0] for name, values in columns.items()}
    assert duplicates(empty, 0).same_number == duplicates(empty, 0).same_jets == []


def test_too_many_events_of_a_section_are_found():
    columns = table(600)
    columns["run"][:9], columns["luminosityBlock"][:9] = 3, 5
    rng = np.random.default_rng(2)
    found = crowd(columns["run"], columns["luminosityBlock"], 40, 500, rng)
    assert found is not None
    assert (found.run, found.section) == (3, 5)
    assert found.found >= 9
    assert found.expected < 4
    assert found.groups == 24
    assert found.p < 0.02
    by_run = crowd(columns["run"], None, 40, 500, rng)
    assert by_run is not None
    assert (by_run.run, by_run.section, by_run.groups) == (3, None, 3)


def test_the_probability_of_a_crowd_is_uniform_or_larger_if_there_is_none():
    rng = np.random.default_rng(3)
    found = []
    for seed in range(200):
        columns = table(200, seed)
        section = crowd(columns["run"], columns["luminosityBlock"], 50, 99, rng)
        assert section is not None
        found.append(section.p - rng.uniform(0, 0.01))
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.01
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_one_run_says_nothing():
    assert crowd(np.ones(10), None, 3, 10, np.random.default_rng(1)) is None
    assert crowd(np.arange(10), None, 0, 10, np.random.default_rng(1)) is None
    assert rate_by_run(np.ones(50), {1: 3.0}, 10, np.random.default_rng(1)) is None
    assert rate_by_run(np.ones(0), {1: 3.0, 2: 1.0}, 10, np.random.default_rng(1)) is None


def test_the_rate_by_run_is_the_sum_and_its_p_that_of_chi2_for_many_events():
    exposures = {run: 1.0 + run for run in range(6)}
    rng = np.random.default_rng(4)
    runs = rng.choice(6, 3000, p=np.array(list(exposures.values())) / 21)
    found = rate_by_run(runs, exposures, 20_000, rng)
    assert found is not None
    expected = 3000 * np.arange(1, 7) / 21
    counts = np.bincount(runs)
    assert found.found == counts.tolist()
    assert found.expected == pytest.approx(expected)
    assert found.chi2 == pytest.approx(((counts - expected) ** 2 / expected).sum())
    assert found.degrees == 5
    assert found.p == pytest.approx(chi2(5).sf(found.chi2), abs=0.02)
    assert found.first == found.last == list(range(6))


def test_runs_with_little_luminosity_are_joined_and_those_without_are_said():
    exposures = {1: 0.5, 2: 0.5, 5: 10.0, 7: 9.0, 8: 0.1, 9: 0.0}
    runs = np.array([1, 2] + 10 * [5] + 8 * [7] + [9, 11])
    found = rate_by_run(runs, exposures, 100, np.random.default_rng(5))
    assert found is not None
    assert found.without_exposure == 2
    assert (found.first, found.last) == ([1, 7], [5, 8])
    assert found.found == [12, 8]
    assert found.exposure == pytest.approx([11.0, 9.1])
    assert sum(found.expected) == pytest.approx(20)


def test_a_run_with_a_fault_is_found():
    rng = np.random.default_rng(6)
    runs = np.concatenate([rng.integers(1, 6, 100), np.full(30, 3)])
    found = rate_by_run(runs, dict.fromkeys(range(1, 6), 20.0), 999, rng)
    assert found is not None
    assert found.p == pytest.approx(0.001)
    assert found.first[int(np.argmax(np.array(found.found) / found.expected))] == 3
