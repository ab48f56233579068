"""Mean shares against closed forms, other libraries and other ways to count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from oddjets.core.errors import OddjetsError
from oddjets.inspection.share_profiles import mean_and_error, selections_of, share_means
from oddjets.inspection.window import RegionEvents, Window

COLUMNS = {"X_bb": "share_X_bb_s", "QCD": "share_QCD_s"}
EDGES = [60.0, 100.0, 140.0, 180.0]
WINDOW = Window("SR", "A", "leading_mass", 100.0, 140.0)


def toy_events(n: int, seed: int = 0, *, weighted: bool = True, process: str = "data") -> RegionEvents:
    """Events whose share of X_bb rises with the mass of the jet."""
    rng = np.random.default_rng(seed)
    mass = rng.uniform(50, 190, (2, n))
    share = np.clip(mass / 200 + rng.normal(0, 0.1, (2, n)), 0, 1)
    columns: dict[str, Any] = {"weight": rng.exponential(1.0, n) if weighted else np.ones(n)}
    for j in (1, 2):
        columns |= {
            f"mass_{j}": mass[j - 1],
            f"share_X_bb_s_{j}": share[j - 1],
            f"share_QCD_s_{j}": 1 - share[j - 1],
        }
    letters = rng.choice(list("ABCD"), n)
    return RegionEvents(process, process, process == "data", np.arange(n), letters, mass[0], columns, "s")


def test_equal_weights_give_the_error_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.1, 50)
    mean, error = mean_and_error(values, np.full(50, 2.5)) or (0, 0)
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(stats.sem(values))


def test_the_error_is_the_spread_of_the_mean_over_samples() -> None:
    rng = np.random.default_rng(2)
    found = [mean_and_error(rng.normal(0.5, 0.2, 60), rng.exponential(1.0, 60)) for _ in range(2000)]
    means, errors = np.array(found).T
    assert np.sqrt((errors**2).mean()) == pytest.approx(means.std(), rel=0.05)


@given(n=st.integers(2, 20), factor=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_a_common_factor_of_weights_changes_nothing(n: int, factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.random((2, n)) + 0.01
    assert mean_and_error(values, factor * weights) == pytest.approx(mean_and_error(values, weights))


def test_no_number_without_two_events_or_a_positive_sum() -> None:
    one: NDArray[np.float64] = np.ones(1)
    assert mean_and_error(one, one) is None
    assert mean_and_error(one[:0], one[:0]) is None
    assert mean_and_error(np.ones(3), np.array([1.0, -2.0, 0.5])) is None
    assert mean_and_error(np.array([0.1, 0.9]), np.array([1.0, 0.0])) is None


def test_means_are_those_of_the_events_that_are_chosen() -> None:
    events = toy_events(400)
    found = {(f.selection, f.jet): f for f in share_means({"data": [events]}, WINDOW, COLUMNS, EDGES, "GeV")}
    inside = (events.letters == "A") & (events.values >= 100) & (events.values < 140)
    masks = {
        "A": events.letters == "A",
        "A, leading_mass 100 to 140 GeV": inside,
        "A, beside it": (events.letters == "A") & ~inside,
        "B, C, D": events.letters != "A",
    }
    assert found.keys() == {(name, jet) for name in masks for jet in (1, 2)}
    for (name, jet), means in found.items():
        mask, mass = masks[name], events.columns[f"mass_{jet}"]
        share, weights = events.columns[f"share_X_bb_s_{jet}"], events.columns["weight"]
        assert means.events == mask.sum()
        assert means.means["X_bb"] == pytest.approx(mean_and_error(share[mask], weights[mask]))
        assert means.means["X_bb"][0] + means.means["QCD"][0] == pytest.approx(1)
        assert means.means["X_bb"][0] == pytest.approx(np.average(share[mask], weights=weights[mask]))
        binned = stats.binned_statistic(mass[mask], share[mask], "count", bins=EDGES).statistic
        np.testing.assert_array_equal(means.binned_events, binned)
        sums = np.histogram(mass[mask], EDGES, weights=(weights * share)[mask])[0]
        norms = np.histogram(mass[mask], EDGES, weights=weights[mask])[0]
        for bin_, expected in zip(means.binned["X_bb"], sums / np.where(norms > 0, norms, 1), strict=True):
            assert bin_ is None or bin_[0] == pytest.approx(expected)


def test_datasets_of_a_process_are_one_sample_and_empty_ones_are_left_out() -> None:
    both = toy_events(300, process="top")
    parts = [
        both.select(np.arange(300) % 3 == 0),
        both.select(np.arange(300) % 3 > 0),
        both.select(np.zeros(300, bool)),
    ]
    together = share_means({"top": [both]}, WINDOW, COLUMNS, EDGES)
    for split, whole in zip(share_means({"top": parts}, WINDOW, COLUMNS, EDGES), together, strict=True):
        assert split.binned_events == whole.binned_events
        assert split.means["X_bb"] == pytest.approx(whole.means["X_bb"])
    assert share_means({"top": [parts[2]], "data": []}, WINDOW, COLUMNS, EDGES) == []


def test_a_window_of_all_values_has_no_beside() -> None:
    assert list(selections_of(toy_events(20), Window("SR", "B", "leading_mass"))) == ["B", "A, C, D"]


def test_letters_that_are_blinded_are_not_named() -> None:
    window = Window("SR", "B", "leading_mass")
    samples = {"data": [toy_events(50)], "qcd": [toy_events(50, process="qcd")]}
    found = share_means(samples, window, COLUMNS, EDGES, blinded=True)
    assert {(f.sample, f.selection) for f in found} == {
        ("data", "B"), ("data", "C, D"), ("qcd", "B"), ("qcd", "A, C, D")
    }  # fmt: skip


def test_tables_without_shares_are_an_error_that_says_what_to_do() -> None:
    columns = {"X_bb": "share_X_bb_other"}
    with pytest.raises(OddjetsError, match=r"no column 'share_X_bb_other_1'.*`oddjets process --force`"):
        share_means({"data": [toy_events(5)]}, WINDOW, columns, EDGES)
