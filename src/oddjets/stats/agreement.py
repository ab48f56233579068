"""Agreement of two scores of the same jets or events: rank correlation, and overlap of what they select."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["Overlap", "RankCorrelation", "overlap", "rank_correlation"]

Floats = NDArray[np.float64]


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation.

    Attributes:
        value: between -1 and 1; NaN where one of the scores is constant.
        error: of Bonett and Wright (Psychometrika 65 (2000) 23), (1 - r^2) sqrt((1 + r^2 / 2) / (n - 3)); NaN for fewer than
            four.
        n: how many were compared.
    """

    value: float
    error: float
    n: int


class Overlap(NamedTuple):
    """The events that two scores select together.

    Attributes:
        value: of as many selected by each, the share that both select; for independent scores it is the efficiency.
        error: sqrt(p (1 - p) / n) of that share; at least 1/n, since a share of 0 or 1 of few is not known exactly.
        n: how many each selects.
    """

    value: float
    error: float
    n: int


def rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> RankCorrelation:
    """Compute Spearman's rank correlation of two scores; ties have the mean of their ranks.

    Args:
        first: scores, shape (n,); any monotonic function of them gives the same.
        second: of the same, in the same order, shape (n,).
    """
    n = len(first)
    ranks = [rankdata(scores) for scores in (first, second)]
    if n < 2 or any(np.ptp(rank) == 0 for rank in ranks):
        return RankCorrelation(np.nan, np.nan, n)
    value = float(np.clip(np.corrcoef(*ranks)[0, 1], -1, 1))
    error = (1 - value**2) * np.sqrt((1 + value**2 / 2) / (n - 3)) if n > 3 else np.nan
    return RankCorrelation(value, float(error), n)


def overlap(first: NDArray[Any], second: NDArray[Any], efficiency: float) -> Overlap:
    """Select the highest by each of two scores, and count what both select.

    Args:
        first: scores, shape (n,).
        second: of the same, in the same order, shape (n,).
        efficiency: the share that each selects, rounded to a whole number, at least one. Of equal scores at the edge those
            are taken that come first.

    Returns:
        The overlap; NaN of nothing.
    """
    n = len(first)
    if not n:
        return Overlap(np.nan, np.nan, 0)
    chosen = min(n, max(1, round(efficiency * n)))
    highest = [np.argsort(-scores, kind="stable")[:chosen] for scores in (first, second)]
    value = len(np.intersect1d(highest[0], highest[1], assume_unique=True)) / chosen
    return Overlap(value, max(1 / chosen, float(np.sqrt(value * (1 - value) / chosen))), chosen)
