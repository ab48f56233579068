"""Best fits, discovery significance, profile scans and impacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from oddjets.errors import OddjetsError
from oddjets.stats.model import Data, FitError, FitResult, Model

__all__ = ["Fits", "Impact", "Scan", "Significance", "best_fits", "impacts", "profile_values", "scan", "significance"]


class Fits(NamedTuple):
    """The background-only fit (POI = 0) and the fit with a free POI."""

    background: FitResult
    best: FitResult


class Significance(NamedTuple):
    """Discovery: q0, its z = sqrt(q0) and one-sided p value, asymptotic (Cowan et al., arXiv:1007.1727)."""

    z: float
    q0: float
    p_value: float


class Scan(NamedTuple):
    """A profile likelihood: parameter values and -2 Delta log L against the best fit, both (points,)."""

    values: np.ndarray
    twice_delta_nll: np.ndarray


class Impact(NamedTuple):
    """What one nuisance parameter does to the POI: shifts of its best value with the parameter at +1 and -1 post-fit sigma.

    `pull` is (value - centre)/prior width (0 for a free parameter), `error` the post-fit over the prior width (post-fit
    error itself where free).
    """

    name: str
    up: float
    down: float
    pull: float
    error: float


def _poi(model: Model) -> str:
    if model.poi is None:
        raise OddjetsError("the workspace names no parameter of interest; give one with --poi")
    return model.poi


def best_fits(model: Model, data: Data | None = None) -> Fits:
    """Fit without and with the signal.

    Args:
        model: with a parameter of interest.
        data: another data set; None: the workspace's.

    Returns:
        Both fits.

    Raises:
        FitError: one did not converge.
    """
    poi = _poi(model)
    background = model.fit({poi: 0.0}, data=data)
    start = background.values.copy()
    index = model.parameters.index(poi)
    start[index] = model.parameters.init[index]
    try:
        best = model.fit(data=data, start=start)
    except FitError:
        best = model.fit(data=data)
    allowed = model.parameters.low[index] <= 0 <= model.parameters.high[index]
    if allowed and best.deviance > background.deviance + 1e-6:
        best = model.fit(data=data, start=background.values)
    return Fits(background, best)


def significance(model: Model, fits: Fits) -> Significance:
    """Return the significance of a signal; a best value below zero has none (z = 0)."""
    q0 = max(fits.background.deviance - fits.best.deviance, 0.0) if fits.best[_poi(model)] > 0 else 0.0
    z = float(np.sqrt(q0))
    return Significance(z, q0, float(norm.sf(z)))


def profile_values(model: Model, name: str, values: np.ndarray, start: np.ndarray, data: Data) -> np.ndarray:
    """Return the deviance minimised with a parameter held at each of the values, (points,).

    Args:
        model: the model.
        name: the parameter.
        values: (points,).
        start: (n,) or (points, n).
        data: one data set, or one a point.

    Raises:
        FitError: a point did not converge, from two starts.
    """
    index, points = model.parameters.index(name), len(values)
    held = np.zeros(len(model.parameters), dtype=bool)
    held[index] = True
    begin = np.broadcast_to(start, (points, len(model.parameters))).copy()
    begin[:, index] = values
    if len(data.main) == 1:
        data = Data(np.repeat(data.main, points, axis=0), np.repeat(data.aux, points, axis=0))
    batch = model.fit_batch(data, begin, held, restarts=True)
    bad = np.flatnonzero(~batch.converged)
    deviance = batch.deviance.copy()
    if len(bad):
        again = np.repeat(model.parameters.init[None], len(bad), axis=0)
        again[:, index] = values[bad]
        retry = model.fit_batch(Data(data.main[bad], data.aux[bad]), again, held)
        if not retry.converged.all():
            where = ", ".join(f"{v:g}" for v in values[bad[~retry.converged]])
            raise FitError(f"the fit did not converge with {name} held at {where}")
        deviance[bad] = retry.deviance
    return deviance


def scan(model: Model, name: str, best: FitResult, points: int = 41, sigmas: float = 3.0) -> Scan:
    """Scan the profile likelihood of a parameter about its best value.

    Args:
        model: the model.
        name: which parameter.
        best: the best fit.
        points: how many.
        sigmas: how far to both sides, in errors, within the bounds.

    Returns:
        The scan.
    """
    index = model.parameters.index(name)
    value = best.values[index]
    error = best.errors[index] or _width_at_bound(model, name, best)
    low = max(value - sigmas * error, model.parameters.low[index])
    high = min(value + sigmas * error, model.parameters.high[index])
    grid = np.unique(np.append(np.linspace(low, high, points - 1), value))
    deviance = profile_values(model, name, grid, best.values, model.data)
    return Scan(grid, np.maximum(deviance - best.deviance, 0.0))


def _width_at_bound(model: Model, name: str, best: FitResult) -> float:
    """How far a parameter at its bound moves until -2 log L rises by one: its scale, where it has no error."""
    index = model.parameters.index(name)
    span = model.parameters.high[index] - model.parameters.low[index]
    inward = 1.0 if best.values[index] <= model.parameters.low[index] else -1.0
    steps = span * np.geomspace(1e-6, 1.0, 25)
    rise = profile_values(model, name, best.values[index] + inward * steps, best.values, model.data) - best.deviance
    above = np.flatnonzero(rise >= 1)
    return float(steps[above[0]] if len(above) else steps[-1])


def impacts(model: Model, best: FitResult, names: Sequence[str] | None = None) -> list[Impact]:
    """Refit with each nuisance parameter at its post-fit value plus and minus its error.

    Args:
        model: with a parameter of interest.
        best: the best fit.
        names: which parameters; None: all but the POI and the free factors of single bins (shapefactors).

    Returns:
        The impacts, the largest first.

    Raises:
        FitError: a refit did not converge.
    """
    p, poi = model.parameters, model.parameters.index(_poi(model))
    if names is None:
        shape = {
            i
            for s, kind in model.spec.types.items()
            if kind == "shapefactor"
            for i in range(*p.sets[s].indices(len(p)))
        }
        chosen = [i for i in range(len(p)) if i != poi and i not in shape and best.errors[i] > 0]
    else:
        chosen = [p.index(name) for name in names]
    if not chosen:
        return []
    index = np.repeat(chosen, 2)
    sign = np.tile([1.0, -1.0], len(chosen))
    T = len(index)
    # start where the quadratic approximation has the minimum
    move = best.covariance[index] / best.errors[index, None] * sign[:, None]
    start = np.clip(best.values + move, p.low, p.high)
    value = np.clip(best.values[index] + sign * best.errors[index], p.low[index], p.high[index])
    start[np.arange(T), index] = value
    held = np.zeros((T, len(p)), dtype=bool)
    held[np.arange(T), index] = True
    data = Data(np.repeat(model.data.main, T, axis=0), np.repeat(model.data.aux, T, axis=0))
    batch = model.fit_batch(data, start, held, restarts=True)
    if not batch.converged.all():
        bad = sorted({p.names[i] for i in index[~batch.converged]})
        raise FitError(f"the refits for the impacts of {', '.join(bad)} did not converge")
    shift = batch.parameters[:, poi] - best.values[poi]
    result = []
    for k, i in enumerate(chosen):
        width = p.sigma[i] if p.constrained[i] else 0.0
        centre = p.aux[i] / p.factor[i]
        result.append(
            Impact(
                p.names[i],
                float(shift[2 * k]),
                float(shift[2 * k + 1]),
                float((best.values[i] - centre) / width) if width else 0.0,
                float(best.errors[i] / width) if width else float(best.errors[i]),
            )
        )
    return sorted(result, key=lambda x: -max(abs(x.up), abs(x.down)))
