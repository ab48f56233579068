"""The fits of many experiments with the same threshold, in batches: what an analysis asks of its data, of each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from oddjets.stats.histfactory.hessian import SingularModelError, covariance
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Batch, Data
from oddjets.stats.inference.limits import cls_from_q
from oddjets.stats.inference.toys import ToyFits, letter_bins

__all__ = ["Answers", "Procedure", "Questions", "bins_of_cells"]

Floats = npt.NDArray[np.float64]

#: a fit that is higher by this than one that it contains has not found its minimum
HIGHER = 1e-6
#: the confidence level of limits, rounds of fits towards them, and steps that halve an interval
LEVEL, LIMIT_ROUNDS, BISECTIONS = 0.95, 3, 40


@dataclass(frozen=True)
class Questions:
    """The questions that every experiment is asked.

    Attributes:
        poi: the parameter of interest.
        strength: its true value.
        limit: whether the upper limit is found, at 95 % CL.
        gof_letters: the letters of the goodness of fit.
        gof_signal: whether the signal is free in it.
        toys: toys of each experiment's own fit without signal, for its p by toys; 0: none.
    """

    poi: str
    strength: float = 0.0
    limit: bool = True
    gof_letters: tuple[str, ...] = ("A",)
    gof_signal: bool = True
    toys: int = 0


@dataclass(frozen=True)
class Answers:
    """The answers, NaN where a fit failed.

    Attributes:
        strength: the fitted strength, which may be negative, (E,).
        z: signed: sqrt(q0), with the sign of the strength, (E,).
        pull: sqrt(q) of the true strength, with the sign of fitted minus true, (E,).
        limit: observed upper limit, (E,).
        gof: the saturated -2 log L in the chosen letters, (E,).
        nuisances: the constrained parameters of the fit with a free signal, (E, k), in units of their prior widths from their
            true values.
        toy_p: the p of z by toys, (1 + toys with a z at least as large) / (1 + toys), (E,); NaN where nobody asked.
    """

    strength: Floats
    z: Floats
    pull: Floats
    limit: Floats
    gof: Floats
    nuisances: Floats
    toy_p: Floats

    @classmethod
    def failed(cls, nuisances: int) -> Answers:
        """Return the answers of one experiment whose fits failed, with so many constrained parameters."""
        nothing = np.full(1, np.nan)
        return cls(nothing, nothing, nothing, nothing, nothing, np.full((1, nuisances), np.nan), nothing)

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """Return the answers of several experiments as one."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def named(self, own: Sequence[str], wanted: Sequence[str]) -> Answers:
        """Return the same with other constrained parameters, NaN where there is no such one.

        Args:
            own: the names of these answers'.
            wanted: the names that are wanted.
        """
        found = np.full((len(self.z), len(wanted)), np.nan)
        for place, name in enumerate(wanted):
            if name in own:
                found[:, place] = self.nuisances[:, list(own).index(name)]
        return replace(self, nuisances=found)


