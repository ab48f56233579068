"""The exact Hessian of the likelihood over all parameters, and the covariance from it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.arrow import Arrow, ArrowInverse, invert
from oddjets.stats.histfactory.expected import evaluate, row_weights, slopes, total
from oddjets.stats.histfactory.results import Data, HeldBins
from oddjets.stats.histfactory.tensors import Layout
from oddjets.stats.histfactory.workspace_reader import Parameters, Spec

__all__ = [
    "Covariance",
    "Expectations",
    "SingularModelError",
    "covariance",
    "depends_on",
    "hessian",
    "jacobian",
    "kinks",
    "profile_hessian",
]

#: a direction is not determined if its curvature is less than this fraction of its parameters' own: the precision of the fit
SINGULAR = 1e-7
#: a curvature below this is a rounding error: the direction is not determined at all
ROUNDING = 1e-12
#: an eigenvalue below minus this, for a matrix with ones on its diagonal, is no rounding error: a saddle point
CURVES_DOWN = 1e-6
#: a parameter has no effect if its curvature times its range squared is less than this; the range of one without bounds
NO_EFFECT, WIDEST = 1e-10, 1e10
#: an empty bin that expects less than so many events may be at the kink of its likelihood, max(lambda, 0); the number is less
#: in proportion where the expectation at the model's starting point is less than `FEW`
AT_KINK, FEW = 1e-5, 1e-3
#: curvature that holds such a bin there, 1/events^2: its expectation may move by a hundredth of an event
KINK_CURVATURE = 1e4


class SingularModelError(OddjetsError):
    """The data cannot tell some parameters apart; the message names them.

    Attributes:
        downhill: where the Hessian is not only singular but curves down, the direction, (n,); else None.
    """

    downhill: np.ndarray | None = None


class Expectations(Protocol):
    """The methods of a model that its derivatives need; `model.HistFactoryModel` has them."""

    spec: Spec
    layout: Layout
    parameters: Parameters

    def split(self, pars: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return global, local and gamma parameters of pyhf vectors (T, n)."""

    def expected(self, pars: np.ndarray) -> np.ndarray:
        """Return the expected yields at parameters (T, n) or (n,)."""


class Covariance(NamedTuple):
    """The inverse of a Hessian.

    Attributes:
        parts: the matrix, in parts; zero where held.
        no_effect: indices of free parameters without any effect, which stay out.
        kinks: bins whose expectation cannot move.
    """

    parts: ArrowInverse
    no_effect: np.ndarray
    kinks: HeldBins

    @property
    def matrix(self) -> np.ndarray:
        """The whole matrix, (n, n)."""
        return self.parts.dense()


def kinks(model: Expectations, pars: np.ndarray, data: Data, free: np.ndarray) -> HeldBins:
    """Find the empty bins that a fit holds at zero, where the likelihood has a kink: its slope there balances all others.

    Args:
        model: the model.
        pars: the minimum, (n,).
        data: one data set.
        free: mask of the parameters that vary, (n,).

    Returns:
        The bins at a kink.
    """
    p, main, rate = model.parameters, data.main[0], model.expected(pars)
    usual = model.expected(p.init)
    near = (main <= 0) & (np.abs(rate) < AT_KINK * np.where(usual > 0, np.minimum(usual / FEW, 1.0), 1.0))
    if not near.any():
        return HeldBins(np.zeros(0, dtype=int), np.zeros(0))
    bins = np.flatnonzero(near)
    by_bin = jacobian(model, pars, bins)[:, free]
    moved = np.abs(by_bin).max(axis=1, initial=0.0) > 0
    bins, by_bin = bins[moved], by_bin[moved]
    r = np.where(near | (rate <= 0), 0.0, 1 - main / np.where(rate > 0, rate, 1.0))
    slope = np.linalg.lstsq(by_bin.T, -(_pushed(model, pars, r) + _pull(p, pars, data))[free], rcond=None)[0]
    inside = (slope > SINGULAR) & (slope < 1 - SINGULAR)
    return HeldBins(bins[inside], slope[inside])


