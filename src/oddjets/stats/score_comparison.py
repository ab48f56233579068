"""Separation and agreement of scores: estimates from weighted events, each with its statistical error.

A score here is one number for an event, large where the event is odd; for a pair of jets it is the smaller of their scores,
since both must pass the threshold. Errors are central 68.27 % intervals. Weights may differ and be negative: an estimate then
has the error of as many equal weights as have its variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from scipy.stats import beta

__all__ = [
    "LEAST_EVENTS",
    "Cut",
    "Estimate",
    "Improvement",
    "area_under_curve",
    "efficiency",
    "find_cuts",
    "gain",
    "improvement",
    "least_tail",
    "overlap",
    "rank_correlation",
    "rejection",
    "thresholds",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: effective events below which a number says little: whoever shows it says that they are too few
LEAST_EVENTS = 10.0
#: the probability below a central interval of one standard deviation
_OUTSIDE = float(ndtr(-1.0))
#: a slope is measured between thresholds whose efficiencies differ by this much in the logarithm, to both sides, or by one
#: standard deviation of the efficiency where that is more
_STEP = 0.25
#: where there are too few events for a slope: that of a score that does not separate
_UNKNOWN_SLOPE = 1.0


class Estimate(NamedTuple):
    """A number with its 68.27 % interval.

    Attributes:
        value: NaN where nothing is known.
        down: length of the interval below.
        up: length of the interval above.
        events: effective number of events that it rests on.
    """

    value: float
    down: float
    up: float
    events: float


class Cut(NamedTuple):
    """A threshold on a score that keeps a fraction of a sample.

    Attributes:
        threshold: of the score.
        kept: share of the sample at or above the threshold; more than asked for where scores are equal.
        around: a lower and a higher threshold, between which slopes are measured.
        distance: logarithm of the ratio of what these two keep; 0 where they keep the same, or the higher one nothing.
    """

    threshold: float
    kept: Estimate
    around: tuple[float, float]
    distance: float

    @property
    def relative_error(self) -> float:
        """The statistical error of what is kept, over it."""
        return (self.kept.down + self.kept.up) / (2 * self.kept.value) if self.kept.value > 0 else np.nan


class Improvement(NamedTuple):
    """The significance improvement at one threshold.

    Attributes:
        estimate: efficiency of the signal over the root of that of the background; ``events``: background above the threshold.
        efficiency: of the signal.
        slope: d ln(efficiency of the signal) / d ln(that of the background) at the threshold.
    """

    estimate: Estimate
    efficiency: Estimate
    slope: float


def _effective(weights: Floats) -> float:
    """Return how many events of equal weights have the same relative error."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def efficiency(passing: Mask, weights: Floats) -> Estimate:
    """Return the share of the weight that passes, with the Clopper-Pearson interval of as many equal weights.

    Args:
        passing: shape (n,).
        weights: shape (n,).

    Returns:
        The share; ``events`` is the effective number of those that pass. That of all, n, is from the variance of the share e,
        ((1 - e)^2 sum of w^2 of those that pass + e^2 sum of w^2 of the others) / (sum of w)^2 = e (1 - e) / n; with equal
        weights it is their number.
    """
    total = float(weights.sum())
    if not total > 0:
        return Estimate(np.nan, np.nan, np.nan, 0.0)
    # negative weights may leave it beyond both ends
    share = min(max(float(weights[passing].sum()) / total, 0.0), 1.0)
    squares = [float(np.square(weights[mask]).sum()) for mask in (passing, ~passing)]
    variance = ((1 - share) ** 2 * squares[0] + share**2 * squares[1]) / total**2
    number = share * (1 - share) / variance if 0 < share < 1 and variance > 0 else _effective(weights)
    low = float(beta.ppf(_OUTSIDE, number * share, number * (1 - share) + 1)) if share > 0 else 0.0
    high = float(beta.ppf(1 - _OUTSIDE, number * share + 1, number * (1 - share))) if share < 1 else 1.0
    return Estimate(share, share - low, high - share, _effective(weights[passing]))


def thresholds(scores: Floats, weights: Floats, fractions: Sequence[float]) -> Floats:
    """Return the largest thresholds at or above which at least these fractions of the weight are.

    Args:
        scores: shape (n,).
        weights: shape (n,).
        fractions: of the weight, each between 0 and 1.

    Returns:
        Scores of events, shape (fractions,); NaN without events.
    """
    return _thresholds(*_sorted(scores, weights), fractions)


