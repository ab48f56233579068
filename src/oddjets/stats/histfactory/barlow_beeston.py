"""Barlow-Beeston: elimination of the templates' statistical uncertainties, bin by bin, in closed form.

A bin expects lambda = T + sum_k gamma_k M_k with Gaussian constraints gamma_k ~ (a_k, sigma_k). For given T and M, the
minimum over all gammas of  lambda - n log(lambda) + sum_k ((gamma_k - a_k)/sigma_k)^2 / 2  has
gamma_k = a_k - r M_k sigma_k^2 with r = 1 - n/lambda, so that lambda solves a quadratic equation: Barlow & Beeston,
Comput. Phys. Commun. 77 (1993) 219, in Conway's form (arXiv:1103.0354), here with several groups of samples per bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

__all__ = ["Gammas", "Profile", "profile"]

#: the precision of the slope r of a bin with gammas at bounds, relative to 1 + |r|
ROUNDING = 1e-14


class Gammas(NamedTuple):
    """The constraints of the gammas; arrays (T or 1, P, number of gammas per bin).

    Attributes:
        centre: a_k; the value itself where the width is zero.
        variance: sigma_k^2; zero holds a gamma at its centre.
        low, high: bounds.
    """

    centre: np.ndarray
    variance: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Profile(NamedTuple):
    """The minimum over the gammas.

    Attributes:
        expected: lambda, (T, P).
        slope: r = 1 - n/lambda, the derivative by T, (T, P).
        gamma: (T, P, number of gammas).
        width: sigma_k^2 of the gammas that are free, 0 of those at a bound, (T, P, number of gammas).
        value: lambda - n - n log(lambda/n) + constraints, (T, P); inf where no events are expected but some are observed.
            The expectation of an empty bin is clipped at zero, as with pyhf's ``clip_bin_data = 0``; otherwise the
            likelihood would increase without limit for negative rates.
    """

    expected: np.ndarray
    slope: np.ndarray
    gamma: np.ndarray
    width: np.ndarray
    value: np.ndarray


def profile(fixed: np.ndarray, scaled: np.ndarray, n: np.ndarray, gammas: Gammas) -> Profile:
    """Minimise over the gammas of each bin.

    Args:
        fixed: T, (T, P).
        scaled: M, (T, P, number of gammas).
        n: data, (T, P).
        gammas: constraints.

    Returns:
        The minimum in each bin.
    """
    centre = np.broadcast_to(gammas.centre, scaled.shape)
    width = np.broadcast_to(gammas.variance, scaled.shape)
    expected, slope = _solve(fixed, scaled, n, centre, width)
    gamma = centre - slope[..., None] * scaled * width
    low, high = np.broadcast_to(gammas.low, gamma.shape), np.broadcast_to(gammas.high, gamma.shape)
    outside = ((gamma < low) | (gamma > high)) & (width > 0)
    penalty = np.zeros_like(expected)
    if outside.any():
        t, p = np.nonzero(outside.any(axis=2))
        part = _bounded(
            fixed[t, p], scaled[t, p], n[t, p], Gammas(centre[t, p], width[t, p], low[t, p], high[t, p]), slope[t, p]
        )
        width, gamma = width.copy(), gamma.copy()
        expected[t, p], slope[t, p], gamma[t, p] = part[:3]
        held = (gamma[t, p] <= low[t, p]) | (gamma[t, p] >= high[t, p])
        variance = width[t, p]
        pull = np.where(
            held & (variance > 0), (gamma[t, p] - centre[t, p]) ** 2 / np.where(variance > 0, variance, 1), 0
        )
        penalty[t, p] = 0.5 * pull.sum(axis=1)
        width[t, p] = np.where(held, 0.0, variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        poisson = expected - n - xlogy(n, np.where(n > 0, expected / np.where(n > 0, n, 1.0), 1.0))
    value = poisson + 0.5 * slope**2 * (scaled**2 * width).sum(axis=2) + penalty
    impossible = ((expected <= 0) & (n > 0)) | ~np.isfinite(value)
    return Profile(expected, slope, gamma, width, np.where(impossible, np.inf, value))


def _solve(
    fixed: np.ndarray, scaled: np.ndarray, n: np.ndarray, centre: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return lambda and r for gammas without bounds: lambda^2 + lambda (V - lambda_0) - n V = 0."""
    start = fixed + (scaled * centre).sum(axis=-1)
    v = (scaled**2 * width).sum(axis=-1)
    u = start - v
    root = np.sqrt(u * u + 4 * v * n)
    with np.errstate(divide="ignore", invalid="ignore"):
        # of the two forms of the root, the one that does not cancel
        expected = np.where(u > 0, 0.5 * (u + root), 2 * v * n / (root - u))
        expected = np.where((v > 0) & (n > 0), expected, u)
        # with data but no expectation the value is infinite and the slope is not used
        slope = np.where(n > 0, np.where(expected > 0, 1 - n / expected, 0.0), 1.0)
        # an empty bin: the minimum of max(lambda, 0) + r^2 V / 2 with lambda = lambda_0 - r V
        at_zero = np.where(v > 0, np.clip(start / np.where(v > 0, v, 1.0), 0.0, 1.0), (start > 0).astype(float))
        slope = np.where((n <= 0) & (expected < 0), at_zero, slope)
        expected = np.where((n <= 0) & (expected < 0), 0.0, expected)
    return expected, slope


