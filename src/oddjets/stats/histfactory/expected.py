"""Expected yields of a batch of parameter points, and their first and second derivatives, all analytic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from oddjets.stats.histfactory.tensors import Layout, Normsys

__all__ = ["Slopes", "Total", "Yields", "evaluate", "local_slopes", "row_weights", "slopes", "total", "variations"]


@dataclass(frozen=True)
class Yields:
    """Yields of T parameter points; sizes as in `Layout`.

    Attributes:
        layout: the model.
        alpha: global parameters, (T, K).
        base: nominal plus shape variations, (T, P, J).
        local: local parameters by bin, (T, P, L).
        product: product of a slot's local factors, (T, P, J); 1 beyond the first Jl slots.
        normsys: value of each log-normal factor and the first two derivatives of its logarithm, (T, pairs).
        smooth, plain, factor: product of the log-normals, of the plain factors, and of both, (T, G).
        slots: yields without gammas, (T, P, J).
        rows: sums of the slots by gamma, (T, P, R).
    """

    layout: Layout
    alpha: np.ndarray
    base: np.ndarray
    local: np.ndarray
    product: np.ndarray
    normsys: tuple[np.ndarray, np.ndarray, np.ndarray]
    smooth: np.ndarray
    plain: np.ndarray
    factor: np.ndarray
    slots: np.ndarray
    rows: np.ndarray

    @cached_property
    def factor_slopes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """D log(smooth), its second derivative, and d plain, each (T, G, number of factor parameters)."""
        layout = self.layout
        shape = (len(self.alpha), *layout.linear.shape)
        log_slope, log_curve, plain_slope = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        _, slope, curve = self.normsys
        log_slope[:, layout.normsys.group, layout.normsys.par] = slope
        log_curve[:, layout.normsys.group, layout.normsys.par] = curve
        for k in layout.plain:
            plain_slope[:, :, k] = np.where(layout.linear[:, k], _plain(layout, self.alpha, (k,)), 0.0)
        return log_slope, log_curve, plain_slope

    @cached_property
    def factor_slope(self) -> np.ndarray:
        """Derivative of `factor`, (T, G, number of factor parameters)."""
        log_slope, _, plain_slope = self.factor_slopes
        return np.asarray(self.factor[:, :, None] * log_slope + self.smooth[:, :, None] * plain_slope)


class Slopes(NamedTuple):
    """Derivatives of each bin's weighted slots by the global, (T, P, K), and its local parameters, (T, P, L)."""

    by_global: np.ndarray
    by_local: np.ndarray


class Total(NamedTuple):
    """Derivatives of a weighted sum of all slots.

    Attributes:
        gradient: by the global parameters, (T, K).
        global_global: (T, K, K).
        global_local: by bin, (T, P, L, K); None where no slot has both.
        local_local: by bin, (T, P, L, L).
    """

    gradient: np.ndarray
    global_global: np.ndarray
    global_local: np.ndarray | None
    local_local: np.ndarray


def _interpolation(alpha: np.ndarray) -> np.ndarray:
    """Return the function that multiplies A in pyhf's interpolation code 4p, whose even part joins the two slopes smoothly."""
    a2 = alpha * alpha
    return np.asarray(np.where(a2 <= 1, a2 * (15 + a2 * (-10 + 3 * a2)), 8 * np.abs(alpha)))


def _interpolation_slope(alpha: np.ndarray) -> np.ndarray:
    a2 = alpha * alpha
    return np.asarray(np.where(a2 <= 1, alpha * (30 + a2 * (-40 + 18 * a2)), 8 * np.sign(alpha)))


def _interpolation_curvature(alpha: np.ndarray) -> np.ndarray:
    a2 = alpha * alpha
    return np.where(a2 <= 1, 30 + a2 * (-120 + 90 * a2), 0.0)


