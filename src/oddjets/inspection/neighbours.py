"""The events of a window against others, column by column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.inspection.compared_columns import compared_columns, derived_columns
from oddjets.inspection.hot_spots import Spot, cells_of, places_of, scan, strongest
from oddjets.inspection.permutations import correct, divisions, weighted_divisions
from oddjets.inspection.two_sample import anderson_darling, rank_correlation, without_trend

__all__ = [
    "DEAD",
    "HOT",
    "LEAST_EVENTS",
    "MOST_EVENTS",
    "ColumnResult",
    "NeighbourComparison",
    "by_difference",
    "compare",
    "joined_columns",
    "result_of",
]

Columns = Mapping[str, npt.NDArray[Any]]

#: with fewer events in the window no permutation says anything
LEAST_EVENTS = 5
#: of a larger sample so many events are taken at random: more take time, and hardly say more
MOST_EVENTS = 20_000
#: columns whose rank correlation with the observable is larger follow it, whatever the events are
FOLLOWS = 0.4
#: decisions of triggers follow pT and masses by their turn-ons, which are no lines
TURN_ONS = "trigger_"
#: names of the two searches in (eta, phi)
HOT, DEAD = "jets in (eta, phi): more", "jets in (eta, phi): fewer"


@dataclass(frozen=True)
class ColumnResult:
    """The difference of a column of the window from that of other events.

    Attributes:
        name: of the column, or of the search in (eta, phi).
        p: of this column alone.
        corrected: corrected for the number of columns; None: not counted, for the column defines the window.
        window: 16, 50 and 84 % of the window's events are below; None for a search in (eta, phi).
        reference: likewise of the others.
        missing: parts of the events without a value, of the window and of the others.
    """

    name: str
    p: float
    corrected: float | None
    window: tuple[float, float, float] | None
    reference: tuple[float, float, float] | None
    missing: tuple[float, float]


@dataclass(frozen=True)
class NeighbourComparison:
    """The events of a window against others.

    Attributes:
        events: number of events in the window.
        reference: number of events that they are compared with.
        permutations: how many.
        columns: results, those that differ most first.
        skipped: column -> why it is not compared.
        hot: where the jets are most above what is expected; None without eta and phi.
        dead: where they are most below.
    """

    events: int
    reference: int
    permutations: int
    columns: list[ColumnResult]
    skipped: dict[str, str]
    hot: Spot | None
    dead: Spot | None

    @property
    def smallest(self) -> float:
        """The smallest corrected p, which is uniform if nothing differs; NaN if nothing could be compared."""
        return min((c.corrected for c in self.columns if c.corrected is not None), default=float("nan"))


def compare(
    window: Columns,
    reference: Columns,
    rng: np.random.Generator,
    *,
    permutations: int = 2000,
    defining: Collection[str] = (),
    position: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    only: Collection[str] | None = None,
    weights: npt.NDArray[np.floating] | None = None,
) -> NeighbourComparison:
    """Compare the events of a window with others, column by column.

    Each column is compared by the statistic of Anderson and Darling, the places of both jets in (eta, phi) by their largest
    local excess and deficit. P values are those of permutations of the labels, the same for all columns, and are corrected
    for the number of columns; see `oddjets.inspection.permutations.correct`.

    Args:
        window: columns of the event table, (n,) each.
        reference: columns of the other events, (m,) each; all of the same weight.
        rng: source of randomness.
        permutations: how many.
        defining: columns that define the window, or the letters: a difference in them is put in. They are not counted.
        position: the window's observable of both, (n,) and (m,), where the others differ in it, as in side bands: what follows
            from it is removed, see `oddjets.inspection.two_sample.without_trend`; columns whose rank correlation with it is
            above 0.4, and decisions of triggers, are not counted: there more than that differs. None: they do not differ in it.
        only: columns that are compared, beside the places of the jets; None: all.
        weights: of the events of both in each permutation, (permutations, n + m): how much more probable than others each is in
            the window, where the others are not known to have its composition; None: all are alike.
    """
    first, second = (_taken(events, len(next(iter(events.values()), ())), rng) for events in (window, reference))
    places = None
    if position is not None:
        places = np.concatenate(
            [np.asarray(p, np.float64)[rows] for p, (rows, _) in zip(position, (first, second), strict=True)]
        )
    columns, skipped = joined_columns(
        {name: np.asarray(values)[first[0]] for name, values in window.items()},
        {name: np.asarray(values)[second[0]] for name, values in reference.items()},
    )
    if only is not None:
        skipped = {name: why for name, why in skipped.items() if name in only}
    n, total = len(first[0]), len(first[0]) + len(second[0])
    if min(n, total - n) < LEAST_EVENTS:
        few = f"fewer than {LEAST_EVENTS} events"
        return NeighbourComparison(n, total - n, 0, [], dict.fromkeys(columns, few) | skipped, None, None)
    if weights is None:
        drawn = divisions(n, total, permutations, rng)
    else:
        kept = np.concatenate([first[0], first[1] + second[0]])
        drawn = weighted_divisions(n, weights[:, kept], rng)
    put_in = set(defining)
    if places is not None:
        put_in |= {name for name, values in columns.items() if abs(rank_correlation(values, places)) > FOLLOWS}
        put_in |= {name for name in columns if name.startswith(TURN_ONS)}
    compared = {
        name: values if places is None or name in put_in else without_trend(values, places, rng)
        for name, values in columns.items()
        if only is None or name in only
    }
    values = anderson_darling(list(compared.values()), drawn)
    names, spots = list(compared), None
    if (where := places_of(columns)) is not None:
        cells, shape, start = cells_of(*where)
        values = np.concatenate([values, scan(cells, shape, drawn)], axis=1)
        names += [HOT, DEAD]
        spots = strongest(cells, shape, start, drawn)
    found = correct(values, np.array([name not in put_in for name in names]))
    inside = np.arange(total) < n
    results = [
        result_of(name, float(found.p[k]), float(found.corrected[k]), columns.get(name), inside)
        for k, name in enumerate(names)
    ]
    hot, dead = spots if spots is not None else (None, None)
    return NeighbourComparison(n, total - n, permutations, by_difference(results), skipped, hot, dead)


def by_difference(results: Sequence[ColumnResult]) -> list[ColumnResult]:
    """Return results with those that differ most first, and those that are not counted last."""
    return sorted(results, key=lambda one: (one.corrected is None, *_rank(one)))


def _with_derived(columns: Columns) -> Columns:
    return {**columns, **derived_columns(columns)}


def _rank(result: ColumnResult) -> tuple[float, float]:
    return (result.p if result.corrected is None else result.corrected, result.p)


def _taken(events: Columns, n: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], int]:
    """Return which events are compared, and how many there are."""
    if n <= MOST_EVENTS:
        return np.arange(n), n
    return np.sort(rng.choice(n, MOST_EVENTS, replace=False)), n


def joined_columns(window: Columns, reference: Columns) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, str]]:
    """Return the columns that can be compared, with derived ones, and why others are left out.

    Args:
        window: columns of some events, (n,) each.
        reference: columns of the others, (m,) each.

    Returns:
        Name to values of both, those of the window first, (n + m,); and name to reason.
    """
    window, reference = _with_derived(window), _with_derived(reference)
    columns: dict[str, npt.NDArray[np.float64]] = {}
    skipped: dict[str, str] = {}
    for name in compared_columns({*window, *reference}):
        if name not in window or name not in reference:
            skipped[name] = "only one of the two samples has it"
            continue
        both = [np.asarray(window[name]), np.asarray(reference[name])]
        if any(values.dtype.kind not in "biuf" for values in both):
            skipped[name] = "no numbers"
            continue
        floats = [np.asarray(values, np.float64) for values in both]
        if any(len(values) and np.isnan(values).all() for values in floats):
            skipped[name] = "one of the two samples has no value of it"
            continue
        joined = np.concatenate(floats)
        if not len(joined) or (joined == joined[0]).all():
            value = f"{joined[0]:g}" if len(joined) else "no event"
            skipped[name] = f"the same for all events: {value}"
            continue
        columns[name] = joined
    return columns, skipped


def result_of(
    name: str, p: float, corrected: float, values: npt.NDArray[np.float64] | None, inside: npt.NDArray[np.bool_]
) -> ColumnResult:
    """Return the result of a column, with what it is like.

    Args:
        name: of the column, or of a search in (eta, phi).
        p: of it alone.
        corrected: for the number of columns; NaN: not counted.
        values: of the column, (N,); None of a search.
        inside: which events are in the window, (N,).
    """
    if values is None:
        return ColumnResult(name, p, None if np.isnan(corrected) else corrected, None, None, (0.0, 0.0))
    parts = [values[inside], values[~inside]]
    quantiles: list[Any] = [
        tuple(np.quantile(part[~np.isnan(part)], (0.16, 0.5, 0.84)).tolist()) if not np.isnan(part).all() else None
        for part in parts
    ]
    missing = (float(np.isnan(parts[0]).mean()), float(np.isnan(parts[1]).mean()))
    return ColumnResult(name, p, None if np.isnan(corrected) else corrected, quantiles[0], quantiles[1], missing)