def _sorted(scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the scores from the highest to the lowest, and the share of the weight at and above each."""
    order = np.argsort(-scores, kind="stable")
    # negative weights let the sum fall in between; its maximum so far does not
    above = np.maximum.accumulate(np.cumsum(weights[order]))
    total = float(weights.sum())
    return (scores[order], above / total) if total > 0 else (np.empty(0), np.empty(0))


def _thresholds(ordered: Floats, above: Floats, fractions: Sequence[float]) -> Floats:
    if not len(ordered):
        return np.full(len(fractions), np.nan)
    # rounding of a sum must not ask for one event more
    wanted = np.asarray(fractions) * (1 - 1e-12)
    return np.asarray(ordered[np.minimum(np.searchsorted(above, wanted), len(ordered) - 1)])


def find_cuts(scores: Floats, weights: Floats, fractions: Sequence[float]) -> list[Cut]:
    """Return the thresholds that keep fractions of a sample, with what slopes are measured between.

    Args:
        scores: shape (n,).
        weights: shape (n,).
        fractions: each between 0 and 1.
    """
    ordered = _sorted(scores, weights)
    found = []
    for threshold in _thresholds(*ordered, fractions).tolist():
        cut = Cut(threshold, efficiency(scores >= threshold, weights), (np.nan, np.nan), 0.0)
        error = cut.relative_error
        step = max(_STEP, error) if np.isfinite(error) else _STEP
        wanted = [min(cut.kept.value * float(np.exp(side * step)), 1.0) for side in (1, -1)]
        low, high = _thresholds(*ordered, wanted).tolist()
        shares = [_share(scores, weights, one) for one in (low, high)]
        distance = float(np.log(shares[0] / shares[1])) if min(shares) > 0 else 0.0
        found.append(cut._replace(around=(low, high), distance=distance))
    return found


def _share(scores: Floats, weights: Floats, threshold: float) -> float:
    total = float(weights.sum())
    return float(weights[scores >= threshold].sum()) / total if total > 0 else 0.0


def _placed(values: Floats, scores: Floats, weights: Floats) -> Floats:
    """Return the share of the weight of scores below each value and half of that at it."""
    levels, place = np.unique(scores, return_inverse=True)
    below = np.concatenate([[0.0], np.cumsum(np.bincount(place, weights, len(levels)))])
    left, right = (np.searchsorted(levels, values, side) for side in ("left", "right"))
    return np.asarray((below[left] + below[right]) / (2 * weights.sum()))


def _tail(values: Floats, scores: Floats, weights: Floats) -> Floats:
    """Return the share of the weight at and above each value's threshold: the largest score that is no larger."""
    levels, place = np.unique(scores, return_inverse=True)
    # summed from above, where few are: a difference of large sums would round the smallest shares
    above = np.cumsum(np.bincount(place, weights, len(levels))[::-1])[::-1]
    return np.asarray(above[np.maximum(np.searchsorted(levels, values, "right") - 1, 0)] / weights.sum())


def least_tail(events: Sequence[Floats], background: Sequence[Floats], weights: Floats) -> Floats:
    """Return the score of a union: minus the least of the probabilities that an event of background scores as high.

    At a threshold -u, an event is selected that any of the scores selects at the threshold that keeps a share u of the
    background.

    Args:
        events: their scores, one array (n,) for each score.
        background: the background's, one array (m,) for each score.
        weights: of the background, (m,).

    Returns:
        Shape (n,), between -1 and 0.
    """
    tails = [_tail(one, other, weights) for one, other in zip(events, background, strict=True)]
    return np.asarray(-np.min(tails, axis=0))


def area_under_curve(
    signal: Floats, signal_weights: Floats, background: Floats, background_weights: Floats
) -> Estimate:
    """Return the probability that a signal event scores higher than one of background, equal scores counted half.

    The error is that of E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988) 837, with weights: the scatter of the
    place of each event in the other sample.

    Args:
        signal: scores, shape (n,).
        signal_weights: shape (n,).
        background: scores, shape (m,).
        background_weights: shape (m,).

    Returns:
        The area; ``events`` is the smaller of the two effective numbers.
    """
    number = min(_effective(signal_weights), _effective(background_weights))
    if not (signal_weights.sum() > 0 and background_weights.sum() > 0):
        return Estimate(np.nan, np.nan, np.nan, 0.0)
    of_signal = _placed(signal, background, background_weights)
    of_background = 1 - _placed(background, signal, signal_weights)
    value = float(of_signal @ signal_weights / signal_weights.sum())
    parts = ((of_signal, signal_weights), (of_background, background_weights))
    variance = sum(float(np.square((place - value) * w).sum()) / float(w.sum()) ** 2 for place, w in parts)
    error = float(np.sqrt(variance))
    return Estimate(value, error, error, number)


def rank_correlation(first: Floats, second: Floats, weights: Floats) -> Estimate:
    """Return Spearman's rank correlation of two scores of the same events; equal scores share their mean rank.

    The error is that of D. Bonett, T. Wright, Psychometrika 65 (2000) 23: atanh(r) has the variance (1 + r^2 / 2) / (n - 3).

    Args:
        first: scores, shape (n,).
        second: scores, shape (n,).
        weights: shape (n,).

    Returns:
        The correlation; NaN where a score is the same for all events, or where there are no more than three.
    """
    number = _effective(weights)
    if not weights.sum() > 0 or number <= 3:
        return Estimate(np.nan, np.nan, np.nan, number)
    # rank as a share of the weight, whose mean is one half
    ranks = [_placed(scores, scores, weights) - 0.5 for scores in (first, second)]
    spread = [float(rank**2 @ weights) for rank in ranks]
    if min(spread) <= 1e-12 * float(weights.sum()):
        return Estimate(np.nan, np.nan, np.nan, number)
    value = float(np.clip((ranks[0] * ranks[1]) @ weights / np.sqrt(spread[0] * spread[1]), -1, 1))
    # at exactly one, atanh is infinite and the error 0
    middle = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
    width = np.sqrt((1 + value**2 / 2) / (number - 3))
    low, high = np.tanh(middle - width), np.tanh(middle + width)
    return Estimate(value, max(float(value - low), 0.0), max(float(high - value), 0.0), number)


def overlap(first: Mask, second: Mask, weights: Floats) -> Estimate:
    """Return the share of two selections that is common: 2 x both / (first + second), which is both / first of equal ones.

    Args:
        first: which events one selects, shape (n,).
        second: which the other selects, shape (n,).
        weights: shape (n,).

    Returns:
        The share, with the interval of J = both / either, of which it is 2 J / (1 + J); ``events`` is the effective number of
        those that either selects.
    """
    either = first | second
    shared = efficiency((first & second)[either], weights[either])
    value, low, high = (2 * x / (1 + x) for x in (shared.value, shared.value - shared.down, shared.value + shared.up))
    return Estimate(value, value - low, high - value, _effective(weights[either]))


def improvement(signal: Floats, weights: Floats, cut: Cut) -> Improvement:
    """Return the efficiency of the signal over the root of that of the background.

    The interval is that of the signal's efficiency at this threshold, in quadrature with what the background's statistics do:
    the true share of background above the threshold is off by its binomial error, and the signal's efficiency at the fraction
    asked for by this times the slope. Where equal scores keep more than this fraction, the result is for what is kept.

    Args:
        signal: scores, shape (n,).
        weights: of the signal, shape (n,).
        cut: on the background, from `find_cuts`.
    """
    passing = efficiency(signal >= cut.threshold, weights)
    slope = _slope(signal, weights, cut)
    root = float(np.sqrt(cut.kept.value)) if cut.kept.value > 0 else np.nan
    spread = abs(slope) * cut.relative_error * passing.value
    down, up = (float(np.hypot(side, spread)) / root for side in (passing.down, passing.up))
    return Improvement(Estimate(passing.value / root, down, up, cut.kept.events), passing, slope)


def rejection(background: Floats, weights: Floats, cut: Cut) -> Estimate:
    """Return one over the share of background that passes, at the threshold that keeps a share of the signal.

    The interval is that of the background's share at this threshold, in quadrature with the signal's statistics times the
    slope, as in `improvement`.

    Args:
        background: scores, shape (m,).
        weights: of the background, shape (m,).
        cut: on the signal, from `find_cuts`.

    Returns:
        The rejection, infinite where nothing passes; ``events`` is the effective number of events of background that pass.
    """
    above = efficiency(background >= cut.threshold, weights)
    if not above.value > 0:
        return Estimate(np.inf, np.nan, np.nan, 0.0)
    value = 1 / above.value
    spread = abs(_slope(background, weights, cut)) * cut.relative_error * value
    down = value - 1 / (above.value + above.up)
    up = 1 / (above.value - above.down) - value if above.value > above.down else np.inf
    return Estimate(value, float(np.hypot(down, spread)), float(np.hypot(up, spread)), above.events)


def _slope(scores: Floats, weights: Floats, cut: Cut) -> float:
    """Return d ln(share of these scores above a threshold) / d ln(share of the sample that it was found in)."""
    low, high = (_share(scores, weights, threshold) for threshold in cut.around)
    if min(low, high) <= 0 or cut.distance == 0:
        return _UNKNOWN_SLOPE
    return float(np.log(low / high)) / cut.distance


def gain(
    of: tuple[Improvement, Cut],
    over: tuple[Improvement, Cut],
    signal: tuple[Mask, Mask, Floats],
    background: tuple[Mask, Mask, Floats],
) -> Estimate:
    """Return the ratio of two significance improvements in the same events, whose errors are partly common and cancel.

    Args:
        of: the numerator, and its cut on the background.
        over: the denominator and its cut, at the same fraction.
        signal: which events the one selects, which the other, and the weights, (n,) each.
        background: likewise, (m,) each.

    Returns:
        The ratio, with a symmetric error to first order; NaN where either selects no signal. ``events`` is the least of the
        effective numbers of events of signal and background that they select.
    """
    (one, cut), (two, other) = of, over
    number = min(one.efficiency.events, two.efficiency.events, cut.kept.events, other.kept.events)
    if not (one.estimate.value > 0 and two.estimate.value > 0):
        return Estimate(np.nan, np.nan, np.nan, number)
    first, second, weights = signal
    both = first / one.efficiency.value - second / two.efficiency.value
    variance = float(np.square(both * weights).sum()) / float(weights.sum()) ** 2
    first, second, weights = background
    both = one.slope * first / cut.kept.value - two.slope * second / other.kept.value
    # where the slopes differ, the mean is not zero, and its square is no variance
    both = both - (one.slope - two.slope)
    variance += float(np.square(both * weights).sum()) / float(weights.sum()) ** 2
    value = one.estimate.value / two.estimate.value
    error = value * float(np.sqrt(variance))
    return Estimate(value, error, error, number)
