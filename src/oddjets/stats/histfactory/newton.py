"""A bounded Newton minimiser for batches of fits, with the blocks of local parameters eliminated by Schur complement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oddjets.stats.histfactory.expected import evaluate
from oddjets.stats.histfactory.likelihood import KinkRounding, KnownMinima, Point, Problem, objective, profile_bins
from oddjets.stats.histfactory.posdef import nearby_positive, solve_absolute, solve_positive
from oddjets.stats.histfactory.tensors import Layout

__all__ = ["Minimum", "minimise"]

#: a fit has converged when its -log L is estimated to be this close to the minimum, before one more step
TOLERANCE = 1e-7
#: below so many events in each bin, a local parameter steps linearly (and may reach zero); above, in its logarithm
FEW_EVENTS = 0.5
MAX_ITERATIONS = 300
#: fits worked on at once, whose arrays stay in the processor's cache; fewer in a model whose derivatives by bin have more
#: numbers than this in all of them together
GROUP, MOST_DERIVATIVES = 32, 8_000_000
#: the damping to start with, in units of each parameter's curvature, and where a fit gives up
FIRST_DAMPING, MAX_DAMPING = 1e-3, 1e12
#: the same for a fit with empty bins, and its most steps: it may be at a kink, where more damping does not help
STUCK_DAMPING, STUCK_ITERATIONS = 1e4, 40
#: the most steps of a search for another minimum with rounded kinks: those that find one need fewer
SEARCH_ITERATIONS = 100
#: the smallest damping after a step to a higher -log L
REJECTED = 0.01
#: above this, a factor that multiplies other free ones steps in its logarithm
SMALL_FACTOR = 0.05
#: a local parameter with less curvature and gradient than this, over its whole range (at most so much), has no effect
NO_EFFECT, WIDEST = 1e-12, 1e10
#: no constrained parameter moves by more than this many prior widths in a step, no local one by more than a factor e^2
MAX_STEP, MAX_LOG_STEP = 3.0, 2.0
#: events over which kinks of empty bins are rounded off, as often as their slopes are estimated anew
ROUNDING = 0.01 * 0.5 ** np.arange(12)
#: a search for another minimum is given up if, to reach the known one, -log L must fall by this many times the estimate, and
#: the estimate has fallen in the last step to this fraction or less
MAX_UNDERESTIMATE, MAX_CONTRACTION = 3.0, 0.3
#: and if its next step ends this close to the known one, in units of the parameters' errors with all others held (of a local
#: parameter: of its size), with -log L this close
NEAR, NEAR_LOCAL, NEAR_VALUE = 0.1, 0.02, 0.02

#: where the Hessian is not positive, the fractions of the second derivatives of the yields that are tried
SECOND_KEPT = (0.75, 0.0)


class Minimum(NamedTuple):
    """Minima of T fits.

    Attributes:
        alpha: (T, K).
        local: (T, N + 1, L).
        converged: (T,).
        iterations: (T,).
        given_up: those that lead to no lower minimum than the known one, (T,).
    """

    alpha: np.ndarray
    local: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray
    given_up: np.ndarray


class _Step(NamedTuple):
    alpha: np.ndarray
    local: np.ndarray
    distance: np.ndarray
    downhill: np.ndarray


def minimise(layout: Layout, problem: Problem, alpha: np.ndarray, local: np.ndarray) -> Minimum:
    """Minimise a batch of likelihoods within bounds.

    Newton steps, damped after Levenberg and Marquardt where they do not lead down; parameters at a bound with the
    gradient pointing out are held for the step. A group is worked on at a time: fits that have converged leave it, and others
    take their places. Fits that get stuck are tried again with the kinks of their empty bins rounded off.

    Args:
        layout: the model.
        problem: T data sets.
        alpha: start of the global parameters, (T, K), within the bounds.
        local: start of the local ones, (T, N + 1, L).

    Returns:
        The minima; those that did not converge say so.
    """
    found = _descend(layout, problem, alpha, local)
    stuck = np.flatnonzero(~found.converged & ~found.given_up & _has_empty(problem))
    if len(stuck):
        again = _rounded(layout, problem.take(stuck), found.alpha[stuck], found.local[stuck])
        for old, new in zip(found, again, strict=True):
            old[stuck] = new
    return found


def _rounded(layout: Layout, problem: Problem, alpha: np.ndarray, local: np.ndarray) -> Minimum:
    """Minimise fits whose minimum lies where an empty bin expects nothing, a kink (see `objective.profile_bins`).

    The slopes at the kinks are estimated anew until the likelihood lies no more than the tolerance above the rounded one:
    this never lies above it, so that the minimum is bracketed.
    """
    T = len(problem.data)
    result = Minimum(alpha.copy(), local.copy(), np.zeros(T, bool), np.zeros(T, int), np.zeros(T, bool))
    empty = problem.data <= 0
    slope = profile_bins(
        evaluate(layout, alpha, local), problem._replace(kinks=KinkRounding(0.5 * empty, ROUNDING[0]))
    ).slope
    active = np.arange(T)
    for width in ROUNDING.tolist():
        part, kinks = problem.take(active), KinkRounding(slope[active] * empty[active], width)
        found = _descend(layout, part._replace(kinks=kinks), result.alpha[active], result.local[active])
        result.alpha[active], result.local[active] = found.alpha, found.local
        result.iterations[active] += found.iterations
        y = evaluate(layout, found.alpha, found.local)
        rounded = profile_bins(y, part._replace(kinks=kinks))
        above, below = (np.where(empty[active], b.value, 0.0) for b in (profile_bins(y, part), rounded))
        gap = (above - below + 0.5 * width * kinks.slope**2).sum(axis=1)
        result.converged[active] = found.converged & (gap < TOLERANCE)
        slope[active] = rounded.slope
        if part.known is not None:
            # the rounded likelihood is nowhere higher: if its minimum is not lower than the known one, neither is the other
            value = objective(layout, part._replace(kinks=kinks), found.alpha, found.local).value
            too_high = found.converged & (value > part.known.value)
            too_long = result.iterations[active] >= SEARCH_ITERATIONS
            result.given_up[active] = ~result.converged[active] & (found.given_up | too_high | too_long)
        active = active[~result.converged[active] & ~result.given_up[active]]
        if not len(active):
            break
    return result


def _has_empty(problem: Problem) -> np.ndarray:
    return np.asarray((problem.data[:, :-1] <= 0).any(axis=1))


def _descend(layout: Layout, problem: Problem, alpha: np.ndarray, local: np.ndarray) -> Minimum:
    """Minimise by Newton's method from one start, see `minimise`."""
    T = len(problem.data)
    result = Minimum(alpha.copy(), local.copy(), np.zeros(T, bool), np.zeros(T, int), np.zeros(T, bool))
    # by the global parameters, and before that by both sides of the shapes
    group = min(
        GROUP, 1 + MOST_DERIVATIVES // (len(layout.order) * (len(layout.global_pars) + 2 * layout.n_shapes) + 1)
    )
    active = np.arange(min(T, group))
    waiting = len(active)
    part = problem.take(active)
    now = objective(layout, part, alpha[active], local[active])
    damping, before = np.full(len(active), FIRST_DAMPING), np.zeros(T)
    may_stick = _has_empty(problem) & (problem.kinks is None)
    most_damping = np.where(may_stick, STUCK_DAMPING, MAX_DAMPING)
    most_steps = np.where(may_stick, STUCK_ITERATIONS, MAX_ITERATIONS)
    if problem.known is not None:
        most_steps = np.minimum(most_steps, SEARCH_ITERATIONS)
    while len(active):
        step = _step(layout, part, now, damping)
        done = (step.distance < TOLERANCE) & (damping <= FIRST_DAMPING) & step.downhill & np.isfinite(now.value)
        given_up = (damping > most_damping[active]) | (result.iterations[active] >= most_steps[active])
        lost = given_up | ~np.isfinite(now.value)
        if part.known is not None:
            not_lower = ~done & _not_lower(part.known, now, step, damping, before[active])
            result.given_up[active], before[active] = not_lower, step.distance
            lost |= not_lower
        leave = done | lost
        if leave.any():
            where = active[leave]
            # the last step costs nothing more and squares the distance
            result.alpha[where], result.local[where] = step.alpha[leave], step.local[leave]
            result.converged[where] = done[leave]
            stay = np.flatnonzero(~leave)
            active, now, damping = active[stay], now.take(stay), damping[stay]
            step = _Step(*(a[stay] for a in step))
        room = group - len(active) if len(active) <= group // 2 else 0
        newcomers = np.arange(waiting, min(T, waiting + room))
        waiting += len(newcomers)
        if leave.any() or len(newcomers):
            active = np.append(active, newcomers).astype(int)
            part = problem.take(active)
        if not len(active):
            break
        old = len(active) - len(newcomers)
        trial = objective(
            layout,
            part,
            np.concatenate([step.alpha, alpha[active[old:]]]),
            np.concatenate([step.local, local[active[old:]]]),
        )
        result.iterations[active[:old]] += 1
        # the noise of the sum of so many logarithms is about 1e-12 of its value
        better = step.downhill & (trial.value[:old] <= now.value + 1e-12 * (1 + np.abs(now.value)))
        if not better.all():
            worse = np.flatnonzero(~better)
            for new, kept in zip(trial, now, strict=True):
                new[worse] = kept[worse]
        now = trial
        damping = np.where(better, np.where(damping < 1e-6, 0.0, 0.1 * damping), np.maximum(10 * damping, REJECTED))
        damping = np.append(damping, np.full(len(newcomers), FIRST_DAMPING))
    return result


