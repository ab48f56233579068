"""The profile likelihood of a batch of data sets: value, gradient and curvature, gammas already eliminated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from oddjets.stats.histfactory.barlow_beeston import Gammas, Profile, profile
from oddjets.stats.histfactory.expected import Yields, evaluate, local_slopes, row_weights, slopes, total
from oddjets.stats.histfactory.tensors import Layout

__all__ = ["Constraints", "KinkRounding", "KnownMinima", "LeftOutBins", "Point", "Problem", "objective", "profile_bins"]


class Constraints(NamedTuple):
    """Constraints of explicit parameters; arrays of one shape.

    Attributes:
        centre: auxiliary measurements.
        weight: 1/sigma^2 of the Gaussian ones, else 0.
        factor: of the Poisson ones, Pois(centre | factor * parameter), else 0.
    """

    centre: np.ndarray
    weight: np.ndarray
    factor: np.ndarray


class LeftOutBins(NamedTuple):
    """Bins that the layout leaves out: the expansion of their profile -log L in the global parameters.

    Attributes:
        centre: where, (K,).
        gradient: (K,).
        hessian: (K, K).
    """

    centre: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


class KinkRounding(NamedTuple):
    """The rounding of the kinks of empty bins (see `profile_bins`).

    Attributes:
        slope: estimates of the slopes there, (T, P).
        width: events over which.
    """

    slope: np.ndarray
    width: float


class KnownMinima(NamedTuple):
    """Known minima, for fits that look for lower ones.

    Attributes:
        value: half of their -2 log L, (T,).
        alpha: where, (T, K).
        local: likewise, (T, N + 1, L).
        scale: square roots of the curvatures there, (T, K).
        kept_sign: a global parameter whose sign the fit must keep, (T,); -1: none.
    """

    value: np.ndarray
    alpha: np.ndarray
    local: np.ndarray
    scale: np.ndarray
    kept_sign: np.ndarray


class Problem(NamedTuple):
    """A batch of T data sets with their constraints, bounds and held parameters.

    Attributes:
        data: (T, P), zero in the empty bins.
        gammas: of the bins.
        by_global: constraints of the global parameters, (T, K).
        by_local: constraints of the local parameters, (T, N + 1, L).
        low, high: bounds of the global parameters, (K,).
        held: held global parameters, (T, K).
        local_low, local_high: bounds, (N + 1, L).
        local_held: held local parameters, (T, N + 1, L).
        rest: bins that the layout leaves out; None: it has all.
        kinks: how those of the empty bins are rounded off; None: they aren't.
        known: minima that are known, if lower ones are looked for; None: none.
    """

    data: np.ndarray
    gammas: Gammas
    by_global: Constraints
    by_local: Constraints
    low: np.ndarray
    high: np.ndarray
    held: np.ndarray
    local_low: np.ndarray
    local_high: np.ndarray
    local_held: np.ndarray
    rest: LeftOutBins | None = None
    kinks: KinkRounding | None = None
    known: KnownMinima | None = None

    def take(self, index: np.ndarray) -> Problem:
        """Return the problem of some of the data sets."""
        return self._replace(
            data=self.data[index],
            gammas=Gammas(*(a[index] if len(a) > 1 else a for a in self.gammas)),
            by_global=Constraints(*(a[index] for a in self.by_global)),
            by_local=Constraints(*(a[index] for a in self.by_local)),
            held=self.held[index],
            local_held=self.local_held[index],
            kinks=None if self.kinks is None else self.kinks._replace(slope=self.kinks.slope[index]),
            known=None if self.known is None else KnownMinima(*(a[index] for a in self.known)),
        )


class Point(NamedTuple):
    """The likelihood at T points: half of -2 log L against the saturated model, with its derivatives.

    Attributes:
        alpha: (T, K).
        local: (T, N + 1, L).
        value: (T,).
        gradient: (T, K); local_gradient: (T, N, L).
        hessian: (T, K, K); mixed: (T, N, L, K); local_hessian: (T, N, L, L).
        second: the parts of the last three that come from second derivatives of the expected yields; without them, and with
            the constraints, the matrix of all parameters is positive (Gauss and Newton).
        second_mixed: likewise; (T, 1, 1, 1) where no slot has both local and global dependence.
        second_local: likewise.
        events: the largest yield of a bin that a local parameter multiplies, (T, N, L).
    """

    alpha: np.ndarray
    local: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    local_gradient: np.ndarray
    hessian: np.ndarray
    mixed: np.ndarray
    local_hessian: np.ndarray
    second: np.ndarray
    second_mixed: np.ndarray
    second_local: np.ndarray
    events: np.ndarray

    def take(self, index: np.ndarray) -> Point:
        """Return some of the points."""
        return Point(*(a[index] for a in self))

    def with_less_second(self, kept: float) -> Point:
        """Return the points with a fraction of the second derivatives, except where these increase a parameter's own curvature.

        Without any, the curvature is that of linear yields.
        """
        k, m, less = np.arange(self.second.shape[1]), np.arange(self.second_local.shape[2]), 1 - kept
        hessian, local = self.hessian - less * self.second, self.local_hessian - less * self.second_local
        hessian[:, k, k] += less * np.maximum(self.second[:, k, k], 0.0)
        local[:, :, m, m] += less * np.maximum(self.second_local[:, :, m, m], 0.0)
        return self._replace(hessian=hessian, mixed=self.mixed - less * self.second_mixed, local_hessian=local)


def _constraint(x: np.ndarray, c: Constraints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return value, slope and curvature of -log of the constraints, against their maximum."""
    pull = x - c.centre
    value = 0.5 * c.weight * pull**2
    slope = c.weight * pull
    curvature = np.broadcast_to(c.weight, x.shape)
    poisson = c.factor > 0
    if poisson.any():
        n = np.where(poisson, c.centre, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(n > 0, c.factor * x / np.where(n > 0, n, 1.0), 1.0)
            rate = c.factor * x - n - xlogy(n, ratio)
            value = value + np.where(poisson, np.where((x <= 0) & (n > 0), np.inf, rate), 0.0)
            safe = np.where(x > 0, x, 1.0)
        slope = slope + np.where(poisson, c.factor - n / safe, 0.0)
        curvature = curvature + np.where(poisson, n / safe**2, 0.0)
    return value, slope, curvature


def profile_bins(y: Yields, problem: Problem) -> Profile:
    """Eliminate the gammas at given yields.

    An empty bin costs max(lambda, 0): a kink, where its slope is anything between 0 and 1. With `Problem.kinks`, an estimate
    r0 of the slope and a width w, it costs  max_r [r lambda - w (r - r0)^2 / 2]  over 0 <= r <= 1, which is smooth and
    never more: a step of the method of multipliers (Hestenes, J. Optim. Theory Appl. 4 (1969) 303). It is what a gamma
    with a yield of one event, the centre w r0 and the variance w gives (up to a constant), and is counted as one: the last.
    """
    scaled, gammas = y.rows[:, :, 1:], problem.gammas
    if problem.kinks is not None:
        slope, width = problem.kinks
        empty = (problem.data <= 0)[..., None].astype(float)
        infinite = np.full(empty.shape, np.inf)
        more = (width * slope[..., None], width * empty, -infinite, infinite)
        old = (np.broadcast_to(a, scaled.shape) for a in gammas)
        gammas = Gammas(*(np.concatenate(pair, axis=2) for pair in zip(old, more, strict=True)))
        scaled = np.concatenate([scaled, empty], axis=2)
    return profile(y.rows[:, :, 0], scaled, problem.data, gammas)


def objective(layout: Layout, problem: Problem, alpha: np.ndarray, local: np.ndarray) -> Point:
    """Evaluate the profile likelihood.

    Args:
        layout: the model.
        problem: data and constraints.
        alpha: global parameters, (T, K).
        local: local parameters, (T, N + 1, L).

    Returns:
        Value and derivatives. The second derivatives leave out -(r sigma_k)^2 M_k' M_k'^T, a small negative term of the
        eliminated gammas, which keeps them positive; the minimum is the same.
    """
    y = evaluate(layout, alpha, local)
    bins = profile_bins(y, problem)
    global_value, global_slope, global_curvature = _constraint(alpha, problem.by_global)
    local_value, local_slope, local_curvature = _constraint(local, problem.by_local)
    value = bins.value.sum(axis=1) + global_value.sum(axis=1) + local_value.sum(axis=(1, 2))
    scaled = y.rows[:, :, 1:]
    own = slice(None, scaled.shape[2])  # without the one that rounds kinks off
    seen = bins.expected > 0
    w = np.where(seen, problem.data / np.where(seen, bins.expected, 1.0) ** 2, 0.0)
    variance = (scaled**2 * bins.width[:, :, own]).sum(axis=2)
    if problem.kinks is not None:
        variance += bins.width[:, :, -1]
    c = w / (1 + w * variance)
    r = bins.slope
    # an empty bin whose expectation its gammas hold at zero has the curvature of r^2 V / 2
    held = (problem.data <= 0) & (r > 0) & (r < 1) & (variance > 0)
    c = np.where(held, 1 / np.where(held, variance, 1.0), c)
    weight = np.concatenate([np.ones_like(r)[..., None], bins.gamma[:, :, own]], axis=2)
    moved = weight.copy()
    moved[:, :, 1:] -= r[..., None] * scaled * bins.width[:, :, own]
    # the derivatives of each bin's expectation times the square root of its curvature
    vg, vl = slopes(y, row_weights(layout, np.sqrt(c)[..., None] * moved))
    pushed = row_weights(layout, r[..., None] * weight)
    derivatives = total(y, pushed)
    hessian = np.matmul(vg.transpose(0, 2, 1), vg) + derivatives.global_global
    k = np.arange(hessian.shape[1])
    hessian[:, k, k] += global_curvature
    N, L = len(layout.block_pars) - 1, layout.uses.shape[2]

    def blocks(by_bin: np.ndarray) -> np.ndarray:
        return by_bin[:, : N * layout.block_size].reshape(len(by_bin), N, layout.block_size, *by_bin.shape[2:])

    local_gradient = blocks(local_slopes(y, pushed)).sum(axis=2) + local_slope[:, :N]
    across = blocks(vl).transpose(0, 1, 3, 2)
    second_local = blocks(derivatives.local_local).sum(axis=2)
    local_hessian = np.matmul(across, blocks(vl)) + second_local
    m = np.arange(L)
    local_hessian[:, :, m, m] += local_curvature[:, :N]
    mixed = np.matmul(across, blocks(vg))
    second_mixed = np.zeros((len(alpha), 1, 1, 1))
    if derivatives.global_local is not None:
        second_mixed = blocks(derivatives.global_local).sum(axis=2)
        mixed += second_mixed
    multiplied = np.matmul(np.abs(y.slots[:, :, None, : layout.uses.shape[1]]), layout.uses)[:, :, 0]
    events = blocks(multiplied).max(axis=2, initial=0.0)
    gradient = derivatives.gradient + global_slope
    if problem.rest is not None:
        away = alpha - problem.rest.centre
        pull = away @ problem.rest.hessian
        value = value + away @ problem.rest.gradient + 0.5 * (pull * away).sum(axis=1)
        gradient = gradient + problem.rest.gradient + pull
        hessian += problem.rest.hessian
    second = derivatives.global_global
    return Point(
        alpha,
        local,
        value,
        gradient,
        local_gradient,
        hessian,
        mixed,
        local_hessian,
        second,
        second_mixed,
        second_local,
        events,
    )
