"""Further starts of fits: a model can have several minima, and the nearest one need not be the lowest.

-ln L is convex in the expected yields. Where these are straight lines in the parameters it has one minimum; several come from
what bends: variations that go the same way up and down, large log-normals, statistical errors on samples with free factors,
and products of free factors, as of ABCD, where a bin has few events.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from scipy.optimize import least_squares

from oddjets.stats.histfactory.expected import evaluate, variations
from oddjets.stats.histfactory.hessian import Expectations, jacobian
from oddjets.stats.histfactory.results import Data

__all__ = ["Bends", "BentModel", "Starts", "bends", "further_starts", "is_narrow", "possible_start"]

#: sum over bins of (common shift of up and down)^2/expected above which two minima are looked for: where the two go the same
#: way, and where they don't
ONE_SIDED, BENT = 0.02, 0.5
#: where a parameter that bends is started, in its prior widths from the centre: one that is one-sided, and another
BESIDE, FAR = 1.0, 2.0
#: a model of more global parameters is wide: its starts are dear, and each must promise something
NARROW = 30
#: the least that a variation must take off the curvature (of 1, by the constraint) somewhere, to be tried in a wide model; from
#: where on the factors are tried too; and the size of a weak one-sided variation, which is given up once it turns back
PROMISING, STRONG, WEAK = 1.0, 4.0, 0.7
#: the largest and the least curvature of an interpolation between two equal shifts of one
MOST_CURVED, LEAST_CURVED = 3.75, -1.25
#: random starts, and how far they go, in prior widths
RANDOM, SPREAD = 8, 3.0
#: the share of its range at which a parameter is near its end
NEAR_END = 0.02
#: bounds of a factor that are further apart than this, in units of how far the data may move it, are none
FURTHEST = 100.0
#: free factors of single bins that are moved one at a time; beyond, all together
FEW_KNOTS = 8
#: a factor of a product is left out where -2 log L rises by less than this before all else follows
FEW_EVENTS = 20.0
#: a start this close to where its parameter is already, in units of how far it might go, is none
SAME = 0.05
#: steps towards a point that the data allow
LEAST_SQUARES_STEPS = 50


class Bends(NamedTuple):
    """The parameters that can give a model several minima, as indices.

    Attributes:
        one_sided: constrained ones whose variations up and down go the same way by much: both sides may fit.
        bent: other constrained ones whose effect is far from a straight line.
        knots: free factors of single bins on samples with statistical errors: either may take up the other's part.
        products: free factors of single bins that multiply another one: without one, another process must make its events.
        factors: free factors of samples in a narrow model that has several: one may make up for another.
    """

    one_sided: np.ndarray
    bent: np.ndarray
    knots: np.ndarray
    products: np.ndarray
    factors: np.ndarray

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return any(map(len, self))

    @property
    def curved(self) -> bool:
        """Whether there are any besides products."""
        return any(map(len, (self.one_sided, self.bent, self.knots, self.factors)))


class BentModel(Expectations, Protocol):
    """The methods of a model that starts need; `model.HistFactoryModel` has them."""

    @property
    def bends(self) -> Bends:
        """The parameters that can give several minima."""

    def bin_deviance(self, pars: np.ndarray, main: np.ndarray) -> np.ndarray:
        """Return each bin's share of -2 log L, (T, n_bins)."""


class Starts(NamedTuple):
    """Starting points, (S, n), and a global parameter that must stay on its side of zero, (S,): -1 for none."""

    points: np.ndarray
    turned: np.ndarray


def bends(model: BentModel) -> Bends:
    """Find the parameters that can give several minima, around the model's own start."""
    p, layout = model.parameters, model.layout
    position = np.flatnonzero((p.kind[layout.global_pars] == "normal") & ~p.fixed[layout.global_pars])
    index = layout.global_pars[position]
    even, odd, rate = _even_and_odd(model, p.init, position)
    weight = 1 / np.maximum(rate, 1.0)
    one_sided = (np.where(np.abs(even) > np.abs(odd), even, 0.0) ** 2 * weight).sum(axis=1) > ONE_SIDED
    bent = ((even**2 * weight).sum(axis=1) > BENT) & ~one_sided
    # a slot that has a gamma, and the local parameters that multiply it
    with_gamma = layout.row[:, : layout.uses.shape[1], 0] == 0
    used = (layout.uses & with_gamma[:, :, None]).any(axis=1)
    multiplied = (layout.uses & (layout.uses.sum(axis=2) > 1)[:, :, None]).any(axis=1)
    factors = layout.global_pars[(p.kind[layout.global_pars] == "free") & ~p.fixed[layout.global_pars]]
    several = is_narrow(model) and len(factors) > 1
    local = _free_locals(model, used), _free_locals(model, multiplied)
    return Bends(index[one_sided], index[bent], *local, factors[: len(factors) * several])


