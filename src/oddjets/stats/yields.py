"""Expected yields of a batch of parameter points, and their first and second derivatives, all analytic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from oddjets.stats.layout import Layout

__all__ = ["Curvature", "Derivatives", "Yields", "evaluate", "first", "second"]


@dataclass(frozen=True)
class Yields:
    """Yields of T parameter points; sizes as in `Layout`.

    Attributes:
        layout: the model.
        alpha: global parameters, (T, K).
        base: nominal plus shape variations, (T, P + 1, J).
        local: local parameters by bin, (T, P + 1, L).
        product: product of a slot's local factors, (T, P + 1, J); 1 beyond the first Jl slots.
        smooth, plain, factor: product of the log-normals, of the plain factors, and of both, (T, G).
        slots: yields without gammas, (T, P + 1, J).
        rows: sums of the slots by gamma, (T, P + 1, R).
    """

    layout: Layout
    alpha: np.ndarray
    base: np.ndarray
    local: np.ndarray
    product: np.ndarray
    smooth: np.ndarray
    plain: np.ndarray
    factor: np.ndarray
    slots: np.ndarray
    rows: np.ndarray


class Derivatives(NamedTuple):
    """Derivatives of the rows by the global, (T, P + 1, R, K), and by the block's local parameters, (T, P + 1, R, L)."""

    by_global: np.ndarray
    by_local: np.ndarray


class Curvature(NamedTuple):
    """Second derivatives of a weighted sum of the slots: (T, K, K), per bin (T, P + 1, K, L) or None, (T, P + 1, L, L)."""

    global_global: np.ndarray
    global_local: np.ndarray | None
    local_local: np.ndarray


def _interpolation(alpha: np.ndarray) -> np.ndarray:
    """The function that multiplies A in pyhf's interpolation code 4p, whose even part joins the two slopes smoothly."""
    a2 = alpha * alpha
    return np.asarray(np.where(a2 <= 1, a2 * (15 + a2 * (-10 + 3 * a2)), 8 * np.abs(alpha)))


def _interpolation_slope(alpha: np.ndarray) -> np.ndarray:
    a2 = alpha * alpha
    return np.asarray(np.where(a2 <= 1, alpha * (30 + a2 * (-40 + 18 * a2)), 8 * np.sign(alpha)))


def _interpolation_curvature(alpha: np.ndarray) -> np.ndarray:
    a2 = alpha * alpha
    return np.where(a2 <= 1, 30 + a2 * (-120 + 90 * a2), 0.0)


