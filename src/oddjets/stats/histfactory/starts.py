"""Further starts of fits: a model can have several minima, and the nearest one need not be the lowest.

-ln L is convex in the expected yields. Where these are linear in the parameters it has one minimum; several come from what is
not: variations that go the same way up and down, large log-normals, statistical errors on samples with free factors, and
products of free factors, as of ABCD, where a bin has few events.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from scipy.optimize import least_squares

from oddjets.stats.histfactory.expected import evaluate, variations
from oddjets.stats.histfactory.hessian import Expectations, jacobian
from oddjets.stats.histfactory.results import Data

__all__ = [
    "NonlinearModel",
    "NonlinearParameters",
    "Starts",
    "further_starts",
    "is_small",
    "nonlinear_parameters",
    "possible_start",
]

#: sum over bins of (common shift of up and down)^2/expected above which two minima are looked for: if both shifts have the
#: same sign, and if not
MIN_ONE_SIDED, MIN_NONLINEAR = 0.02, 0.5
#: distance of a nonlinear parameter's starts from its centre, in prior widths: of a one-sided one, and of another
ONE_SIDED_START, NONLINEAR_START = 1.0, 2.0
#: above so much -2 log L a bin, pulls of several widths are likely, and further starts of these parameters are this far away
BAD_FIT, FAR_START = 25.0, 4.0
#: the most global parameters of a small model; in a large one each start takes long, and only promising ones are tried
MAX_SMALL = 30
#: in a large model: the least reduction of the curvature (which is 1, by the constraint) by a variation that is tried; and the
#: one from which factors are tried too
MIN_REDUCTION, MIN_REDUCTION_FOR_FACTORS = 1.0, 4.0
#: the largest and the smallest curvature of an interpolation between two equal shifts of one event
MAX_CURVATURE, MIN_CURVATURE = 3.75, -1.25
#: random starts, and how far they go, in prior widths
RANDOM, SPREAD = 8, 3.0
#: the share of its range at which a parameter is near its end
NEAR_END = 0.02
#: bounds of a factor that are further apart than this, in units of the range that the data allow, are ignored
MAX_RANGE = 100.0
#: the most free factors of single bins that are moved one at a time; more are moved together
FEW_BIN_FACTORS = 8
#: a factor of a product is set to zero if that raises -2 log L by less than this, all other parameters fixed
FEW_EVENTS = 20.0
#: smallest distance of a start from the known minimum, in prior widths (of a factor: in units of its value)
MIN_MOVE = 0.05
#: the most steps of the search for a possible point
LEAST_SQUARES_STEPS = 50


class NonlinearParameters(NamedTuple):
    """The parameters that can give a model several minima, as indices.

    Attributes:
        one_sided: constrained ones whose large variations up and down have the same sign: both sides may fit.
        nonlinear: other constrained ones whose effect is far from linear.
        bin_factors: free factors of single bins on samples with statistical errors, which can replace each other.
        products: free factors of single bins that multiply another one: if one is zero, another process explains the events.
        factors: free factors of samples in a small model that has several, which can replace each other.
    """

    one_sided: np.ndarray
    nonlinear: np.ndarray
    bin_factors: np.ndarray
    products: np.ndarray
    factors: np.ndarray

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return any(map(len, self))

    @property
    def any_but_products(self) -> bool:
        """Whether there are any except products."""
        return any(map(len, (self.one_sided, self.nonlinear, self.bin_factors, self.factors)))


class NonlinearModel(Expectations, Protocol):
    """The methods of a model that starts need; `model.HistFactoryModel` has them."""

    @property
    def nonlinear(self) -> NonlinearParameters:
        """The parameters that can give several minima."""

    def bin_deviance(self, pars: np.ndarray, main: np.ndarray) -> np.ndarray:
        """Return each bin's share of -2 log L, (T, n_bins)."""


class Starts(NamedTuple):
    """Starting points, (S, n), and a global parameter whose sign the fit must keep, (S,): -1 for none."""

    points: np.ndarray
    kept_sign: np.ndarray


