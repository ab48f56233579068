"""Best fits, discovery significance, profile scans and impacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.gamma_refits import refit_gammas
from oddjets.stats.histfactory.model import Model
from oddjets.stats.histfactory.results import Data, FitError, FitResult
from oddjets.stats.histfactory.workspace_reader import Parameters

__all__ = [
    "Fits",
    "Impact",
    "Impacts",
    "Scan",
    "Significance",
    "best_fits",
    "impacts",
    "profile_values",
    "profile_width",
    "scan",
    "significance",
    "width",
]

#: how often the place where the likelihood has risen by one is looked for more closely, ten times each
REFINEMENTS = 5


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


class Impacts(NamedTuple):
    """The ranking of nuisance parameters, the largest impact first, and those without one as a refit did not converge."""

    ranking: list[Impact]
    failed: tuple[str, ...]


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

    Raises:
        OddjetsError: the parameter cannot move.
    """
    model.check_free(name)
    index = model.parameters.index(name)
    value = best.values[index]
    error, _ = width(model, name, best)
    low = max(value - sigmas * error, model.parameters.low[index])
    high = min(value + sigmas * error, model.parameters.high[index])
    grid = np.unique(np.append(np.linspace(low, high, points - 1), value))
    deviance = profile_values(model, name, grid, best.values, model.data)
    return Scan(grid, np.maximum(deviance - best.deviance, 0.0))


def profile_width(model: Model, name: str, best: FitResult, direction: float) -> float:
    """Return how far a parameter moves until -2 log L rises by one: its 68 % error on one side.

    The profile likelihood is minimised again along the way, so that all others follow. It is the error of a parameter at a
    bound, or where the likelihood has a kink.

    Args:
        model: the model.
        name: the parameter.
        best: the best fit.
        direction: +1 or -1.

    Returns:
        The distance; up to the bound where the rise is less than one everywhere.

    Raises:
        FitError: a point did not converge.
    """
    index = model.parameters.index(name)
    value, low, high = best.values[index], model.parameters.low[index], model.parameters.high[index]

    def rise(steps: np.ndarray) -> np.ndarray:
        return profile_values(model, name, value + direction * steps, best.values, model.data) - best.deviance

    steps = np.append(0.0, (high - value if direction > 0 else value - low) * np.geomspace(1e-6, 1.0, 25))
    for _ in range(REFINEMENTS):
        above = np.flatnonzero(np.append(0.0, rise(steps[1:])) >= 1)
        if not len(above):
            break
        steps = np.linspace(steps[above[0] - 1], steps[above[0]], 12)
    return float(steps[-1])


def width(model: Model, name: str, best: FitResult) -> tuple[float, str]:
    """Return a parameter's error, and its kind.

    "symmetric" is the covariance's; at a bound the likelihood has none: "one-sided" is how far inwards -2 log L has risen by
    one; where an empty bin sits at its kink, "profile" is the mean of the two sides' distances.

    Raises:
        FitError: a point of the profile did not converge.
    """
    index = model.parameters.index(name)
    if name in best.at_bounds:
        inwards = 1.0 if best.values[index] <= model.parameters.low[index] else -1.0
        return profile_width(model, name, best, inwards), "one-sided"
    if len(best.kinks.bins):
        return 0.5 * sum(profile_width(model, name, best, side) for side in (1.0, -1.0)), "profile"
    return float(best.errors[index]), "symmetric"


def impacts(model: Model, best: FitResult, names: Sequence[str] | None = None) -> Impacts:
    """Refit with each nuisance parameter at its post-fit value plus and minus its error.

    Args:
        model: with a parameter of interest.
        best: the best fit.
        names: which parameters; None: all but the POI and the free factors of single bins (shapefactors).

    Returns:
        The impacts, the largest first, and the parameters of which a refit did not converge from any of three starts.
    """
    p, poi = model.parameters, model.parameters.index(_poi(model))
    chosen = _with_impact(model, best) if names is None else [p.index(name) for name in names]
    if not chosen:
        return Impacts([], ())
    index = np.repeat(chosen, 2)
    sign = np.tile([1.0, -1.0], len(chosen))
    T = len(index)
    value = np.clip(best.values[index] + sign * best.errors[index], p.low[index], p.high[index])
    held = np.zeros((T, len(p)), dtype=bool)
    held[np.arange(T), index] = True
    # the quadratic approximation's minimum, the best fit, and the model's own start
    move = best.covariance[index] / best.errors[index, None] * sign[:, None]
    starts = [
        np.clip(best.values + move, p.low, p.high),
        *(np.repeat(x[None], T, axis=0) for x in (best.values, p.init)),
    ]
    for start in starts:
        start[np.arange(T), index] = value
    strength = refit_gammas(model, best, index, starts[0])[:, np.flatnonzero(model.layout.global_pars == poi)[0]]
    converged = np.isfinite(strength)
    for start in starts:
        again = np.flatnonzero(~converged)
        if not len(again):
            break
        data = Data(*(np.repeat(a, len(again), axis=0) for a in model.data))
        batch = model.fit_batch(data, start[again], held[again])
        strength[again], converged[again] = batch.parameters[:, poi], batch.converged
    shift = (strength - best.values[poi]).reshape(-1, 2)
    good: np.ndarray = np.asarray(converged.reshape(-1, 2).all(axis=1))
    found = [_impact(p, best, i, *shift[k]) for k, i in enumerate(chosen) if good[k]]
    failed = tuple(p.names[i] for k, i in enumerate(chosen) if not good[k])
    return Impacts(sorted(found, key=lambda x: -max(abs(x.up), abs(x.down))), failed)


def _with_impact(model: Model, best: FitResult) -> list[int]:
    """The parameters that have an error, but the POI and the free factors of single bins."""
    p = model.parameters
    left_out = {p.index(_poi(model))}
    for name, kind in model.spec.types.items():
        if kind == "shapefactor":
            left_out |= set(range(*p.sets[name].indices(len(p))))
    return [i for i in range(len(p)) if i not in left_out and best.errors[i] > 0]


def _impact(p: Parameters, best: FitResult, i: int, up: float, down: float) -> Impact:
    value, error = float(best.values[i]), float(best.errors[i])
    if not p.constrained[i] or p.sigma[i] <= 0:
        return Impact(p.names[i], float(up), float(down), 0.0, error)
    pull = (value - p.aux[i] / p.factor[i]) / p.sigma[i]
    return Impact(p.names[i], float(up), float(down), float(pull), float(error / p.sigma[i]))
