"""The exact Hessian of the likelihood over all parameters, and the covariance from it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.expected import evaluate, row_weights, slopes, total
from oddjets.stats.histfactory.results import Data, HeldBins
from oddjets.stats.histfactory.tensors import Layout
from oddjets.stats.histfactory.workspace_reader import Parameters, Spec

__all__ = [
    "Covariance",
    "Expectations",
    "SingularModelError",
    "covariance",
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
        matrix: (n, n), zero where held.
        no_effect: indices of free parameters without any effect, which stay out.
        kinks: bins whose expectation cannot move.
    """

    matrix: np.ndarray
    no_effect: np.ndarray
    kinks: HeldBins


class _Arrow(NamedTuple):
    """A Hessian of the shape of an arrow: the global parameters couple to all, the rest only within small groups.

    Attributes:
        head: (K, K).
        groups: parameter index or -1, (G, m): local parameters with the gammas of their bins.
        across: (G, m, K); inside: (G, m, m).
    """

    head: np.ndarray
    groups: np.ndarray
    across: np.ndarray
    inside: np.ndarray


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
    by_bin = jacobian(model, pars)[:, free]
    bins = np.flatnonzero(near & (np.abs(by_bin).max(axis=1, initial=0.0) > 0))
    r = np.where(near | (rate <= 0), 0.0, 1 - main / np.where(rate > 0, rate, 1.0))
    slope = np.linalg.lstsq(by_bin[bins].T, -(r @ by_bin + _pull(p, pars, data)[free]), rcond=None)[0]
    inside = (slope > SINGULAR) & (slope < 1 - SINGULAR)
    return HeldBins(bins[inside], slope[inside])