def nonlinear_parameters(model: NonlinearModel) -> NonlinearParameters:
    """Find the parameters that can give several minima, around the model's own start."""
    p, layout = model.parameters, model.layout
    position = np.flatnonzero((p.kind[layout.global_pars] == "normal") & ~p.fixed[layout.global_pars])
    index = layout.global_pars[position]
    even, odd, rate = _even_and_odd(model, p.init, position)
    weight = 1 / np.maximum(rate, 1.0)
    one_sided = (np.where(np.abs(even) > np.abs(odd), even, 0.0) ** 2 * weight).sum(axis=1) > MIN_ONE_SIDED
    nonlinear = ((even**2 * weight).sum(axis=1) > MIN_NONLINEAR) & ~one_sided
    # a slot that has a gamma, and the local parameters that multiply it
    with_gamma = layout.row[:, : layout.uses.shape[1], 0] == 0
    used = (layout.uses & with_gamma[:, :, None]).any(axis=1)
    multiplied = (layout.uses & (layout.uses.sum(axis=2) > 1)[:, :, None]).any(axis=1)
    factors = layout.global_pars[(p.kind[layout.global_pars] == "free") & ~p.fixed[layout.global_pars]]
    several = is_small(model) and len(factors) > 1
    local = _free_locals(model, used), _free_locals(model, multiplied)
    return NonlinearParameters(index[one_sided], index[nonlinear], *local, factors[: len(factors) * several])


def _free_locals(model: NonlinearModel, used: np.ndarray) -> np.ndarray:
    """Return the free factors among local parameters that are marked by bin, (P, L)."""
    p, layout = model.parameters, model.layout
    index = np.unique(layout.block_pars[layout.bin_block][used])
    return np.asarray(index[(index >= 0) & (p.kind[index] == "free") & ~p.fixed[index]])


