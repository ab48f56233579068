"""All results of the fit of a workspace: the content of ``results.json``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from oddjets.core.errors import OddjetsError
from oddjets.stats import few_events
from oddjets.stats.few_events import Toys
from oddjets.stats.fitted_yields import fitted_yields
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError, FitResult
from oddjets.stats.inference import estimates, scans
from oddjets.stats.inference.estimates import Fits, best_fits, significance
from oddjets.stats.inference.expectation import control_events, deciding_events, expected_significance
from oddjets.stats.inference.limits import upper_limit
from oddjets.stats.inference.toy_limits import toy_limit
from oddjets.stats.inference.toys import goodness_of_fit, toy_significance
from oddjets.stats.strengths import strengths, tested

__all__ = ["fit_workspace"]

GofModel = Literal["background", "signal"]

#: the names under which the yields of the fits are in the results
_YIELDS = {"background": "background_only", "signal_plus_background": "signal_plus_background"}
#: the formulas behind significances and limits without toys
ASYMPTOTIC = "asymptotic"
#: the strength of the stated cross section, whose significance is expected
STATED = 1.0
#: a free factor within this fraction of its range from a bound gets a warning
NEAR_BOUND = 0.01


class _Stopwatch:
    """The wall-clock time of each step, s."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._last = time.perf_counter()

    def record(self, name: str) -> None:
        now = time.perf_counter()
        self.times[name] = round(now - self._last, 4)
        self._last = now