def _normsys(layout: Layout, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each log-normal factor and the first two derivatives of its logarithm, (T, pairs)."""
    return _log_normal(layout.normsys, alpha[:, layout.first_factor + layout.normsys.par])


def _log_normal(table: Normsys, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return these log-normal factors at given values of the pairs' parameters, (T, pairs)."""
    c = table.polynomial.T
    inside = np.abs(a) < 1
    x = np.where(inside, a, 0.0)
    value = 1 + x * (c[0] + x * (c[1] + x * (c[2] + x * (c[3] + x * (c[4] + x * c[5])))))
    slope = c[0] + x * (2 * c[1] + x * (3 * c[2] + x * (4 * c[3] + x * (5 * c[4] + x * 6 * c[5]))))
    curve = 2 * c[1] + x * (6 * c[2] + x * (12 * c[3] + x * (20 * c[4] + x * 30 * c[5])))
    log_slope = np.where(inside, slope / value, np.where(a > 0, table.log_hi, -table.log_lo))
    log_curve = np.where(inside, curve / value - (slope / value) ** 2, 0.0)
    value = np.where(inside, value, np.exp(np.where(a > 0, a * table.log_hi, -a * table.log_lo)))
    return value, log_slope, log_curve


def _plain(layout: Layout, alpha: np.ndarray, left_out: tuple[int, ...] = ()) -> np.ndarray:
    """Return the product of each group's plain factors but those left out, (T, G)."""
    result = np.ones((len(alpha), len(layout.linear)))
    for k in layout.plain:
        if k not in left_out:
            result *= np.where(layout.linear[:, k], alpha[:, layout.first_factor + k, None], 1.0)
    return result


def evaluate(layout: Layout, alpha: np.ndarray, local: np.ndarray) -> Yields:
    """Evaluate the yields at T points.

    Args:
        layout: the model.
        alpha: global parameters, (T, K).
        local: local parameters by block, (T, N + 1, L); 1 where a block has fewer.

    Returns:
        The yields.
    """
    T = len(alpha)
    a = alpha[:, : layout.n_shapes]
    coefficients = np.concatenate([a, _interpolation(a)], axis=1)
    P1, J = layout.nominal.shape
    base = layout.nominal + (coefficients @ layout.shape.reshape(P1 * J, -1).T).reshape(T, P1, J)
    by_bin = local[:, layout.bin_block]
    product = np.ones((T, P1, J))
    Jl = layout.uses.shape[1]
    for k in range(layout.uses.shape[2]):
        product[:, :, :Jl] *= np.where(layout.uses[:, :, k], by_bin[:, :, None, k], 1.0)
    normsys = _normsys(layout, alpha)
    smooth = np.ones((T, len(layout.linear)))
    first = layout.normsys.first
    if len(first):
        smooth[:, layout.normsys.group[first]] = np.multiply.reduceat(normsys[0], first, axis=1)
    plain = _plain(layout, alpha)
    factor = smooth * plain
    slots = base * product * factor[:, layout.group]
    rows = np.matmul(slots.transpose(1, 0, 2), layout.row).transpose(1, 0, 2)
    return Yields(layout, alpha, base, by_bin, product, normsys, smooth, plain, factor, slots, rows)


def variations(y: Yields, gamma: np.ndarray, position: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return each bin's yields with one global parameter moved, all others as they are.

    Args:
        y: the yields of one point.
        gamma: its gammas, (1, P, R - 1).
        position: which parameters are moved, among the global ones, (k,).
        values: where to, (k, m).

    Returns:
        The yields in the layout's order of bins, (k, m, P).
    """
    layout = y.layout
    weight = row_weights(layout, np.concatenate([np.ones((1, gamma.shape[1], 1)), gamma], axis=2))
    kept = (weight * y.product * y.factor[:, layout.group])[0]
    result = np.empty((*values.shape, len(kept)))
    old = y.alpha[0]
    for k, i in enumerate(position.tolist()):
        base, ratio = y.base, np.ones((len(values[k]), len(layout.linear)))
        if i < layout.n_shapes:
            moved = np.stack([values[k] - old[i], _interpolation(values[k]) - _interpolation(old[i])], axis=1)
            base = base + np.tensordot(moved, layout.shape[:, :, [i, layout.n_shapes + i]], axes=(1, 2))
        own = np.flatnonzero(layout.normsys.par == i - layout.first_factor)
        if i >= layout.first_factor and len(own):
            table = layout.normsys.take(own)
            now = _log_normal(table, np.repeat(values[k][:, None], len(own), axis=1))[0]
            ratio[:, table.group] = now / y.normsys[0][0, own]
        result[k] = (base * kept * ratio[:, layout.group]).sum(axis=2)
    return result


def row_weights(layout: Layout, weight: np.ndarray) -> np.ndarray:
    """Spread weights of rows, (T, P, R), to slots, (T, P, J)."""
    return np.asarray(np.matmul(weight.transpose(1, 0, 2), layout.row.transpose(0, 2, 1)).transpose(1, 0, 2))


def _left_out(y: Yields, *left_out: int) -> np.ndarray:
    """Return the product of the local factors of the first Jl slots but those left out; 0 where one of them is no factor."""
    layout = y.layout
    used = layout.uses[:, :, list(left_out)].all(axis=-1)
    result = np.broadcast_to(used.astype(float), (len(y.alpha), *used.shape)).copy()
    for k in range(layout.uses.shape[2]):
        if k not in left_out:
            result *= np.where(layout.uses[:, :, k], y.local[:, :, None, k], 1.0)
    return result


def slopes(y: Yields, weight: np.ndarray) -> Slopes:
    """Differentiate the weighted slots of each bin.

    Args:
        y: the yields.
        weight: of each slot, (T, P, J).

    Returns:
        The derivatives, by bin.
    """
    layout = y.layout
    T, P1, _ = y.slots.shape
    Q = layout.n_shapes
    by_global = np.zeros((T, P1, len(layout.global_pars)))
    w = weight * y.product
    if Q:
        slope = _interpolation_slope(y.alpha[:, :Q])
        both = np.matmul((w * y.factor[:, layout.group]).transpose(1, 0, 2), layout.shape)
        both[:, :, Q:] *= slope
        both[:, :, :Q] += both[:, :, Q:]
        by_global[:, :, :Q] = both[:, :, :Q].transpose(1, 0, 2)
    if layout.linear.shape[1]:
        z = np.zeros((T, P1, len(layout.linear)))
        content = w * y.base
        bins = np.arange(P1)
        for j in range(content.shape[2]):
            z[:, bins, layout.group[:, j]] += content[:, :, j]
        by_global[:, :, layout.first_factor :] += np.matmul(z, y.factor_slope)
    return Slopes(by_global, local_slopes(y, weight))


def local_slopes(y: Yields, weight: np.ndarray) -> np.ndarray:
    """Differentiate the weighted slots of each bin by its local parameters: (T, P, L)."""
    layout = y.layout
    _, Jl, L = layout.uses.shape
    result = np.zeros((*y.slots.shape[:2], L))
    if L:
        content = weight[:, :, :Jl] * y.base[:, :, :Jl] * y.factor[:, layout.group[:, :Jl]]
        for k in range(L):
            result[:, :, k] = (content * _left_out(y, k)).sum(axis=2)
    return result


def total(y: Yields, weight: np.ndarray) -> Total:
    """Differentiate the weighted sum of all slots, twice.

    Args:
        y: the yields.
        weight: of each slot, (T, P, J).

    Returns:
        The derivatives; the second ones that involve local parameters are kept by bin.
    """
    layout = y.layout
    T = len(y.alpha)
    Q, K, fac = layout.n_shapes, len(layout.global_pars), slice(layout.first_factor, None)
    log_slope, log_curve, plain_slope = y.factor_slopes
    w = (weight * y.product).reshape(T, -1)
    wb = w * y.base.reshape(T, -1)
    content = np.stack([wb[:, places].sum(axis=1) for places, _ in layout.by_group], axis=1)
    gradient, hessian = np.zeros((T, K)), np.zeros((T, K, K))
    gradient[:, fac] = np.einsum("tg,tgk->tk", content, y.factor_slope)
    hessian[:, fac, fac] = _factor_curvature(y, content, log_slope, log_curve, plain_slope)
    if Q:
        slope, curvature = _interpolation_slope(y.alpha[:, :Q]), _interpolation_curvature(y.alpha[:, :Q])
        both = np.stack([w[:, places] @ shapes for places, shapes in layout.by_group], axis=1)
        by_shape = both[:, :, :Q] + slope[:, None] * both[:, :, Q:]
        gradient[:, :Q] += np.einsum("tg,tgq->tq", y.factor, by_shape)
        mixed = np.matmul(by_shape.transpose(0, 2, 1), y.factor_slope)
        hessian[:, :Q, fac] += mixed
        hessian[:, fac, :Q] += mixed.transpose(0, 2, 1)
        q = np.arange(Q)
        hessian[:, q, q] += np.einsum("tg,tgq->tq", y.factor, both[:, :, Q:]) * curvature
    return Total(gradient, hessian, *_total_local(y, weight))


def _factor_curvature(
    y: Yields, content: np.ndarray, log_slope: np.ndarray, log_curve: np.ndarray, plain_slope: np.ndarray
) -> np.ndarray:
    """Return the second derivatives of sum_g content_g factor_g, (T, number of factor parameters, same)."""
    layout = y.layout
    a = (content * y.factor)[:, :, None] * log_slope
    b = (content * y.smooth)[:, :, None] * plain_slope
    result = np.matmul(log_slope.transpose(0, 2, 1), a + b) + np.matmul(b.transpose(0, 2, 1), log_slope)
    n = result.shape[1]
    result[:, np.arange(n), np.arange(n)] += np.einsum("tg,tgk->tk", content * y.factor, log_curve)
    for k, m, both in layout.pairs:
        pair = (content * y.smooth * np.where(both, _plain(layout, y.alpha, (k, m)), 0.0)).sum(axis=1)
        result[:, k, m] += pair
        result[:, m, k] += pair
    return np.asarray(result)


def _total_local(y: Yields, weight: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the second derivatives that involve local parameters, by bin: with global ones (or None), and among them."""
    layout = y.layout
    T, P1, _ = y.slots.shape
    Jl, L = layout.uses.shape[1:]
    K, Q = len(layout.global_pars), layout.n_shapes
    local_local = np.zeros((T, P1, L, L))
    w = weight[:, :, :Jl]
    content = w * (y.base * y.factor[:, layout.group])[:, :, :Jl]
    for k in range(L):
        for m in range(k):
            local_local[:, :, k, m] = local_local[:, :, m, k] = (content * _left_out(y, k, m)).sum(axis=2)
    if not layout.local_globals:
        return None, local_local
    mixed = np.zeros((T, P1, L, K))
    slope = _interpolation_slope(y.alpha[:, :Q])
    for j in range(Jl):
        by_global = np.zeros((T, P1, K))
        group = layout.group[:, j]
        by_global[:, :, layout.first_factor :] = y.base[:, :, j, None] * y.factor_slope[:, group]
        shape = layout.shape[:, j]
        by_global[:, :, :Q] += y.factor[:, group, None] * (shape[:, :Q] + slope[:, None] * shape[:, Q:])
        for k in range(L):
            mixed[:, :, k] += (w[:, :, j] * _left_out(y, k)[:, :, j])[:, :, None] * by_global
    return mixed, local_local
