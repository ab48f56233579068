"""CLs upper limits with the test statistic q-tilde, asymptotic (Cowan et al., arXiv:1007.1727, sections 3.7 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from oddjets.stats.histfactory.model import Model
from oddjets.stats.histfactory.results import Data, FitError
from oddjets.stats.inference.estimates import Fits, profile_values

__all__ = ["BANDS", "Limit", "cls_from_q", "upper_limit"]

#: the expected limit and its bands, in standard deviations
BANDS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


class Limit(NamedTuple):
    """Upper limits: observed, expected at -2, -1, 0, 1, 2 sigma under the background, and the confidence level."""

    observed: float
    expected: tuple[float, ...]
    level: float


def cls_from_q(q: np.ndarray, q_asimov: np.ndarray) -> np.ndarray:
    """Return CLs from the observed q-tilde and the one of the background's Asimov data, elementwise."""
    root, root_a = np.sqrt(q), np.sqrt(np.maximum(q_asimov, 1e-300))
    beyond = q > q_asimov
    both = np.where(beyond, (q + q_asimov) / (2 * root_a), root)
    background = np.where(beyond, (q - q_asimov) / (2 * root_a), root - root_a)
    return np.asarray(norm.sf(both) / norm.sf(background))


def upper_limit(model: Model, fits: Fits, level: float = 0.95) -> Limit:
    """Find the signal strengths that CLs excludes.

    Args:
        model: with a parameter of interest.
        fits: the background-only and the best fit of the observed data.
        level: the confidence level.

    Returns:
        Observed and expected limits.

    Raises:
        FitError: a fit did not converge, or no strength is excluded.
    """
    poi = str(model.poi)
    background, best = fits
    asimov = model.asimov(background.values)
    start = background.values
    hat = best[poi]
    # q-tilde compares with mu = 0 where the best value is negative
    reference = background.deviance if hat < 0 else best.deviance

    def q_asimov(mu: np.ndarray) -> np.ndarray:
        return np.maximum(profile_values(model, poi, mu, start, asimov) - _base(model, asimov, start), 0.0)

    def q_observed(mu: np.ndarray) -> np.ndarray:
        q = np.maximum(profile_values(model, poi, mu, best.values, model.data) - reference, 0.0)
        return np.where(mu < hat, 0.0, q)

    def excess(mu: np.ndarray) -> np.ndarray:
        """Log CLs - log alpha for the observed (first) and the expected limits."""
        qa = q_asimov(mu)
        observed = cls_from_q(q_observed(mu[:1]), qa[:1])
        root = np.sqrt(qa[1:])
        expected = norm.sf(root - BANDS) / norm.cdf(BANDS)
        return np.asarray(np.log(np.maximum(np.append(observed, expected), 1e-300)) - np.log(1 - level))

    scale = _scale(model, poi, q_asimov)
    guess = scale * (norm.ppf(1 - (1 - level) * norm.cdf(BANDS)) + BANDS)
    first = np.append(max(hat, 0.0) + guess[2], guess)
    values = _roots(excess, np.maximum(first, 0.05 * scale))
    return Limit(float(values[0]), tuple(float(v) for v in values[1:]), level)


def _base(model: Model, asimov: Data, start: np.ndarray) -> float:
    """The deviance of Asimov data at the truth, where it is smallest by construction."""
    return float(model.deviance(start, asimov)[0])


def _scale(model: Model, poi: str, q: Callable[[np.ndarray], np.ndarray]) -> float:
    """The strength at which q of the Asimov data is about one: the error of a measured zero."""
    mu = max(abs(model.parameters.init[model.parameters.index(poi)]), 1e-3)
    for _ in range(60):
        value = float(q(np.array([mu]))[0])
        if 0.01 < value < 100:
            return float(mu / np.sqrt(value))
        mu *= float(np.clip(1 / np.sqrt(max(value, 1e-4)), 0.02, 50))
    raise FitError(f"no value of {poi} changes the likelihood enough to be excluded; is its process in the fit?")


def _roots(function: Callable[[np.ndarray], np.ndarray], start: np.ndarray, tolerance: float = 1e-5) -> np.ndarray:
    """Find where each of several falling functions crosses zero; all are evaluated together.

    Bracketing, then regula falsi in the Illinois form.
    """
    low, high = np.zeros_like(start), start.copy()
    f_low, f_high = np.full_like(start, -np.log(0.05)), function(high)
    for _ in range(40):
        short = f_high > 0
        if not short.any():
            break
        low, f_low = np.where(short, high, low), np.where(short, f_high, f_low)
        high = np.where(short, 1.6 * high, high)
        f_high = np.where(short, function(high), f_high)
    else:
        raise FitError("no upper limit: the likelihood excludes no signal strength, however large")
    side = np.zeros_like(start)
    for _ in range(60):
        middle = (low * f_high - high * f_low) / (f_high - f_low)
        middle = np.where(np.isfinite(middle), middle, 0.5 * (low + high))
        value = function(middle)
        if np.all((np.abs(value) < tolerance) | (high - low < 1e-7 * high)):
            return np.asarray(middle)
        above = value > 0
        f_high = np.where(above & (side > 0), 0.5 * f_high, f_high)
        f_low = np.where(~above & (side < 0), 0.5 * f_low, f_low)
        low, f_low = np.where(above, middle, low), np.where(above, value, f_low)
        high, f_high = np.where(above, high, middle), np.where(above, f_high, value)
        side = np.where(above, 1.0, -1.0)
    raise FitError("the search for the upper limit did not converge")
