"""Differences of distributions: the Jensen-Shannon divergence, and the distance correlation of two variables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

__all__ = ["DistanceCorrelation", "distance_correlation", "jensen_shannon"]

Floats = npt.NDArray[np.float64]

#: events with which the corrected distance correlation exists
LEAST_EVENTS = 10
#: rows of the matrix of distances that are in memory at once, times its columns
_CELLS = 4_000_000


def jensen_shannon(first: Floats, second: Floats) -> float:
    """Return the Jensen-Shannon divergence of two histograms, in bits: between 0 and 1.

    J. Lin, IEEE Trans. Inf. Theory 37 (1991) 145, with equal weights.

    Args:
        first: contents, none negative, not all zero, shape (bins,).
        second: likewise.
    """
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2

    def relative_entropy(a: Floats) -> float:
        filled = a > 0
        return float((a[filled] * np.log2(a[filled] / middle[filled])).sum())

    return (relative_entropy(p) + relative_entropy(q)) / 2


class DistanceCorrelation(NamedTuple):
    """The distance correlation of two variables.

    Attributes:
        squared: bias-corrected, about zero and of either sign where they are independent.
        p_value: that independent ones have a larger one.
        n: events.
    """

    squared: float
    p_value: float
    n: int


def _row_sums(values: Floats) -> Floats:
    """Return the sum of the distances of each value to all others, in a time n log n, shape (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    n, before = len(values), np.concatenate([[0.0], np.cumsum(ordered)[:-1]])
    place = np.arange(n)
    sums = np.empty(n)
    sums[order] = ordered * place - before + (ordered.sum() - before - ordered) - ordered * (n - 1 - place)
    return sums


def _mean_product(one: Floats, other: Floats) -> float:
    """Return the sum over all pairs of the product of their distances in two variables, a block of rows at a time."""
    total, step = 0.0, max(_CELLS // len(one), 1)
    for first in range(0, len(one), step):
        part = slice(first, first + step)
        a, b = (np.abs(x[part, None] - x[None, :]) for x in (one, other))
        total += float(np.einsum("ij,ij->", a, b))
    return total


def distance_correlation(one: Floats, other: Floats) -> DistanceCorrelation:
    """Return the bias-corrected squared distance correlation, with the chi-square test of independence.

    G. J. Szekely, M. L. Rizzo, Ann. Stat. 42 (2014) 2382; the test: C. Shen, S. Panda, J. T. Vogelstein, J. Comput. Graph.
    Stat. 31 (2022) 254, whose p is that of a chi-square with one degree of freedom above n times the correlation plus 1; it is
    too large rather than too small, for p below 0.05. The time grows with the square of the number of events (1 to 2 CPU s
    for 10,000).

    Args:
        one: shape (n,), finite.
        other: likewise.

    Raises:
        ValueError: fewer than ten events.
    """
    n = len(one)
    if n < LEAST_EVENTS:
        raise ValueError(f"a distance correlation needs {LEAST_EVENTS} events, not {n}")

    def covariance(x: Floats, y: Floats) -> float:
        rows, columns = _row_sums(x), _row_sums(y)
        cross = rows.sum() * columns.sum() / ((n - 1) * (n - 2))
        return float((_mean_product(x, y) + cross - 2 * (rows @ columns) / (n - 2)) / (n * (n - 3)))

    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    widths = covariance(x, x) * covariance(y, y)
    squared = covariance(x, y) / np.sqrt(widths) if widths > 0 else 0.0
    return DistanceCorrelation(float(squared), float(chi2.sf(n * squared + 1, 1)), n)
