"""Shape variations: what is kept, smoothed and capped."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_fit import make_analysis
from hypothesis import given
from hypothesis import strategies as st

from oddjets.stats.templates import smooth_variation
from oddjets.stats.workspace import build

yields = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 100)), min_size=2, max_size=20)


def _shape(workspace):
    channel = next(c for c in workspace["channels"] if c["name"] == "SR_A")
    sample = next(s for s in channel["samples"] if s["name"] == "top")
    data = next(m["data"] for m in sample["modifiers"] if m["name"] == "jes")
    return np.array(sample["data"]), np.array(data["hi_data"]), np.array(data["lo_data"])


@pytest.fixture
def large(edit):
    """Histograms in which one bin of a variation has 2.5 times the events."""
    nominal = edit("SR", "wjets", "A", np.ones(5)).values("SR", "mass", "top", "A")
    return edit("SR", "top", "A", nominal * [1, 1, 2.5, 1, 1], "jesUp")


@given(yields)
def test_smoothing_keeps_the_total(pairs):
    nominal, varied = np.array(pairs).T
    assert smooth_variation(nominal, varied).sum() == pytest.approx(varied.sum())


@given(yields, st.floats(0.5, 2))
def test_a_constant_factor_is_smooth_already(pairs, factor):
    nominal = np.array(pairs)[:, 0]
    np.testing.assert_allclose(smooth_variation(nominal, factor * nominal), factor * nominal, rtol=1e-9)


def test_a_peak_in_a_flat_ratio_spreads_over_its_neighbours():
    varied = smooth_variation(np.full(7, 10.0), np.array([10, 10, 10, 14, 10, 10, 10.0]))
    np.testing.assert_allclose(varied, [10, 10, 11, 12, 11, 10, 10])


def test_large_variations_are_kept_and_reported(large):
    workspace, report = build(make_analysis(), large)
    nominal, high, _ = _shape(workspace)
    assert high[2] == pytest.approx(2.5 * nominal[2])
    place = {"region": "SR", "letter": "A", "process": "top", "variation": "jes"}
    assert place == {k: report["large"][0][k] for k in place}
    assert report["large"][0]["largest_change"] == pytest.approx(1.5)
    assert report["smoothed"] == report["capped"] == []


def test_large_variations_are_smoothed_where_asked_and_only_they(large):
    plain, _ = build(make_analysis(), large)
    workspace, report = build(make_analysis(variations={"smooth": True}), large)
    nominal, high, _ = _shape(workspace)
    assert report["smoothed"] == [{"region": "SR", "letter": "A", "process": "top", "variation": "jes"}]
    assert 1.2 < high[2] / nominal[2] < 2
    assert high.sum() == pytest.approx(_shape(plain)[1].sum())
    others = [[c for c in w["channels"] if c["name"] != "SR_A"] for w in (plain, workspace)]
    assert others[0] == others[1]


def test_changes_are_capped_where_asked(large):
    workspace, report = build(make_analysis(variations={"cap": 0.3}), large)
    nominal, high, low = _shape(workspace)
    assert high[2] == pytest.approx(1.3 * nominal[2])
    assert np.all(np.abs(np.stack([high, low]) / nominal - 1) < 0.3 + 1e-9)
    assert [(c["process"], c["bins"]) for c in report["capped"]] == [("top", [2])]


def test_one_sided_variations_are_reported(edit):
    base = edit("SR", "wjets", "A", np.ones(5))
    nominal = base.values("SR", "mass", "top", "A")
    both = edit("SR", "top", "A", 1.02 * nominal, "jesUp")
    view = both.histograms["SR", "mass"]["top", "A", "jesDown", :].view(flow=False)
    view["value"] = 1.04 * nominal
    both.histograms["SR", "mass"]["top", "A", "jesDown", :] = view
    report = build(make_analysis(), both)[1]
    assert [(w["up"], w["down"]) for w in report["one_sided"]] == [(pytest.approx(0.02), pytest.approx(0.04))]
