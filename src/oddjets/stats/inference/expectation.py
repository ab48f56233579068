"""The expected significance of a signal of a given strength, and the numbers of events that decide."""

from __future__ import annotations

import numpy as np

from oddjets.stats.histfactory.hessian import jacobian
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.estimates import Fits, Significance, significance_of

__all__ = ["FEW_EVENTS", "control_events", "deciding_events", "expected_significance"]

#: with fewer events that decide, or that estimate the background where they do, asymptotic formulas are not to be trusted
#: without toys: see the table of `docs/statistics.md`, made by `benchmarks/low_counts.py`
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
    background, weight = _weights(model, fits)
    second, third = (float((background * weight**power).sum()) for power in (2, 3))
    return second**3 / third**2 if third else float("inf")


def control_events(model: HistFactoryModel, fits: Fits) -> float:
    """Return how few events of data estimate the background in the bins that decide; infinity where none does.

    A free factor of a bin (a shapefactor) is measured by the data of the other bins that have it: the background of a bin of A
    by those of B, C and D. Of each bin that decides, this is the smallest of their numbers of events; the bins count by
    b w^2, as in `deciding_events`.

    Args:
        model: with a parameter of interest that scales a signal.
        fits: as there.

    Raises:
        FitError: there is no background-only fit.
    """
    background, weight = _weights(model, fits)
    p = model.parameters
    factors = np.flatnonzero(p.binned & ~p.constrained & ~p.fixed)
    # at the start, where no factor is zero and hides where it acts
    acts = jacobian(model, p.init)[:, factors] != 0
    data = model.data.main[0]
    total, least = 0.0, 0.0
    for i, importance in enumerate(background * weight**2):
        others = acts[:, acts[i]].any(axis=1)
        others[i] = False
        if importance > 0 and others.any():
            total += importance
            least += importance * float(data[others].min())
    return least / total if total else float("inf")


def _weights(model: HistFactoryModel, fits: Fits) -> tuple[np.ndarray, np.ndarray]:
    """Return the background of each bin and ln(1 + s/b), both (n_bins,); 0 where there is no background."""
    if fits.background is None:
        raise FitError(f"there is no background to count: {fits.no_background}")
    poi = str(model.poi)
    index = model.parameters.index(poi)
    best = fits.best[poi]
    with_signal = fits.background.values.copy()
    with_signal[index] = best if best > 0 else min(1.0, float(model.parameters.high[index]))
    background, both = model.expected(np.stack([fits.background.values, with_signal]))
    used = (background > 0) & (both > 0)
    weight = np.zeros(len(background))
    weight[used] = np.log(both[used] / background[used])
    return np.where(used, background, 0.0), weight
