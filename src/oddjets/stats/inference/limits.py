"""CLs upper limits with the test statistic q-tilde, asymptotic (Cowan et al., arXiv:1007.1727, sections 3.7 and 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.estimates import Fits
from oddjets.stats.inference.profile import ProfileLikelihood

__all__ = ["BANDS", "Limit", "cls_from_q", "upper_limit"]

#: the expected limit and its bands, in standard deviations
BANDS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
#: by how much the search for the observed limit goes on where the last strength is not excluded, and how often
FURTHER, MOST_STEPS = 1.6, 60


class Limit(NamedTuple):
    """Upper limits.

    Attributes:
        observed: NaN where there is none.
        expected: at -2, -1, 0, 1, 2 sigma under the background; NaN where there is none.
        level: the confidence level.
        notes: why a limit does not exist, and which lie beyond the parameter's bounds, in sentences.
    """

    observed: float
    expected: tuple[float, ...]
    level: float
    notes: tuple[str, ...] = ()


def cls_from_q(q: np.ndarray, q_asimov: np.ndarray) -> np.ndarray:
    """Return CLs from the observed q-tilde and the one of the background's Asimov data, elementwise."""
    root, root_a = np.sqrt(q), np.sqrt(np.maximum(q_asimov, 1e-300))
    beyond = q > q_asimov
    both = np.where(beyond, (q + q_asimov) / (2 * root_a), root)
    background = np.where(beyond, (q - q_asimov) / (2 * root_a), root - root_a)
    return np.asarray(norm.sf(both) / norm.sf(background))


def upper_limit(model: HistFactoryModel, fits: Fits, level: float = 0.95) -> Limit:
    """Find the signal strengths that CLs excludes.

    The profiles are walked upwards, of the data from the best fit, of the background's Asimov data from zero. Each of the six
    limits stands alone: one that does not exist leaves the others. An expected limit is where q of the Asimov data has risen to
    a number that the band and the level say: CLs_b depends on nothing else.

    Args:
        model: with a parameter of interest.
        fits: the background-only and the best fit of the observed data.
        level: the confidence level.

    Returns:
        Observed and expected limits.

    Raises:
        FitError: there is no background-only fit, or none of the limits exists.
    """
    poi = str(model.poi)
    if fits.background is None:
        raise FitError(f"no upper limit, for it compares with {poi} = 0: {fits.no_background}")
    best, background = fits.best, fits.background
    asimov = model.asimov(background.values)
    # the Asimov data are their own best fit
    truth = float(model.deviance(background.values[None], asimov)[0])
    expected_profile = ProfileLikelihood(model, poi, background.values, truth, asimov, beyond=True)
    observed_profile = ProfileLikelihood(model, poi, best.values, best.deviance, beyond=True)
    notes: list[str] = []
    expected = np.full(len(BANDS), np.nan)
    for k, band in enumerate(BANDS):
        root = float(norm.isf((1 - level) * norm.cdf(band)) + band)
        try:
            expected[k] = expected_profile.crossing(root**2, 1.0).value
        except FitError as error:
            notes.append(f"no expected limit at {band:+g} sigma: {error}")
    observed = np.nan
    # q-tilde compares with mu = 0 where the best value is negative
    reference = background.deviance if best[poi] < 0 else best.deviance
    try:
        observed = _observed(observed_profile, expected_profile, max(best[poi], 0.0), reference, expected[2], level)
    except FitError as error:
        notes.append(f"no observed limit: {error}")
    if not np.isfinite([observed, *expected]).any():
        raise FitError("; ".join(notes))
    high = float(model.parameters.high[model.parameters.index(poi)])
    named = [("observed", observed), *((f"{b:+g} sigma", v) for b, v in zip(BANDS, expected, strict=True))]
    if outside := [f"{name} {value:.4g}" for name, value in named if value > high]:
        notes.append(f"limits beyond the bound {high:g} of {poi}, where the fit itself cannot go: {', '.join(outside)}")
    return Limit(float(observed), tuple(expected.tolist()), level, tuple(notes))


def _observed(
    data: ProfileLikelihood, asimov: ProfileLikelihood, least: float, reference: float, guess: float, level: float
) -> float:
    """Walk up from the best value to where CLs crosses 1 - level.

    Args:
        data: the profile of the observed data.
        asimov: of the background's Asimov data.
        least: the best value, or zero if that is negative.
        reference: the deviance that q-tilde compares with.
        guess: the expected limit.
        level: the confidence level.
    """

    def excess(mu: float) -> float:
        q = max(data.point(mu).deviance - reference, 0.0) if mu > least else 0.0
        cls = cls_from_q(np.array([q]), np.array([max(asimov.rise(mu), 0.0)]))[0]
        return float(np.log(max(cls, 1e-300)) - np.log(1 - level))

    step = guess if np.isfinite(guess) and guess > 0 else data.crossing(1.0, 1.0).value - least
    low, high = least, least + step
    for _ in range(MOST_STEPS):
        if excess(high) <= 0:
            break
        low, high = high, least + FURTHER * (high - least)
    else:
        raise FitError("the likelihood excludes no signal strength, however large")
    return float(brentq(excess, low, high, xtol=1e-6 * (high - least), rtol=1e-9)) if excess(low) > 0 else low