def _free_locals(model: BentModel, used: np.ndarray) -> np.ndarray:
    """Return the free factors among local parameters that are marked by bin, (P, L)."""
    p, layout = model.parameters, model.layout
    index = np.unique(layout.block_pars[layout.bin_block][used])
    return np.asarray(index[(index >= 0) & (p.kind[index] == "free") & ~p.fixed[index]])


def _even_and_odd(
    model: BentModel, point: np.ndarray, position: np.ndarray
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


def is_narrow(model: BentModel) -> bool:
    """Return whether a model has so few global parameters that further starts cost little."""
    return len(model.layout.global_pars) <= NARROW


def further_starts(model: BentModel, best: np.ndarray, held: np.ndarray, data: Data, attempt: int = 0) -> Starts:
    """Return starts from which a lower minimum than a known one may be reached.

    In a narrow model all that bends is tried from its other side, all free factors from their ends, and a few random points.
    In a wide one a variation is tried where it can make the likelihood curve down (see `_promise`), and factors only if one
    does so by much.

    Args:
        model: the model.
        best: the known minimum, (n,).
        held: mask of the held parameters, (n,).
        data: the data set.
        attempt: how often it was asked before; random points are other ones each time.

    Returns:
        The starts.
    """
    p, layout, found = model.parameters, model.layout, model.bends
    stuck = layout.gamma_pars[layout.gamma_pars >= 0]
    stuck = stuck[~held[stuck] & (best[stuck] <= p.low[stuck])]
    if not found.any and not len(stuck):
        return Starts(np.zeros((0, len(p))), np.zeros(0, dtype=int))
    narrow = is_narrow(model)
    position = {int(i): k for k, i in enumerate(layout.global_pars)}
    index = np.concatenate([found.one_sided, found.bent])
    promise, size = _promise(model, best, data, np.array([position[int(i)] for i in index], dtype=int))
    moves: list[tuple[int, float, int]] = []
    for i, expected, weight in zip(index.tolist(), promise.tolist(), size.tolist(), strict=True):
        if narrow or expected > PROMISING:
            turned = position[i] if not narrow and weight < WEAK and p.init[i] == 0 else -1
            moves += [(i, x, turned) for x in _sides(model, i, best, one_sided=i in found.one_sided)]
    if (narrow and found.curved) or len(stuck) or promise.max(initial=0.0) > STRONG:
        free = [i for i in layout.global_pars.tolist() if p.kind[i] == "free"]
        moves += [(i, x, -1) for i in free for x in _ends(model, i, best, data)]
    points, sides = [], []
    for i, value, turned in moves:
        value = float(np.clip(value, p.low[i], p.high[i]))
        far = p.sigma[i] if p.kind[i] == "normal" else max(abs(value), abs(best[i]))
        if not held[i] and abs(value - best[i]) > SAME * far:
            points.append(best.copy())
            points[-1][i] = value
            sides.append(turned)
    points += _untied(model, best, held) + _without_products(model, best, held, data)
    points += _random(model, best, held, data, attempt) if narrow else []
    sides += [-1] * (len(points) - len(sides))
    return Starts(np.array(points).reshape(len(points), len(p)), np.array(sides, dtype=int))


def _promise(model: BentModel, best: np.ndarray, data: Data, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell what variations can take off the curvature of -ln L along their parameters, and their sizes, both (k,).

    With slopes r = 1 - n/lambda and a shift e of a bin on both sides, r moves by about e/lambda on the way to one prior
    width, and the interpolation bends by at most `MOST_CURVED` and at least `LEAST_CURVED` times e.
    """
    if not len(position):
        return np.zeros(0), np.zeros(0)
    even, _, rate = _even_and_odd(model, best, position)
    n = np.append(data.main[0], 0.0)[model.layout.order]
    slope = np.where(rate > 0, 1 - n / np.where(rate > 0, rate, 1.0), 0.0)
    pushed, size = even @ slope, (even**2 / np.maximum(rate, 1.0)).sum(axis=1)
    return np.maximum(-MOST_CURVED * pushed, -LEAST_CURVED * (pushed + size)), size


def _sides(model: BentModel, i: int, best: np.ndarray, *, one_sided: bool) -> list[float]:
    """Return the starting values of a constrained parameter."""
    centre, width, away = float(model.parameters.init[i]), float(model.parameters.sigma[i]), 0.0
    if one_sided:
        away = float(best[i]) - centre
        if abs(away) > 0.5 * width:
            # an effect that both sides share has its mirror's minimum there
            return [centre - float(np.sign(away)) * max(abs(away), BESIDE * width)]
        return [centre - BESIDE * width, centre + BESIDE * width]
    return [centre - FAR * width, centre + FAR * width]


def _ends(model: BentModel, i: int, best: np.ndarray, data: Data) -> list[float]:
    """Return starting values of a free factor: zero, and those at which its samples give all events of a bin and more."""
    p = model.parameters
    points = np.repeat(best[None], 2, axis=0)
    points[:, i] = 0.0, 1.0
    without, once = model.expected(points)
    each, seen = np.abs(once - without), data.main[0]
    most = np.where(each > 0, (seen + 2 * np.sqrt(seen) + 2) / np.where(each > 0, each, 1.0), np.inf).min()
    most = float(most) if np.isfinite(most) else 1.0
    return [max(float(p.low[i]), 0.0), most, *([-most] if p.low[i] < 0 else [])]


def _untied(model: BentModel, best: np.ndarray, held: np.ndarray) -> list[np.ndarray]:
    """Return starts with free factors of single bins at zero, and at twice their values."""
    p = model.parameters
    knots = [i for i in model.bends.knots.tolist() if not held[i]]
    groups = [[i] for i in knots] if len(knots) <= FEW_KNOTS else [knots]
    points = []
    for group in groups:
        for value in (np.zeros(len(group)), np.maximum(2 * best[group], 1.0)):
            points.append(best.copy())
            points[-1][group] = np.clip(value, p.low[group], p.high[group])
    return points


def _without_products(model: BentModel, best: np.ndarray, held: np.ndarray, data: Data) -> list[np.ndarray]:
    """Return starts for products of free factors, with each factor of all bins at other values, and without one factor.

    A bin of B without its QCD leaves A to the signal, and the other way round: either may be a minimum. From the best fit all
    bins go back to where they are; the model's own start has no opinion yet.
    """
    p, here = model.parameters, model.bends.products
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
            most = max(_ends(model, i, best, data))
            for value in (0.0, 0.1 * most, 0.25 * most, 0.5 * most, most, 2 * most):
                others.append(others[0].copy())
                others[-1][i] = np.clip(value, p.low[i], p.high[i])
    return [*points[rise < FEW_EVENTS], *others]


def _random(model: BentModel, best: np.ndarray, held: np.ndarray, data: Data, attempt: int) -> list[np.ndarray]:
    """Return random points, the same shares of all ranges in every fit; in half of them factors go as far as their bounds."""
    p, layout = model.parameters, model.layout
    low, high = p.init - SPREAD * p.sigma, p.init + SPREAD * p.sigma
    local = layout.block_pars[layout.block_pars >= 0]
    local = local[p.kind[local] == "free"]
    low[local], high[local] = 0.0, np.maximum(2 * best[local], 2.0)
    factors = [i for i in layout.global_pars.tolist() if p.kind[i] == "free"]
    for i in factors:
        ends = _ends(model, i, best, data)
        low[i], high[i] = min(ends), max(ends)
    far = [i for i in factors if p.high[i] - p.low[i] < FURTHEST * (high[i] - low[i])]
    shares = np.random.default_rng([len(p), attempt]).random((RANDOM, len(p)))
    # and all near one of their ends
    shares = np.concatenate([shares, np.full((2, len(p)), NEAR_END)])
    shares[-1] = 1 - NEAR_END
    points = []
    for k, share in enumerate(shares):
        if k == RANDOM // 2:
            low[far], high[far] = p.low[far], p.high[far]
        a, b = np.maximum(low, p.low), np.minimum(high, p.high)
        points.append(np.where(held, best, a + share * (b - a)))
    return points


def possible_start(model: BentModel, start: np.ndarray, held: np.ndarray, data: Data) -> np.ndarray | None:
    """Look for a point at which every bin with events expects some, by least squares, which no negative yield stops.

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
