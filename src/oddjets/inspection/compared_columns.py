"""The columns that are compared: numbers of the event table and what follows from them, and what defines a window."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_phi
from oddjets.io.event_table import JETS

__all__ = ["compared_columns", "defining_columns", "derived_columns", "jet_of"]

#: numbers that say nothing of an event: its own number, and its weight
_NOT_COMPARED = ("event", "weight")


def derived_columns(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float64]]:
    """Return what follows from the columns of an event table, as far as these are there, (n,) each.

    ``delta_eta`` and ``delta_phi`` are the distances of the two jets, ``pt_balance`` is (pT1 - pT2) / (pT1 + pT2),
    ``eta_pair`` half the sum of their pseudorapidities, ``abs_eta_j`` the absolute pseudorapidity, ``tau21_j``, ``tau32_j``
    and ``tau43_j`` are ratios of N-subjettiness.

    Args:
        columns: name to array.
    """
    found: dict[str, npt.NDArray[np.float64]] = {}

    def both(name: str) -> list[npt.NDArray[np.float64]] | None:
        names = [f"{name}_{j}" for j in JETS]
        return [np.asarray(columns[n], np.float64) for n in names] if all(n in columns for n in names) else None

    if eta := both("eta"):
        found["delta_eta"], found["eta_pair"] = np.abs(eta[0] - eta[1]), (eta[0] + eta[1]) / 2
        found |= {f"abs_eta_{j}": np.abs(eta[j - 1]) for j in JETS}
    if phi := both("phi"):
        found["delta_phi"] = np.abs(np.asarray(delta_phi(phi[0], phi[1]), np.float64))
    if pt := both("pt"):
        found["pt_balance"] = _ratio(pt[0] - pt[1], pt[0] + pt[1])
    for higher, lower in ((2, 1), (3, 2), (4, 3)):
        if (above := both(f"tau{higher}")) and (below := both(f"tau{lower}")):
            found |= {f"tau{higher}{lower}_{j}": _ratio(above[j - 1], below[j - 1]) for j in JETS}
    return {name: values for name, values in found.items() if name not in columns}


def _ratio(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0), np.float64)


def compared_columns(columns: Iterable[str]) -> list[str]:
    """Return which columns of an event table are compared: all but those of variations, the event's number and the weight."""
    return sorted(name for name in columns if "__" not in name and name not in _NOT_COMPARED)


def defining_columns(columns: Iterable[str], observable: Iterable[str], score: str) -> set[str]:
    """Return which columns define a window or the letters, so that a difference in them is put in.

    Args:
        columns: all names.
        observable: the columns that the window's observable is computed from.
        score: the name of the threshold's score.
    """
    of_score = re.compile(rf"(score|prob\d+)_{re.escape(score)}_[12]")
    return {name for name in columns if of_score.fullmatch(name)} | (set(observable) & set(columns))


def jet_of(column: str) -> int | None:
    """Return the number of the jet whose column it is; None: of the event."""
    match = re.search(r"_([12])$", column)
    return int(match[1]) if match else None