class Procedure:
    """The model of one threshold, and its fits.

    The strength may become negative, so that z has a sign; for a positive strength nothing changes. The goodness of fit is that
    of the analysis, whose strength stays within its bounds.

    Args:
        workspace: the workspace, whose data are what is expected.
        questions: what is asked.
        truth: parameters by name that differ from their suggested values in the experiments; the strength is in `questions`.
    """

    def __init__(
        self, workspace: Mapping[str, Any], questions: Questions, truth: Mapping[str, float] | None = None
    ) -> None:
        given = HistFactoryModel(dict(workspace), questions.poi, schema=False)
        p = given.parameters
        self.questions, self.poi = questions, p.index(questions.poi)
        self.lowest = float(p.low[self.poi])
        low = p.low.copy()
        low[self.poi] = min(low[self.poi], -p.high[self.poi])
        self.model = given.adjusted(given.data, p.init, low, p.high, p.fixed)
        self.truth = p.init.copy()
        for name, value in (truth or {}).items():
            self.truth[p.index(name)] = value
        self.truth[self.poi] = questions.strength
        free = np.zeros(len(p), dtype=bool)
        held = free.copy()
        held[self.poi] = True
        without = self.truth.copy()
        without[self.poi] = 0.0
        self._without, self._free = ToyFits(self.model, without, held), ToyFits(self.model, self.truth, free)
        self._at_truth = ToyFits(self.model, self.truth, held)
        self._letters = letter_bins(self.model, questions.gof_letters or None)
        self.constrained = np.flatnonzero(p.constrained & ~p.fixed & ~p.binned)
        self.sigma = self._sigma()

    @property
    def names(self) -> list[str]:
        """The constrained parameters that are not of single bins."""
        return [self.model.parameters.names[i] for i in self.constrained]

    def _sigma(self) -> float:
        """Return the error of the strength if there is no signal, by the covariance of the expected data."""
        p, point = self.model.parameters, self._without.truth
        moving = ~p.fixed & (point > self.model.parameters.low) & (point < p.high)
        try:
            found = covariance(self.model, point, self.model.asimov(point), moving).parts.diagonal[self.poi]
        except SingularModelError:
            found = 0.0
        return float(np.sqrt(found)) if found > 0 else 0.1 * float(p.high[self.poi])

    def auxiliary(self, experiments: int, rng: np.random.Generator, *, of_templates: bool = True) -> Floats:
        """Throw auxiliary measurements about the truth, as `HistFactoryModel.sample` does: (E, n).

        Args:
            experiments: E.
            rng: throws them.
            of_templates: whether those of the templates' statistical errors are thrown too, which are of single bins.
        """
        p, truth = self.model.parameters, self.truth
        aux = np.repeat(p.aux[None], experiments, axis=0)
        normal, poisson = (p.kind == kind for kind in ("normal", "poisson"))
        aux[:, normal] = rng.normal(truth[normal], p.sigma[normal], size=(experiments, int(normal.sum())))
        aux[:, poisson] = rng.poisson(p.factor[poisson] * truth[poisson], size=(experiments, int(poisson.sum())))
        kept = p.fixed if of_templates else p.fixed | p.binned
        aux[:, kept] = p.aux[kept]
        return aux

    def shared_auxiliary(self, experiments: int, generators: Callable[[str], np.random.Generator]) -> Floats:
        """Throw auxiliary measurements that other models have in common, each by a generator of its own: (E, n).

        A statistical error of templates is common to models whose templates have the same relative error there.

        Args:
            experiments: E.
            generators: name of a parameter -> its generator.
        """
        p, truth = self.model.parameters, self.truth
        aux = np.repeat(p.aux[None], experiments, axis=0)
        for i in np.flatnonzero(p.constrained & ~p.fixed).tolist():
            name = p.names[i]
            if p.binned[i]:
                name += f" {p.sigma[i]:.6g} {p.factor[i]:.6g}"
            rng = generators(name)
            if p.kind[i] == "poisson":
                aux[:, i] = rng.poisson(p.factor[i] * truth[i], experiments)
            else:
                aux[:, i] = rng.normal(truth[i], p.sigma[i], experiments)
        return aux

    def answer(self, data: Data, rngs: Sequence[np.random.Generator] = ()) -> Answers:
        """Fit experiments and answer all questions.

        Args:
            data: E experiments.
            rngs: one for the toys of each experiment; not used where no toys are asked for.
        """
        p, asked = self.model.parameters, self.questions
        without, free = self._without(data), self._free(data)
        _improve(self.model, data, free, without)
        at_truth = without
        if asked.strength != 0:
            at_truth = self._at_truth(data)
            _improve(self.model, data, free, at_truth)
        good = without.converged & free.converged
        strength = np.where(good, free.parameters[:, self.poi], np.nan)
        z = np.where(good, _signed_z(without, free, self.poi), np.nan)
        pull = np.sign(strength - asked.strength) * np.sqrt(np.maximum(at_truth.deviance - free.deviance, 0.0))
        pull = np.where(at_truth.converged, pull, np.nan)
        # the analysis's own fit ends at its bound
        bounded = strength < max(self.lowest, 0.0) if asked.gof_signal else np.ones(len(strength), bool)
        fitted = np.where(bounded[:, None], without.parameters, free.parameters)
        gof = self.model.bin_deviance(fitted, data.main)[:, self._letters].sum(axis=1)
        i = self.constrained
        pulls = (free.parameters[:, i] - self.truth[i]) / np.where(p.sigma[i] > 0, p.sigma[i], 1.0)
        limit = np.full(len(strength), np.nan)
        if asked.limit and good.any():
            chosen = Data(data.main[good], data.aux[good])
            limit[good] = self._limits(chosen, _rows(without, good), _rows(free, good))
        toy_p = np.full(len(strength), np.nan)
        for row in np.flatnonzero(good).tolist() if asked.toys else ():
            toy_p[row] = self._toy_p(without.parameters[row], float(z[row]), rngs[row])
        gof, pulls = np.where(good, gof, np.nan), np.where(good[:, None], pulls, np.nan)
        return Answers(strength, z, pull, limit, gof, pulls, toy_p)

    def _toy_p(self, without: Floats, z: float, rng: np.random.Generator) -> float:
        """Return the p of an experiment's z by toys of its own fit without signal; NaN where the fits of all toys fail.

        As `inference.toy_significance`, but of the signed z, so that experiments with a negative strength have a p too.

        Args:
            without: the parameters of that fit, (n,).
            z: of the experiment.
            rng: draws the toys.
        """
        free = np.zeros(len(without), dtype=bool)
        held = free.copy()
        held[self.poi] = True
        toys = self.model.sample(without, self.questions.toys, rng)
        null, best = ToyFits(self.model, without, held)(toys), ToyFits(self.model, without, free)(toys)
        _improve(self.model, toys, best, null)
        good = null.converged & best.converged
        of_toys = _signed_z(null, best, self.poi)[good]
        return float((1 + (of_toys >= z).sum()) / (1 + len(of_toys))) if len(of_toys) else float("nan")

    def _limits(self, data: Data, without: Batch, free: Batch) -> Floats:
        """Return observed CLs limits at 95 % by asymptotic formulas (see `inference.limits`), (E,); NaN where fits failed.

        Both -2 log L, of the data and of the background's Asimov data, are taken as parabolas, which are made to agree with the
        fits at the limit itself: after a few rounds that is no approximation.
        """
        model, p = self.model, self.model.parameters
        asimov = Data(
            np.maximum(model.expected(without.parameters), 0.0),
            np.where(p.constrained, p.factor * without.parameters, p.aux),
        )
        base = model.deviance(without.parameters, asimov)
        best = free.parameters[:, self.poi]
        # q-tilde compares with no signal where the best value is negative
        reference = np.where(best < 0, without.deviance, free.deviance)
        held = np.zeros(len(p), dtype=bool)
        held[self.poi] = True
        widths = np.full((2, len(best)), self.sigma)
        starts, known = [free.parameters.copy(), without.parameters.copy()], np.zeros((2, len(best)), bool)
        mu = _limit_of_parabolas(best, *widths)
        for _ in range(LIMIT_ROUNDS):
            squares = ((mu - best) ** 2 - np.minimum(best, 0.0) ** 2, mu**2)
            for k, (one, least) in enumerate(((data, reference), (asimov, base))):
                starts[k][:, self.poi] = mu
                fit = model.fit_batch(one, starts[k], held)
                q = fit.deviance - least
                good = fit.converged & (q > 0) & (squares[k] > 0)
                starts[k][good] = fit.parameters[good]
                widths[k][good] = np.sqrt(squares[k][good] / q[good])
                known[k] |= good
            mu = _limit_of_parabolas(best, *widths)
        return np.where(known.all(axis=0), mu, np.nan)