def _not_lower(known: KnownMinima, now: Point, step: _Step, damping: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return which fits will not end lower than the known minima: they stay too high, lead there, or a sign changes."""
    sound = step.downhill & (damping <= FIRST_DAMPING)
    too_far_above = (now.value - MAX_UNDERESTIMATE * step.distance > known.value) & (
        step.distance < MAX_CONTRACTION * before
    )
    moved = np.abs(step.local - known.local) < NEAR_LOCAL * (1 + np.abs(known.local))
    near = (np.abs(step.alpha - known.alpha) * known.scale < NEAR).all(axis=1) & moved.all(axis=(1, 2))
    ahead = now.value - step.distance
    same = near & (ahead < known.value + NEAR_VALUE) & (ahead > known.value - NEAR_VALUE)
    t = np.arange(len(step.alpha))
    changes_sign = (known.kept_sign >= 0) & (step.alpha[t, known.kept_sign] * now.alpha[t, known.kept_sign] < 0)
    return np.asarray(sound & (too_far_above | same | changes_sign))


def _choose(mask: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a if mask.all() else np.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b)


def _free(x: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray, held: np.ndarray) -> np.ndarray:
    return ~(held | ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))


class _Side(NamedTuple):
    """The global or the local parameters' share of a Newton step.

    A coordinate is the parameter or its logarithm, which turns products of factors into sums; `scale` is the parameter's
    derivative by it, and zero where the parameter does not move in this step.
    """

    logarithmic: np.ndarray
    free: np.ndarray
    scale: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


def _local_side(problem: Problem, now: Point, damping: np.ndarray, *, convex: float) -> _Side:
    N, L = now.local_gradient.shape[1:]
    if not N * L:
        none = now.local_gradient
        return _Side(none > 0, none > 0, none, none, now.local_hessian)
    x, low, high = now.local[:, :N], problem.local_low[:N], problem.local_high[:N]
    free = _free(x, now.local_gradient, low, high, problem.local_held[:, :N])
    m = np.arange(L)
    # over its whole range
    reach = np.clip(high - low, 1.0, WIDEST)
    free &= (np.abs(now.local_hessian[:, :, m, m]) * reach**2 > NO_EFFECT) | (
        np.abs(now.local_gradient) * reach > NO_EFFECT
    )
    logarithmic = (low >= 0) & (x > 0) & (now.events > FEW_EVENTS) & free
    scale = np.where(logarithmic, x, 1.0) * free
    gradient = scale * now.local_gradient
    hessian = now.local_hessian * scale[..., None] * scale[..., None, :]
    hessian[:, :, m, m] += np.where(logarithmic, np.maximum(gradient, (1 - convex) * gradient), 0.0)
    # where there is no curvature, the gradient over the parameter's own size limits the step
    length = np.where(logarithmic, 1.0, np.maximum(x, SMALL_FACTOR))
    size = np.maximum(np.abs(hessian[:, :, m, m]), np.abs(gradient) / length)
    hessian[:, :, m, m] += np.where(free, damping[:, None, None] * size + NO_EFFECT * (1 + size), 1.0)
    return _Side(logarithmic, free, scale, gradient, hessian)


def _global_side(layout: Layout, problem: Problem, now: Point, damping: np.ndarray, *, convex: float) -> _Side:
    """Prepare the global side like the local one, with every coordinate in units of its own curvature."""
    x = now.alpha
    free = _free(x, now.gradient, problem.low, problem.high, problem.held)
    k = np.arange(x.shape[1])
    logarithmic = free & layout.products & (problem.low >= 0) & (x > SMALL_FACTOR)
    scale = np.where(logarithmic, x, 1.0)
    slope = scale * now.gradient
    diagonal = now.hessian[:, k, k] * scale**2
    diagonal += np.where(logarithmic, np.maximum(slope, (1 - convex) * slope), 0.0)
    free &= (diagonal != 0) | (now.gradient != 0)
    unit = np.where(diagonal != 0, 1 / np.sqrt(np.where(diagonal != 0, np.abs(diagonal), 1.0)), 1.0)
    scale = scale * unit * free
    hessian = now.hessian * scale[:, :, None] * scale[:, None, :]
    hessian[:, k, k] = np.where(free, diagonal * unit**2 + damping[:, None] + 1e-14, 1.0)
    return _Side(logarithmic, free, scale, scale * now.gradient, hessian)


class _System(NamedTuple):
    """The linear system of a Newton step: both sides, and the global one's Schur complement, (T, K, K), and right side."""

    blocks: _Side
    rest: _Side
    inverse: np.ndarray
    mixed: np.ndarray
    schur: np.ndarray
    right: np.ndarray


def _system(layout: Layout, problem: Problem, now: Point, damping: np.ndarray, *, convex: float = 0.0) -> _System:
    T, K = now.alpha.shape
    N, L = now.local_gradient.shape[1:]
    blocks = _local_side(problem, now, damping, convex=convex)
    rest = _global_side(layout, problem, now, damping, convex=convex)
    mixed = now.mixed.reshape(T, N * L, K)
    if not N * L:
        return _System(blocks, rest, blocks.hessian, mixed, rest.hessian, -rest.gradient)
    inverse = np.linalg.inv(nearby_positive(blocks.hessian))
    inner = inverse * blocks.scale[..., None] * blocks.scale[..., None, :]
    b = np.matmul(inner, now.mixed).reshape(T, N * L, K)
    schur = rest.hessian - np.matmul(mixed.transpose(0, 2, 1), b) * rest.scale[:, :, None] * rest.scale[:, None, :]
    right = rest.scale * np.einsum("tnk,tn->tk", b, now.local_gradient.reshape(T, -1)) - rest.gradient
    return _System(blocks, rest, inverse, mixed, schur, right)


def _step(layout: Layout, problem: Problem, now: Point, damping: np.ndarray) -> _Step:
    """Return one damped Newton step of each fit, clipped to the bounds.

    Where the Hessian is not positive, the one of linear yields replaces it (Gauss and Newton), whose step leads down too.
    Damping of an indefinite Hessian would forbid long steps in all other directions as well.
    """
    system = _system(layout, problem, now, damping)
    dg = solve_positive(system.schur, system.right)
    for kept in SECOND_KEPT:
        bent = np.flatnonzero(~np.isfinite(dg).all(axis=1))
        if not len(bent):
            break
        part, points = (problem, now) if len(bent) == len(dg) else (problem.take(bent), now.take(bent))
        convex = _system(layout, part, points.with_less_second(kept), damping[bent], convex=1 - kept)
        straight = solve_positive(convex.schur, convex.right)
        dg[bent] = straight
        _replace_rows(system, convex, bent, np.isfinite(straight).all(axis=1))
    bent = np.flatnonzero(~np.isfinite(dg).all(axis=1))
    if len(bent):
        dg[bent] = solve_absolute(system.schur[bent], system.right[bent])
    return _moved_by(problem, now, system, dg)


def _replace_rows(system: _System, other: _System, rows: np.ndarray, chosen: np.ndarray) -> None:
    """Replace rows of a system by the chosen ones of another, in place."""
    for old, new in zip(
        (*system.blocks, *system.rest, *system[2:]), (*other.blocks, *other.rest, *other[2:]), strict=True
    ):
        old[rows[chosen]] = new[chosen]


def _moved_by(problem: Problem, now: Point, system: _System, dg: np.ndarray) -> _Step:
    """Return the step of all parameters that belongs to one of the global coordinates, (T, K)."""
    T = len(dg)
    N, L = now.local_gradient.shape[1:]
    blocks, rest, local = system.blocks, system.rest, now.local
    slope = (rest.gradient * dg).sum(axis=1)
    finite = np.isfinite(slope)
    if N * L:
        coupled = np.matmul(system.mixed, (rest.scale * dg)[..., None]).reshape(T, N, L)
        dl = -np.einsum("tnlm,tnm->tnl", system.inverse, blocks.gradient + blocks.scale * coupled)
        slope = slope + (blocks.gradient * dl).sum(axis=(1, 2))
        finite, local = np.isfinite(slope), now.local.copy()
        moved = _moved(now.local[:, :N], blocks, dl, problem.local_low[:N], problem.local_high[:N])
        local[:, :N] = _choose(finite, moved, now.local[:, :N])
    dg = rest.scale * dg
    dg = np.where(rest.logarithmic, dg / np.where(rest.logarithmic, now.alpha, 1.0), _limited(dg, problem))
    moved = _moved(now.alpha, rest, dg, problem.low, problem.high)
    alpha = _choose(finite, moved, now.alpha)
    return _Step(alpha, local, np.where(finite, np.abs(0.5 * slope), np.inf), finite & (slope <= 1e-15))


def _moved(x: np.ndarray, side: _Side, step: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Take a step in the coordinates, clip it to the bounds; what is not free stays, even outside of them."""
    grown = x * np.exp(np.clip(np.where(side.logarithmic, step, 0.0), -MAX_LOG_STEP, MAX_LOG_STEP))
    return np.where(side.free, np.clip(np.where(side.logarithmic, grown, x + step), low, high), x)


def _limited(step: np.ndarray, problem: Problem) -> np.ndarray:
    """Limit the steps of constrained parameters, whose likelihood far away says little."""
    weight = problem.by_global.weight
    most = np.where(weight > 0, MAX_STEP / np.sqrt(np.where(weight > 0, weight, 1.0)), np.inf)
    return np.asarray(np.clip(step, -most, most))
