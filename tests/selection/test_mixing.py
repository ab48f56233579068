"""Jets of different events in pairs: each jet whole, all pairs, and ABCD constants as in closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers.toy_pairs import PASS_PLAIN, PASS_TAGGED, TAG, Tagged, columns, constant_of_union, toy

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import delta_phi
from oddjets.io.event_table import EventTable, dijet_mass
from oddjets.selection import regions
from oddjets.selection.mixing import (
    PairedEvents,
    abcd_yields,
    abcd_yields_of_pairs,
    pair_jets,
    pairings,
    select_nominal,
)


def constant(letters):
    a, b, c, d = (letters[..., i, :].sum(-1) for i in range(4))
    return a * d / (b * c)


def test_each_jet_keeps_its_columns_and_the_pair_its_order():
    events = columns(500, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    one, other = rng.integers(500, size=(2, 800))
    paired = pair_jets(events, one, other)
    assert (paired["pt_1"] >= paired["pt_2"]).all()
    swapped = events["pt_2"][other] > events["pt_1"][one]
    assert 50 < swapped.sum() < 750
    for name in ("pt", "eta", "mass", "mass_ungroomed", "tag", "score_s", "flavour"):
        first, second = events[f"{name}_1"][one], events[f"{name}_2"][other]
        np.testing.assert_array_equal(paired[f"{name}_1"], np.where(swapped, second, first))
        np.testing.assert_array_equal(paired[f"{name}_2"], np.where(swapped, first, second))
    np.testing.assert_array_equal(paired["event"], events["event"][one])


def test_the_jets_lie_as_in_the_other_event_and_the_mass_is_theirs():
    events = columns(300, np.random.default_rng(3))
    events["mjj"] = dijet_mass(events)
    one, other = np.arange(300), np.roll(np.arange(300), 7)
    paired = pair_jets(events, one, other)
    between = delta_phi(paired["phi_1"], paired["phi_2"])
    np.testing.assert_allclose(
        np.abs(between), np.abs(delta_phi(events["phi_1"][other], events["phi_2"][other])), atol=1e-9
    )
    assert (np.abs(paired["phi_2"]) <= np.pi).all()
    # an event paired with itself is the event
    same = pair_jets(events, one, one)
    np.testing.assert_allclose(same["mjj"], events["mjj"], rtol=1e-9)
    assert not np.allclose(paired["mjj"], events["mjj"])


def test_pairings_hold_each_jet_once_and_no_pair_twice():
    made = list(pairings(7, seed=1, pairs=10**6))
    assert len(made) == 6
    pairs = [(int(i), int(k)) for one, other in made for i, k in zip(one, other, strict=True)]
    assert sorted(pairs) == [(i, k) for i, k in itertools.product(range(7), repeat=2) if i != k]
    few = list(pairings(1000, seed=2, pairs=25_000))
    assert len(few) == 25
    assert len(list(pairings(1000, seed=2, pairs=1))) == 1
    for one, other in few:
        assert sorted(one) == sorted(other) == list(range(1000))
        assert (one != other).all()


@pytest.mark.parametrize("region", ["ALL", "ANY", "BOTH", "LOOSE"])
def test_all_pairs_one_by_one_give_the_same_yields(region):
    """The slow way: every pair of two different events, its region and letter by hand."""
    rng = np.random.default_rng(4)
    events = columns(60, rng)
    weights = rng.uniform(0.5, 2, 60) * np.where(rng.uniform(size=60) < 0.2, -1, 1)
    source = PairedEvents.from_columns(events, weights, replicas=3, seed=5)
    found = abcd_yields_of_pairs(toy(), Tagged(), source, [0.5], "mass", seed=6)[region]
    assert found.shape == (1, 4, 4, 1)
    expected = np.zeros((4, 4))
    for i, k in itertools.product(range(60), repeat=2):
        if i == k:
            continue
        jets = [(events["pt_1"][i], events["tag_1"][i], events["score_s_1"][i])]
        jets.append((events["pt_2"][k], events["tag_2"][k], events["score_s_2"][k]))
        (_, tag_1, score_1), (_, tag_2, score_2) = sorted(jets, reverse=True)
        inside = {
            "ALL": True,
            "ANY": tag_1 or tag_2,
            "BOTH": tag_1 and tag_2,
            "LOOSE": not (tag_1 and tag_2),
        }
        if inside[region]:
            letter = (score_1 < 0.5) + 2 * (score_2 < 0.5)
            expected[:, letter] += weights[i] * weights[k] * source.replicas[:, i].astype(float) * source.replicas[:, k]
    np.testing.assert_allclose(found[0, :, :, 0], expected, rtol=1e-9, atol=1e-9)


def test_random_pairs_agree_with_all_pairs_and_with_closed_forms():
    """The union of independent jets is off 1 by what its three products say; products are not."""
    events = columns(3000, np.random.default_rng(7))
    source = PairedEvents.from_columns(events, np.ones(3000), replicas=60, seed=8)
    some = abcd_yields_of_pairs(toy(), Tagged(), source, [0.5], "mass", seed=9, pairs=60_000)
    expected = {
        "ALL": 1.0,
        "BOTH": 1.0,
        "ANY": constant_of_union(TAG, PASS_TAGGED, PASS_PLAIN),
        "LOOSE": constant_of_union(1 - TAG, PASS_PLAIN, PASS_TAGGED),
    }
    assert expected["ANY"] < 0.5
    for region, value in expected.items():
        found = constant(some[region][0])
        assert abs(found[0] - value) < 3.5 * found[1:].std(), region
        assert found[1:].std() < 0.25 * value


@pytest.mark.parametrize("signed", [False, True])
def test_some_pairs_of_each_kind_are_as_good_as_all_in_every_replica(signed):
    """An eighth of the pairs: what is left of their choice is small beside the spread of the replicas."""
    rng = np.random.default_rng(18)
    events = columns(400, rng)
    for j in (1, 2):
        events[f"score_s_{j}"] += rng.uniform(0, 0.1, 400)
    weights = np.where(rng.uniform(size=400) < 0.1, -0.5, 1.0) if signed else rng.uniform(0.5, 2, 400)
    source = PairedEvents.from_columns(events, weights, replicas=50, seed=19)
    thresholds = [0.25, 0.5, 0.85]
    every, some = (
        abcd_yields_of_pairs(toy(), Tagged(), source, thresholds, "mass", seed=20, pairs=pairs)
        for pairs in (160_000, 20_000)
    )
    for region, i in itertools.product(["ALL", "ANY", "LOOSE"], range(3)):
        exact, found = constant(every[region][i]), constant(some[region][i])
        assert np.std(found - exact) < max(0.35 * exact.std(), 0.005), (region, i)
        np.testing.assert_allclose(some[region][i].sum(axis=(-2, -1)), every[region][i].sum(axis=(-2, -1)), rtol=0.02)


@pytest.mark.slow
def test_the_replicas_scatter_as_samples_do():
    """The bootstrap's error of a union's constant is the spread of that constant over independent samples."""
    rng = np.random.default_rng(10)
    asked = toy(regions={"ANY": {"any": "tagged"}})
    values, errors = [], []
    for _ in range(20):
        source = PairedEvents.from_columns(columns(300, rng), np.ones(300), replicas=25, seed=11)
        found = constant(abcd_yields_of_pairs(asked, Tagged(), source, [0.5], "mass", seed=12)["ANY"][0])
        values.append(found[0])
        errors.append(found[1:].std())
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.4)
    assert np.mean(values) == pytest.approx(constant_of_union(TAG, PASS_TAGGED, PASS_PLAIN), abs=0.06)


def test_what_pairs_of_one_event_have_in_common_is_gone_after_mixing():
    """Events with two tags of one cause: the unmixed union is far off what mixing gives, and mixing sees independent jets."""
    rng = np.random.default_rng(13)
    events = columns(40_000, rng, both=0.02)
    together = abcd_yields(toy(), Tagged(), events, np.ones((1, 40_000)), [0.5], "mass")
    source = PairedEvents.from_columns(events, np.ones(40_000), replicas=20, seed=14)
    mixed = abcd_yields_of_pairs(toy(), Tagged(), source, [0.5], "mass", seed=15, pairs=120_000)
    share = TAG + (1 - TAG) ** 2 * 0.02 + TAG * (1 - TAG) * 0.02
    found = constant(mixed["ANY"][0])
    assert abs(found[0] - constant_of_union(share, PASS_TAGGED, PASS_PLAIN)) < 3.5 * found[1:].std()
    assert constant(together["ANY"][0])[0] > 1.15 * found[0]


def test_yields_are_those_of_the_letters_of_each_event():
    rng = np.random.default_rng(16)
    asked = toy(observables={"mass": {"expression": "mass_1", "label": "m", "bins": 3, "range": [100, 190]}})
    events, weights = columns(2000, rng), rng.uniform(size=(2, 2000))
    events["score_s_1"] = rng.uniform(size=2000)
    found = abcd_yields(asked, Tagged(), events, weights, [0.5, 0.7], "mass")
    masks = regions.region_masks(asked, Tagged(), EventTable(events))
    for (region, mask), (t, threshold), s, (i, letter) in itertools.product(
        masks.items(), enumerate([0.5, 0.7]), range(2), enumerate("ABCD")
    ):
        named = regions.letters(events["score_s_1"], events["score_s_2"], threshold) == letter
        chosen = mask & named
        expected, _ = np.histogram(events["mass_1"][chosen], [100, 130, 160, 190], weights=weights[s, chosen])
        np.testing.assert_allclose(found[region][t, s, i], expected)


def test_nominal_columns_of_selected_events():
    class Half(Tagged):
        def passing(self, table):
            return table["event"] % 2 == 0

    events = columns(10, np.random.default_rng(17)) | {"pt_1__jesUp": np.ones(10)}
    found = select_nominal(Half(), events)
    assert found["event"].tolist() == [0, 2, 4, 6, 8]
    assert "pt_1__jesUp" not in found


@pytest.mark.parametrize("n", [0, 1])
def test_a_jet_needs_another_event(n):
    with pytest.raises(OddjetsError, match=f"{n} events are too few to pair their jets"):
        PairedEvents.from_columns(columns(n, np.random.default_rng(1)), np.ones(n), 2, 1)
