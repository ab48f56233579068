"""The expected significance of a signal of a given strength, and the number of events that decide."""

from __future__ import annotations

import numpy as np

from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.estimates import Fits, Significance, significance_of

__all__ = ["FEW_EVENTS", "deciding_events", "expected_significance"]

#: with fewer events that decide, asymptotic formulas are not to be trusted without toys
FEW_EVENTS = 10.0


def expected_significance(model: HistFactoryModel, fits: Fits, strength: float = 1.0) -> Significance:
    """Return the median significance of a signal: that of the Asimov data of this strength.

    The other parameters of the Asimov data are those fitted to the data with the strength held there, as for expected limits
    (Cowan et al., arXiv:1007.1727, section 3.2).

    Args:
        model: with a parameter of interest.
        fits: the background-only and the best fit of the observed data.
        strength: of the signal, above 0 and within the bounds of the parameter of interest.

    Raises:
        FitError: there is no background-only fit, the strength is out of bounds, or a fit did not converge.
    """
    poi = str(model.poi)
    if fits.background is None:
        raise FitError(f"there is no expected significance: {fits.no_background}")
    p, index = model.parameters, model.parameters.index(poi)
    if not 0 < strength <= p.high[index]:
        raise FitError(
            f"there is no expected significance: {poi} = {strength:g} is not above 0 and up to {p.high[index]:g}"
        )
    start = fits.best.values.copy()
    start[index] = strength
    signal = model.fit({poi: strength}, start=start, with_covariance=False)
    asimov = model.asimov(signal.values)
    truth = float(model.deviance(signal.values[None], asimov)[0])
    without = signal.values.copy()
    without[index] = 0.0
    background = model.fit({poi: 0.0}, data=asimov, start=without, with_covariance=False)
    return significance_of(max(background.deviance - truth, 0.0))


def deciding_events(model: HistFactoryModel, fits: Fits) -> float:
    """Return how many background events the significance and the limit rest on.

    Events of bin i add ln(1 + s_i/b_i) each to the logarithm of the likelihood ratio. Its skewness without signal, which
    asymptotic formulas neglect, is that of a count of (sum b w^2)^3 / (sum b w^3)^2 events, if w is that logarithm. In a single
    bin these are the background's b. The background counts as known.

    Args:
        model: with a parameter of interest that scales a signal.
        fits: the background-only and the best fit; s is of the best strength, or of 1 if that is not above 0.

    Raises:
        FitError: there is no background-only fit.
    """
    if fits.background is None:
        raise FitError(f"there is no background to count: {fits.no_background}")
    poi = str(model.poi)
    index = model.parameters.index(poi)
    best = fits.best[poi]
    with_signal = fits.background.values.copy()
    with_signal[index] = best if best > 0 else min(1.0, float(model.parameters.high[index]))
    background = model.expected(fits.background.values)
    both = model.expected(with_signal)
    used = (background > 0) & (both > 0)
    weight = np.log(both[used] / background[used])
    second, third = (float((background[used] * weight**power).sum()) for power in (2, 3))
    return second**3 / third**2 if third else float("inf")
