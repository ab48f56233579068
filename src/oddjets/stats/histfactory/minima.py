"""Minima of batches of data sets: one from each start, and lower ones from further starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from oddjets.stats.histfactory.expected import evaluate
from oddjets.stats.histfactory.likelihood import KnownMinima, Problem, objective, profile_bins
from oddjets.stats.histfactory.newton import minimise
from oddjets.stats.histfactory.results import Batch, Data
from oddjets.stats.histfactory.starts import NonlinearModel, Starts, further_starts, is_small, possible_start

__all__ = ["FittedModel", "fit_once", "lowest_minima"]

#: a minimum is another one if its -2 log L is lower by more than this: fits are exact to about 1e-7
LOWER = 1e-6
#: the most times that the search is repeated from a lower minimum
MAX_ROUNDS = 8
#: in a large model, a start is not used if the bins' -2 log L is above the known minimum's by more than this
TOO_HIGH = 100.0


class FittedModel(NonlinearModel, Protocol):
    """The methods of a model that fits need; `model.HistFactoryModel` has them."""

    def deviance(self, pars: np.ndarray, data: Data) -> np.ndarray:
        """Return -2 log L against the saturated model, (T,)."""

    def problem(self, data: Data, start: np.ndarray, held: np.ndarray) -> Problem:
        """Return the likelihood to be minimised."""


class _KnownFits(NamedTuple):
    """Known minima, and the parameters whose signs the fits must keep (see `likelihood.KnownMinima`)."""

    minima: Batch
    kept_sign: np.ndarray


def fit_once(
    model: FittedModel, data: Data, start: np.ndarray, held: np.ndarray, known: _KnownFits | None = None
) -> Batch:
    """Fit each data set from one start.

    Args:
        model: the model.
        data: T data sets.
        start: (T, n); held parameters keep their values.
        held: mask of the held parameters, (T, n).
        known: minima of the same data sets; fits that lead to one of them, or to a higher one, are given up.

    Returns:
        The fits.
    """
    p, layout = model.parameters, model.layout
    problem = model.problem(data, start, held)
    begin = np.where(held, start, np.clip(start, p.low, p.high))
    alpha, local, _ = model.split(begin)
    problem_with_known = problem if known is None else problem._replace(known=_known_minima(model, problem, known))
    minimum = minimise(layout, problem_with_known, alpha, local)
    pars = np.where(held | ~p.constrained, begin, np.clip(data.aux / p.factor, p.low, p.high))
    pars[:, layout.global_pars] = minimum.alpha
    real = layout.block_pars >= 0
    pars[:, layout.block_pars[real]] = minimum.local[:, real]
    bins = profile_bins(evaluate(layout, minimum.alpha, minimum.local), problem)
    there = layout.gamma_pars >= 0
    pars[:, layout.gamma_pars[there]] = bins.gamma[:, there]
    pars = np.where(held, start, pars)
    return Batch(pars, model.deviance(pars, data), minimum.converged, minimum.iterations)


def _known_minima(model: FittedModel, problem: Problem, known: _KnownFits) -> KnownMinima:
    """Return the known minima with which fits are compared; minima shared by many fits are evaluated once."""
    best = known.minima
    first, place = np.unique(best.parameters, axis=0, return_index=True, return_inverse=True)[1:]
    alpha, local, _ = model.split(best.parameters[first])
    there = objective(model.layout, problem.take(first), alpha, local)
    k = np.arange(alpha.shape[1])
    scale = np.sqrt(np.abs(there.hessian[:, k, k]))
    # without a known minimum, any other is lower
    value = np.where(best.converged[first], there.value, np.inf)
    of = place.ravel()
    return KnownMinima(value[of], alpha[of], local[of], scale[of], known.kept_sign)


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
    second: dict[int, np.ndarray | None] = {}
    for attempt in range(MAX_ROUNDS):
        starts, owner = _collect(model, result, data, held, rows, attempt, second)
        if not len(owner):
            break
        known = _KnownFits(Batch(*(a[owner] for a in result)), starts.kept_sign)
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
        # the lowest minimum can be near another one than the lowest so far; in a large model this search would take too long
        others = rows.tolist() if is_small(model) else []
        second = {t: _second_lowest(result, found, np.flatnonzero(owner == t), t) for t in others}
        result = Batch(*(a.copy() for a in result))
        for old, new in zip(result, found, strict=True):
            old[rows] = new[lowest[rows]]
    return result


def _second_lowest(before: Batch, found: Batch, mine: np.ndarray, t: int) -> np.ndarray | None:
    """Return the second lowest of a data set's new minima, (n,), if it is lower than the minimum before too."""
    value = np.where(found.converged[mine], found.deviance[mine], np.inf)
    others = value > value.min() + LOWER
    if not others.any() or not value[others].min() < before.deviance[t] - LOWER:
        return None
    return np.asarray(found.parameters[mine[others][np.argmin(value[others])]])


def _collect(
    model: FittedModel,
    batch: Batch,
    data: Data,
    held: np.ndarray,
    rows: np.ndarray,
    attempt: int,
    second: Mapping[int, np.ndarray | None],
) -> tuple[Starts, np.ndarray]:
    """Collect all possible starts of some data sets, also from second minima, and the data set of each start, (S,)."""
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
        if (other := second.get(t)) is not None:
            also = further_starts(model, other, held[t], own, attempt)
            more = Starts(*(np.concatenate(pair) for pair in zip(more, also, strict=True)))
        value = _bins_deviance(model, own, more.points, held[t])
        most = np.inf
        if batch.converged[t] and not is_small(model):
            most = _bins_deviance(model, own, batch.parameters[t : t + 1], held[t])[0] + TOO_HIGH
        allowed = np.isfinite(value) & (value <= most)
        parts.append(Starts(*(a[allowed] for a in more)))
        owner.append(np.full(int(allowed.sum()), t))
    return Starts(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(owner)


def _bins_deviance(model: FittedModel, data: Data, points: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the bins' share of -2 log L of a data set at points (S, n), gammas at their minimum; inf where impossible."""
    many = Data(*(np.repeat(a, len(points), axis=0) for a in data))
    problem = model.problem(many, points, np.repeat(held[None], len(points), axis=0))
    alpha, local, _ = model.split(points)
    return np.asarray(2 * profile_bins(evaluate(model.layout, alpha, local), problem).value.sum(axis=1))
