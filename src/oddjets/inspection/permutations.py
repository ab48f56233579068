"""Permutations of the labels of two samples, and p values of many statistics of the same permutations.

If the events of a window and those that they are compared with are drawn from one distribution, all divisions of the joined
events into two samples of these sizes are equally probable, whatever the distribution is. So the p value of a statistic is its
rank among its values for random divisions, p = (1 + number as large or larger) / (1 + number of divisions): exact for any
number of events (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["Corrected", "correct", "divisions", "weighted_divisions"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: the part of the values of a statistic above which its tail is described by an exponential
_TAIL = 0.1


def divisions(n: int, total: int, number: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return which events are in the first sample: the observed division, then random ones.

    Args:
        n: events of the first sample; those of the observed division are 0 to n - 1.
        total: events of both samples.
        number: how many random divisions.
        rng: source of randomness.

    Returns:
        Shape (1 + number, n).
    """
    return np.asarray(_divisions(n, total, number, rng))


@numba.njit(cache=True)
def _divisions(n, total, number, rng):  # type: ignore[no-untyped-def]
    found = np.empty((number + 1, n), np.int32)
    events = np.arange(total).astype(np.int32)
    found[0] = events[:n]
    for r in range(1, number + 1):
        # the first n steps of a shuffle; it may start from any order
        for i in range(n):
            other = min(i + int(rng.random() * (total - i)), total - 1)
            events[i], events[other] = events[other], events[i]
        found[r] = events[:n]
    return found


def weighted_divisions(n: int, weights: npt.NDArray[np.floating], rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return which events are in the first sample: the observed division, then random ones, by weights of the events.

    Events are taken one after the other, each with a probability proportional to its weight (Efraimidis and Spirakis, Inf.
    Process. Lett. 97 (2006) 181). Equal weights are those of `divisions`.

    Args:
        n: events of the first sample; those of the observed division are 0 to n - 1.
        weights: of the events of both samples in each random division, (divisions, N).
        rng: source of randomness.

    Returns:
        Shape (1 + divisions, n).
    """
    number, total = weights.shape
    found = np.empty((number + 1, n), np.int32)
    found[0] = np.arange(n)
    for r in range(number):
        waiting = np.divide(rng.exponential(size=total), weights[r], out=np.full(total, np.inf), where=weights[r] > 0)
        found[r + 1] = np.argpartition(waiting, n - 1)[:n]
    return found


@dataclass(frozen=True)
class Corrected:
    """P values of several statistics, of the same divisions.

    Attributes:
        p: of each alone, (statistics,).
        corrected: corrected for their number, (statistics,): the probability that the smallest of all is as small, without any
            difference of the samples. NaN where a statistic is not counted.
    """

    p: Floats
    corrected: Floats


def correct(values: Floats, counted: npt.NDArray[np.bool_] | None = None) -> Corrected:
    """Return p values of statistics that are larger the less two samples agree, and correct them for their number.

    The correction is the step-down procedure of Westfall and Young (Resampling-based multiple testing, Wiley 1993) with the
    largest statistic: it uses how the statistics are correlated, so that ten copies of a column count as one. For statistics of
    different kinds to be alike, each is first replaced by -ln p, by its rank among its own values; above their upper tenth,
    where ranks become coarse, by an exponential tail with their median excess. All divisions, the observed one among them, are
    treated alike, so that the corrected p values are exact as well.

    Args:
        values: of the observed division, then of the others, (1 + divisions, statistics).
        counted: which statistics the correction counts, (statistics,); None: all.
    """
    values = np.asarray(values, np.float64)
    R, K = values.shape
    counted = np.ones(K, np.bool_) if counted is None else counted
    # sums of the same numbers in another order are equal but for rounding, and must count as equal
    rounded = np.array([np.round(column, 9 - _magnitude(column)) for column in values.T]).reshape(K, R).T
    p = (rounded >= rounded[0]).sum(axis=0) / R
    corrected = np.full(K, np.nan)
    scores = np.stack([_alike(rounded[:, k]) for k in range(K)], axis=1) if K else rounded
    order = np.argsort(-scores[0], kind="stable")
    order = order[counted[order]]
    largest = np.full(R, -np.inf)
    for k in order[::-1]:
        largest = np.maximum(largest, scores[:, k])
        corrected[k] = (largest >= scores[0, k]).sum() / R
    corrected[order] = np.maximum.accumulate(corrected[order])
    return Corrected(p, corrected)


def _magnitude(column: Floats) -> int:
    """Return the power of ten of the largest value."""
    largest = float(np.abs(column).max(initial=0.0))
    return int(np.ceil(np.log10(largest))) if largest > 0 else 0


def _alike(column: Floats) -> Floats:
    """Return -ln p of each value among all, with an exponential tail, (R,)."""
    ordered = np.sort(column)
    scores = -np.log((len(column) - np.searchsorted(ordered, column, side="left")) / len(column))
    limit = ordered[int((1 - _TAIL) * len(column))]
    above = column > limit
    if above.any():
        scale = float(np.median(column[above] - limit)) / np.log(2)
        scores[above] = -np.log(above.mean()) + (column[above] - limit) / scale
    return np.asarray(scores)
