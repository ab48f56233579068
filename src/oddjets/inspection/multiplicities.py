"""Events that are there twice, too many events of one run or section, and rates by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.inspection.permutations import divisions

__all__ = ["Crowd", "Duplicates", "RateByRun", "crowd", "duplicates", "rate_by_run", "rate_of_counts"]

Floats = npt.NDArray[np.float64]

#: what makes two jet pairs the same; those that a table has are used
_KINEMATICS = tuple(f"{name}_{jet}" for name in ("pt", "eta", "phi", "mass") for jet in (1, 2))
#: neighbouring runs are joined until so many events are expected
_LEAST_EXPECTED = 5.0


@dataclass(frozen=True)
class Duplicates:
    """Events of a window that occur more than once among the events given.

    Attributes:
        same_number: groups of events with one run, section and event number; row numbers, the window's first.
        same_jets: groups of events whose two jets have equal pT, eta, phi and mass, under whatever numbers.
        compared: the columns that had to be equal.
    """

    same_number: list[list[int]]
    same_jets: list[list[int]]
    compared: tuple[str, ...]


def duplicates(columns: Mapping[str, npt.NDArray[Any]], n: int) -> Duplicates:
    """Look for events of a window that occur twice, in it or beside it.

    Args:
        columns: of the window's events, the first n, and of those beside it.
        n: number of events in the window.
    """
    kinematics = tuple(name for name in _KINEMATICS if name in columns)
    identity = ("run", "luminosityBlock", "event")
    found = [_groups([columns[name] for name in names], n) if names else [] for names in (identity, kinematics)]
    return Duplicates(found[0], found[1], kinematics)


def _groups(columns: Sequence[npt.NDArray[Any]], n: int) -> list[list[int]]:
    """Return the rows of equal events, of groups with one of the first n."""
    if not len(columns[0]):
        return []
    order = np.lexsort([*columns[::-1]])
    ordered = [column[order] for column in columns]
    new = np.ones(len(order), np.bool_)
    # NaN is equal to nothing, as it should be
    new[1:] = np.any([column[1:] != column[:-1] for column in ordered], axis=0)
    starts = np.append(np.flatnonzero(new), len(order))
    groups = [sorted(order[a:b].tolist()) for a, b in pairwise(starts.tolist()) if b - a > 1]
    return sorted(group for group in groups if group[0] < n)


@dataclass(frozen=True)
class Crowd:
    """The run or section with too many events of a window.

    Attributes:
        run: the one with the largest excess.
        section: likewise; None: runs were counted.
        found: events of the window in it.
        expected: by all events in it, times the part of events that are in the window.
        groups: how many different ones there are.
        p: the probability of an excess as large in any of them.
    """

    run: int
    section: int | None
    found: int
    expected: float
    groups: int
    p: float


def crowd(
    run: npt.ArrayLike, section: npt.ArrayLike | None, n: int, number: int, rng: np.random.Generator
) -> Crowd | None:
    """Test whether too many events of a window are of one section, or of one run.

    The statistic is the largest 2 (k ln(k/mu) - k + mu) of sections with k events of the window where mu < k are expected. The
    events beside the window say what is expected; their labels are permuted.

    Args:
        run: of the window's events, the first n, and of those beside it, (N,).
        section: likewise; None: count by run.
        n: number of events in the window.
        number: of permutations.
        rng: source of randomness.

    Returns:
        None where there is one run, or section, only.
    """
    keys = np.asarray(run, np.int64) << 32
    if section is not None:
        keys = keys + np.asarray(section, np.int64)
    groups, place = np.unique(keys, return_inverse=True)
    if len(groups) < 2 or not 0 < n < len(keys):
        return None
    expected = np.bincount(place, minlength=len(groups)) * (n / len(keys))
    values = np.empty(number + 1)
    for r, events in enumerate(divisions(n, len(keys), number, rng)):
        # groups without an event of the window are no excess, and there may be many
        there, counts = np.unique(place[events], return_counts=True)
        excess = _excess(counts, expected[there])
        values[r] = excess.max()
        if r == 0:
            worst = int(there[excess.argmax()])
            found = int(counts[excess.argmax()])
    p = float((values >= values[0] - 1e-9).mean())
    key = int(groups[worst])
    numbers = (key >> 32, None if section is None else key & 0xFFFFFFFF)
    return Crowd(*numbers, found, float(expected[worst]), len(groups), p)


def _excess(found: npt.NDArray[np.int64], expected: Floats) -> Floats:
    value = 2 * (found * np.log(found / expected) - found + expected)
    return np.where(found > expected, value, 0.0)


@dataclass(frozen=True)
class RateByRun:
    """Events of a window against the luminosity of runs, or against all events.

    Attributes:
        first: first run of each group of runs, (groups,).
        last: last run of each group.
        exposure: of each group: luminosity in /pb, or number of events.
        found: events of the window in each group.
        expected: the part of all of them by exposure.
        chi2: sum of (found - expected)^2 / expected.
        degrees: of freedom, groups - 1.
        p: the probability of a chi2 as large, by random divisions of the events among the groups.
        without_exposure: events in runs without any exposure; these are in no group.
    """

    first: list[int]
    last: list[int]
    exposure: list[float]
    found: list[int]
    expected: list[float]
    chi2: float
    degrees: int
    p: float
    without_exposure: int


def rate_by_run(
    run: npt.ArrayLike, exposures: Mapping[int, float], number: int, rng: np.random.Generator
) -> RateByRun | None:
    """Compare the events of a window with the exposure by run.

    Runs that follow each other are joined until five events are expected. For a rate that is constant the events are
    distributed multinomially over the groups; such distributions are drawn, so that p holds for few events as well.

    Args:
        run: of the window's events, (n,).
        exposures: run -> luminosity, or the number of events that the window is a part of.
        number: how many distributions are drawn.
        rng: source of randomness.

    Returns:
        None where there are not two groups of runs.
    """
    known, counts = np.unique(np.asarray(run, np.int64), return_counts=True)
    return rate_of_counts(dict(zip(known.tolist(), counts.tolist(), strict=True)), exposures, number, rng)


def rate_of_counts(
    counts: Mapping[int, float], exposures: Mapping[int, float], number: int, rng: np.random.Generator
) -> RateByRun | None:
    """Return what `rate_by_run` does, of numbers of events.

    Args:
        counts: run -> number of events of the window.
        exposures: as for `rate_by_run`.
        number: likewise.
        rng: likewise.
    """
    known = np.array(sorted(r for r, exposure in exposures.items() if exposure > 0), np.int64)
    amounts = np.array([exposures[r] for r in known.tolist()], np.float64)
    inside = np.array([counts.get(r, 0) for r in known.tolist()], np.int64)
    n, total = int(inside.sum()), float(amounts.sum())
    groups = _joined(amounts / total * n) if n else []
    if len(groups) < 2:
        return None
    starts = [group[0] for group in groups]
    exposure = np.add.reduceat(amounts, starts)
    found = np.add.reduceat(inside, starts)
    expected = exposure / total * n
    drawn = rng.multinomial(n, exposure / total, number)
    chi2 = float(((found - expected) ** 2 / expected).sum())
    toys = ((drawn - expected) ** 2 / expected).sum(axis=1)
    return RateByRun(
        first=[int(known[a]) for a, _ in groups],
        last=[int(known[b - 1]) for _, b in groups],
        exposure=exposure.tolist(),
        found=found.tolist(),
        expected=expected.tolist(),
        chi2=chi2,
        degrees=len(groups) - 1,
        p=float((1 + (toys >= chi2 - 1e-9).sum()) / (1 + number)),
        without_exposure=int(sum(counts.values())) - n,
    )


def _joined(expected: Floats) -> list[tuple[int, int]]:
    """Return begin and end of groups of neighbours in each of which enough is expected."""
    groups: list[tuple[int, int]] = []
    begin, total = 0, 0.0
    for i, value in enumerate(expected.tolist()):
        total += value
        if total >= _LEAST_EXPECTED:
            groups.append((begin, i + 1))
            begin, total = i + 1, 0.0
    # what is left is too little for a group of its own
    if groups and begin < len(expected):
        groups[-1] = (groups[-1][0], len(expected))
    return groups
