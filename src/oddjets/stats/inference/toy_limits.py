"""CLs upper limits from toys, with the test statistic q-tilde and without asymptotic formulas."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from oddjets.core.console import progress as progress_bar
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Data, FitError
from oddjets.stats.inference.estimates import Fits
from oddjets.stats.inference.limits import BANDS, NAMES, Limit, upper_limit
from oddjets.stats.inference.toys import ToyFits

__all__ = ["ToyCLs", "toy_cls", "toy_limit"]

#: the strengths tested with toys: their number, and the range in units of the asymptotic limits
POINTS, BELOW, BEYOND = 9, 0.5, 1.6


class ToyCLs(NamedTuple):
    """CLs at one signal strength.

    Attributes:
        observed: CLs of the data.
        expected: at -2, -1, 0, 1, 2 sigma under the background.
        failed: toys whose fits did not converge; they are left out.
    """

    observed: float
    expected: tuple[float, ...]
    failed: int


def q_tilde(model: HistFactoryModel, data: Data, mu: float, start: np.ndarray) -> np.ndarray:
    """Return q-tilde of each data set at a strength, (T,); NaN where a fit did not converge."""
    index = model.parameters.index(str(model.poi))
    free = np.zeros(len(model.parameters), dtype=bool)
    held = free.copy()
    held[index] = True

    def deviance_at(value: float) -> np.ndarray:
        begin = start.copy()
        begin[index] = value
        batch = ToyFits(model, begin, held)(data)
        return np.where(batch.converged, batch.deviance, np.nan)

    best = ToyFits(model, start, free)(data)
    hat = best.parameters[:, index]
    reference = np.where(best.converged, best.deviance, np.nan)
    if model.parameters.low[index] < 0:
        reference = np.where(hat < 0, deviance_at(0.0), reference)
    return np.where(hat > mu, 0.0 * reference, np.maximum(deviance_at(mu) - reference, 0.0))


def toy_cls(model: HistFactoryModel, fits: Fits, mu: float, toys: int, *, seed: int = 1) -> ToyCLs:
    """Find CLs at one signal strength from toys of both hypotheses.

    The nuisance parameters of the toys are those fitted to the data under each hypothesis; auxiliary data vary with them.

    Args:
        model: with a parameter of interest.
        fits: the fits of the observed data.
        mu: the strength.
        toys: number of toys per hypothesis.
        seed: seed of the random numbers.

    Returns:
        Observed and expected CLs.

    Raises:
        FitError: no toy could be fitted.
    """
    if fits.background is None:
        raise FitError(f"no upper limit, because there is no fit with {model.poi} = 0: {fits.no_background}")
    signal_seed, background_seed = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    signal = model.fit({str(model.poi): mu}, start=fits.best.values, with_covariance=False)
    observed = float(q_tilde(model, model.data, mu, fits.best.values)[0])
    q_signal = q_tilde(model, model.sample(signal.values, toys, signal_seed), mu, signal.values)
    q_background = q_tilde(
        model, model.sample(fits.background.values, toys, background_seed), mu, fits.background.values
    )
    failed = int(np.isnan(q_signal).sum() + np.isnan(q_background).sum())
    q_signal, q_background = q_signal[np.isfinite(q_signal)], q_background[np.isfinite(q_background)]
    if not len(q_signal) or not len(q_background) or not np.isfinite(observed):
        raise FitError(f"no toy at {model.poi} = {mu:g} could be fitted")

    def cls(q: float) -> float:
        both, background = float((q_signal >= q).mean()), float((q_background >= q).mean())
        return both / background if background > 0 else 1.0

    # an outcome N sigma towards more signal has a smaller q: the background's quantiles run the other way
    expected = tuple(cls(float(np.quantile(q_background, norm.sf(band)))) for band in BANDS)
    return ToyCLs(cls(observed), expected, failed)


def toy_limit(
    model: HistFactoryModel, fits: Fits, toys: int, *, level: float = 0.95, seed: int = 1, progress: bool = False
) -> Limit:
    """Find upper limits with toys at several strengths around the asymptotic limits, by log-linear interpolation.

    Args:
        model: with a parameter of interest.
        fits: the fits of the observed data.
        toys: number of toys per hypothesis, at each strength.
        level: the confidence level.
        seed: seed of the random numbers.
        progress: show a progress bar.

    Returns:
        Observed and expected limits; NaN, with a note, for one that the tested strengths do not reach.

    Raises:
        FitError: there are no asymptotic limits, or none of the limits was found.
    """
    asymptotic = upper_limit(model, fits, level)
    limits = np.array([asymptotic.observed, *asymptotic.expected])
    limits = limits[np.isfinite(limits)]
    grid = np.geomspace(BELOW * limits.min(), BEYOND * limits.max(), POINTS)
    table, notes = np.full((len(grid), 1 + len(BANDS)), np.nan), []
    with progress_bar("toys for the limit", len(grid)) if progress else nullcontext() as bar:
        for k, mu in enumerate(grid.tolist()):
            try:
                found = toy_cls(model, fits, mu, toys, seed=seed + k)
                table[k] = [found.observed, *found.expected]
            except FitError as error:
                notes.append(str(error))
            if bar is not None:
                bar.advance()
    tested = np.isfinite(table[:, 0])
    values = np.log(np.maximum(table[tested], 0.5 / toys))
    crossing = [_crossing(grid[tested], column, np.log(1 - level)) for column in values.T]
    reach = f"lies outside of [{grid[0]:g}, {grid[-1]:g}], tested with {toys} toys; use more toys"
    notes += [
        f"the {name} {reach}" for name, value in zip((NAMES[-1], *NAMES[:-1]), crossing, strict=True) if np.isnan(value)
    ]
    if np.isnan(crossing).all():
        raise FitError("; ".join(notes))
    return Limit(crossing[0], tuple(crossing[1:]), level, tuple(notes), toys)


def _crossing(grid: np.ndarray, values: np.ndarray, target: float) -> float:
    """Return the crossing of a falling, noisy curve, made monotonic first, with a target; NaN if there is none."""
    falling = 0.5 * (np.minimum.accumulate(values) + np.maximum.accumulate(values[::-1])[::-1])
    if not len(falling) or not falling[0] > target > falling[-1]:
        return float("nan")
    return float(np.interp(-target, -falling, grid))