def _limit_of_parabolas(best: Floats, width: Floats, of_background: Floats) -> Floats:
    """Return where CLs is 5 % for parabolas: of data about the best values, of the background about 0, (E,)."""
    low = np.maximum(best, 0.0)
    high = low + 10 * np.maximum(width, of_background)
    for _ in range(BISECTIONS):
        mu = 0.5 * (low + high)
        q = ((mu - best) ** 2 - np.minimum(best, 0.0) ** 2) / width**2
        above = cls_from_q(np.maximum(q, 0.0), (mu / of_background) ** 2) > 1 - LEVEL
        low, high = np.where(above, mu, low), np.where(above, high, mu)
    return np.asarray(0.5 * (low + high))


def _signed_z(without: Batch, free: Batch, poi: int) -> Floats:
    """Return sqrt(q0) with the sign of the fitted strength, (E,)."""
    q0 = np.maximum(without.deviance - free.deviance, 0.0)
    return np.asarray(np.sign(free.parameters[:, poi]) * np.sqrt(q0))


def _rows(batch: Batch, rows: npt.NDArray[Any]) -> Batch:
    return Batch(*(a[rows] for a in batch))


def _improve(model: HistFactoryModel, data: Data, free: Batch, within: Batch) -> None:
    """Fit again from a fit that must not be lower, where it is; changes the first."""
    bad = np.flatnonzero(within.converged & ~(free.converged & (free.deviance <= within.deviance + HIGHER)))
    if len(bad):
        again = model.fit_batch(
            Data(*(a[bad] for a in data)), within.parameters[bad], np.zeros(within.parameters.shape[1], dtype=bool)
        )
        better = again.converged & (again.deviance < np.where(free.converged[bad], free.deviance[bad], np.inf))
        for old, new in zip(free, again, strict=True):
            old[bad[better]] = new[better]


def bins_of_cells(
    model: HistFactoryModel, sizes: Mapping[str, int], merged: Mapping[str, Sequence[Sequence[int]]]
) -> csr_array:
    """Return which of a model's bins cells by letter are in, 1 or 0, shape (letters x cells, n_bins).

    Args:
        model: its channels are called REGION_LETTER.
        sizes: region -> its number of bins, in the order of the cells.
        merged: region -> the groups of its bins that are the bins of its channels; each bin by itself if it is not there.
    """
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()])[:-1].tolist(), strict=True))
    total = sum(sizes.values())
    cells: list[int] = []
    bins: list[int] = []
    for channel, part in model.spec.slices.items():
        region, letter = channel.rsplit("_", 1)
        groups = merged.get(region) or [[i] for i in range(sizes[region])]
        for place, group in zip(range(part.start, part.stop), groups, strict=True):
            cells += ["ABCD".index(letter) * total + starts[region] + i for i in group]
            bins += [place] * len(group)
    return csr_array((np.ones(len(cells)), (cells, bins)), shape=(4 * total, model.spec.n_bins))
