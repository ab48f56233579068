"""Sideband fits of a spectrum with dijet functions: choice of the order, local and global p-values of a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import f as f_distribution
from scipy.stats import nbinom, poisson

__all__ = ["SidebandFit", "WindowSearch", "choose_order", "design", "fit", "global_p_value", "local_p_value", "search"]

Array = npt.NDArray[np.float64]

#: parameters of the dijet function that are tried, norm included (CMS, arXiv:1911.03947, eq. 1 and its variants)
ORDERS = (2, 3, 4, 5)
#: another parameter must improve the fit with this probability of chance at most
F_TEST_LEVEL = 0.05
_STEPS = 40


class SidebandFit(NamedTuple):
    """A Poisson fit of the sidebands, of T spectra at once.

    Attributes:
        expected: the function in every bin, window included, shape (T, bins).
        relative_error: of it, from the parameters' covariance, shape (T, bins).
        deviance: twice the Poisson log-likelihood ratio to the counts over the sidebands, shape (T,).
    """

    expected: Array
    relative_error: Array
    deviance: Array


class WindowSearch(NamedTuple):
    """The search for an excess in a window of one spectrum.

    Attributes:
        order: parameters of the function.
        tests: from `choose_order`.
        found: the fit outside the window.
        expected: background in the window.
        error: its error.
        observed: counts in the window.
        local: probability of at least these counts.
        overall: that of a window of this width, at any position, with a local p-value as small.
        smallest: the smallest local p-value of any position.
        pulls: (counts - function) / error, shape (bins,).
    """

    order: int
    tests: list[dict[str, float]]
    found: SidebandFit
    expected: float
    error: float
    observed: float
    local: float
    overall: float
    smallest: float
    pulls: Array


def search(counts: Array, edges: Array, window: npt.NDArray[np.bool_], *, toys: int = 1000) -> WindowSearch:
    """Fit a spectrum outside a window, and compare the window with the fit.

    Args:
        counts: one spectrum, shape (bins,).
        edges: GeV, shape (bins + 1,).
        window: mask of its bins, shape (bins,); neighbours.
        toys: for the global p-value.
    """
    centres = (edges[:-1] + edges[1:]) / 2
    order, tests = choose_order(counts, centres, ~window)
    terms = design(centres, order)
    found = fit(counts, terms, ~window)
    expected, error = window_background(found, terms, window)
    observed = float(counts[window].sum())
    local = float(local_p_value(np.asarray(observed), expected[0], error[0]))
    overall, smallest, _ = global_p_value(counts, terms, int(window.sum()), toys=toys)
    spread = np.sqrt(found.expected[0] + (found.expected[0] * found.relative_error[0]) ** 2)
    pulls = (counts - found.expected[0]) / spread
    return WindowSearch(
        order, tests, found, float(expected[0]), float(error[0]), observed, local, overall, smallest, pulls
    )


def design(centres: Array, parameters: int, energy: float = 13_000.0) -> Array:
    """Return the terms in which the logarithm of the dijet function is linear.

    f(x) = p0 (1 - x)^p1 / x^(p2 + p3 ln x + p4 ln^2 x), x = m / sqrt(s); the terms are shifted, scaled and made
    orthogonal, which changes the parameters and not the function.

    Args:
        centres: bin centres, GeV, shape (bins,).
        parameters: number of parameters, norm included, at least 2.
        energy: sqrt(s), GeV.

    Returns:
        Shape (bins, parameters).
    """
    x = np.asarray(centres, dtype=float) / energy
    # the power of x comes first: in a narrow spectrum (1 - x) alone bends too little
    terms = [np.ones_like(x), np.log(x), np.log1p(-x), np.log(x) ** 2, np.log(x) ** 3]
    q, _ = np.linalg.qr(np.stack(terms[:parameters], axis=1))
    return np.asarray(q * np.sqrt(len(x)))


def fit(counts: Array, terms: Array, sideband: npt.NDArray[np.bool_]) -> SidebandFit:
    """Fit exp(terms @ parameters) to Poisson counts in the sidebands: Newton's method, which is convex here.

    Args:
        counts: shape (T, bins).
        terms: from `design`, shape (bins, parameters).
        sideband: mask of the fitted bins, shape (bins,).
    """
    n = np.atleast_2d(np.asarray(counts, dtype=float))
    inside, seen = terms[sideband], n[:, sideband]
    # the least squares of the logarithm start close enough
    start = np.log(np.maximum(seen, 0.5))
    theta = np.linalg.lstsq(inside, start.T, rcond=None)[0].T
    identity = 1e-9 * np.eye(terms.shape[1])
    for _ in range(_STEPS):
        expected = np.exp(np.clip(theta @ inside.T, -30, 30))
        gradient = (seen - expected) @ inside
        hessian = np.einsum("tb,bi,bj->tij", expected, inside, inside) + identity
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # a step of more than a factor e in any bin is shortened: Newton overshoots far from the minimum
        theta = theta + step / np.maximum(np.abs(step @ inside.T).max(axis=1), 1.0)[:, None]
        if np.abs(step @ inside.T).max() < 1e-8:
            break
    expected = np.exp(np.clip(theta @ terms.T, -30, 30))
    covariance = np.linalg.inv(np.einsum("tb,bi,bj->tij", expected[:, sideband], inside, inside) + identity)
    variance = np.einsum("bi,tij,bj->tb", terms, covariance, terms)
    mu = expected[:, sideband]
    logs = np.where(seen > 0, seen * np.log(np.where(seen > 0, seen, 1.0) / mu), 0.0)
    return SidebandFit(expected, np.sqrt(np.maximum(variance, 0)), 2 * (mu - seen + logs).sum(axis=1))


def choose_order(counts: Array, centres: Array, sideband: npt.NDArray[np.bool_]) -> tuple[int, list[dict[str, float]]]:
    """Choose the number of parameters by F-tests of the deviance, from the smallest.

    Args:
        counts: one spectrum, shape (bins,).
        centres: GeV, shape (bins,).
        sideband: mask of the fitted bins, shape (bins,).

    Returns:
        The number of parameters, and the tests: ``parameters``, ``deviance``, ``ndf``, ``p_value`` (that the next order
        improves the fit so much by chance).
    """
    bins = int(sideband.sum())
    orders = [p for p in ORDERS if p < bins]
    deviances = [float(fit(counts, design(centres, p), sideband).deviance[0]) for p in orders]
    tests: list[dict[str, float]] = []
    chosen = orders[0]
    open_question = True
    for index, (order, deviance) in enumerate(zip(orders, deviances, strict=True)):
        test = {"parameters": order, "deviance": deviance, "ndf": bins - order}
        if index + 1 < len(orders) and deviances[index + 1] > 0:
            gain = max(deviance - deviances[index + 1], 0.0)
            statistic = gain / (deviances[index + 1] / (bins - orders[index + 1]))
            test["p_value"] = float(f_distribution.sf(statistic, 1, bins - orders[index + 1]))
            if open_question and test["p_value"] < F_TEST_LEVEL:
                chosen = orders[index + 1]
            else:
                open_question = False
        tests.append(test)
    return chosen, tests


def local_p_value(observed: Array, expected: Array, error: Array) -> Array:
    """Return the probability of at least the observed count, for an uncertain expectation.

    The expectation has a gamma distribution with this mean and error, so the count is negative binomial.

    Args:
        observed: counts in the window.
        expected: background.
        error: its error; 0 gives the Poisson probability.
    """
    n, b, s = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (observed, expected, error)))
    sure = s <= 1e-6 * b
    shape = np.where(sure, 1.0, (b / np.where(sure, 1.0, s)) ** 2)
    spread = nbinom.sf(n - 1, shape, shape / (shape + b))
    return np.asarray(np.where(sure, poisson.sf(n - 1, b), spread), dtype=float)


def global_p_value(
    counts: Array, terms: Array, width: int, *, toys: int = 1000, seed: int = 1
) -> tuple[float, float, list[float]]:
    """Return the probability that the background alone has, at any position, a window with a local p-value as small.

    Args:
        counts: one spectrum, shape (bins,).
        terms: from `design`.
        width: width of the window, in bins; every position is tested.
        toys: number of toys, generated from the fit to the whole spectrum.
        seed: seed of the toys.

    Returns:
        The global p-value (at least 1 / (toys + 1)), the smallest local one, and the local one at every position.
    """
    bins = len(counts)
    everything = np.ones(bins, dtype=bool)
    smooth = fit(counts, terms, everything).expected[0]
    spectra = np.vstack([counts, np.random.default_rng(seed).poisson(smooth, (toys, bins))]).astype(float)
    local = []
    for first in range(bins - width + 1):
        window = np.zeros(bins, dtype=bool)
        window[first : first + width] = True
        found = fit(spectra, terms, ~window)
        local.append(local_p_value(spectra[:, window].sum(axis=1), *window_background(found, terms, window)))
    smallest = np.min(local, axis=0)
    beyond = int((smallest[1:] <= smallest[0]).sum())
    return (beyond + 1) / (toys + 1), float(smallest[0]), [float(p[0]) for p in local]


def window_background(found: SidebandFit, terms: Array, window: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the background in a window and its error, shapes (T,); the error counts the bins as fully correlated."""
    expected = found.expected[:, window]
    return expected.sum(axis=1), (expected * found.relative_error[:, window]).sum(axis=1)
