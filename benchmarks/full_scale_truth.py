"""What a jet of full_scale.py is in truth."""

from __future__ import annotations

from typing import Any

import numpy as np

#: heavy particles by what is asked first: the W of a top is in the top's jet
HEAVY = (6, 25, 24, 23)
#: how many particles of an event are looked at
MOST = 6
#: a jet has a particle within this
RADIUS = 0.8


def truth_of(columns: Any, jet: int) -> Any:
    """Return what a jet is: 6, 25, 24, 23 for a heavy particle, 21 for a gluon, 1 for a quark, 0 for neither, shape (events,).

    Args:
        columns: of `WithTruth`.
        jet: 1 or 2.
    """
    found = np.zeros(len(columns[f"eta_{jet}"]), np.int8)
    nearest = np.full(len(found), RADIUS)
    for k in range(MOST):
        code = columns[f"particle_id_{k}"]
        turn = (columns[f"particle_phi_{k}"] - columns[f"phi_{jet}"] + np.pi) % (2 * np.pi) - np.pi
        with np.errstate(invalid="ignore"):
            distance = np.hypot(columns[f"particle_eta_{k}"] - columns[f"eta_{jet}"], turn)
            near = distance < RADIUS
        heavy = near & np.isin(code, HEAVY) & ~np.isin(found, HEAVY)
        light = near & ~np.isin(code, HEAVY) & ~np.isin(found, HEAVY) & (distance < nearest)
        found = np.where(heavy, code, np.where(light, np.where(code == 21, 21, 1), found))
        nearest = np.where(light, distance, nearest)
    return found.astype(np.int8)