def fit_workspace(
    workspace: Mapping[str, Any],
    *,
    poi: str | None = None,
    measurement: str | None = None,
    limit: bool = True,
    impacts: bool = True,
    scan: bool = True,
    scan_parameter: str | None = None,
    toys: Toys = 0,
    gof_toys: int = 0,
    gof_letters: Sequence[str] | None = None,
    gof_model: GofModel = "signal",
    seed: int = 1,
    progress: bool = True,
    report: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit a workspace and compute the requested results.

    Args:
        workspace: any pyhf workspace.
        poi: the parameter of interest; None: the measurement's.
        measurement: name of the measurement; None: the first.
        limit: find CLs upper limits.
        impacts: refit for the impact of every nuisance parameter.
        scan: scan the profile likelihood.
        scan_parameter: the parameter to scan; None: the POI.
        toys: number of toys for significance and limit, in addition to the asymptotic formulas; 0: none; ``auto``: 2000
            where few events decide (`few_events`), else none.
        gof_toys: number of toys for the goodness of fit; 0: none.
        gof_letters: letters to evaluate it in; None: all channels.
        gof_model: the model that the toys are generated from and fitted with.
        seed: seed of all toys.
        progress: show progress bars.
        report: the report of `workspace.build`, for the bin edges and the product cells, which are shown as one region; its
            warnings and ``absorbed`` are copied.

    Returns:
        The content of ``results.json``, without analysis, title and closure, which are not in the workspace. Results
        whose fits did not converge are absent; ``failed`` and the warnings list them with the reason.

    Raises:
        WorkspaceError: the workspace does not describe a model.
        FitError: the background-only or the best fit did not converge.
        SingularModelError: the data cannot tell some parameters apart.
    """
    clock = _Stopwatch()
    # a name that is there twice is none; else the first is chosen as if it had been asked for, and the warnings say so
    given = workspace.get("measurements", [])
    # what has another form is refused below, with its place
    measurements = [str(m.get("name")) for m in given if isinstance(m, Mapping)] if isinstance(given, Sequence) else []
    first = measurements[0] if measurements else ""
    chosen = first if measurement is None and measurements.count(first) == 1 else measurement
    model = HistFactoryModel(workspace, poi, chosen)
    if model.poi is None:
        raise OddjetsError("the workspace names no parameter of interest; give one with --poi")
    # before the fits, so that a mistake is reported at once
    scanned = model.parameters.names[model.parameters.index(scan_parameter or model.poi)] if scan else model.poi
    model.check_free(scanned)
    clock.record("read")
    fits = best_fits(model)
    failed: list[dict[str, str]] = []
    # the name means something in workspaces of `workspace.build` only
    common = "sf" if report is not None else None
    fits, pois = strengths(model, fits, failed, scanned, common=common)
    clock.record("fit")
    best, about = fits.best, tested(model)
    result: dict[str, Any] = {
        "measurement": measurements[0] if measurement is None else measurement,
        "poi": pois[0],
        "pois": pois,
        "tested": about,
        "significance": {},
    }
    _answer(result, "significance", lambda: {**significance(model, fits)._asdict(), "tests": about["tests"]}, failed)
    if result["significance"]:
        result["significance"] |= {"method": ASYMPTOTIC}
    if result["significance"] and about["kind"] == "strength":
        for key, count in (("deciding_events", deciding_events), ("control_events", control_events)):
            result["significance"][key] = _finite(count(model, fits))
        if model.parameters.high[model.parameters.index(str(model.poi))] >= STATED:
            _answer(result, "significance.expected", lambda: _expected(model, fits), failed)
    result |= {
        "twice_nll": {label: fit.twice_nll for label, fit in _fitted(fits).items()},
        "yields": fitted_yields(
            model,
            {_YIELDS[label]: fit for label, fit in _fitted(fits).items()},
            (report or {}).get("edges", {}),
            (report or {}).get("cells", {}),
        ),
    }
    clock.record("yields")
    made, of_limit = few_events.toys_of(toys, result["significance"])
    if made:
        _answer(result, "significance.toys", lambda: _toy_significance(model, fits, made, seed, progress), failed)
        clock.record("significance.toys")
    result["pulls"] = _pulls(model, best)
    result["correlation"] = _correlation(model, best)
    questions: dict[str, Callable[[], Any]] = {}
    if limit:
        questions["limit"] = lambda: _limit(model, fits)
    if limit and made:
        questions["limit.toys"] = lambda: _toy_limit(model, fits, of_limit, seed, progress)
    if scan:
        questions["scan"] = lambda: _scan(model, scanned, best)
    if gof_toys:
        questions["gof"] = lambda: _gof(model, fits, gof_toys, gof_letters, gof_model, seed, progress)
    if impacts:
        questions["impacts"] = lambda: _impacts(model, best, failed)
    for question, ask in questions.items():
        _answer(result, question, ask, failed)
        clock.record(question)
    result["at_bounds"] = list(best.at_bounds)
    result["at_kinks"] = [model.spec.bin_name(i) for i in best.kinks.bins.tolist()]
    result["absorbed"] = dict((report or {}).get("absorbed", {}))
    result["closure_uncertainty"] = dict((report or {}).get("closure_uncertainty", {}))
    result["failed"] = failed
    result["warnings"] = [
        *(_several_measurements(measurements) if measurement is None else []),
        *([about["note"]] if about["note"] and fits.background is not None else []),
        *_warnings(model, best),
        *few_events.warnings(result, toys=made),
        *(f"{f['question']}: {f['reason']}" for f in failed),
        *(f"limit: {note}" for note in result.get("limit", {}).get("notes", ())),
        *(f"limit.toys: {note}" for note in result.get("limit", {}).get("toys", {}).get("notes", ())),
        *(report or {}).get("warnings", []),
    ]
    result["convergence"] = {
        label: {"converged": True, "iterations": fit.iterations, "deviance": fit.deviance}
        for label, fit in _fitted(fits).items()
    }
    result["seed"] = seed
    result["timing_s"] = clock.times
    return result


def _answer(result: dict[str, Any], question: str, ask: Callable[[], Any], failed: list[dict[str, str]]) -> None:
    """Store a result under its name ("a.b": b in a); if its fits fail, list it with the reason instead."""
    *outer, key = question.split(".")
    try:
        answer = ask()
    except FitError as error:
        failed.append({"question": question, "reason": str(error)})
        return
    place = result
    for name in outer:
        place = place.setdefault(name, {})
    place[key] = answer


def _several_measurements(measurements: list[str]) -> list[str]:
    first, *others = measurements
    if not others:
        return []
    return [
        f"the workspace has {len(measurements)} measurements: '{first}', the first, is fitted; --measurement selects another"
    ]


def _toy_significance(model: HistFactoryModel, fits: Fits, toys: int, seed: int, progress: bool) -> dict[str, Any]:
    found = toy_significance(model, fits, toys, seed=seed, progress=progress)
    return {"p_value": found.p_value, "toys": found.toys, "failed": found.failed}


def _limit(model: HistFactoryModel, fits: Fits) -> dict[str, Any]:
    found = upper_limit(model, fits)
    expected = [_finite(value) for value in found.expected]
    return {
        "parameter": str(model.poi),
        "method": ASYMPTOTIC,
        "observed": _finite(found.observed),
        "expected": expected,
        "level": found.level,
        "notes": list(found.notes),
    }


def _finite(value: float) -> float | None:
    """Replace NaN by None, because JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def _fitted(fits: Fits) -> dict[str, FitResult]:
    """Return the available fits by name, the background-only fit first."""
    found = {"background": fits.background, "signal_plus_background": fits.best}
    return {label: fit for label, fit in found.items() if fit is not None}


def _expected(model: HistFactoryModel, fits: Fits) -> dict[str, float]:
    found = expected_significance(model, fits, STATED)
    return {"strength": STATED, "z": found.z, "p_value": found.p_value}


def _toy_limit(model: HistFactoryModel, fits: Fits, toys: int, seed: int, progress: bool) -> dict[str, Any]:
    found = toy_limit(model, fits, toys, seed=seed, progress=progress)
    expected = [_finite(value) for value in found.expected]
    return {"observed": _finite(found.observed), "expected": expected, "toys": toys, "notes": list(found.notes)}


def _gof(
    model: HistFactoryModel,
    fits: Fits,
    toys: int,
    letters: Sequence[str] | None,
    kind: GofModel,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    signal = kind == "signal"
    fitted = fits.best if signal else fits.background
    if fitted is None:
        raise FitError(f"no goodness of fit of the background alone: {fits.no_background}")
    found = goodness_of_fit(model, fitted, toys, letters=letters, signal=signal, seed=seed, progress=progress)
    return {
        **found._asdict(),
        "distribution": found.distribution.tolist(),
        "letters": list(letters) if letters is not None else None,
        "model": kind,
    }


def _pulls(model: HistFactoryModel, best: FitResult) -> list[dict[str, Any]]:
    p = model.parameters
    return [
        {
            "name": p.names[i],
            "value": float(best.values[i]),
            "error": float(best.errors[i]),
            "prefit_error": float(p.sigma[i]),
            "centre": float(p.aux[i] / p.factor[i]),
        }
        for i in np.flatnonzero(p.constrained & ~p.fixed)
    ]


def _correlation(model: HistFactoryModel, best: FitResult) -> dict[str, Any]:
    index = [i for i in model.layout.global_pars if best.errors[i] > 0]
    errors = best.errors[index]
    matrix = best.parts.among(np.array(index, dtype=int)) / errors[:, None] / errors
    return {"names": [model.parameters.names[i] for i in index], "matrix": matrix.tolist()}


def _scan(model: HistFactoryModel, name: str, best: FitResult) -> dict[str, Any]:
    # a strength is compared with its absence
    include = 0.0 if model.spec.types.get(name) == "normfactor" else None
    found = scans.scan(model, name, best, include=include)
    return {"name": name, "poi": found.values.tolist(), "twice_delta_nll": found.twice_delta_nll.tolist()}


def _impacts(model: HistFactoryModel, best: FitResult, failed: list[dict[str, str]]) -> list[dict[str, Any]]:
    found = estimates.impacts(model, best)
    if found.failed:
        names = ", ".join(found.failed)
        failed.append(
            {"question": "impacts", "reason": f"the refits of {names} did not converge; their impacts are missing"}
        )
    return [impact._asdict() for impact in found.ranking]


def _warnings(model: HistFactoryModel, best: FitResult) -> list[str]:
    result = []
    p = model.parameters
    for i in model.layout.global_pars:
        span = p.high[i] - p.low[i]
        gap = min(best.values[i] - p.low[i], p.high[i] - best.values[i])
        # in a wide range 1 % may be more than one sigma, and such a bound changes no error; at a bound the error is zero
        within = best.errors[i] == 0 or gap <= best.errors[i]
        if gap < NEAR_BOUND * span and within and not p.fixed[i]:
            result.append(
                f"{p.names[i]} = {best.values[i]:.4g} ends within 1 % of a bound of [{p.low[i]:g}, {p.high[i]:g}]: "
                "its error is not symmetric, and the result depends on the bound"
            )
    binned = [name for name in best.at_bounds if p.binned[p.index(name)]]
    if binned:
        count = (
            "1 parameter of a single bin ends" if len(binned) == 1 else f"{len(binned)} parameters of single bins end"
        )
        result.append(f"{count} at a bound (listed under at_bounds)")
    ended = [p.names[i] for i in model.layout.global_pars if p.names[i] in best.at_bounds]
    if ended:
        result.append(f"the errors of post-fit yields do not include that of {', '.join(ended)}, which is at its bound")
    if len(best.kinks.bins):
        where = [model.spec.bin_name(i) for i in best.kinks.bins.tolist()]
        result.append(
            f"{len(where)} empty bins are held at an expectation of exactly zero (listed under at_kinks): the likelihood "
            f"has a kink there, and the errors do not include changes of these bins: {', '.join(where[:4])}"
        )
    if best.no_effect:
        result.append(
            f"{len(best.no_effect)} parameters have no effect at the minimum: {', '.join(best.no_effect[:6])}"
        )
    return result