def _normsys(layout: Layout, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value of each log-normal factor and the first two derivatives of its logarithm, (T, pairs)."""
    table = layout.normsys
    a = alpha[:, layout.factor_pars[table.par]]
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
    """Product of each group's plain factors but those left out, (T, G)."""
    result = np.ones((len(alpha), len(layout.linear)))
    for k in np.flatnonzero(layout.linear.any(axis=0)):
        if k not in left_out:
            result *= np.where(layout.linear[:, k], alpha[:, layout.factor_pars[k], None], 1.0)
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
    a = alpha[:, layout.shape_pars]
    coefficients = np.concatenate([a, _interpolation(a)], axis=1)
    P1, J = layout.nominal.shape
    base = layout.nominal + (coefficients @ layout.shape.reshape(P1 * J, -1).T).reshape(T, P1, J)
    by_bin = local[:, layout.bin_block]
    product = np.ones((T, P1, J))
    Jl = layout.uses.shape[1]
    for k in range(layout.uses.shape[2]):
        product[:, :, :Jl] *= np.where(layout.uses[:, :, k], by_bin[:, :, None, k], 1.0)
    value, _, _ = _normsys(layout, alpha)
    smooth = np.ones((T, len(layout.linear)))
    for k, g in enumerate(layout.normsys.group):
        smooth[:, g] *= value[:, k]
    plain = _plain(layout, alpha)
    factor = smooth * plain
    slots = base * product * factor[:, layout.group]
    rows = np.einsum("tpj,pjr->tpr", slots, layout.row)
    return Yields(layout, alpha, base, by_bin, product, smooth, plain, factor, slots, rows)


def _factor_slopes(y: Yields) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """D log(smooth), its second derivative, and d plain, each (T, G, number of factor parameters)."""
    layout = y.layout
    shape = (len(y.alpha), *layout.linear.shape)
    log_slope, log_curve, plain_slope = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    _, slope, curve = _normsys(layout, y.alpha)
    log_slope[:, layout.normsys.group, layout.normsys.par] = slope
    log_curve[:, layout.normsys.group, layout.normsys.par] = curve
    for k in np.flatnonzero(layout.linear.any(axis=0)):
        plain_slope[:, :, k] = np.where(layout.linear[:, k], _plain(layout, y.alpha, (int(k),)), 0.0)
    return log_slope, log_curve, plain_slope


def _left_out(y: Yields, *left_out: int) -> np.ndarray:
    """Product of the local factors of the first Jl slots but those left out; 0 where one of them is no factor."""
    layout = y.layout
    used = layout.uses[:, :, list(left_out)].all(axis=-1)
    result = np.broadcast_to(used.astype(float), (len(y.alpha), *used.shape)).copy()
    for k in range(layout.uses.shape[2]):
        if k not in left_out:
            result *= np.where(layout.uses[:, :, k], y.local[:, :, None, k], 1.0)
    return result


def first(y: Yields) -> Derivatives:
    """Differentiate the rows once."""
    layout = y.layout
    T, P1, R = y.rows.shape
    K, L, Jl = len(layout.global_pars), layout.uses.shape[2], layout.uses.shape[1]
    by_global = np.zeros((T, P1, R, K))
    weight = y.factor[:, layout.group] * y.product
    Q = len(layout.shape_pars)
    if Q:
        slope = _interpolation_slope(y.alpha[:, layout.shape_pars])
        for r in range(R):
            x = (weight * layout.row[:, :, r]).transpose(1, 0, 2)
            both = np.matmul(x, layout.shape).transpose(1, 0, 2)
            by_global[:, :, r, layout.shape_pars] = both[:, :, :Q] + slope[:, None] * both[:, :, Q:]
    if len(layout.factor_pars):
        log_slope, _, plain_slope = _factor_slopes(y)
        slopes = y.factor[:, :, None] * log_slope + y.smooth[:, :, None] * plain_slope
        z = np.zeros((T, P1, R, len(layout.linear)))
        content = y.base * y.product
        bins = np.arange(P1)
        rows = layout.row.argmax(axis=2)
        for j in range(content.shape[2]):
            z[:, bins, rows[:, j], layout.group[:, j]] += content[:, :, j]
        part = np.matmul(z.reshape(T, P1 * R, -1), slopes).reshape(T, P1, R, -1)
        by_global[:, :, :, layout.factor_pars] += part
    by_local = np.zeros((T, P1, R, L))
    if L:
        content = (y.base * y.factor[:, layout.group])[:, :, :Jl]
        for k in range(L):
            by_local[:, :, :, k] = np.einsum("tpj,pjr->tpr", content * _left_out(y, k), layout.row[:, :Jl])
    return Derivatives(by_global, by_local)


def second(y: Yields, weight: np.ndarray) -> Curvature:
    """Differentiate the weighted sum of all slots twice.

    Args:
        y: the yields.
        weight: of each slot, (T, P + 1, J).

    Returns:
        The second derivatives; those that involve local parameters are kept by bin.
    """
    layout = y.layout
    T, P1, J = y.slots.shape
    G, Q, K = len(layout.linear), len(layout.shape_pars), len(layout.global_pars)
    fac, sha = layout.factor_pars, layout.shape_pars
    log_slope, log_curve, plain_slope = _factor_slopes(y)
    slopes = y.factor[:, :, None] * log_slope + y.smooth[:, :, None] * plain_slope
    result = np.zeros((T, K, K))
    w = weight * y.product
    one_hot = np.zeros((P1 * J, G))
    one_hot[np.arange(P1 * J), layout.group.ravel()] = 1
    content = (w * y.base).reshape(T, -1) @ one_hot
    # factor with factor
    a = (content * y.factor)[:, :, None] * log_slope
    b = (content * y.smooth)[:, :, None] * plain_slope
    ff = np.matmul(log_slope.transpose(0, 2, 1), a + b) + np.matmul(b.transpose(0, 2, 1), log_slope)
    n = len(fac)
    ff[:, range(n), range(n)] += np.einsum("tg,tgk->tk", content * y.factor, log_curve)
    for k in range(n):
        for m in range(k):
            both = layout.linear[:, k] & layout.linear[:, m]
            if both.any():
                pair = (content * y.smooth * np.where(both, _plain(layout, y.alpha, (k, m)), 0.0)).sum(axis=1)
                ff[:, k, m] += pair
                ff[:, m, k] += pair
    result[np.ix_(np.arange(T), fac, fac)] += ff
    if Q:
        slope = _interpolation_slope(y.alpha[:, sha])
        flat = layout.shape.reshape(P1 * J, 2 * Q)
        sf = np.zeros((T, Q, n))
        for g in range(G):
            members = np.flatnonzero(layout.group.ravel() == g)
            both = w.reshape(T, -1)[:, members] @ flat[members]
            sf += (both[:, :Q] + slope * both[:, Q:])[:, :, None] * slopes[:, g, None, :]
        result[np.ix_(np.arange(T), sha, fac)] += sf
        result[np.ix_(np.arange(T), fac, sha)] += sf.transpose(0, 2, 1)
        even = (w * y.factor[:, layout.group]).reshape(T, -1) @ flat[:, Q:]
        result[:, sha, sha] += even * _interpolation_curvature(y.alpha[:, sha])
    return Curvature(result, *_second_local(y, weight, slopes))


def _second_local(y: Yields, weight: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    layout = y.layout
    T, P1, _ = y.slots.shape
    Jl, L = layout.uses.shape[1:]
    K, Q = len(layout.global_pars), len(layout.shape_pars)
    local_local = np.zeros((T, P1, L, L))
    w = weight[:, :, :Jl]
    content = w * (y.base * y.factor[:, layout.group])[:, :, :Jl]
    for k in range(L):
        for m in range(k):
            local_local[:, :, k, m] = local_local[:, :, m, k] = (content * _left_out(y, k, m)).sum(axis=2)
    if not layout.local_globals:
        return None, local_local
    mixed = np.zeros((T, P1, K, L))
    slope = _interpolation_slope(y.alpha[:, layout.shape_pars])
    for j in range(Jl):
        by_global = np.zeros((T, P1, K))
        group = layout.group[:, j]
        by_global[:, :, layout.factor_pars] = y.base[:, :, j, None] * slopes[:, group]
        shape = layout.shape[:, j]
        by_global[:, :, layout.shape_pars] += y.factor[:, group, None] * (shape[:, :Q] + slope[:, None] * shape[:, Q:])
        for k in range(L):
            mixed[:, :, :, k] += (w[:, :, j] * _left_out(y, k)[:, :, j])[:, :, None] * by_global
    return mixed, local_local
