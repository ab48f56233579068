"""Calibrated p values: how often experiments without signal are as extreme as the data, counted or by importance sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

__all__ = ["Tail", "binomial_interval", "calibrated", "counted_p", "tail_curve"]

Floats = npt.NDArray[np.float64]

#: the confidence of intervals
LEVEL = 0.6827
#: experiments that must be at least as extreme, or a p value is an extrapolation
LEAST_ABOVE = 10
#: the largest relative error of a p value by importance sampling that is none
MOST_ERROR = 0.5
#: the confidence of the bound of a p value where no experiment is as extreme
BOUND_LEVEL = 0.95


def binomial_interval(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a probability (C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404).

    Args:
        successes: how many.
        trials: of how many.
        level: its confidence.
    """
    if trials == 0:
        return 0.0, 1.0
    found = binomtest(successes, trials).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def counted_p(above: int, trials: int) -> dict[str, Any]:
    """Return a p value by counting: (1 + k)/(1 + n); for k = 0 it is not measured, and there is its bound alone.

    Where none of n experiments is as extreme, p is below 1 - 0.05^(1/n) at 95 %.

    Args:
        above: experiments at least as extreme, k.
        trials: all experiments, n.
    """
    if above:
        return {"p_value": (1 + above) / (1 + trials), "bound": None}
    below = float(-np.expm1(np.log1p(-BOUND_LEVEL) / trials)) if trials else 1.0
    bound = {"p_below": below, "z_above": float(norm.isf(below)), "level": BOUND_LEVEL, "experiments": trials}
    return {"p_value": None, "bound": bound}


class Tail:
    """The probability of a z at least as large, without signal.

    Args:
        z: of plain experiments, NaN where the fits failed, (n,).
        tilted_z: of experiments with a signal injected, (m,); None: there are none.
        log_weight: of those, (m,).
    """

    def __init__(self, z: Floats, tilted_z: Floats | None = None, log_weight: Floats | None = None) -> None:
        self.z, self.failed = z[np.isfinite(z)], int((~np.isfinite(z)).sum())
        self.tilted = None
        if tilted_z is not None and log_weight is not None and len(tilted_z):
            self.tilted = (np.where(np.isfinite(tilted_z), tilted_z, -np.inf), np.exp(log_weight))

    def counted(self, z: float) -> tuple[float | None, float, float, int]:
        """Return p, its Clopper-Pearson interval, and the experiments at least as extreme.

        p is (1 + k)/(1 + n) as of toys; None for k = 0 (see `counted_p`).
        """
        above = int((self.z >= z).sum())
        return counted_p(above, len(self.z))["p_value"], *binomial_interval(above, len(self.z)), above

    def weighted(self, z: float) -> tuple[float, float] | None:
        """Return p by importance sampling, and its error; None without such experiments, or with none above."""
        if self.tilted is None:
            return None
        values, weights = self.tilted
        inside = np.where(values >= z, weights, 0.0)
        p = float(inside.mean())
        # of a single experiment the error is as large as p: with n - 1
        return (p, float(inside.std(ddof=1) / np.sqrt(len(inside)))) if p > 0 and len(inside) > 1 else None

    def needed(self, z: float) -> int:
        """Return how many experiments with a signal injected give p an error of 50 %, with two digits, rounded up."""
        there = 0 if self.tilted is None else len(self.tilted[0])
        tail = self.weighted(z)
        # where nothing is above, four times as many is a guess
        more = 4.0 if tail is None else max((tail[1] / (MOST_ERROR * tail[0])) ** 2, 1.0)
        number = max(more * max(there, len(self.z)) if tail is None else more * there, 1.0)
        digit = 10.0 ** max(np.floor(np.log10(number)) - 1, 0)
        return int(np.ceil(number / digit - 1e-9) * digit)

    def __call__(self, z: float) -> dict[str, Any]:
        """Return the calibrated p of an observed z: by counting, or beyond its reach by importance sampling.

        An error of importance sampling of 50 % to 100 % makes an extrapolation. Where no experiment is as extreme and
        importance sampling does not help, p and z are None, and ``bound`` has what is known.
        """
        p, low, high, above = self.counted(z)
        bound = counted_p(above, len(self.z))["bound"]
        how, reached = "counting", above >= LEAST_ABOVE
        tail = self.weighted(z)
        if not reached and tail is not None:
            relative = tail[1] / tail[0]
            # the relative error of few that are counted is 1/sqrt(k)
            if relative <= MOST_ERROR or relative < (1 - 1e-9) / np.sqrt(max(above, 1)):
                (p, error), how, reached, bound = tail, "importance sampling", relative <= MOST_ERROR, None
                low, high = max(p - error, 0.0), p + error
        return {
            "z": None if p is None else float(norm.isf(p)),
            "p_value": p,
            "bound": bound,
            "low": low,
            "high": high,
            "experiments_above": above,
            "method": how,
            "extrapolated": not reached,
        }

    @property
    def reach(self) -> float:
        """The largest z whose p is no extrapolation."""
        ordered = np.sort(self.z)[::-1]
        least = float(ordered[min(LEAST_ABOVE, len(ordered)) - 1]) if len(ordered) >= LEAST_ABOVE else 0.0
        for z in np.arange(np.ceil(10 * least) / 10, 8.0, 0.1):
            tail = self.weighted(float(z))
            if tail is None or tail[1] > MOST_ERROR * tail[0]:
                break
            least = float(z)
        return least


def tail_curve(tail: Tail, zs: Sequence[float]) -> list[dict[str, float | None]]:
    """Return p at some z, by counting (None where no experiment is as extreme) and by importance sampling, and asymptotic."""
    curve: list[dict[str, float | None]] = []
    for z in zs:
        p, low, high, _ = tail.counted(z)
        by_weight = tail.weighted(z)
        curve.append(
            {
                "z": float(z),
                "asymptotic": float(norm.sf(z)),
                "counted": p,
                "low": low,
                "high": high,
                "weighted": None if by_weight is None else by_weight[0],
                "weighted_error": None if by_weight is None else by_weight[1],
            }
        )
    return curve


def calibrated(observed: float, tails: Mapping[str, Tail], asymptotic: float) -> dict[str, Any]:
    """Return the calibrated p of the observed z, and its range over what may be true.

    Where too few experiments of another truth are as extreme, its tail is the nominal one, moved and stretched to its mean and
    standard deviation of z. A truth whose p is still not measured leaves no range (None); ``not_measured`` names it.

    Args:
        observed: z of the analysis's fit.
        tails: what may be true -> its tail; the first is nominal.
        asymptotic: the asymptotic p.
    """
    (first, nominal), *others = tails.items()
    answers = {first: nominal(observed)}
    for label, tail in others:
        answer = tail(observed)
        if answer["extrapolated"] and len(tail.z) > 1 and tail.z.std() > 0:
            ratio = nominal.z.std() / tail.z.std()
            moved = nominal(float(nominal.z.mean() + (observed - tail.z.mean()) * ratio))
            if moved["p_value"] is not None:
                answer = moved | {"method": f"{moved['method']}, moved and stretched"}
        answers[label] = answer
    values = [answer["p_value"] for answer in answers.values() if answer["p_value"] is not None]
    unmeasured = [label for label, answer in answers.items() if answer["p_value"] is None]
    return {
        "observed_z": observed,
        "p_asymptotic": asymptotic,
        **answers[first],
        "range": None if unmeasured else [min(values), max(values)],
        "not_measured": unmeasured,
        "truths": answers,
    }
