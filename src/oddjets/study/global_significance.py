"""The worth of a significance after several were looked at: the same experiments through all choices.

Local p values are ranks: of all experiments without signal, the fraction in which this choice's z is at least as large. So no
choice counts more because its asymptotic z is too large. The statistic of all choices together is the smallest local p.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtri_exp
from scipy.stats import norm, rankdata

from oddjets.study.calibration import LEAST_ABOVE, binomial_interval, counted_p

__all__ = ["CopulaTail", "calibrated_p", "copula_tail", "effective_trials", "global_p", "normal_scores", "smallest_p"]

Floats = npt.NDArray[np.float64]

#: draws of the copula
DRAWS = 200_000
#: of a correlation matrix of ranks, what its eigenvalues are at least, so that there is a root of it
LEAST_EIGENVALUE = 1e-10


def _local_p(z: Floats) -> Floats:
    """Return the fraction of experiments with a z at least as large, of each choice, shape (E, choices)."""
    # the largest z has rank 1; equal ones share the larger p
    return np.asarray(rankdata(-z, method="max", axis=0) / (1 + len(z)))


def normal_scores(z: Floats) -> Floats:
    """Return the z that a normal distribution has at the same ranks, shape (E, choices).

    Args:
        z: signed, of complete experiments, shape (E, choices).
    """
    return np.asarray(norm.isf((rankdata(-z, method="average", axis=0) - 0.5) / len(z)))


def smallest_p(z: Floats) -> Floats:
    """Return the smallest local p of each experiment, shape (E,); equal z of one choice have the larger p."""
    return np.asarray(_local_p(z).min(axis=1))


def calibrated_p(z: Floats, observed: Floats) -> Floats:
    """Return local p of observed z, (1 + experiments at least as large)/(1 + E), shape (choices,)."""
    return np.asarray((1 + (z >= observed).sum(axis=0)) / (1 + len(z)))


def global_p(z: Floats, observed: Floats) -> dict[str, Any]:
    """Return the probability that the smallest local p of all choices is as small as the observed one, by counting.

    Args:
        z: signed, of complete experiments without signal, shape (E, choices).
        observed: z of the data, shape (choices,).

    Returns:
        ``local_p`` of every choice, the smallest, and ``counted``: p, its Clopper-Pearson interval, or a bound.
    """
    local = calibrated_p(z, observed)
    # where no experiment reaches an observed z, its p has the rank of the largest: what is counted is an upper bound
    below = int((smallest_p(z) <= local.min() * (1 + 1e-12)).sum())
    counted = counted_p(below, len(z))
    low, high = binomial_interval(below, len(z))
    return {
        "local_p": local.tolist(),
        "smallest": int(local.argmin()),
        **counted,
        "low": low,
        "high": high,
        "experiments_below": below,
        "extrapolated": below < LEAST_ABOVE,
    }


def effective_trials(z: Floats, sigmas: npt.ArrayLike) -> list[dict[str, float | None]]:
    """Return how many independent choices would be as large as some z as often as these are.

    With p the local probability, of rank, and P that of the largest, it is ln(1 - P)/ln(1 - p) (Z. Sidak, J. Am. Stat. Assoc.
    62 (1967) 626). It grows with the significance, since correlated normal variables are independent in their far tails.

    Args:
        z: signed, of complete experiments, shape (E, choices).
        sigmas: local significances.

    Returns:
        For each: ``sigma``, ``trials`` with the 68 % interval that P has, ``global_p`` and its z; None where no experiment is
        as large.
    """
    best = np.sort(_local_p(z).min(axis=1))
    found: list[dict[str, float | None]] = []
    for sigma in np.atleast_1d(np.asarray(sigmas, np.float64)):
        p = float(norm.sf(sigma))
        above = int(np.searchsorted(best, p, side="right"))
        # the ranks know only the steps of 1/(1 + E)
        reached = np.floor(p * (1 + len(z))) / (1 + len(z))
        low, high = binomial_interval(above, len(z))
        known = above > 0 and reached > 0

        def trials(probability: float, local: float = float(reached)) -> float:
            return float(np.log1p(-min(probability, 1 - 1e-12)) / np.log1p(-local))

        found.append(
            {
                "sigma": float(sigma),
                "experiments_above": float(above),
                "trials": trials(above / len(z)) if known else None,
                "trials_low": trials(low) if known else None,
                "trials_high": trials(high) if known else None,
                "global_p": above / len(z) if known else None,
                "global_z": float(norm.isf(above / len(z))) if known and above < len(z) else None,
            }
        )
    return found


class CopulaTail(NamedTuple):
    """The probability that a normal variable of several is beyond a threshold.

    Attributes:
        p: the probability.
        error: of the Monte Carlo integration.
        z: one-sided significance of it.
    """

    p: float
    error: float
    z: float


def _root(correlation: Floats) -> Floats:
    """Return a matrix whose product with its transpose is the correlation, made positive."""
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, LEAST_EIGENVALUE))
    # rounding of eigenvalues must not change variances
    return np.asarray(root / np.sqrt((root**2).sum(axis=1, keepdims=True)))


def copula_tail(correlation: Floats, z: float, *, draws: int = DRAWS, seed: int = 1) -> CopulaTail:
    """Return the probability that at least one of correlated normal variables is above z.

    By importance sampling of the union: one variable is drawn beyond z, the others given it, and the weight is the sum of the
    single probabilities over how many are beyond (A. B. Owen, Y. Maximov, M. Chertkov, Electron. J. Stat. 13 (2019) 231). Its
    relative error does not grow with z.

    Args:
        correlation: of the normal scores of all choices, shape (choices, choices).
        z: local significance of the largest.
        draws: of the integration.
        seed: of the draws.
    """
    number = len(correlation)
    rng = np.random.default_rng(seed)
    root = _root(np.asarray(correlation, np.float64))
    used = root @ root.T
    which = rng.integers(number, size=draws)
    # a truncated normal by its inverse, in logarithms: exact at any z
    beyond = -ndtri_exp(log_ndtr(-z) + np.log(1 - rng.random(draws)))
    free = rng.standard_normal((draws, root.shape[1])) @ root.T
    given = free + (beyond - free[np.arange(draws), which])[:, None] * used[which]
    given[np.arange(draws), which] = beyond
    counts = (given >= z).sum(axis=1)
    weights = 1.0 / counts
    single = float(norm.sf(z))
    p = number * single * float(weights.mean())
    error = number * single * float(weights.std(ddof=1)) / np.sqrt(draws)
    return CopulaTail(p, float(error), float(norm.isf(p)))
