"""The events of a window against others: uniform p without a difference, and differences that are found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from oddjets.inspection.compared_columns import compared_columns, defining_columns, derived_columns, jet_of
from oddjets.inspection.neighbours import DEAD, HOT, compare


def events(rng, n):
    """Columns like those of an event table, several of which follow others."""
    pt = np.sort(rng.exponential(200, (n, 2)) + 450, axis=1)[:, ::-1]
    mass = rng.uniform(60, 240, (n, 2))
    return {
        **{f"pt_{j}": pt[:, j - 1].astype(np.float32) for j in (1, 2)},
        **{f"mass_{j}": mass[:, j - 1].astype(np.float32) for j in (1, 2)},
        **{f"mass_ungroomed_{j}": (mass[:, j - 1] * rng.uniform(1, 1.3, n)).astype(np.float32) for j in (1, 2)},
        **{f"eta_{j}": rng.normal(0, 1, n).astype(np.float32) for j in (1, 2)},
        **{f"phi_{j}": rng.uniform(-np.pi, np.pi, n).astype(np.float32) for j in (1, 2)},
        **{f"tau1_{j}": (mass[:, j - 1] / 800 + rng.exponential(0.2, n)).astype(np.float32) for j in (1, 2)},
        **{f"btag_{j}": rng.beta(1, 8, n).astype(np.float32) for j in (1, 2)},
        **{f"score_s_{j}": rng.uniform(0.5, 1, n) for j in (1, 2)},
        "n_muons": np.zeros(n, np.int16),
        "trigger_HT": rng.random(n) < 0.9,
        "run": np.sort(rng.integers(1, 9, n)).astype(np.uint32),
        "event": np.arange(n, dtype=np.uint64),
        "weight": np.ones(n),
        "pt_1__jes_up": pt[:, 0],
    }


def taken(columns, rows):
    return {name: values[rows] for name, values in columns.items()}


@pytest.mark.parametrize("n", [30, 200])
def test_the_smallest_p_is_uniform_if_nothing_differs(n):
    rng = np.random.default_rng(n)
    smallest = []
    for _ in range(40):
        found = compare(events(rng, n), events(rng, 80), rng, permutations=99, defining={"score_s_1", "score_s_2"})
        smallest.append(found.smallest - rng.uniform(0, 0.01))
    assert kstest(smallest, "uniform").pvalue > 0.01


def test_a_window_and_its_side_bands_differ_in_nothing_that_follows_from_the_observable():
    """The ungroomed mass follows the groomed one, which is what the window is cut out of; tau1 does so in part."""
    rng = np.random.default_rng(1)
    smallest, without = [], []
    counted, not_counted = set(), set()
    for _ in range(40):
        every = events(rng, 160)
        inside = (every["mass_1"] >= 120) & (every["mass_1"] < 160)
        window, beside = taken(every, inside), taken(every, ~inside)
        position = (window["mass_1"], beside["mass_1"])
        for values, place in ((smallest, position), (without, None)):
            found = compare(window, beside, rng, permutations=99, defining={"mass_1"}, position=place)
            values.append(found.smallest - rng.uniform(0, 0.01))
            if place is not None:
                not_counted |= {c.name for c in found.columns if c.corrected is None}
                counted |= {c.name for c in found.columns if c.corrected is not None}
    assert kstest(smallest, "uniform").pvalue > 0.01
    assert np.mean(np.array(without) < 0.1) > 0.9
    assert not_counted >= {"mass_1", "mass_ungroomed_1"}
    assert counted >= {"tau1_1", "mass_2", "pt_1"}


def test_what_differs_is_first_and_what_defines_the_window_is_not_counted():
    rng = np.random.default_rng(2)
    window, beside = events(rng, 60), events(rng, 300)
    window["btag_2"][:20] = rng.uniform(0.8, 1, 20)
    window["score_s_1"] += 1.0
    found = compare(window, beside, rng, permutations=999, defining={"score_s_1", "score_s_2"})
    assert found.columns[0].name == "btag_2"
    assert found.columns[0].corrected == pytest.approx(0.001)
    assert found.columns[1].corrected is not None
    assert found.columns[1].corrected > 0.02
    assert found.columns[0].window is not None
    assert found.columns[0].reference is not None
    assert found.columns[0].window[2] > 0.8 > found.columns[0].reference[2]
    last = found.columns[-2:]
    assert {c.name for c in last} == {"score_s_1", "score_s_2"}
    assert [c.corrected for c in last] == [None, None]
    assert min(c.p for c in last) == pytest.approx(0.001)


def test_a_hot_tower_and_a_bad_run_are_found():
    rng = np.random.default_rng(3)
    window, beside = events(rng, 80), events(rng, 400)
    window["eta_2"][:12], window["phi_2"][:12] = rng.normal(-1.3, 0.05, 12), rng.normal(3.12, 0.02, 12)
    window["run"][:] = np.where(np.arange(80) < 60, 3, window["run"])
    found = compare(window, beside, rng, permutations=999)
    by_name = {c.name: c for c in found.columns}
    assert by_name[HOT].corrected <= 0.02
    assert by_name["run"].corrected <= 0.003
    assert by_name[DEAD].corrected > 0.02
    assert found.hot is not None
    assert (found.hot.eta, abs(found.hot.phi)) == pytest.approx((-1.3, 3.1), abs=0.4)


def test_columns_that_cannot_be_compared_are_named_with_the_reason():
    rng = np.random.default_rng(4)
    window, beside = events(rng, 20), events(rng, 20)
    window["only_here"] = np.ones(20)
    window["text"], beside["text"] = np.full(20, "a"), np.full(20, "b")
    beside["tau1_1"], window["tau1_1"] = np.full(20, np.nan), np.ones(20)
    found = compare(window, beside, rng, permutations=10)
    assert found.skipped == {
        "n_muons": "the same for all events: 0",
        "only_here": "only one of the two samples has it",
        "text": "no numbers",
        "tau1_1": "one of the two samples has no value of it",
    }
    assert not {c.name for c in found.columns} & {"event", "weight", "pt_1__jes_up"}


def test_a_part_without_values_is_compared_as_well():
    rng = np.random.default_rng(5)
    window, beside = events(rng, 50), events(rng, 50)
    window["btag_1"][:30] = np.nan
    found = compare(window, beside, rng, permutations=199)
    assert found.columns[0].name == "btag_1"
    assert found.columns[0].missing == (0.6, 0.0)


@pytest.mark.parametrize(("n", "m"), [(4, 50), (50, 4), (0, 50), (50, 0), (0, 0)])
def test_too_few_events_are_said(n, m):
    rng = np.random.default_rng(6)
    found = compare(events(rng, n), events(rng, m), rng)
    assert (found.events, found.reference, found.columns) == (n, m, [])
    assert np.isnan(found.smallest)
    if n and m:
        assert found.skipped["pt_1"] == "fewer than 5 events"


def test_very_many_events_are_drawn_from():
    rng = np.random.default_rng(7)
    window, beside = events(rng, 10), events(rng, 20_100)
    found = compare(window, beside, rng, permutations=3, position=(window["mass_1"], beside["mass_1"]))
    assert (found.events, found.reference) == (10, 20_000)


def test_the_same_seed_gives_the_same():
    rng = np.random.default_rng(8)
    window, beside = events(rng, 20), events(rng, 50)
    one, other = (compare(window, beside, np.random.default_rng(1), permutations=50) for _ in range(2))
    assert one == other


def test_derived_columns_are_their_formulas():
    rng = np.random.default_rng(9)
    columns = events(rng, 10) | {f"tau{k}_{j}": rng.uniform(0, 1, 10) for k in (1, 2) for j in (1, 2)}
    columns["phi_1"][0], columns["phi_2"][0] = 3.1, -3.1
    columns["tau1_1"][3] = 0.0
    found = derived_columns(columns)
    assert found["delta_phi"][0] == pytest.approx(2 * np.pi - 6.2, abs=1e-6)
    assert found["delta_phi"].min() >= 0
    assert found["delta_eta"] == pytest.approx(np.abs(columns["eta_1"].astype(float) - columns["eta_2"]))
    assert found["pt_balance"] == pytest.approx(
        (columns["pt_1"] - columns["pt_2"]) / (columns["pt_1"] + columns["pt_2"]), rel=1e-4
    )
    assert np.isnan(found["tau21_1"][3])
    assert found["tau21_2"] == pytest.approx(columns["tau2_2"] / columns["tau1_2"])
    assert "tau32_1" not in found
    assert derived_columns({"mjj": np.ones(2)}) == {}
    # a processor's own column of the name stays
    assert "tau21_1" not in derived_columns(columns | {"tau21_1": np.zeros(10)})


def test_names_say_what_is_compared_and_what_defines():
    assert compared_columns(["b", "a__jes_up", "event", "weight", "run"]) == ["b", "run"]
    names = ["score_omni_1", "score_omni_2", "prob3_omni_1", "score_xbb_1", "mass_1", "mass_2", "mass_ungroomed_1"]
    assert defining_columns(names, ["mass_1"], "omni") == {"score_omni_1", "score_omni_2", "prob3_omni_1", "mass_1"}
    assert [jet_of(name) for name in ("pt_1", "mass_ungroomed_2", "mjj", "run")] == [1, 2, None, None]
