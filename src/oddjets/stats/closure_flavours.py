"""The part of the ABCD closure that is due to the flavours of the two jets of an event.

The b quarks of a gluon, or of a hard scattering, can be in one event, one in each jet: then events with two b jets are more
frequent than jets of different events would make them. A score that knows of b quarks is large in both jets of such events, so
that B C / D predicts too little, also where the scores are independent in each pair of flavours. The closures of single pairs
of flavours do not show it; how frequent these pairs are does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.stats.closure_parts import LEAST_EVENTS, abcd_constant, effective_events, extrapolate, part_entry, spread

__all__ = ["flavour_coupling", "flavour_excess", "flavour_part"]

Floats = npt.NDArray[np.float64]


def flavour_excess(events: Floats, pairs: Floats) -> Floats:
    """Return how many times as frequent each pair of flavours is as it would be if the jets were independent.

    Args:
        events: yields of the events as they are by pair of flavours, shape (groups, ..., 4, bins).
        pairs: those of jets of different events, likewise.

    Returns:
        Shape (groups, ...); NaN where there are no pairs.
    """
    seen, mixed = events.sum(axis=(-2, -1)), pairs.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = mixed / mixed.sum(axis=0)
        return np.asarray(np.where(expected > 0, seen / seen.sum(axis=0) / expected, np.nan))


def flavour_coupling(events: Floats, pairs: Floats) -> Floats:
    """Return the ABCD constant of jets that know only each other's flavours, over that of independent jets.

    Jets of different events are weighed such that each pair of flavours is as frequent as among the events; within a pair of
    flavours they stay independent.

    Args:
        events: yields of the events as they are by pair of flavours, shape (groups, ..., 4, bins).
        pairs: those of jets of different events, likewise.

    Returns:
        Shape (...): of the correlation of the jets, the factor that is due to flavours.
    """
    weighed = pairs * np.nan_to_num(flavour_excess(events, pairs))[..., None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(abcd_constant(weighed.sum(axis=0)) / abcd_constant(pairs.sum(axis=0)))


def flavour_part(
    events: Floats, pairs: Floats, squares: Floats, efficiencies: Sequence[float], at: float
) -> dict[str, Any]:
    """Return the factor of flavours in the closure of a region, as `closure_parts` has its parts.

    Args:
        events: yields of the events as they are, shape (groups, efficiencies, replicas + 1, 4, bins); the first replica is the
            measurement.
        pairs: those of jets of different events, of the same shape, from the same replicas.
        squares: sums of squared weights of the events, shape (groups, efficiencies, 4, bins).
        efficiencies: where they were counted.
        at: the working point's efficiency.

    Returns:
        ``values``, ``errors``, ``used``, ``measured_at``, ``value``, ``error`` and the others; it counts where 10 effective
        events are in B and in C. ``excess`` and ``excess_errors``, of each group: `flavour_excess`.
    """
    in_control, _ = effective_events(events.sum(axis=0)[:, 0], squares.sum(axis=0))
    points, usable = flavour_coupling(events, pairs), in_control >= LEAST_EVENTS
    there = np.isclose(efficiencies, at)
    # as of the structural constant: pairs of different events are many at the working point too
    direct = usable & there if (usable & there).any() else usable
    measured_at = np.asarray(efficiencies)[direct & np.isfinite(points[:, 0])].tolist()
    # all letters together, so that it is the same at all efficiencies
    excess = flavour_excess(events[:, 0], pairs[:, 0])
    return {
        **part_entry(points, usable, extrapolate(points, efficiencies, at, direct), measured_at),
        "excess": [float(one[0]) if np.isfinite(one[0]) else None for one in excess],
        "excess_errors": [float(error) if np.isfinite(error := spread(one)) else None for one in excess],
    }
