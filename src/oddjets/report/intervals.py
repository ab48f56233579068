"""Error bars of counts and of ratios."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hist.intervals import clopper_pearson_interval, poisson_interval

__all__ = ["binomial", "finite", "garwood", "points", "ratio"]

Array = npt.NDArray[np.float64]


def finite(values: Any) -> list[float | None]:
    """Return numbers as JSON can hold them: what is not finite becomes null."""
    return [float(v) if np.isfinite(v) else None for v in np.asarray(values, dtype=float)]


def garwood(counts: Any) -> tuple[Array, Array]:
    """Return the lengths of the error bars below and above counts: Garwood's 68.3 % interval (hist.intervals).

    Args:
        counts: shape (n,).

    Returns:
        Two arrays of shape (n,), neither negative.
    """
    values = np.asarray(counts, dtype=float)
    low, high = np.asarray(poisson_interval(values), dtype=float)
    return values - low, high - values


def points(counts: Any) -> dict[str, list[float | None]]:
    """Return counts with their error bars, for a figure's data: ``values``, ``down``, ``up``."""
    down, up = garwood(counts)
    return {"values": finite(counts), "down": finite(down), "up": finite(up)}


def ratio(numerator: Any, denominator: Any) -> Array:
    """Return the quotient, NaN where the denominator is not positive."""
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    quotient: Array = np.divide(top, bottom, out=np.full(np.broadcast(top, bottom).shape, np.nan), where=bottom > 0)
    return quotient


def binomial(passed: Any, total: Any) -> tuple[Array, Array, Array]:
    """Return an efficiency and its Clopper-Pearson 68.3 % error bars, NaN where nothing was tried.

    Args:
        passed: counts, shape (n,).
        total: counts, shape (n,).

    Returns:
        Efficiency, length of the bar below, length of the bar above.
    """
    k, n = np.asarray(passed, dtype=float), np.asarray(total, dtype=float)
    efficiency = ratio(k, n)
    safe = np.where(n > 0, n, 1.0)
    low, high = np.asarray(clopper_pearson_interval(np.minimum(k, safe), safe), dtype=float)
    tried = n > 0
    return efficiency, np.where(tried, efficiency - low, np.nan), np.where(tried, high - efficiency, np.nan)