def _even_and_odd(
    model: NonlinearModel, point: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return even and odd parts of variations by one prior width, (k, P), and expected yields, (P,), in the layout's order."""
    p, layout = model.parameters, model.layout
    alpha, local, gamma = model.split(point[None])
    y = evaluate(layout, alpha, local)
    index = layout.global_pars[position]
    values = p.init[index, None] + p.sigma[index, None] * np.array([0.0, 1.0, -1.0])
    rate = variations(y, gamma, position, values)
    here = (y.rows * np.concatenate([np.ones((1, gamma.shape[1], 1)), gamma], axis=2)).sum(axis=2)[0]
    return 0.5 * (rate[:, 1] + rate[:, 2]) - rate[:, 0], 0.5 * (rate[:, 1] - rate[:, 2]), here


def is_small(model: NonlinearModel) -> bool:
    """Return whether a model has so few global parameters that further starts take little time."""
    return len(model.layout.global_pars) <= MAX_SMALL


def further_starts(model: NonlinearModel, best: np.ndarray, held: np.ndarray, data: Data, attempt: int = 0) -> Starts:
    """Return starts from which a lower minimum than a known one may be reached.

    In a small model: each nonlinear parameter on its other side, each free factor at the ends of its range, and a few random
    points. In a large one: a variation only if it can make the curvature of -ln L negative (see `_curvature_reduction`), and
    factors only if one reduces it much.

    Args:
        model: the model.
        best: the known minimum, (n,).
        held: mask of the held parameters, (n,).
        data: the data set.
        attempt: number of earlier calls for this minimum; each has its own random points.

    Returns:
        The starts.
    """
    p, layout, found = model.parameters, model.layout, model.nonlinear
    stuck = layout.gamma_pars[layout.gamma_pars >= 0]
    stuck = stuck[~held[stuck] & (best[stuck] <= p.low[stuck])]
    if not found.any and not len(stuck):
        return Starts(np.zeros((0, len(p))), np.zeros(0, dtype=int))
    small = is_small(model)
    position = {int(i): k for k, i in enumerate(layout.global_pars)}
    index = np.concatenate([found.one_sided, found.nonlinear])
    reduction = _curvature_reduction(model, best, data, np.array([position[int(i)] for i in index], dtype=int))
    moves: list[tuple[int, float, int]] = []
    if small and model.bin_deviance(best[None], data.main).sum() > BAD_FIT * data.main.shape[1]:
        moves += [(int(i), float(p.init[i] + k * FAR_START * p.sigma[i]), -1) for i in index for k in (-1, 1)]
    for i, expected in zip(index.tolist(), reduction.tolist(), strict=True):
        if small or expected > MIN_REDUCTION:
            one_sided = i in found.one_sided
            # a fit that goes back over the kink finds no minimum on the other side
            kept_sign = position[i] if one_sided and not small and p.init[i] == 0 else -1
            moves += [(i, x, kept_sign) for x in _constrained_starts(model, i, best, one_sided=one_sided)]
    if (small and found.any_but_products) or len(stuck) or reduction.max(initial=0.0) > MIN_REDUCTION_FOR_FACTORS:
        free = [i for i in layout.global_pars.tolist() if p.kind[i] == "free"]
        moves += [(i, x, -1) for i in free for x in _factor_starts(model, i, best, data)]
    points, sides = [], []
    for i, value, kept_sign in moves:
        value = float(np.clip(value, p.low[i], p.high[i]))
        far = p.sigma[i] if p.kind[i] == "normal" else max(abs(value), abs(best[i]))
        if not held[i] and abs(value - best[i]) > MIN_MOVE * far:
            points.append(best.copy())
            points[-1][i] = value
            sides.append(kept_sign)
    points += _bin_factor_starts(model, best, held) + _product_starts(model, best, held, data)
    points += _random_starts(model, best, held, data, attempt) if small else []
    sides += [-1] * (len(points) - len(sides))
    return Starts(np.array(points).reshape(len(points), len(p)), np.array(sides, dtype=int))


def _curvature_reduction(model: NonlinearModel, best: np.ndarray, data: Data, position: np.ndarray) -> np.ndarray:
    """Return by how much variations can reduce the curvature of -ln L along their parameters, (k,).

    With slopes r = 1 - n/lambda and a shift e of a bin on both sides, r changes by about e/lambda up to one prior width, and
    the curvature of the interpolation is at most `MAX_CURVATURE` and at least `MIN_CURVATURE` times e.
    """
    if not len(position):
        return np.zeros(0)
    even, _, rate = _even_and_odd(model, best, position)
    n = np.append(data.main[0], 0.0)[model.layout.order]
    slope = np.where(rate > 0, 1 - n / np.where(rate > 0, rate, 1.0), 0.0)
    pushed, size = even @ slope, (even**2 / np.maximum(rate, 1.0)).sum(axis=1)
    return np.asarray(np.maximum(-MAX_CURVATURE * pushed, -MIN_CURVATURE * (pushed + size)))


def _constrained_starts(model: NonlinearModel, i: int, best: np.ndarray, *, one_sided: bool) -> list[float]:
    """Return the starting values of a constrained parameter."""
    centre, width, away = float(model.parameters.init[i]), float(model.parameters.sigma[i]), 0.0
    if one_sided:
        away = float(best[i]) - centre
        if abs(away) > 0.5 * width:
            # an effect that both sides share may have a second minimum at the mirrored value
            return [centre - float(np.sign(away)) * max(abs(away), ONE_SIDED_START * width)]
        return [centre - ONE_SIDED_START * width, centre + ONE_SIDED_START * width]
    return [centre - NONLINEAR_START * width, centre + NONLINEAR_START * width]


def _factor_starts(model: NonlinearModel, i: int, best: np.ndarray, data: Data) -> list[float]:
    """Return starting values of a free factor: zero, and one at which its samples alone give more events than a bin has."""
    p = model.parameters
    points = np.repeat(best[None], 2, axis=0)
    points[:, i] = 0.0, 1.0
    without, once = model.expected(points)
    each, seen = np.abs(once - without), data.main[0]
    most = np.where(each > 0, (seen + 2 * np.sqrt(seen) + 2) / np.where(each > 0, each, 1.0), np.inf).min()
    most = float(most) if np.isfinite(most) else 1.0
    return [max(float(p.low[i]), 0.0), most, *([-most] if p.low[i] < 0 else [])]


def _bin_factor_starts(model: NonlinearModel, best: np.ndarray, held: np.ndarray) -> list[np.ndarray]:
    """Return starts with free factors of single bins at zero, and at twice their values."""
    p = model.parameters
    bin_factors = [i for i in model.nonlinear.bin_factors.tolist() if not held[i]]
    groups = [[i] for i in bin_factors] if len(bin_factors) <= FEW_BIN_FACTORS else [bin_factors]
    points = []
    for group in groups:
        for value in (np.zeros(len(group)), np.maximum(2 * best[group], 1.0)):
            points.append(best.copy())
            points[-1][group] = np.clip(value, p.low[group], p.high[group])
    return points


def _product_starts(model: NonlinearModel, best: np.ndarray, held: np.ndarray, data: Data) -> list[np.ndarray]:
    """Return starts for products of free factors: with one factor at zero, and with the factors of all bins at other values.

    If QCD is zero in a bin of B, it is zero in A, whose events are then signal; or QCD explains them, and the signal is zero:
    both may be minima. The first starts are the best fit but for one factor. The others are the model's own starting point,
    which is not close to any of the minima, unlike the best fit, from which fits return to the same minimum.
    """
    p, here = model.parameters, model.nonlinear.products
    here = here[~held[here]]
    if not len(here):
        return []
    points = np.repeat(best[None], len(here), axis=0)
    zero = np.maximum(p.low[here], 0.0)
    points[np.arange(len(here)), here] = np.where(
        best[here] > zero, zero, np.clip(p.init[here], p.low[here], p.high[here])
    )
    rise = model.bin_deviance(points, data.main).sum(axis=1) - model.bin_deviance(best[None], data.main).sum()
    others = [np.where(held, best, p.init)]
    for i in model.layout.global_pars.tolist():
        if p.kind[i] == "free" and not held[i]:
            most = max(_factor_starts(model, i, best, data))
            for value in (0.0, 0.1 * most, 0.25 * most, 0.5 * most, most, 2 * most):
                others.append(others[0].copy())
                others[-1][i] = np.clip(value, p.low[i], p.high[i])
    return [*points[rise < FEW_EVENTS], *others]


def _random_starts(
    model: NonlinearModel, best: np.ndarray, held: np.ndarray, data: Data, attempt: int
) -> list[np.ndarray]:
    """Return random points, at the same fractions of all ranges in every fit; for half of them factors have all their range."""
    p, layout = model.parameters, model.layout
    low, high = p.init - SPREAD * p.sigma, p.init + SPREAD * p.sigma
    local = layout.block_pars[layout.block_pars >= 0]
    local = local[p.kind[local] == "free"]
    low[local], high[local] = 0.0, np.maximum(2 * best[local], 2.0)
    factors = [i for i in layout.global_pars.tolist() if p.kind[i] == "free"]
    for i in factors:
        ends = _factor_starts(model, i, best, data)
        low[i], high[i] = min(ends), max(ends)
    far = [i for i in factors if p.high[i] - p.low[i] < MAX_RANGE * (high[i] - low[i])]
    shares = np.random.default_rng([len(p), attempt]).random((RANDOM, len(p)))
    # and all parameters near the lower or the upper end
    shares = np.concatenate([shares, np.full((2, len(p)), NEAR_END)])
    shares[-1] = 1 - NEAR_END
    points = []
    for k, share in enumerate(shares):
        if k == RANDOM // 2:
            low[far], high[far] = p.low[far], p.high[far]
        a, b = np.maximum(low, p.low), np.minimum(high, p.high)
        points.append(np.where(held, best, a + share * (b - a)))
    return points


def possible_start(model: NonlinearModel, start: np.ndarray, held: np.ndarray, data: Data) -> np.ndarray | None:
    """Look for a point at which every bin with events expects some, by least squares, which also work with negative yields.

    Args:
        model: the model.
        start: where to begin, (n,).
        held: mask of the held parameters, (n,).
        data: the data set.

    Returns:
        The point, (n,); None: none was found.
    """
    p = model.parameters
    free = np.flatnonzero(~held & (p.high > p.low))
    normal, poisson = p.kind == "normal", p.kind == "poisson"
    centre = np.where(p.constrained, data.aux[0] / p.factor, start)
    weight = np.where(normal, 1 / np.where(p.sigma > 0, p.sigma, 1.0), 0.0)
    weight[poisson] = p.factor[poisson] / np.sqrt(np.maximum(data.aux[0, poisson], 1.0))
    by_bin = 1 / np.sqrt(data.main[0] + 1)

    def point(x: np.ndarray) -> np.ndarray:
        full = start.copy()
        full[free] = x
        return full

    def away(x: np.ndarray) -> np.ndarray:
        full = point(x)
        return np.concatenate([(model.expected(full) - data.main[0]) * by_bin, ((full - centre) * weight)[free]])

    def slope(x: np.ndarray) -> np.ndarray:
        return np.concatenate([jacobian(model, point(x))[:, free] * by_bin[:, None], np.diag(weight[free])])

    begin = np.clip(start[free], p.low[free], p.high[free])
    found = least_squares(away, begin, slope, bounds=(p.low[free], p.high[free]), max_nfev=LEAST_SQUARES_STEPS)
    result = point(found.x)
    return result if np.isfinite(model.bin_deviance(result, data.main)).all() else None
