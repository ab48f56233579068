"""The side bands of a window: how far they reach, and what is to be known of wide ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from oddjets.inspection.neighbours import LEAST_EVENTS
from oddjets.inspection.window import RegionEvents, Window

__all__ = ["nearest_side_bands", "said_of_side_bands"]

Floats = npt.NDArray[np.float64]

#: side bands that nobody chose are widened until they have so many events
LEAST_BESIDE = 50
#: so many events far from the window show the curve by which pT follows the mass
MANY_FAR = 100


def nearest_side_bands(window: Window, parts: Sequence[RegionEvents]) -> tuple[float, float]:
    """Return the side bands of a window if nobody says which: as near as can be.

    What follows the observable by a curve differs between a window and side bands far from it, without any signal. So they
    reach half of the window's width to both sides, and further, in steps of that, only until they have 50 events.

    Args:
        window: which.
        parts: the events of its letter outside of it, dataset by dataset; weighted ones count as many as can be drawn of them
            with equal weights.

    Returns:
        The lower and the upper end, in the observable's unit; infinite if even all events are fewer, or the window has one end.
    """
    step = (window.high - window.low) / 2
    far = np.concatenate([np.empty(0), *(_distance(window, part.values) for part in parts)])
    sizes = np.abs(np.concatenate([np.empty(0), *(np.asarray(part.columns["weight"], np.float64) for part in parts)]))
    order = np.argsort(far, kind="stable")
    enough = np.cumsum(sizes[order]) >= LEAST_BESIDE * sizes.max(initial=0.0)
    last = float(far[order][np.argmax(enough)]) if enough.any() else math.inf
    if not math.isfinite(step) or not math.isfinite(last):
        return -math.inf, math.inf
    reach = step * (math.floor(last / step) + 1)
    return window.low - reach, window.high + reach


def said_of_side_bands(window: Window, bands: tuple[float, float], values: Floats, unit: str) -> list[str]:
    """Return what is to be known of the side bands of a window, one sentence each.

    Args:
        window: which.
        bands: lower and upper end of the side bands, in the observable's unit.
        values: of the observable, of the events in the side bands, (n,).
        unit: of the observable.
    """
    if all(math.isinf(end) for end in bands):
        said = [f"side bands: all {window.observable} outside of the window"]
    else:
        said = [f"side bands: {window.observable} {bands[0]:g} to {bands[1]:g} {unit}".rstrip()]
    sides = np.asarray(values, np.float64)
    if len(sides) >= LEAST_EVENTS and ((sides < window.low).all() or (sides >= window.high).all()):
        said.append(
            "they are on one side of the window: a difference looks like what follows the observable, so that p is too large"
        )
    step = (window.high - window.low) / 2
    number = int((_distance(window, values) > step).sum())
    if number > MANY_FAR:
        said.append(
            f"{number} of their events are more than half of the window's width away from it; so many differ without any signal"
            f" in what follows {window.observable} by a curve, as pT does: give narrower ones"
            f" (--side-bands {window.low - step:g}:{window.high + step:g})"
        )
    return said


def _distance(window: Window, values: Floats) -> Floats:
    """Return how far outside of a window values of its observable are, (n,), in its unit; infinite for NaN."""
    return np.nan_to_num(np.maximum(np.maximum(window.low - values, values - window.high), 0.0), nan=np.inf)
