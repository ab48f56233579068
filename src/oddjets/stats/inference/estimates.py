"""Best fits, discovery significance, two-sided errors and impacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from oddjets.core.errors import OddjetsError
from oddjets.core.tables import Table, shown_as_table
from oddjets.stats.histfactory.gamma_refits import refit_gammas
from oddjets.stats.histfactory.minima import LOWER
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import SHOWN, Data, FitError, FitResult, ImpossiblePointError
from oddjets.stats.histfactory.workspace_reader import Parameters
from oddjets.stats.inference.profile import ProfileLikelihood
from oddjets.stats.inference.searches import Crossing, find_crossings, rise_search

__all__ = [
    "Fits",
    "Impact",
    "Impacts",
    "LowerMinimumError",
    "Significance",
    "TwoSidedError",
    "best_fits",
    "error_of",
    "impacts",
    "significance",
    "significance_of",
    "two_sided_error",
    "two_sided_errors",
]


class LowerMinimumError(FitError):
    """A profile found a lower minimum than the fit that it started from.

    Attributes:
        parameters: of the lower point, (n,).
    """

    def __init__(self, name: str, parameters: np.ndarray, by: float) -> None:
        super().__init__(f"the profile of {name} found a minimum that is lower by {by:.3g} than the best fit")
        self.parameters = parameters


class Fits(NamedTuple):
    """The background-only fit (POI = 0) and the fit with a free POI.

    Attributes:
        background: None if the model has no fit with POI = 0.
        best: the best fit.
        no_background: the reason why there is no background-only fit; "" if there is one.
    """

    background: FitResult | None
    best: FitResult
    no_background: str = ""


class TwoSidedError(NamedTuple):
    """The shifts of a parameter at which -2 log L has risen by one, with all others refitted (MINOS).

    Attributes:
        up: upwards, at least 0.
        down: downwards, at least 0.
        up_at_bound: whether `up` ends at the upper bound, because -2 log L rises by less than one up to there.
        down_at_bound: the same for the lower bound.
    """

    up: float
    down: float
    up_at_bound: bool
    down_at_bound: bool


@shown_as_table
class Significance(NamedTuple):
    """Discovery: q0, its z = sqrt(q0) and one-sided p value, asymptotic (Cowan et al., arXiv:1007.1727)."""

    z: float
    q0: float
    p_value: float

    @property
    def _headline(self) -> str:
        return f"significance: {self.z:.3g} sigma (asymptotic)"

    def _tables(self) -> list[Table]:
        return [(("q0", "p value (asymptotic)"), [(f"{self.q0:.4g}", f"{self.p_value:.3g}")])]


class Impact(NamedTuple):
    """The impact of a nuisance parameter: shifts of the POI with the parameter at +1 and -1 post-fit sigma.

    `pull` is (value - centre)/prior width (0 for a free parameter), `error` the post-fit over the prior width (post-fit
    error itself where free).
    """

    name: str
    up: float
    down: float
    pull: float
    error: float


@shown_as_table
class Impacts(NamedTuple):
    """The ranking of nuisance parameters, largest impact first, and the parameters whose refits did not converge."""

    ranking: list[Impact]
    failed: tuple[str, ...]

    @property
    def _headline(self) -> str:
        return f"impacts on the parameter of interest: {len(self.ranking)}"

    def _tables(self) -> list[Table]:
        rows = [
            (i.name, f"{i.up:+.3g}", f"{i.down:+.3g}", f"{i.pull:+.2f}", f"{i.error:.2f}") for i in self.ranking[:SHOWN]
        ]
        return [(("parameter", "up", "down", "pull", "error"), rows)]

    def _notes(self) -> list[str]:
        more = [f"... and {len(self.ranking) - SHOWN} more"] if len(self.ranking) > SHOWN else []
        return [*more, *([f"no refit converged: {', '.join(self.failed)}"] if self.failed else [])]


def _poi(model: HistFactoryModel) -> str:
    if model.poi is None:
        raise OddjetsError("the workspace names no parameter of interest; give one with --poi")
    return model.poi


def best_fits(model: HistFactoryModel, data: Data | None = None) -> Fits:
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
    p, index = model.parameters, model.parameters.index(poi)
    background, reason = None, ""
    if not p.low[index] <= 0 <= p.high[index]:
        reason = f"the bounds [{p.low[index]:g}, {p.high[index]:g}] of {poi} exclude 0"
    else:
        try:
            background = model.fit({poi: 0.0}, data=data)
        except ImpossiblePointError as error:
            reason = f"{poi} = 0 is impossible: {error}"
    if background is None:
        return Fits(None, model.fit(data=data), reason)
    start = background.values.copy()
    start[index] = p.init[index]
    try:
        best = model.fit(data=data, start=start)
    except FitError:
        best = model.fit(data=data)
    if best.deviance > background.deviance + 1e-6:
        best = model.fit(data=data, start=background.values)
    return Fits(_from_best(model, data, background, best), best)


def _from_best(model: HistFactoryModel, data: Data | None, background: FitResult, best: FitResult) -> FitResult:
    """Return the background-only fit, refitted if a start from the best fit gives a lower one."""
    poi = _poi(model)
    index = model.parameters.index(poi)
    if not model.nonlinear.any:
        return background
    start, held = best.values.copy(), np.zeros(len(best.values), dtype=bool)
    start[index], held[index] = 0.0, True
    near = model.fit_batch(model.data if data is None else data, start[None], held)
    if not near.converged[0] or near.deviance[0] > background.deviance - LOWER:
        return background
    return model.fit({poi: 0.0}, data=data, start=near.parameters[0])


def significance(model: HistFactoryModel, fits: Fits) -> Significance:
    """Return the significance of a signal; z = 0 if the best value is below zero.

    Raises:
        FitError: there is no background-only fit to compare with.
    """
    if fits.background is None:
        raise FitError(f"there is no significance: {fits.no_background}")
    return significance_of(
        max(fits.background.deviance - fits.best.deviance, 0.0) if fits.best[_poi(model)] > 0 else 0.0
    )


def significance_of(q0: float) -> Significance:
    """Return the asymptotic significance of a value of the test statistic q0."""
    z = float(np.sqrt(q0))
    return Significance(z, q0, float(norm.sf(z)))


def two_sided_error(model: HistFactoryModel, name: str, best: FitResult) -> TwoSidedError:
    """Return the shifts of a parameter to each side at which -2 log L has risen by one: its 68 % errors.

    All other parameters, including other strengths, are refitted within their bounds.

    Args:
        model: the model.
        name: the parameter.
        best: the best fit.

    Raises:
        FitError: the fits of one side do not converge, or the profile has a lower minimum than the best fit.
        OddjetsError: the parameter is constant.
    """
    found = two_sided_errors(model, [name], best)[name]
    if isinstance(found, FitError):
        raise found
    return found


def two_sided_errors(
    model: HistFactoryModel, names: Sequence[str], best: FitResult
) -> dict[str, TwoSidedError | FitError]:
    """Return the two-sided errors of several parameters, or the reason if one is not found.

    Args:
        model: the model.
        names: the parameters.
        best: the best fit.

    Raises:
        LowerMinimumError: a profile found a lower minimum than the best fit.
        OddjetsError: a parameter is constant.
    """
    for name in names:
        model.check_free(name)
    profiles = {name: ProfileLikelihood(model, name, best.values, best.deviance) for name in names}
    sides = [(name, side) for name in profiles for side in (1.0, -1.0)]
    found = dict(
        zip(sides, find_crossings([rise_search(profiles[name], 1.0, side) for name, side in sides]), strict=True)
    )
    for name, profile in profiles.items():
        if profile.found_lower:
            raise LowerMinimumError(name, profile.minimum.parameters, best.deviance - profile.minimum.deviance)
    return {name: _sides(profiles[name].start.value, found[name, 1.0], found[name, -1.0]) for name in profiles}


def _sides(value: float, up: Crossing | FitError, down: Crossing | FitError) -> TwoSidedError | FitError:
    if isinstance(up, FitError):
        return up
    if isinstance(down, FitError):
        return down
    return TwoSidedError(abs(up.value - value), abs(down.value - value), up.at_bound, down.at_bound)


def error_of(best: FitResult, name: str, sides: TwoSidedError) -> tuple[float, str]:
    """Return a single number for a parameter's error, and its kind.

    "symmetric": from the covariance. "one-sided": for a parameter at a bound, the shift at which -2 log L has risen by one.
    "profile": if an empty bin is at its kink, or the covariance has no entry for the parameter, the mean of the two-sided
    errors.

    Args:
        best: the best fit.
        name: the parameter.
        sides: from `two_sided_error`.
    """
    if name in best.at_bounds:
        return max(sides.up, sides.down), "one-sided"
    if len(best.kinks.bins) or not best.error(name) > 0:
        return 0.5 * (sides.up + sides.down), "profile"
    return best.error(name), "symmetric"


def impacts(model: HistFactoryModel, best: FitResult, names: Sequence[str] | None = None) -> Impacts:
    """Refit with each nuisance parameter at its post-fit value plus and minus its error.

    Args:
        model: with a parameter of interest.
        best: the best fit.
        names: the parameters; None: all except the POI and the free factors of single bins (shapefactors).

    Returns:
        The impacts, largest first, and the parameters whose refits did not converge from any of three starts.
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
    move = best.parts.rows(index) / best.errors[index, None] * sign[:, None]
    starts = [
        np.clip(best.values + move, p.low, p.high),
        *(np.repeat(x[None], T, axis=0) for x in (best.values, p.init)),
    ]
    for start in starts:
        start[np.arange(T), index] = value
    place = np.flatnonzero(model.layout.global_pars == poi)
    # a factor of one bin is no global parameter: the whole model is refitted
    strength = refit_gammas(model, best, index, starts[0])[:, place[0]] if len(place) else np.full(T, np.nan)
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


def _with_impact(model: HistFactoryModel, best: FitResult) -> list[int]:
    """Return the parameters that have an error, except the POI and the free factors of single bins."""
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