def _pull(p: Parameters, pars: np.ndarray, data: Data) -> np.ndarray:
    """Return the derivatives of the constraints' -log L, (n,)."""
    pull = np.where(p.kind == "normal", (pars - data.aux[0]) / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
    return np.asarray(pull + np.where(p.kind == "poisson", p.factor - data.aux[0] / np.where(pars > 0, pars, 1.0), 0.0))


def _by_bin(
    model: Expectations, pars: np.ndarray, data: Data, held: HeldBins | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return second derivatives of -log L without constraints: by bin, (P, d, d), and of the global ones, (K, K).

    The d parameters of a bin are the K global ones, its L local ones and its gammas.
    """
    layout = model.layout
    K, L = len(layout.global_pars), layout.block_pars.shape[1]
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
    slope = np.concatenate([first.by_global[0], first.by_local[0], y.rows[0, :, 1:]], axis=1)
    result = slope[:, :, None] * (w[:, None] * slope)[:, None, :]
    part = slice(K, K + L)
    result[:, part, part] += derivatives.local_local[0]
    if derivatives.global_local is not None:
        result[:, part, :K] += derivatives.global_local[0]
        result[:, :K, part] += derivatives.global_local[0].swapaxes(1, 2)
    for k in range(gamma.shape[2]):
        by_row = slopes(y, layout.row[None, :, :, 1 + k])
        mixed = r[:, None] * np.concatenate([by_row.by_global[0], by_row.by_local[0]], axis=1)
        result[:, K + L + k, : K + L] += mixed
        result[:, : K + L, K + L + k] += mixed
    return result, derivatives.global_global[0]


def jacobian(model: Expectations, pars: np.ndarray) -> np.ndarray:
    """Return the derivatives of the expected yields by all parameters at one point (n,): (n_bins, n), gammas included."""
    layout = model.layout
    alpha, local, gamma = model.split(pars[None])
    y = evaluate(layout, alpha, local)
    weight = np.concatenate([np.ones((1, gamma.shape[1], 1)), gamma], axis=2)
    first = slopes(y, row_weights(layout, weight))
    # row n_bins and column n take the padding
    result = np.zeros((model.spec.n_bins + 1, len(model.parameters) + 1))
    result[layout.order[:, None], layout.global_pars] = first.by_global[0]
    result[layout.order[:, None], layout.block_pars[layout.bin_block]] = first.by_local[0]
    result[layout.order[:, None], layout.gamma_pars] = y.rows[0, :, 1:]
    return result[:-1, :-1]


def _arrow(model: Expectations, pars: np.ndarray, data: Data, held: HeldBins | None = None) -> _Arrow:
    layout, p = model.layout, model.parameters
    K, L, R = len(layout.global_pars), layout.block_pars.shape[1], layout.gamma_pars.shape[1]
    N, B = len(layout.block_pars) - 1, layout.block_size
    by_bin, of_globals = _by_bin(model, pars, data, held)
    # the bins of a block come one after the other; every other bin is a group with gammas only
    others = np.arange(N * B, len(by_bin))
    G, m = N + len(others), L + B * R
    bins = np.full((G, B), -1)
    bins[:N], bins[N:, 0] = np.arange(N * B).reshape(N, B), others
    groups, across, inside = np.full((G, m), -1), np.zeros((G, m, K)), np.zeros((G, m, m))
    groups[:N, :L] = layout.block_pars[:N]
    for b in range(B):
        g = np.flatnonzero(bins[:, b] >= 0)
        h = by_bin[bins[g, b]]
        own = np.append(np.arange(L), L + b * R + np.arange(R))
        groups[g, L + b * R : L + (b + 1) * R] = layout.gamma_pars[bins[g, b]]
        across[np.ix_(g, own)] += h[:, K:, :K]
        inside[np.ix_(g, own, own)] += h[:, K:, K:]
    curvature = np.where(p.kind == "normal", 1 / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
    poisson = p.kind == "poisson"
    curvature[poisson] = data.aux[0, poisson] / pars[poisson] ** 2
    k, j = np.arange(K), np.arange(m)
    head = by_bin[:, :K, :K].sum(axis=0) + of_globals
    head[k, k] += curvature[layout.global_pars]
    there = groups >= 0
    inside[:, j, j] += np.where(there, curvature[groups], 0.0)
    return _Arrow(head, groups, across * there[..., None], inside * there[..., None] * there[:, None])


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
    result = _inverse(arrow, g, scale)
    # the smallest eigenvalue is at least one over the trace of the inverse
    if result is None or (np.diag(result) * np.abs(diagonal)).sum() > 1 / SINGULAR:
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
        gradient = (r @ jacobian(model, moved) + _pull(p, moved, data)) * scale
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


def _inverse(arrow: _Arrow, global_pars: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
    """Invert an arrow by its Schur complement, as K is much less than n: (n, n), zero where the scale is.

    Returns None where the matrix is not positive definite.
    """
    K, (G, m) = len(global_pars), arrow.groups.shape
    rest = np.where(arrow.groups >= 0, scale[arrow.groups], 0.0)
    head_scale = scale[global_pars]
    inside = arrow.inside * rest[:, :, None] * rest[:, None, :]
    j, k = np.arange(m), np.arange(K)
    inside[:, j, j] += rest == 0
    across = arrow.across * rest[:, :, None] * head_scale
    head = arrow.head * head_scale[:, None] * head_scale
    head[k, k] += head_scale == 0
    try:
        root = np.linalg.inv(np.linalg.cholesky(inside)) if G * m else inside
        inner = np.matmul(root.swapaxes(1, 2), root)
        carried = np.matmul(inner, across).reshape(G * m, K)
        complement = head - across.reshape(G * m, K).T @ carried
        root = np.linalg.inv(np.linalg.cholesky(complement))
    except np.linalg.LinAlgError:
        return None
    n = len(scale)
    place = np.where(arrow.groups >= 0, arrow.groups, n)
    outer = carried @ root.T
    full = np.zeros((n + 1, n + 1))
    flat = place.ravel()
    full[np.ix_(flat, flat)] = outer @ outer.T
    full[place[:, :, None], place[:, None, :]] += inner
    full[np.ix_(flat, global_pars)] = -outer @ root
    full[np.ix_(global_pars, flat)] = -(outer @ root).T
    full[np.ix_(global_pars, global_pars)] = root.T @ root
    return np.asarray(full[:-1, :-1] * scale[:, None] * scale)
