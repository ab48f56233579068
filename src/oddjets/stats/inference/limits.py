"""CLs upper limits with the test statistic q-tilde, asymptotic (Cowan et al., arXiv:1007.1727, sections 3.7 and 4)."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erfcx
from scipy.stats import norm

from oddjets.core.errors import OddjetsError
from oddjets.core.tables import Table, shown_as_table
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError, FitResult
from oddjets.stats.inference.estimates import Fits
from oddjets.stats.inference.profile import ProfileLikelihood, ProfilePoint
from oddjets.stats.inference.searches import Search, find_crossings, rise_search

__all__ = ["BANDS", "NAMES", "Limit", "asimov_profile", "cls_from_q", "upper_limit"]

#: the expected limit and its bands, in standard deviations
BANDS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
#: the most times that the data's profile may find a lower minimum than the best fit
MOST_LOWER_MINIMA = 3
#: names of the limits in the notes
NAMES = (*(f"expected limit at {band:+g} sigma" for band in BANDS), "observed limit")


@shown_as_table
class Limit(NamedTuple):
    """Upper limits.

    Attributes:
        observed: NaN where there is none.
        expected: at -2, -1, 0, 1, 2 sigma under the background; NaN where there is none.
        level: the confidence level.
        notes: reasons why a limit does not exist, and which limits lie beyond the parameter's bounds.
        toys: number of toys per hypothesis that they are from; 0: they are from the asymptotic formulas.
    """

    observed: float
    expected: tuple[float, ...]
    level: float
    notes: tuple[str, ...] = ()
    toys: int = 0

    @property
    def _headline(self) -> str:
        how = f"from {self.toys} toys" if self.toys else "asymptotic"
        return f"upper limit at {self.level:.0%} confidence level: {self.observed:.4g} ({how})"

    def _tables(self) -> list[Table]:
        head = [f"expected, {band:+g} sigma" if band else "expected" for band in BANDS]
        return [(head, [[f"{limit:.4g}" for limit in self.expected]])]

    def _notes(self) -> list[str]:
        return list(self.notes)


def cls_from_q(q: np.ndarray, q_asimov: np.ndarray) -> np.ndarray:
    """Return CLs from the observed q-tilde and the one of the background's Asimov data, elementwise."""
    root, root_a = np.sqrt(q), np.sqrt(np.maximum(q_asimov, 1e-300))
    above = q > q_asimov
    below = norm.sf(root) / norm.sf(np.where(above, 0.0, root - root_a))
    # beyond the Asimov data's q both tails may underflow, but their ratio does not
    both, background = (np.maximum(q + sign * q_asimov, 0.0) / (2 * root_a) for sign in (1, -1))
    beyond = np.exp(-0.5 * q) * erfcx(both / np.sqrt(2)) / erfcx(background / np.sqrt(2))
    return np.asarray(np.where(above, beyond, below))


def upper_limit(model: HistFactoryModel, fits: Fits, level: float = 0.95) -> Limit:
    """Find the signal strengths that CLs excludes.

    The profile of the data is followed upwards from the best fit, that of the background's Asimov data from zero, for all six
    limits together. If one limit does not exist, the others are still found. An expected limit is where q of the Asimov data
    reaches a value that depends only on the band and the level.

    Args:
        model: with a parameter of interest.
        fits: the background-only and the best fit of the observed data.
        level: the confidence level.

    Returns:
        Observed and expected limits.

    Raises:
        FitError: there is no background-only fit, or none of the limits exists.
        OddjetsError: the level is not between 0 and 1.
    """
    given: Any = level
    if not isinstance(given, Real) or not 0 < float(given) < 1:
        shown = f"{level:g}" if isinstance(given, Real) else repr(given)
        raise OddjetsError(f"a confidence level of {shown} is not between 0 and 1; 95 % is 0.95")
    poi = str(model.poi)
    if fits.background is None:
        raise FitError(f"no upper limit, because there is no fit with {poi} = 0: {fits.no_background}")
    notes: list[str] = []
    asimov = asimov_profile(model, fits.background)
    roots = norm.isf((1 - level) * norm.cdf(BANDS)) + BANDS
    searches = [rise_search(asimov, root**2, 1.0) for root in roots.tolist()]
    for _ in range(MOST_LOWER_MINIMA):
        data = ProfileLikelihood(model, poi, fits.best.values, fits.best.deviance, beyond=True)
        observed, *expected = find_crossings([_cls_search(data, asimov, fits, level), *searches])
        if not data.found_lower:
            break
        best = model.fit(start=data.minimum.parameters, with_covariance=False)
        notes.append(
            f"the minimum at {poi} = {best[poi]:.4g} is lower by {fits.best.deviance - best.deviance:.3g} than the best fit"
            " that was given; the observed limit uses it"
        )
        fits = fits._replace(best=best)
    values = []
    for what, found in zip(NAMES, (*expected, observed), strict=True):
        if isinstance(found, FitError):
            notes.append(f"no {what}: {found}")
        values.append(np.nan if isinstance(found, FitError) else found.value)
    if not np.isfinite(values).any():
        raise FitError("; ".join(notes))
    high = float(model.parameters.high[model.parameters.index(poi)])
    if outside := [f"{name} {value:.4g}" for name, value in zip(NAMES, values, strict=True) if value > high]:
        notes.append(f"beyond the upper bound {high:g} of {poi}, to which fits are restricted: {', '.join(outside)}")
    return Limit(values[-1], tuple(values[:-1]), level, tuple(notes))


def asimov_profile(model: HistFactoryModel, background: FitResult) -> ProfileLikelihood:
    """Return the profile likelihood of the background's Asimov data; their best fit is the background."""
    asimov = model.asimov(background.values)
    truth = float(model.deviance(background.values[None], asimov)[0])
    return ProfileLikelihood(model, str(model.poi), background.values, truth, asimov, beyond=True)


def _cls_search(data: ProfileLikelihood, asimov: ProfileLikelihood, fits: Fits, level: float) -> Search:
    """Return the search for the strength at which CLs of the data falls to 1 - level.

    Args:
        data: the profile of the observed data.
        asimov: the profile of the background's Asimov data.
        fits: the fits of the observed data.
        level: the confidence level.
    """
    assert fits.background is not None
    best = data.start.value
    # q-tilde compares with mu = 0 where the best value is negative, and is zero below the best value
    least, reference = (0.0, fits.background.deviance) if best < 0 else (best, fits.best.deviance)

    def height(points: tuple[ProfilePoint, ...]) -> float:
        if data.found_lower:
            raise FitError(f"the profile of {data.name} found a lower minimum than the best fit")
        seen, expected = points
        q = max(seen.deviance - reference, 0.0) if seen.value > least else 0.0
        cls = cls_from_q(np.array([q]), np.array([max(expected.deviance - asimov.start.deviance, 0.0)]))[0]
        # CLs of a parabola falls roughly as a Gaussian
        return float(np.sqrt(-2 * np.log(np.clip(cls, 1e-300, 1.0))))

    unit = asimov.unit(1.0) if best < 0 else data.unit(1.0)
    return Search((data, asimov), height, float(np.sqrt(-2 * np.log(1 - level))), least, 1.0, np.inf, unit)
