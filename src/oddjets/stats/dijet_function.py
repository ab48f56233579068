"""Sideband fits of a spectrum with dijet functions: choice of the order, local and global p-values of a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, nbinom, poisson
from scipy.stats import f as f_distribution

__all__ = [
    "LEAST_JETS",
    "LEAST_QUALITY",
    "SidebandFit",
    "WindowScan",
    "WindowSearch",
    "choose_order",
    "choose_orders",
    "design",
    "fit",
    "global_p_value",
    "is_spectrum",
    "local_p_value",
    "positions",
    "scan",
    "search",
]

Array = npt.NDArray[np.float64]

#: parameters of the dijet function that are tried, norm included (CMS, arXiv:1911.03947, eq. 1 and its variants)
ORDERS = (2, 3, 4, 5)
#: another parameter must improve the fit with this probability of chance at most
F_TEST_LEVEL = 0.05
#: fewer jets, and fewer bins outside of a window, make no spectrum that can be fitted
LEAST_JETS, LEAST_SIDEBAND = 100, 6
#: a fit whose deviance has a smaller p (of chi2) does not describe its sidebands
LEAST_QUALITY = 1e-3
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


def is_spectrum(counts: Array, window: npt.NDArray[np.bool_]) -> bool:
    """Tell whether a spectrum has jets and bins enough for a fit outside a window.

    Args:
        counts: one spectrum, shape (bins,).
        window: mask of its bins, shape (bins,).
    """
    enough = counts.sum() >= LEAST_JETS and (counts > 0).sum() >= len(counts) // 2
    return bool(enough and window.any() and (~window).sum() >= LEAST_SIDEBAND)


class WindowScan(NamedTuple):
    """A window at every position of T spectra.

    Attributes:
        local: local p-value at every position, shape (T, positions).
        smallest: the one at the strongest position, shape (T,).
        place: the first bin of that position, shape (T,).
        quality: p of chi2 of the fit outside each position, shape (T, positions); below `LEAST_QUALITY` it describes nothing.
    """

    local: Array
    smallest: Array
    place: npt.NDArray[np.int64]
    quality: Array


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
    chosen, orders, deviances, p_values = _f_tests(counts, centres, sideband)
    bins = int(sideband.sum())
    tests: list[dict[str, float]] = []
    for index, order in enumerate(orders):
        test = {"parameters": order, "deviance": float(deviances[0, index]), "ndf": bins - order}
        if index + 1 < len(orders) and np.isfinite(p_values[0, index]):
            test["p_value"] = float(p_values[0, index])
        tests.append(test)
    return int(chosen[0]), tests


def choose_orders(counts: Array, centres: Array, sideband: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the number of parameters that `choose_order` chooses for each of T spectra, shape (T,).

    Args:
        counts: shape (T, bins).
        centres: GeV, shape (bins,).
        sideband: mask of the fitted bins, shape (bins,).
    """
    return _f_tests(counts, centres, sideband)[0]


def _f_tests(
    counts: Array, centres: Array, sideband: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], list[int], Array, Array]:
    """Return the chosen orders (T,), the orders, their deviances (T, orders), and p (T, orders - 1), NaN for none."""
    bins = int(sideband.sum())
    orders = [p for p in ORDERS if p < bins]
    deviances = np.stack([fit(counts, design(centres, p), sideband).deviance for p in orders], axis=1)
    freedom = bins - np.array(orders[1:])
    next_one = deviances[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.maximum(deviances[:, :-1] - next_one, 0.0) / (next_one / freedom)
        p_values = np.where(next_one > 0, f_distribution.sf(statistic, 1, freedom), np.nan)
    # the first test that sees no improvement ends the choice
    steps = np.cumprod(p_values < F_TEST_LEVEL, axis=1).sum(axis=1)
    return np.array(orders, np.int64)[steps], orders, deviances, p_values


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
    everything = np.ones(len(counts), dtype=bool)
    smooth = fit(counts, terms, everything).expected[0]
    spectra = np.vstack([counts, np.random.default_rng(seed).poisson(smooth, (toys, len(counts)))]).astype(float)
    found = scan(spectra, terms, width)
    beyond = int((found.smallest[1:] <= found.smallest[0]).sum())
    return (beyond + 1) / (toys + 1), float(found.smallest[0]), found.local[0].tolist()


def scan(spectra: Array, terms: Array, width: int) -> WindowScan:
    """Try a window at every position, each with a fit outside of it.

    The strongest position has a sideband of at least a quarter of the window's width at both ends, where there are such: beyond
    the last bin a fit is an extrapolation, whose error says little. And of the positions with an excess its fit describes the
    sidebands, or, where none does, it does so best: a bump that a window leaves outside spoils the fit, which then sees
    excesses elsewhere.

    Args:
        spectra: shape (T, bins).
        terms: from `design`.
        width: width of the window, in bins.
    """
    bins = spectra.shape[1]
    local, quality = [], []
    for first in range(bins - width + 1):
        window = np.zeros(bins, dtype=bool)
        window[first : first + width] = True
        found = fit(spectra, terms, ~window)
        local.append(local_p_value(spectra[:, window].sum(axis=1), *window_background(found, terms, window)))
        quality.append(chi2.sf(found.deviance, max(bins - width - terms.shape[1], 1)))
    p, good = np.stack(local, axis=1), np.stack(quality, axis=1)
    inner = positions(bins, width)
    excess = inner & (p < 0.5)
    best = np.where(excess, good, 0.0).max(axis=1, keepdims=True)
    counted = np.where(excess.any(axis=1, keepdims=True), excess & (good >= np.minimum(LEAST_QUALITY, best)), inner)
    place = np.where(counted, p, np.inf).argmin(axis=1)
    return WindowScan(p, p[np.arange(len(p)), place], place, good)


def positions(bins: int, width: int) -> npt.NDArray[np.bool_]:
    """Return which first bins of a window have sidebands at both ends, or all where none has, shape (bins - width + 1,).

    Args:
        bins: of the spectrum.
        width: of the window, in bins.
    """
    first = np.arange(bins - width + 1)
    margin = -(-width // 4)
    inner = (first >= margin) & (first < len(first) - margin)
    return inner if inner.any() else np.ones(len(first), dtype=bool)


def window_background(found: SidebandFit, terms: Array, window: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the background in a window and its error, shapes (T,); the error counts the bins as fully correlated."""
    expected = found.expected[:, window]
    return expected.sum(axis=1), (expected * found.relative_error[:, window]).sum(axis=1)
