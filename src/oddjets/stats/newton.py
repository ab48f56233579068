"""A bounded Newton minimiser for batches of fits, with the blocks of local parameters eliminated by Schur complement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oddjets.stats.layout import Layout
from oddjets.stats.objective import Point, Problem, objective

__all__ = ["Minimum", "minimise"]

#: a fit has converged when the estimated distance to the minimum of -log L is below this
TOLERANCE = 1e-9
#: below so many events in each bin, a local parameter steps linearly (and may reach zero); above, in its logarithm
FEW_EVENTS = 0.5
MAX_ITERATIONS = 300
#: the least damping after a step that led up
REJECTED = 0.01
#: no constrained parameter moves by more than this many prior widths in a step, no local one by more than a factor e^2
MAX_STEP, MAX_LOG_STEP = 3.0, 2.0


class Minimum(NamedTuple):
    """Minima of T fits.

    Attributes:
        alpha: (T, K).
        local: (T, N + 1, L).
        value: (T,), -log L against the saturated model.
        distance: estimated distance to the minimum, (T,).
        converged: (T,).
        iterations: (T,).
    """

    alpha: np.ndarray
    local: np.ndarray
    value: np.ndarray
    distance: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray


class _Step(NamedTuple):
    alpha: np.ndarray
    local: np.ndarray
    distance: np.ndarray
    downhill: np.ndarray


def minimise(layout: Layout, problem: Problem, alpha: np.ndarray, local: np.ndarray) -> Minimum:
    """Minimise a batch of likelihoods within bounds.

    Newton steps, damped after Levenberg and Marquardt where they do not lead down; parameters at a bound with the
    gradient pointing out are held for the step. Fits that have converged leave the batch.

    Args:
        layout: the model.
        problem: T data sets.
        alpha: start of the global parameters, (T, K), within the bounds.
        local: start of the local ones, (T, N + 1, L).

    Returns:
        The minima; those that did not converge say so.
    """
    T = len(problem.data)
    result = Minimum(
        alpha.copy(), local.copy(), np.full(T, np.inf), np.full(T, np.inf), np.zeros(T, bool), np.zeros(T, int)
    )
    active = np.arange(T)
    now = objective(layout, problem, alpha, local)
    damping = np.full(T, 1e-3)
    for iteration in range(MAX_ITERATIONS):
        step = _step(problem, now, damping)
        done = (step.distance < TOLERANCE) & (damping <= 1e-3) & step.downhill & np.isfinite(now.value)
        stuck = (damping > 1e12) | ~np.isfinite(now.value)
        leave = done | stuck
        if leave.any() or iteration == MAX_ITERATIONS - 1:
            where = active[leave] if iteration < MAX_ITERATIONS - 1 else active
            keep = leave if iteration < MAX_ITERATIONS - 1 else np.ones_like(leave)
            result.alpha[where], result.local[where] = now.alpha[keep], now.local[keep]
            result.value[where], result.distance[where] = now.value[keep], step.distance[keep]
            result.converged[where], result.iterations[where] = done[keep], iteration
            stay = np.flatnonzero(~keep)
            if not len(stay):
                break
            active, problem, now, damping = active[stay], problem.take(stay), now.take(stay), damping[stay]
            step = _Step(*(a[stay] for a in step))
        trial = objective(layout, problem, step.alpha, step.local)
        # the noise of the sum of so many logarithms is about 1e-12 of its value
        better = step.downhill & (trial.value <= now.value + 1e-12 * (1 + np.abs(now.value)))
        worse = np.flatnonzero(~better)
        for new, old in zip(trial, now, strict=True):
            new[worse] = old[worse]
        now = trial
        damping = np.where(better, np.where(damping < 1e-6, 0.0, 0.1 * damping), np.maximum(10 * damping, REJECTED))
    return result


def _choose(mask: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a if mask.all() else np.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b)


def _free(x: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray, held: np.ndarray) -> np.ndarray:
    return ~(held | ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))


def _step(problem: Problem, now: Point, damping: np.ndarray) -> _Step:
    """One damped Newton step of each fit, clipped to the bounds."""
    T, K = now.alpha.shape
    N, L = now.local_gradient.shape[1:]
    x = now.local[:, :N]
    low, high = problem.local_low[:N], problem.local_high[:N]
    logarithmic = (low >= 0) & (x > 0) & (now.events > FEW_EVENTS)
    scale = np.where(logarithmic, x, 1.0)
    free = _free(x, now.local_gradient, low, high, problem.local_held[:, :N])
    diagonal = np.einsum("tnll->tnl", now.local_hessian)
    free &= np.abs(diagonal) > 1e-12
    scale = scale * free
    gl = scale * now.local_gradient
    hll = now.local_hessian * scale[..., None] * scale[..., None, :]
    m = np.arange(L)
    hll[:, :, m, m] += np.where(logarithmic & free, gl, 0.0)
    size = np.abs(hll[:, :, m, m])
    hll[:, :, m, m] += np.where(free, damping[:, None, None] * size + 1e-12 * (1 + size), 1.0)
    inverse = np.linalg.inv(hll) if N and L else hll
    open_ = _free(now.alpha, now.gradient, problem.low, problem.high, problem.held)
    k = np.arange(K)
    size_g = np.abs(now.hessian[:, k, k])
    open_ &= size_g > 0
    norm = np.where(open_, 1 / np.sqrt(np.where(size_g > 0, size_g, 1.0)), 0.0)
    g = norm * now.gradient
    h = now.hessian * norm[:, :, None] * norm[:, None, :]
    h[:, k, k] += np.where(open_, damping[:, None] + 1e-14, 1.0)
    inner = inverse * scale[..., None] * scale[..., None, :]
    flat = now.mixed.reshape(T, N * L, K)
    b = np.matmul(inner, now.mixed).reshape(T, N * L, K)
    schur = h - np.matmul(flat.transpose(0, 2, 1), b) * norm[:, :, None] * norm[:, None, :]
    right = norm * np.einsum("tnk,tn->tk", b, now.local_gradient.reshape(T, -1)) - g
    dg = _solve(schur, right)
    coupled = scale * np.matmul(flat, (norm * dg)[..., None]).reshape(T, N, L)
    dl = -np.einsum("tnlm,tnm->tnl", inverse, gl + coupled)
    slope = (g * dg).sum(axis=1) + (gl * dl).sum(axis=(1, 2))
    alpha = now.alpha + _limited(norm * dg, problem)
    local = now.local.copy()
    with np.errstate(over="ignore"):
        grown = x * np.exp(np.clip(dl, -MAX_LOG_STEP, MAX_LOG_STEP))
    local[:, :N] = np.clip(np.where(free, np.where(logarithmic, grown, x + dl), x), low, high)
    # what is held keeps its value even outside of the bounds
    local[:, :N] = np.where(problem.local_held[:, :N], x, local[:, :N])
    alpha = np.where(problem.held, now.alpha, np.clip(alpha, problem.low, problem.high))
    finite = np.isfinite(slope)
    alpha, local = _choose(finite, alpha, now.alpha), _choose(finite, local, now.local)
    return _Step(alpha, local, np.where(finite, np.abs(0.5 * slope), np.inf), finite & (slope <= 1e-15))


def _limited(step: np.ndarray, problem: Problem) -> np.ndarray:
    """Limit the steps of constrained parameters, whose likelihood far away says little."""
    weight = problem.by_global.weight
    most = np.where(weight > 0, MAX_STEP / np.sqrt(np.where(weight > 0, weight, 1.0)), np.inf)
    return np.asarray(np.clip(step, -most, most))


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(matrix, right[..., None])[..., 0]
    except np.linalg.LinAlgError:
        # one singular fit must not stop the batch: it gets no step, then damping
        result = np.full_like(right, np.nan)
        for t in range(len(matrix)):
            try:
                result[t] = np.linalg.solve(matrix[t], right[t])
            except np.linalg.LinAlgError:
                continue
        return result
