"""How far the side bands of a window reach if nobody says so."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oddjets.config.window import Window
from oddjets.inspection.side_bands import nearest_side_bands, said_of_side_bands
from oddjets.inspection.window import RegionEvents

WINDOW = Window("SR", "A", "mass", 120, 180)


def events(values: list[float], weight: float = 1.0) -> RegionEvents:
    n = len(values)
    columns = {"weight": np.full(n, weight)}
    return RegionEvents("a", "data", True, np.arange(n), np.full(n, "A"), np.array(values), columns, "mine")


@pytest.mark.parametrize(
    ("values", "weight", "expected"),
    [
        # half of the window's width has enough, whatever is beyond
        ([100.0] * 30 + [200.0] * 20 + [400.0] * 500, 1.0, (90, 210)),
        # one too few: the next is between one and two steps away
        ([100.0] * 29 + [200.0] * 20 + [230.0], 1.0, (60, 240)),
        # all of one side; weights that are the same do not count
        ([185.0] * 50, 1e-4, (90, 210)),
        # fewer than enough, also with what has no value
        ([100.0] * 49 + [math.nan], 1.0, (-math.inf, math.inf)),
        ([], 1.0, (-math.inf, math.inf)),
    ],
)
def test_side_bands_are_as_near_as_fifty_events_allow(values, weight, expected):
    half = len(values) // 2
    assert nearest_side_bands(WINDOW, [events(values[:half], weight), events(values[half:], weight)]) == expected


def test_a_window_with_one_end_has_all_others_beside_it():
    assert nearest_side_bands(Window("SR", "A", "mass", 120), [events([100.0] * 60)]) == (-math.inf, math.inf)


def test_many_events_far_from_the_window_are_told():
    near, far = [110.0, 190.0] * 150, [300.0] * 101
    assert said_of_side_bands(WINDOW, (90, 210), np.array(near), "GeV") == ["side bands: mass 90 to 210 GeV"]
    said = said_of_side_bands(WINDOW, (-math.inf, math.inf), np.array(near + far), "GeV")
    assert said[0] == "side bands: all mass outside of the window"
    assert said[1].startswith("101 of their events are more than half of the window's width away")
    assert "--side-bands 90:210" in said[1]


def test_side_bands_on_one_side_are_told():
    for values in ([100.0, 110.0] * 3, [180.0, 200.0] * 3):
        said = said_of_side_bands(WINDOW, (90, 210), np.array(values), "GeV")
        assert len(said) == 2
        assert "on one side of the window" in said[1]