def _pull(p: Parameters, pars: np.ndarray, data: Data) -> np.ndarray:
    """Return the derivatives of the constraints' -log L, (n,)."""
    pull = np.where(p.kind == "normal", (pars - data.aux[0]) / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
    return np.asarray(pull + np.where(p.kind == "poisson", p.factor - data.aux[0] / np.where(pars > 0, pars, 1.0), 0.0))


class _ByBin(NamedTuple):
    """Second derivatives of -log L without constraints: of the K global parameters, and of each bin's own.

    The d parameters of a bin are its L local ones and its gammas.

    Attributes:
        head: (K, K).
        across: (P, d, K).
        inside: (P, d, d).
    """

    head: np.ndarray
    across: np.ndarray
    inside: np.ndarray


def _by_bin(model: Expectations, pars: np.ndarray, data: Data, held: HeldBins | None = None) -> _ByBin:
    layout = model.layout
    L = layout.block_pars.shape[1]
    alpha, local, gamma = model.split(pars[None])
    y = evaluate(layout, alpha, local)
    weight = np.concatenate([np.ones((1, gamma.shape[1], 1)), gamma], axis=2)
    rate = (y.rows * weight).sum(axis=2)[0]
    n = np.append(data.main[0], 0.0)[layout.order]
    # the expectation of an empty bin is clipped at zero, so that it has no slope below
    r = np.where(rate > 0, 1 - n / np.where(rate > 0, rate, 1.0), np.where(n > 0, 1.0, 0.0))
    w = np.where(rate > 0, n / np.where(rate > 0, rate, 1.0) ** 2, 0.0)
    if held is not None:
        here = np.isin(layout.order, held.bins)
        r[here] = held.slope[np.searchsorted(held.bins, layout.order[here])]
        w[here] = KINK_CURVATURE
    derivatives = total(y, row_weights(layout, r[None, :, None] * weight))
    first = slopes(y, row_weights(layout, weight))
    by_global, own = first.by_global[0], np.concatenate([first.by_local[0], y.rows[0, :, 1:]], axis=1)
    weighted = w[:, None] * by_global
    across = own[:, :, None] * weighted[:, None, :]
    inside = own[:, :, None] * (w[:, None] * own)[:, None, :]
    inside[:, :L, :L] += derivatives.local_local[0]
    if derivatives.global_local is not None:
        across[:, :L] += derivatives.global_local[0]
    for k in range(gamma.shape[2]):
        by_row = slopes(y, layout.row[None, :, :, 1 + k])
        across[:, L + k] += r[:, None] * by_row.by_global[0]
        mixed = r[:, None] * by_row.by_local[0]
        inside[:, L + k, :L] += mixed
        inside[:, :L, L + k] += mixed
    return _ByBin(by_global.T @ weighted + derivatives.global_global[0], across, inside)


def _first(model: Expectations, pars: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the derivatives of the expected yields by global, (P, K), and by each bin's local parameters and gammas."""
    alpha, local, gamma = model.split(pars[None])
    y = evaluate(model.layout, alpha, local)
    first = slopes(y, row_weights(model.layout, np.concatenate([np.ones((1, gamma.shape[1], 1)), gamma], axis=2)))
    return first.by_global[0], first.by_local[0], y.rows[0, :, 1:]


def jacobian(model: Expectations, pars: np.ndarray, bins: np.ndarray | None = None) -> np.ndarray:
    """Return the derivatives of the expected yields by all parameters at one point, gammas included.

    Args:
        model: the model.
        pars: the point, (n,).
        bins: positions in the data vector, (k,); None: all.

    Returns:
        The derivatives, (k, n).
    """
    layout = model.layout
    chosen = layout.place if bins is None else layout.place[bins]
    by_global, by_local, by_gamma = (a[chosen] for a in _first(model, pars))
    row = np.arange(len(chosen))[:, None]
    # column n takes the padding
    result = np.zeros((len(chosen), len(model.parameters) + 1))
    result[row, layout.global_pars] = by_global
    result[row, layout.block_pars[layout.bin_block[chosen]]] = by_local
    result[row, layout.gamma_pars[chosen]] = by_gamma
    return result[:, :-1]


def depends_on(model: Expectations, pars: np.ndarray, index: int) -> bool:
    """Tell whether the expected yields at a point, (n,), depend on a parameter."""
    layout = model.layout
    by_global, by_local, by_gamma = _first(model, pars)
    columns = layout.block_pars[layout.bin_block]
    return bool(
        by_global[:, layout.global_pars == index].any()
        or by_local[columns == index].any()
        or by_gamma[layout.gamma_pars == index].any()
    )


def _pushed(model: Expectations, pars: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the derivatives of the sum of the bins' expected yields with weights, (n_bins,), by all parameters, (n,)."""
    layout = model.layout
    w = np.append(weight, 0.0)[layout.order]
    by_global, by_local, by_gamma = _first(model, pars)
    # entry n takes the padding
    result = np.zeros(len(model.parameters) + 1)
    np.add.at(result, layout.global_pars, w @ by_global)
    np.add.at(result, layout.block_pars[layout.bin_block], w[:, None] * by_local)
    np.add.at(result, layout.gamma_pars, w[:, None] * by_gamma)
    return result[:-1]


def _arrow(model: Expectations, pars: np.ndarray, data: Data, held: HeldBins | None = None) -> Arrow:
    layout, p = model.layout, model.parameters
    K, L, R = len(layout.global_pars), layout.block_pars.shape[1], layout.gamma_pars.shape[1]
    N, B = len(layout.block_pars) - 1, layout.block_size
    by_bin = _by_bin(model, pars, data, held)
    # the bins of a block come one after the other; every other bin is a group with gammas only
    others = np.arange(N * B, len(by_bin.inside))
    G, m = N + len(others), L + B * R
    bins = np.full((G, B), -1)
    bins[:N], bins[N:, 0] = np.arange(N * B).reshape(N, B), others
    groups, across, inside = np.full((G, m), -1), np.zeros((G, m, K)), np.zeros((G, m, m))
    groups[:N, :L] = layout.block_pars[:N]
    for b in range(B):
        g = np.flatnonzero(bins[:, b] >= 0)
        own = np.append(np.arange(L), L + b * R + np.arange(R))
        groups[g, L + b * R : L + (b + 1) * R] = layout.gamma_pars[bins[g, b]]
        across[np.ix_(g, own)] += by_bin.across[bins[g, b]]
        inside[np.ix_(g, own, own)] += by_bin.inside[bins[g, b]]
    curvature = np.where(p.kind == "normal", 1 / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
    poisson = p.kind == "poisson"
    curvature[poisson] = data.aux[0, poisson] / pars[poisson] ** 2
    k, j = np.arange(K), np.arange(m)
    head = by_bin.head.copy()
    head[k, k] += curvature[layout.global_pars]
    there = groups >= 0
    inside[:, j, j] += np.where(there, curvature[groups], 0.0)
    return Arrow(head, groups, across * there[..., None], inside * there[..., None] * there[:, None])


def hessian(model: Expectations, pars: np.ndarray, data: Data, held: HeldBins | None = None) -> np.ndarray:
    """Return the second derivatives of -log L at one point.

    Args:
        model: the model.
        pars: parameters, (n,).
        data: one data set.
        held: bins at a kink, which get `KINK_CURVATURE`.

    Returns:
        The matrix, (n, n), gammas included.
    """
    head, groups, across, inside = _arrow(model, pars, data, held)
    n, g = len(model.parameters), model.layout.global_pars
    # row and column n take the padding
    result = np.zeros((n + 1, n + 1))
    rest = np.where(groups >= 0, groups, n)
    result[np.ix_(g, g)] = head
    result[rest[:, :, None], g] = across
    result[g, rest[:, :, None]] = across
    result[rest[:, :, None], rest[:, None, :]] = inside
    return result[:-1, :-1]


def profile_hessian(
    model: Expectations, pars: np.ndarray, data: Data, free: np.ndarray, held: HeldBins | None = None
) -> np.ndarray:
    """Return the second derivatives of -log L by the global parameters, with all others at their minimum.

    Args:
        model: the model.
        pars: parameters, (n,).
        data: one data set.
        free: mask of the parameters that follow, (n,).
        held: bins at a kink, which get `KINK_CURVATURE`.

    Returns:
        The matrix, (K, K).
    """
    arrow = _arrow(model, pars, data, held)
    follows = (arrow.groups >= 0) & free[arrow.groups]
    j = np.arange(follows.shape[1])
    inside = arrow.inside * follows[:, :, None] * follows[:, None, :]
    inside[:, j, j] += ~follows
    across = arrow.across * follows[:, :, None]
    return np.asarray(arrow.head - np.matmul(across.swapaxes(1, 2), np.linalg.solve(inside, across)).sum(axis=0))


def covariance(model: Expectations, pars: np.ndarray, data: Data, free: np.ndarray) -> Covariance:
    """Invert the Hessian of the free parameters; directions that would move a bin away from its kink stay out.

    Args:
        model: the model.
        pars: the minimum, (n,).
        data: one data set.
        free: mask of the parameters that vary, (n,).

    Returns:
        The covariance, what has no effect, and the bins at a kink.

    Raises:
        SingularModelError: some directions are not determined; the message names their parameters.
    """
    held = kinks(model, pars, data, free)
    arrow = _arrow(model, pars, data, held)
    g, groups = model.layout.global_pars, arrow.groups
    m = np.arange(groups.shape[1])
    diagonal = np.zeros(len(free))
    diagonal[g] = np.diag(arrow.head)
    diagonal[groups[groups >= 0]] = arrow.inside[:, m, m][groups >= 0]
    # from one bound to the other -log L changes by less than a rounding error
    reach = model.parameters.high - model.parameters.low
    reach = np.where(np.isfinite(reach), reach, WIDEST)
    no_effect = free & (np.abs(diagonal) * reach**2 < NO_EFFECT)
    used = free & ~no_effect
    scale = np.where(used, 1 / np.sqrt(np.where(used, np.abs(diagonal), 1.0)), 0.0)
    result = invert(arrow, g, scale)
    # the smallest eigenvalue is at least one over the trace of the inverse
    if result is None or (result.diagonal * np.abs(diagonal)).sum() > 1 / SINGULAR:
        index = np.flatnonzero(used)
        scaled = hessian(model, pars, data, held)[np.ix_(index, index)] * scale[index, None] * scale[index]
        values, vectors = np.linalg.eigh(scaled)
        vector = np.abs(vectors[:, 0])
        names = [model.parameters.names[index[i]] for i in np.argsort(-vector)[:6] if vector[i] > 0.2 * vector.max()]
        error = SingularModelError(_reason(names, _smallest_curvature(model, pars, data, held, scale)))
        if values[0] < -CURVES_DOWN:
            error.downhill = np.zeros(len(pars))
            error.downhill[index] = vectors[:, 0] * scale[index]
        raise error
    return Covariance(result, np.flatnonzero(no_effect), held)


def _smallest_curvature(model: Expectations, pars: np.ndarray, data: Data, held: HeldBins, scale: np.ndarray) -> float:
    """Return the smallest eigenvalue of a Hessian, with the minimum improved in all directions but the undetermined ones.

    Where parameters multiply each other, what is left of the gradient would look like a curvature.

    Args:
        model: the model.
        pars: the minimum, (n,).
        data: one data set.
        held: bins at a kink.
        scale: one over the square root of each parameter's own curvature, zero where held, (n,).
    """
    p, index, moved = model.parameters, np.flatnonzero(scale), pars.copy()
    for _ in range(3):
        scaled = hessian(model, moved, data, held)[np.ix_(index, index)] * scale[index, None] * scale[index]
        values, vectors = np.linalg.eigh(scaled)
        rate, main = model.expected(moved), data.main[0]
        r = np.where(rate > 0, 1 - main / np.where(rate > 0, rate, 1.0), (main > 0).astype(float))
        gradient = (_pushed(model, moved, r) + _pull(p, moved, data)) * scale
        along = np.where(values > SINGULAR, (vectors.T @ gradient[index]) / np.maximum(values, SINGULAR), 0.0)
        moved[index] = np.clip(moved[index] - scale[index] * (vectors @ along), p.low[index], p.high[index])
    return float(values[0])


def _reason(names: list[str], eigenvalue: float) -> str:
    """Return the reason not to invert a Hessian, by its smallest eigenvalue where each parameter's own curvature is one."""
    if eigenvalue < ROUNDING:
        return (
            f"the model is singular: the data cannot tell these parameters apart: {', '.join(names)}; remove one, or give it a "
            "constraint"
        )
    return (
        f"the fit is not precise enough for errors: it measures one combination of these parameters {1 / eigenvalue:.1g} times "
        f"more tightly, in squares of errors, than another: {', '.join(names)}; remove one, or give it a tighter constraint"
    )
