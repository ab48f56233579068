"""The columns that are compared: numbers of the event table and what follows from them, and what defines a window."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_phi
from oddjets.io.event_table import JETS

__all__ = ["column_histogram", "compared_columns", "defining_columns", "derived_columns", "jet_of"]

#: numbers that say nothing of an event: its own number, and its weight
_NOT_COMPARED = ("event", "weight")
#: of a picture: more bins than this would have no events
_MOST_BINS = 20


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


def column_histogram(name: str, inside: npt.NDArray[Any], others: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the histograms of a column for a picture; the outermost one in a hundred are in the outer bins.

    Args:
        name: of the column.
        inside: its values in the window, (n,).
        others: of the events that it is compared with, (m,).

    Returns:
        ``name``, ``edges``, and the counts ``window`` and ``others``.
    """
    both = [np.asarray(values, np.float64) for values in (inside, others)]
    both = [values[np.isfinite(values)] for values in both]
    every = np.unique(np.concatenate(both))
    if len(every) <= _MOST_BINS and np.allclose(every, np.round(every)):
        edges = np.append(every - 0.5, every[-1] + 0.5) if np.allclose(np.diff(every), 1) else None
        if edges is None:
            edges = np.concatenate([[every[0] - 0.5], (every[1:] + every[:-1]) / 2, [every[-1] + 0.5]])
    else:
        low, high = np.quantile(np.concatenate(both), [0.01, 0.99])
        number = int(np.clip(2 * len(both[0]) ** 0.5, 6, _MOST_BINS))
        edges = np.linspace(low, high if high > low else low + 1, number + 1)
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in both]
    return {"name": name, "edges": edges.tolist(), "window": counts[0].tolist(), "others": counts[1].tolist()}
