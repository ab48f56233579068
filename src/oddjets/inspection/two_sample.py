"""The two-sample test of Anderson and Darling for many columns and many divisions of the events at once."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["anderson_darling", "rank_correlation", "without_trend"]

Floats = npt.NDArray[np.float64]


def anderson_darling(columns: Sequence[npt.ArrayLike], drawn: npt.NDArray[np.int32]) -> Floats:
    r"""Return the statistic of Anderson and Darling for two samples, of each column and division.

    $$A^2 = \frac{1}{nm}\sum_j \frac{l_j\,(N M_j - n B_j)^2}{B_j\,(N-B_j)}$$

    over the different values of the joined samples but the largest: $l_j$ events have the value j, $B_j$ it or a smaller one,
    and $M_j$ of these are in the first sample (Scholz and Stephens, J. Am. Stat. Assoc. 82 (1987) 918, eq. 6). It depends on
    the order of values alone: no monotone transformation changes it, and NaN counts as a value below all others.

    Args:
        columns: values of the joined samples, (N,) each.
        drawn: the events of the first sample in each division, (divisions, n).

    Returns:
        Shape (divisions, columns).
    """
    total, n = (len(np.asarray(columns[0])) if columns else 0), drawn.shape[1]
    found = np.zeros((len(drawn), len(columns)))
    for k, column in enumerate(columns):
        order, weights = _prepared(np.asarray(column, np.float64))
        found[:, k] = _statistics(order, weights, drawn, n, total)
    return found


def _prepared(values: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return the order of values, and l / (B (N - B)) at the last of each group of equal ones, elsewhere 0; (N,) each."""
    values = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    total = len(values)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    sizes = np.diff(np.append(-1, last))
    below = last + 1.0
    weights = np.zeros(total)
    weights[last[:-1]] = sizes[:-1] / (below[:-1] * (total - below[:-1]))
    return order.astype(np.int32), weights


@numba.njit(cache=True)
def _statistics(order, weights, drawn, n, total):  # type: ignore[no-untyped-def]
    found = np.zeros(len(drawn))
    first = np.zeros(total, np.uint8)
    for r in range(len(drawn)):
        for i in range(n):
            first[drawn[r, i]] = 1
        seen, result = 0, 0.0
        for j in range(total):
            seen += first[order[j]]
            difference = float(total * seen - (j + 1) * n)
            result += weights[j] * difference * difference
        for i in range(n):
            first[drawn[r, i]] = 0
        found[r] = result / (n * (total - n))
    return found


def rank_correlation(values: npt.ArrayLike, position: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation of a column with the position in another one; NaN counts as below all others.

    Args:
        values: of the column, (n,); not all the same.
        position: in the other one, (n,).
    """
    ranks = [_ranks(np.asarray(x, np.float64)) for x in (values, position)]
    centred = [r - r.mean() for r in ranks]
    norm = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum() / norm) if norm > 0 else 0.0


def without_trend(values: npt.ArrayLike, position: npt.ArrayLike, rng: np.random.Generator) -> Floats:
    """Return a column without what follows from the position in another one, such as the observable.

    A window and its side bands differ in the observable, so that they differ in all columns that follow it. The ranks of the
    column, as normal scores, are fitted by a line against the position, and so are the absolute residuals; the ratio of both is
    compared. So a mean and a spread that change with the position are no difference: the usual assumption about side bands. A
    parabola would take most of a difference in the window for curvature.

    Args:
        values: of the column, (n,); NaN counts as below all others.
        position: in the observable, (n,).
        rng: equal values are put into random order; otherwise the position would be what is left of them.

    Returns:
        The residuals over their spread, (n,).
    """
    from scipy.special import ndtri

    column, x = np.asarray(values, np.float64), np.asarray(position, np.float64)
    order = np.lexsort([rng.random(len(x)), np.where(np.isnan(column), -np.inf, column)])
    scores = np.empty(len(x))
    scores[order] = ndtri((np.arange(len(x)) + 0.5) / len(x))
    spread = float(x.std())
    x = (x - x.mean()) / spread if spread > 0 else np.zeros_like(x)
    line = np.stack([np.ones_like(x), x], axis=1)

    def fitted(y: Floats) -> Floats:
        return np.asarray(line @ np.linalg.lstsq(line, y, rcond=None)[0])

    residuals = scores - fitted(scores)
    size = np.abs(residuals)
    # a line may fall below zero at its end
    return np.asarray(residuals / np.maximum(fitted(size), max(0.1 * float(size.mean()), 1e-12)))


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1, of equal values their mean, (n,)."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.where(np.isnan(values), -np.inf, values)))
