"""Single events that carry a template, and weights far from nominal: what is counted while histograms are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oddjets.selection.event_weights import OUTLIER, WeightAudit


def template(weights: Any, letter: str = "A") -> dict[str, Any]:
    """What is said of one template of these weights."""
    audit = WeightAudit()
    size = len(weights)
    audit.add("top", np.asarray(weights, float), np.full(size, "ABCD".index(letter)), {"SR": np.ones(size, bool)})
    return next(t for t in audit.summary()["templates"] if t["letter"] == letter)


def test_one_event_of_a_thousand_with_most_of_the_weight_is_heavy() -> None:
    found = template([*np.ones(999), 1500.0])
    assert found["heavy"]
    assert found["events"] == 1000
    assert found["sum"] == 2499.0
    assert found["largest_share"] == pytest.approx(1500 / 2499)
    assert found["effective"] == pytest.approx(2499**2 / (999 + 1500**2))
    assert template([1.0, -1.0, 1.0])["worth"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("weights", "heavy"),
    [
        ([1.0], False),  # a template of one event: few, not odd
        ([1.0, 1.0], False),
        ([1.0, 3.0], False),  # two events of a generator whose weights differ
        ([1.0, 100.0], True),
        ([1.0, 1.0, 100.0], True),
        ([*np.ones(99), 30.0], False),  # less than half
        ([*np.ones(99), 90.0], True),  # likewise, and 100 events are worth 4
        ([*np.ones(99), 110.0], True),
        ([*np.ones(99), -110.0], True),  # a negative weight of that size is as bad
        ([*np.ones(298), 1e5, 1e5], True),  # two of many, neither with more than half
        ([*np.ones(297), 1e5, -1e5, 1e5], True),
        ([*np.ones(8), 1e5, 1e5], False),  # two of ten: nobody knows
        ([*np.ones(270), *np.full(31, 1e5)], False),  # as many as a tenth
        (np.geomspace(0.1, 10, 1000), False),  # a spectrum of weights
        ([0.0, 0.0, 0.0], False),
    ],
)
def test_what_is_heavy(weights: Any, heavy: bool) -> None:
    assert template(weights)["heavy"] is heavy


def test_a_region_is_counted_by_letter_and_as_a_whole() -> None:
    audit = WeightAudit()
    weights, letters = np.array([1.0, 1.0, 1.0, 50.0]), np.array([0, 0, 1, 3])
    audit.add("top", weights, letters, {"SR": np.ones(4, bool), "VR1": np.zeros(4, bool)})
    found = {t["letter"]: t for t in audit.summary()["templates"]}
    assert {x: t["events"] for x, t in found.items()} == {"A": 2, "B": 1, "D": 1, "all": 4}
    assert not found["D"]["heavy"]
    assert found["all"]["heavy"]


def test_pieces_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(1)
    weights, letters = rng.uniform(0, 2, 100), rng.integers(0, 4, 100)
    varied = weights * rng.uniform(0.1, 20, 100)
    masks = {"SR": rng.uniform(size=100) < 0.5, "VR1": rng.uniform(size=100) < 0.5}
    made = []
    for size in (100, 7):
        audit = WeightAudit()
        for i in range(0, 100, size):
            part = slice(i, i + size)
            cut = {region: mask[part] for region, mask in masks.items()}
            audit.add("top", weights[part], letters[part], cut)
            audit.add_varied("top", "fsrUp", varied[part], weights[part], letters[part], cut)
        made.append(audit.summary())
    assert made[0]["variations"] == made[1]["variations"]
    one, other = ({(t["region"], t["letter"]): t for t in m["templates"]} for m in made)
    assert one.keys() == other.keys()
    for place, values in one.items():
        assert values["events"] == other[place]["events"]
        assert values["sum"] == pytest.approx(other[place]["sum"])
        assert values["largest_share"] == pytest.approx(other[place]["largest_share"])


def test_shower_weights_of_thousands_are_counted_where_they_are() -> None:
    audit = WeightAudit()
    nominal = np.array([1.0, 2.0, 1.0, 0.0, 1.0, np.nan])
    varied = np.array([1.5, 6000.0, -11.0, 0.5, 9000.0, 1.0])
    letters = np.array([3, 1, 0, 0, 0, 0])
    inside = np.array([True, True, True, True, False, True])
    audit.add_varied("top", "fsrUp", varied, nominal, letters, {"SR": ~inside, "VR1": inside} | {"SR": inside & False})
    (found,) = audit.summary()["variations"]
    # two beyond the ratio, one made of nothing; the event outside of all regions and the one without a number count not
    assert found == {
        "process": "top",
        "variation": "fsrUp",
        "events": 4,
        "outliers": 3,
        "largest_ratio": 3000.0,
        "region": "VR1",
        "letter": "B",
    }


def test_a_variation_within_the_ratio_has_no_outlier() -> None:
    audit = WeightAudit()
    audit.add_varied("top", "isrUp", np.array([OUTLIER, 0.1]), np.ones(2), np.array([0, 0]), {"SR": np.ones(2, bool)})
    (found,) = audit.summary()["variations"]
    assert (found["outliers"], found["largest_ratio"]) == (0, OUTLIER)
