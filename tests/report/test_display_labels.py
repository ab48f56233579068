"""Where the pT of a prong is written in a display."""

from __future__ import annotations

from oddjets.report.figures.display import _label_sides


def circle(x: float, y: float, radius: float) -> dict[str, float]:
    return {"d_eta": x, "d_phi": y, "radius": radius, "pt": 100.0}


def test_words_are_away_from_the_other_prongs_unless_one_is_there():
    assert _label_sides([circle(0, 0.3, 0.1), circle(0, -0.3, 0.1)]) == [1, -1]
    # the third is above the middle, and has the first right above it
    low, high = circle(0, -0.5, 0.1), circle(0, 0.4, 0.1)
    assert _label_sides([high, circle(0.05, 0.15, 0.1), low]) == [1, -1, -1]
    assert _label_sides([circle(0, 0, 0.1)]) == [1]
    assert _label_sides([]) == []


def test_words_do_not_lie_on_other_words():
    # two beside each other: their words would be in one place
    sides = _label_sides([circle(-0.1, 0.3, 0.05), circle(0.1, 0.3, 0.05), circle(0, -0.6, 0.1)])
    assert sides == [1, -1, -1]
