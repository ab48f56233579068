"""Each run against the others, and the places of all jets against an even azimuth: faults of the detector, whatever is odd.

A fault has its own time and place, and few of its events are odd in both jets. So all selected events say more than a
window of them: each run, or group of neighbouring runs, is compared with all others, column by column; and the jets of all
runs are searched for places where they are more, or fewer, than at other azimuths.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_phi
from oddjets.inspection.hot_spots import Spot, cells_of, places_of, scan, scan_turned, strongest
from oddjets.inspection.multiplicities import RateByRun, rate_by_run
from oddjets.inspection.neighbours import (
    DEAD,
    HOT,
    ColumnResult,
    NeighbourComparison,
    by_difference,
    joined_columns,
    result_of,
)
from oddjets.inspection.permutations import correct, divisions
from oddjets.inspection.two_sample import anderson_darling
from oddjets.io.event_table import JETS

__all__ = ["MOST_GROUPS", "GroupComparison", "compare_runs", "even_azimuth", "rate_at", "run_groups", "turned"]

Columns = Mapping[str, npt.NDArray[Any]]

#: more runs are joined to so many groups of neighbours: p is corrected for their number
MOST_GROUPS = 8
#: events of a group, at least
_LEAST = 20
#: differ by run in any data: conditions of the collisions
_CONDITIONS = ("run", "luminosityBlock", "bunch_crossing", "n_vertices", "rho")


@dataclass(frozen=True)
class GroupComparison:
    """The events of some neighbouring runs against those of all others.

    Attributes:
        first: the first of these runs.
        last: the last one.
        rows: which events these are, (n,).
        found: the comparison; p corrected for the number of columns and of groups.
    """

    first: int
    last: int
    rows: npt.NDArray[np.intp]
    found: NeighbourComparison


def run_groups(run: npt.ArrayLike) -> list[npt.NDArray[np.intp]]:
    """Return the events of each group of neighbouring runs: of single runs, if there are few, and each has enough events.

    Args:
        run: of the events, (N,).

    Returns:
        Rows of each group, in the order of runs; all events are in one of them.
    """
    runs = np.asarray(run, np.int64)
    order = np.argsort(runs, kind="stable")
    known, counts = np.unique(runs, return_counts=True)
    wanted = max(_LEAST, 1 if len(known) <= MOST_GROUPS else -(-len(runs) // MOST_GROUPS))
    groups: list[npt.NDArray[np.intp]] = []
    begin = end = 0
    for count in counts.tolist():
        end += count
        if end - begin >= wanted:
            groups.append(order[begin:end])
            begin = end
    if begin < end:
        # what is left is too little for a group of its own
        groups[-1:] = [np.concatenate([*groups[-1:], order[begin:end]])]
    return groups


def compare_runs(
    columns: Columns,
    rng: np.random.Generator,
    *,
    permutations: int = 2000,
    not_counted: Collection[str] = (),
) -> list[GroupComparison]:
    """Compare each group of neighbouring runs with all others, column by column, and by the places of the jets.

    The statistics are those of `oddjets.inspection.neighbours.compare`. In a permutation all events get the run of another
    one; p is corrected for the number of columns and of groups together.

    Args:
        columns: of all events, (N,) each, with ``run``.
        rng: source of randomness.
        permutations: how many.
        not_counted: columns that may differ by run without a fault, beside those of the collisions' conditions.

    Returns:
        One comparison a group, in the order of runs; none where there are not two groups.
    """
    groups = run_groups(columns["run"])
    if len(groups) < 2:
        return []
    order = np.concatenate(groups)
    ends = np.cumsum([len(rows) for rows in groups])
    starts = ends - np.array([len(rows) for rows in groups])
    sorted_columns = {name: np.asarray(values)[order] for name, values in columns.items()}
    first = {name: values[: ends[0]] for name, values in sorted_columns.items()}
    others = {name: values[ends[0] :] for name, values in sorted_columns.items()}
    joined, skipped = joined_columns(first, others)
    total = len(order)
    shuffled = divisions(total, total, permutations, rng)
    names, grid = list(joined), None
    if (where := places_of(joined)) is not None:
        grid = cells_of(*where)
        names += [HOT, DEAD]
    parts, spots = [], []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        drawn = np.ascontiguousarray(shuffled[:, start:end])
        values = anderson_darling(list(joined.values()), drawn)
        if grid is not None:
            values = np.concatenate([values, scan(grid[0], grid[1], drawn)], axis=1)
            spots.append(strongest(*grid, drawn))
        parts.append(values)
    put_in = {*_CONDITIONS, *not_counted}
    counted = np.array([name not in put_in for name in names])
    corrected = correct(np.concatenate(parts, axis=1), np.tile(counted, len(groups)))
    found = []
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        inside = np.zeros(total, np.bool_)
        inside[start:end] = True
        own = slice(number * len(names), (number + 1) * len(names))
        results = [
            result_of(name, float(p), float(q), joined.get(name), inside)
            for name, p, q in zip(names, corrected.p[own], corrected.corrected[own], strict=True)
        ]
        hot, dead = spots[number] if spots else (None, None)
        n = end - start
        comparison = NeighbourComparison(n, total - n, permutations, by_difference(results), skipped, hot, dead)
        runs = np.asarray(columns["run"])[groups[number]]
        found.append(GroupComparison(int(runs.min()), int(runs.max()), groups[number], comparison))
    return found


def even_azimuth(columns: Columns, rng: np.random.Generator, *, permutations: int = 2000) -> NeighbourComparison | None:
    """Search the jets of all events for places where they are more, or fewer, than at other azimuths of the same eta.

    Args:
        columns: of all events, (N,) each.
        rng: source of randomness.
        permutations: how many times all events are turned about the beam, each by a random angle.

    Returns:
        The result; None without the places of jets.
    """
    where = places_of(columns)
    if where is None:
        return None
    eta, phi = where
    values, (hot, dead) = scan_turned(*cells_of(eta, phi), permutations, rng)
    found = correct(values)
    results = [
        ColumnResult(name, float(p), float(q), None, None, (0.0, 0.0))
        for name, p, q in zip((HOT, DEAD), found.p, found.corrected, strict=True)
    ]
    return NeighbourComparison(len(eta), len(eta), permutations, by_difference(results), {}, hot, dead)


def rate_at(columns: Columns, spot: Spot, number: int, rng: np.random.Generator) -> RateByRun | None:
    """Compare the events with a jet in a square by run with all events: a fault may have begun, or been mended.

    Args:
        columns: of all events, (N,) each, with ``run`` and the places of their jets.
        spot: the square; where it is may come from the same events, for this says nothing of their runs.
        number: how many distributions are drawn.
        rng: source of randomness.

    Returns:
        None where there are not two groups of runs; see `oddjets.inspection.multiplicities.rate_by_run`.
    """
    half = spot.size / 2
    # in eta and phi a square of the grid, whose cells have nearly the same edges
    where = places_of(columns)
    if where is None:
        return None
    inside = ((np.abs(where[0] - spot.eta) < half) & (np.abs(delta_phi(where[1], spot.phi)) < half)).any(axis=1)
    runs = np.asarray(columns["run"], np.int64)
    known, counts = np.unique(runs, return_counts=True)
    return rate_by_run(runs[inside], dict(zip(known.tolist(), counts.tolist(), strict=True)), number, rng)


def turned(columns: Columns, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Return the places of the jets of all events, each event turned about the beam by a random angle.

    Args:
        columns: ``eta_j`` and ``phi_j``, (N,) each.
        rng: source of randomness.
    """
    angle = rng.uniform(-np.pi, np.pi, len(columns["phi_1"]))
    jets = [j for j in JETS if f"phi_{j}" in columns]
    etas = {f"eta_{j}": np.asarray(columns[f"eta_{j}"]) for j in jets}
    return etas | {f"phi_{j}": np.asarray(delta_phi(columns[f"phi_{j}"], angle)) for j in jets}
