"""Minima of batches of data sets: one from each start, and lower ones from further starts."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from oddjets.stats.histfactory.expected import evaluate
from oddjets.stats.histfactory.likelihood import Problem, Race, objective, profile_bins
from oddjets.stats.histfactory.newton import minimise
from oddjets.stats.histfactory.results import Batch, Data
from oddjets.stats.histfactory.starts import BentModel, Starts, further_starts, is_narrow, possible_start

__all__ = ["FittedModel", "fit_once", "lowest_minima"]

#: by so much -2 log L must be lower to be another minimum's: fits are exact to about 1e-7
LOWER = 1e-6
#: how often a lower minimum is looked for from the one found last
MAX_ROUNDS = 8
#: a start of a wide model whose bins' -2 log L is further above the known minimum's is not worth its steps
TOO_HIGH = 100.0


class FittedModel(BentModel, Protocol):
    """The methods of a model that fits need; `model.HistFactoryModel` has them."""

    def deviance(self, pars: np.ndarray, data: Data) -> np.ndarray:
        """Return -2 log L against the saturated model, (T,)."""

    def problem(self, data: Data, start: np.ndarray, held: np.ndarray) -> Problem:
        """Return the likelihood to be minimised."""


class _Known(NamedTuple):
    """Minima that fits race against, and the parameters that must stay on their side (see `likelihood.Race`)."""

    minima: Batch
    turned: np.ndarray


def fit_once(model: FittedModel, data: Data, start: np.ndarray, held: np.ndarray, known: _Known | None = None) -> Batch:
    """Fit each data set from one start.

    Args:
        model: the model.
        data: T data sets.
        start: (T, n); held parameters keep their values.
        held: mask of the held parameters, (T, n).
        known: minima of the same data sets; fits that lead to them, or nowhere lower, are given up.

    Returns:
        The fits.
    """
    p, layout = model.parameters, model.layout
    problem = model.problem(data, start, held)
    begin = np.where(held, start, np.clip(start, p.low, p.high))
    alpha, local, _ = model.split(begin)
    racing = problem if known is None else problem._replace(race=_race(model, problem, known))
    minimum = minimise(layout, racing, alpha, local)
    pars = np.where(held | ~p.constrained, begin, np.clip(data.aux / p.factor, p.low, p.high))
    pars[:, layout.global_pars] = minimum.alpha
    real = layout.block_pars >= 0
    pars[:, layout.block_pars[real]] = minimum.local[:, real]
    bins = profile_bins(evaluate(layout, minimum.alpha, minimum.local), problem)
    there = layout.gamma_pars >= 0
    pars[:, layout.gamma_pars[there]] = bins.gamma[:, there]
    pars = np.where(held, start, pars)
    return Batch(pars, model.deviance(pars, data), minimum.converged, minimum.iterations)


def _race(model: FittedModel, problem: Problem, known: _Known) -> Race:
    """Return the known minima that fits of a problem compete with; minima shared by many fits are evaluated once."""
    best = known.minima
    first, place = np.unique(best.parameters, axis=0, return_index=True, return_inverse=True)[1:]
    alpha, local, _ = model.split(best.parameters[first])
    there = objective(model.layout, problem.take(first), alpha, local)
    k = np.arange(alpha.shape[1])
    scale = np.sqrt(np.abs(there.hessian[:, k, k]))
    # where there is none yet, none can be beaten
    value = np.where(best.converged[first], there.value, np.inf)
    of = place.ravel()
    return Race(value[of], alpha[of], local[of], scale[of], known.turned)


def lowest_minima(model: FittedModel, batch: Batch, data: Data, held: np.ndarray) -> Batch:
    """Look for lower minima than those of a batch, and for any where a fit has none.

    The further starts of all data sets are fitted together, and then those of the lower minima that were found. A minimum than
    which nothing lower is found comes back as it was.

    Args:
        model: the model.
        batch: T fits.
        data: their data sets.
        held: mask of the held parameters, (T, n).

    Returns:
        The lowest minima found.
    """
    result, rows = batch, np.arange(len(data.main))
    for attempt in range(MAX_ROUNDS):
        starts, owner = _collect(model, result, data, held, rows, attempt)
        if not len(owner):
            break
        known = _Known(Batch(*(a[owner] for a in result)), starts.turned)
        found = fit_once(model, Data(*(a[owner] for a in data)), starts.points, held[owner], known)
        value = np.where(found.converged, found.deviance, np.inf)
        # each data set's lowest: the last of equal owners stays
        order = np.argsort(-value, kind="stable")
        lowest = np.full(len(data.main), -1)
        lowest[owner[order]] = order
        rows = np.flatnonzero(lowest >= 0)
        before = np.where(result.converged[rows], result.deviance[rows], np.inf)
        rows = rows[value[lowest[rows]] < before - LOWER]
        if not len(rows):
            break
        result = Batch(*(a.copy() for a in result))
        for old, new in zip(result, found, strict=True):
            old[rows] = new[lowest[rows]]
    return result


def _collect(
    model: FittedModel, batch: Batch, data: Data, held: np.ndarray, rows: np.ndarray, attempt: int
) -> tuple[Starts, np.ndarray]:
    """Collect all possible starts of some data sets, and the data set of each start, (S,)."""
    parts, owner = [Starts(np.zeros((0, len(model.parameters))), np.zeros(0, dtype=int))], [np.zeros(0, dtype=int)]
    for t in rows.tolist():
        own, begin = Data(*(a[t : t + 1] for a in data)), batch.parameters[t]
        if not batch.converged[t]:
            begin = np.where(held[t], begin, model.parameters.init)
            found = possible_start(model, begin, held[t], own)
            tried = np.array([begin] if found is None else [begin, found])
            parts.append(Starts(tried, np.full(len(tried), -1)))
            owner.append(np.full(len(tried), t))
            begin = tried[-1]
        more = further_starts(model, begin, held[t], own, attempt)
        value = _of_bins(model, own, more.points, held[t])
        most = np.inf
        if batch.converged[t] and not is_narrow(model):
            most = _of_bins(model, own, batch.parameters[t : t + 1], held[t])[0] + TOO_HIGH
        allowed = np.isfinite(value) & (value <= most)
        parts.append(Starts(*(a[allowed] for a in more)))
        owner.append(np.full(int(allowed.sum()), t))
    return Starts(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(owner)


def _of_bins(model: FittedModel, data: Data, points: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the bins' share of -2 log L of a data set at points (S, n), gammas at their minimum; inf where impossible."""
    many = Data(*(np.repeat(a, len(points), axis=0) for a in data))
    problem = model.problem(many, points, np.repeat(held[None], len(points), axis=0))
    alpha, local, _ = model.split(points)
    return np.asarray(2 * profile_bins(evaluate(model.layout, alpha, local), problem).value.sum(axis=1))