def _bounded(
    fixed: np.ndarray, scaled: np.ndarray, n: np.ndarray, gammas: Gammas, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve the bins (flat arrays) where some gamma meets a bound, by its set of bounded gammas.

    r - 1 + n/lambda(r) rises with r, as lambda falls: there is one root, which bisection brackets where the sets alternate.
    """
    centre, width, low, high = gammas
    high_r = np.ones_like(slope)
    # an empty bin's r is between 0 and 1, and stops where its expectation reaches zero
    empty = n <= 0
    low_r = np.where(empty, 0.0, np.minimum(slope, -1.0))

    def rate(r: np.ndarray) -> np.ndarray:
        gamma = np.where(width > 0, np.clip(centre - r[:, None] * scaled * width, low, high), centre)
        return np.asarray(fixed + (scaled * gamma).sum(axis=1))

    for _ in range(60):
        if np.all(empty | ~(rate(low_r) > 0) | (low_r - 1 + n / np.maximum(rate(low_r), 1e-300) <= 0)):
            break
        falls = low_r - 1 + n / np.maximum(rate(low_r), 1e-300) > 0
        low_r = np.where(falls & ~empty, 4 * low_r, low_r)
    # no gamma within its bounds gives these bins events
    impossible = ~empty & ~(rate(low_r) > 0)
    r = np.clip(slope, low_r, high_r)
    for _ in range(80):
        now = rate(r)
        above = (now > 0) & (r - 1 + n / np.where(now > 0, now, 1.0) > 0) | (now <= 0)
        high_r, low_r = np.where(above, r, high_r), np.where(above, low_r, r)
        free = centre - r[:, None] * scaled * width
        held = (width > 0) & ((free < low) | (free > high))
        _, step = _solve(fixed, scaled, n, np.where(held, np.clip(free, low, high), centre), np.where(held, 0.0, width))
        # the root itself is an end of its bracket in the end: without room for rounding it would be bisected away from there
        room = ROUNDING * (1 + np.abs(r))
        inside = (step >= low_r - room) & (step <= high_r + room) & np.isfinite(step)
        following = np.where(inside, np.clip(step, low_r, high_r), 0.5 * (low_r + high_r))
        if np.all((np.abs(following - r) <= room) | impossible):
            r = following
            break
        r = following
    gamma = np.where(width > 0, np.clip(centre - r[:, None] * scaled * width, low, high), centre)
    expected = fixed + (scaled * gamma).sum(axis=1)
    return np.where(empty, np.maximum(expected, 0.0), expected), r, gamma
