"""Toys: the saturated goodness of fit, and the significance without asymptotic formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from oddjets.core.console import progress as progress_bar
from oddjets.core.errors import OddjetsError
from oddjets.core.tables import Table, shown_as_table
from oddjets.stats.histfactory.hessian import SingularModelError, covariance, jacobian
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Batch, Data, FitError, FitResult
from oddjets.stats.inference.estimates import Fits
from oddjets.stats.shown_numbers import p_from_toys

__all__ = ["GoodnessOfFitTest", "ToyFits", "ToySignificance", "goodness_of_fit", "letter_bins", "toy_significance"]


#: number of toys per seed, so that the first toys do not depend on the total number
GROUP = 128
#: a factor without constraint starts no lower than at this fraction of the truth
SMALLEST_START = 0.1


@shown_as_table
class GoodnessOfFitTest(NamedTuple):
    """The saturated goodness of fit.

    Attributes:
        statistic: -2 log L against the saturated model, summed over the selected bins.
        p_value: (1 + toys at least as large) / (1 + toys that converged).
        toys: number of generated toys.
        failed: number of toys whose fits did not converge; they are omitted.
        distribution: the toys' statistics, (toys - failed,).
    """

    statistic: float
    p_value: float
    toys: int
    failed: int
    distribution: np.ndarray

    @property
    def _headline(self) -> str:
        return f"goodness of fit: {p_from_toys(self.p_value, self.toys, self.failed)}"

    def _tables(self) -> list[Table]:
        return [(("statistic", "toys", "failed"), [(f"{self.statistic:.4g}", self.toys, self.failed)])]


@shown_as_table
class ToySignificance(NamedTuple):
    """The p value of q0 from background toys, the numbers of generated and failed toys, and their q0."""

    p_value: float
    toys: int
    failed: int
    distribution: np.ndarray

    @property
    def _headline(self) -> str:
        return f"significance from toys: {p_from_toys(self.p_value, self.toys, self.failed)}"

    def _tables(self) -> list[Table]:
        return [(("toys", "failed"), [(self.toys, self.failed)])]


def letter_bins(model: HistFactoryModel, letters: Sequence[str] | None) -> np.ndarray:
    """Return the mask of the bins, (n_bins,), of channels that have one of the names or end in one of the letters; None: all.

    Raises:
        OddjetsError: a letter without a channel.
    """
    mask = np.zeros(model.spec.n_bins, dtype=bool)
    ends = {channel: {channel, channel.rsplit("_", 1)[-1]} for channel in model.spec.slices}
    unknown = [x for x in letters or () if not any(x in names for names in ends.values())]
    if unknown:
        raise OddjetsError(
            f"no channel is called or ends in {' or '.join(unknown)}; channels: {', '.join(model.spec.slices)}"
        )
    for channel, part in model.spec.slices.items():
        mask[part] = letters is None or not ends[channel].isdisjoint(letters)
    return mask


def _in_groups(
    model: HistFactoryModel,
    truth: np.ndarray,
    toys: int,
    seed: int,
    what: str,
    show: bool,
    work: Callable[[Data], np.ndarray],
) -> np.ndarray:
    """Generate toys in groups, each with its own seed, and collect the results of `work`: (toys, ...)."""
    results = []
    sizes = [min(GROUP, toys - i) for i in range(0, toys, GROUP)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    if not show:
        return np.concatenate(
            [work(model.sample(truth, n, np.random.default_rng(s))) for n, s in zip(sizes, seeds, strict=True)]
        )
    with progress_bar(what, toys) as bar:
        for n, s in zip(sizes, seeds, strict=True):
            results.append(work(model.sample(truth, n, np.random.default_rng(s))))
            bar.advance(n)
    return np.concatenate(results)


class ToyFits:
    """Fits of toys generated from one point of a model.

    A toy's fit starts from the linear response to its fluctuations: the truth minus the gradient there
    times the covariance of the Asimov data. Fits that fail are repeated once from the model's own start; second minima are
    not searched for.

    Args:
        model: the model.
        truth: the parameters that the toys are generated from, (n,); held parameters keep these values.
        held: mask of the held parameters, (n,).
    """

    def __init__(self, model: HistFactoryModel, truth: np.ndarray, held: np.ndarray) -> None:
        p = model.parameters
        self.model, self.truth, self.held = model, truth, held | p.fixed
        moving = ~self.held & (truth > p.low) & (truth < p.high)
        # global parameters at a bound respond as well; the start is clipped to the bounds
        moving[model.layout.global_pars] = ~self.held[model.layout.global_pars]
        try:
            matrix = covariance(model, truth, model.asimov(truth), moving).matrix
        except SingularModelError:
            # parameters that the truth's own data do not determine start at the truth
            matrix = np.zeros((len(p), len(p)))
        rate = model.expected(truth)
        slope = jacobian(model, truth) / np.where(rate > 0, rate, np.inf)[:, None]
        weight = np.where(p.kind == "normal", 1 / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
        weight[p.kind == "poisson"] = 1 / np.maximum(truth[p.kind == "poisson"], 1e-300)
        self._rate, self._by_main, self._by_aux = rate, slope @ matrix, weight[:, None] * matrix
        # no factor starts at zero: no events would be expected in bins that have events
        self._least = np.where(p.constrained, p.low, np.maximum(p.low, np.minimum(SMALLEST_START * truth, truth)))

    def __call__(self, data: Data) -> Batch:
        """Fit toys."""
        model, p = self.model, self.model.parameters
        centre = np.where(p.kind == "poisson", p.factor * self.truth, self.truth)
        response = (data.main - self._rate) @ self._by_main + (data.aux - centre) @ self._by_aux
        start = np.where(self.held, self.truth, np.clip(self.truth + response, self._least, p.high))
        batch = model.fit_batch(data, start, self.held)
        bad = np.flatnonzero(~batch.converged)
        if len(bad):
            begin = np.where(self.held, self.truth, p.init)
            retry = model.fit_batch(Data(data.main[bad], data.aux[bad]), begin, self.held)
            for old, new in zip(batch, retry, strict=True):
                old[bad] = new
        return batch


def goodness_of_fit(
    model: HistFactoryModel,
    fit: FitResult,
    toys: int,
    *,
    letters: Sequence[str] | None = None,
    signal: bool = True,
    seed: int = 1,
    progress: bool = False,
) -> GoodnessOfFitTest:
    """Compare the fit's saturated likelihood ratio with that of toys generated from the fit.

    Every toy is fitted in all channels; the statistic is summed over the selected bins, without constraint terms.

    Args:
        model: the model.
        fit: the fit of the data, with the signal or without.
        toys: number of toys.
        letters: letters or channels to evaluate it in; None: all.
        signal: whether the POI is free in the toys' fits, as in `fit`; False: it is held at 0.
        seed: seed of the random numbers.
        progress: show a progress bar.

    Returns:
        The statistic, its p value and the toys' statistics.

    Raises:
        FitError: no toy could be fitted.
    """
    mask = letter_bins(model, letters)
    held = np.zeros(len(model.parameters), dtype=bool)
    if not signal and model.poi is not None:
        held[model.parameters.index(model.poi)] = True

    fit_toys = ToyFits(model, fit.values, held)

    def work(data: Data) -> np.ndarray:
        batch = fit_toys(data)
        value = model.bin_deviance(batch.parameters, data.main)[:, mask].sum(axis=1)
        return np.where(batch.converged, value, np.nan)

    observed = float(model.bin_deviance(fit.values, model.data.main)[0, mask].sum())
    values = _in_groups(model, fit.values, toys, seed, "goodness of fit", progress, work)
    good = values[np.isfinite(values)]
    if not len(good):
        raise FitError(f"none of the {toys} toys for the goodness of fit could be fitted")
    return GoodnessOfFitTest(
        observed, float((1 + (good >= observed).sum()) / (1 + len(good))), toys, int(toys - len(good)), good
    )


def toy_significance(
    model: HistFactoryModel, fits: Fits, toys: int, *, seed: int = 1, progress: bool = False
) -> ToySignificance:
    """Find the p value of the observed q0 from toys of the background-only fit.

    Args:
        model: with a parameter of interest.
        fits: the fits of the observed data.
        toys: number of toys.
        seed: seed of the random numbers.
        progress: show a progress bar.

    Returns:
        The p value, (1 + toys at least as large) / (1 + toys), and the toys' q0.
    """
    index = model.parameters.index(str(model.poi))
    free = np.zeros(len(model.parameters), dtype=bool)
    held = free.copy()
    held[index] = True
    if fits.background is None:
        raise FitError(f"there is no significance: {fits.no_background}")
    start = fits.background.values

    fit_without, fit_with = ToyFits(model, start, held), ToyFits(model, start, free)

    def work(data: Data) -> np.ndarray:
        without, free_fit = fit_without(data), fit_with(data)
        q0 = np.maximum(without.deviance - free_fit.deviance, 0.0)
        q0 = np.where(free_fit.parameters[:, index] > 0, q0, 0.0)
        return np.where(without.converged & free_fit.converged, q0, np.nan)

    values = _in_groups(model, start, toys, seed, "toys of the background", progress, work)
    good = values[np.isfinite(values)]
    if not len(good):
        raise FitError(f"none of the {toys} background toys could be fitted")
    observed = max(fits.background.deviance - fits.best.deviance, 0.0) if fits.best[str(model.poi)] > 0 else 0.0
    return ToySignificance(float((1 + (good >= observed).sum()) / (1 + len(good))), toys, int(toys - len(good)), good)
