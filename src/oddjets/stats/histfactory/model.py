"""The fast fit of any HistFactory model: the same likelihood as pyhf's, its minimum in milliseconds, batches of toys."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import gammaln, xlogy

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.arrow import ArrowInverse
from oddjets.stats.histfactory.barlow_beeston import Gammas
from oddjets.stats.histfactory.expected import evaluate
from oddjets.stats.histfactory.hessian import Covariance, SingularModelError, covariance, depends_on
from oddjets.stats.histfactory.likelihood import Constraints, Problem
from oddjets.stats.histfactory.minima import fit_once, lowest_minima
from oddjets.stats.histfactory.results import Batch, Data, FitError, FitResult, HeldBins, ImpossiblePointError
from oddjets.stats.histfactory.starts import NonlinearParameters, nonlinear_parameters, possible_start
from oddjets.stats.histfactory.tensors import Layout, compile_layout
from oddjets.stats.histfactory.workspace_reader import Parameters, Spec, read
from oddjets.stats.histfactory.workspace_sources import Patch, WorkspaceSource, load_workspace

__all__ = ["HistFactoryModel"]

#: fewer expected events than this are zero in Asimov data, such as remainders of a fit at a kink; the number is smaller in
#: proportion in bins where the model starts with less than one event
NOTHING = 1e-7
#: the most times that a fit is continued from a saddle point
MAX_SADDLES = 4
#: a parameter is constant if its bounds differ by less than this fraction of them
ONE_VALUE = 1e-9


class HistFactoryModel:
    """A workspace's likelihood.

    Args:
        workspace: a workspace (a dictionary, a `pyhf.Workspace`), its file, or a `pyhf.Model` and its data, as a pair.
        poi: the parameter of interest; None: the measurement's.
        measurement: which measurement; None: the first.
        patches: what to change in the workspace first, such as a signal to put in: JSON patches, their files, or a patch set
            and the patch's name or values, as a pair (see `workspace_sources.load_workspace`).
        schema: compare it with pyhf's schema, which takes most of the time; a workspace that `oddjets.stats` has just built
            follows it.

    Raises:
        WorkspaceError: the workspace describes no model (see `workspace_reader.read`), or a patch does not apply.
        InputFileError: a file cannot be read.
        OddjetsError: the parameter of interest doesn't exist, is no scalar, or nothing depends on it; or patches of a pair.
    """

    def __init__(
        self,
        workspace: WorkspaceSource,
        poi: str | None = None,
        measurement: str | None = None,
        *,
        patches: Iterable[Patch] = (),
        schema: bool = True,
    ) -> None:
        patches = [patches] if isinstance(patches, (str, Path)) else list(patches)
        if patches and isinstance(workspace, tuple):
            raise OddjetsError(
                "patches apply to a workspace, not to a pyhf.Model with its data; patch the workspace first"
            )
        self.spec: Spec = read(load_workspace(workspace, patches), measurement, poi, schema=schema)
        self.layout: Layout = compile_layout(self.spec)
        self.parameters: Parameters = self.spec.parameters
        self.poi: str | None = self.spec.poi
        # a pair's data have auxiliary measurements of their own
        self.data = self.from_pyhf(workspace[1] if isinstance(workspace, tuple) else self.spec.pyhf_data)
        if self.poi is not None:
            self.poi = self._check_poi(self.poi)

    def _check_poi(self, poi: str) -> str:
        """Refuse a parameter of interest without effect; return its name."""
        p, index = self.parameters, self.parameters.index(poi)
        self.check_free(poi)
        if not p.constrained[index]:
            # anywhere, so that no other factor is zero
            width = np.where(p.constrained, p.sigma, np.maximum(np.abs(p.init), 1.0))
            points = np.clip(p.init + np.random.default_rng(1).uniform(0.2, 0.8, (2, len(p))) * width, p.low, p.high)
            if not any(depends_on(self, point, index) for point in points):
                raise OddjetsError(
                    f"nothing depends on the parameter of interest '{poi}': it acts on no process with events in any region of "
                    "the fit"
                )
        return p.names[index]

    def check_free(self, name: str) -> None:
        """Refuse a parameter that is constant, because it has no error and no profile.

        Args:
            name: the parameter.

        Raises:
            OddjetsError: no such parameter, it is fixed, or its bounds are equal (within `ONE_VALUE` of them).
        """
        p = self.parameters
        index = p.index(name)
        if p.fixed[index]:
            raise OddjetsError(
                f"'{name}' is fixed at {p.init[index]:g} by the measurement, so it has no error, significance, limit or scan; "
                "set 'fixed': false, or choose another parameter"
            )
        if p.high[index] - p.low[index] <= ONE_VALUE * max(abs(p.low[index]), abs(p.high[index])):
            raise OddjetsError(
                f"the bounds of '{name}' leave it one value, {p.low[index]:g}, so it has no error, significance, limit "
                "or scan; widen them, or choose another parameter"
            )

    def adjusted(
        self, data: Data, init: np.ndarray, low: np.ndarray, high: np.ndarray, fixed: np.ndarray
    ) -> HistFactoryModel:
        """Return the same model with other data, and another start, other bounds, other fixed parameters, all (n,)."""
        result = copy.copy(self)
        result.data = data
        result.parameters = replace(self.parameters, init=init, low=low, high=high, fixed=fixed)
        # depends on the starting point
        result.__dict__.pop("nonlinear", None)
        return result

    def from_pyhf(self, data: Sequence[float] | np.ndarray) -> Data:
        """Split pyhf data, shape (T, n) or (n,), into main and auxiliary data (see `Spec.split`)."""
        return Data(*self.spec.split(data))

    def to_pyhf(self, data: Data) -> np.ndarray:
        """Join main and auxiliary data in pyhf's order, (T, n)."""
        return np.concatenate([data.main, data.aux[:, self.spec.aux_order]], axis=1)

    def split(self, pars: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return global, local and gamma parameters, (T, K), (T, N + 1, L), (T, P, R - 1), of pyhf vectors (T, n)."""
        layout = self.layout
        local = np.where(layout.block_pars >= 0, pars[:, layout.block_pars], 1.0)
        gamma = np.where(layout.gamma_pars >= 0, pars[:, layout.gamma_pars], 1.0)
        return pars[:, layout.global_pars], local, gamma

    def expected(self, pars: np.ndarray) -> np.ndarray:
        """Return the expected yields, (T, n_bins) or (n_bins,), at parameters (T, n) or (n,)."""
        points = np.atleast_2d(np.asarray(pars, dtype=float))
        alpha, local, gamma = self.split(points)
        rows = evaluate(self.layout, alpha, local).rows
        total = (rows[:, :, 0] + (rows[:, :, 1:] * gamma).sum(axis=2))[:, self.layout.place]
        return np.asarray(total[0] if np.ndim(pars) == 1 else total)

    def bin_deviance(self, pars: np.ndarray, main: np.ndarray) -> np.ndarray:
        """Return each bin's share of -2 log L against the saturated model, (T, n_bins)."""
        rate = np.atleast_2d(self.expected(pars))
        # an empty bin expects no less than nothing, see `barlow_beeston`
        rate = np.where(main > 0, rate, np.maximum(rate, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(main > 0, rate / np.where(main > 0, main, 1.0), 1.0)
            value = 2 * (rate - main - xlogy(main, ratio))
        return np.where(((rate <= 0) & (main > 0)) | np.isnan(value), np.inf, value)

    def deviance(self, pars: np.ndarray, data: Data) -> np.ndarray:
        """Return -2 log L against the saturated model, (T,): differences of it don't suffer from large constants."""
        points = np.atleast_2d(pars)
        p = self.parameters
        normal, poisson = p.kind == "normal", p.kind == "poisson"
        pull = (points[:, normal] - data.aux[:, normal]) / p.sigma[normal]
        count, rate = data.aux[:, poisson], p.factor[poisson] * points[:, poisson]
        with np.errstate(divide="ignore", invalid="ignore"):
            aux = rate - count - xlogy(count, np.where(count > 0, rate / np.where(count > 0, count, 1.0), 1.0))
        return np.asarray(
            self.bin_deviance(points, data.main).sum(axis=1) + (pull**2).sum(axis=1) + 2 * aux.sum(axis=1)
        )

    def constant(self, data: Data) -> np.ndarray:
        """Return -2 log L of the saturated model, (T,): with the deviance, minus twice pyhf's logpdf."""
        p = self.parameters
        counts = np.concatenate([data.main, data.aux[:, p.kind == "poisson"]], axis=1)
        poisson = 2 * (counts - xlogy(counts, np.where(counts > 0, counts, 1.0)) + gammaln(counts + 1)).sum(axis=1)
        return np.asarray(poisson + np.log(2 * np.pi * p.sigma[p.kind == "normal"] ** 2).sum())

    def twice_nll(self, pars: np.ndarray, data: Data | None = None) -> np.ndarray | float:
        """Return minus twice pyhf's full logpdf at parameters (n,) or (T, n)."""
        data = self.data if data is None else data
        value = self.deviance(pars, data) + self.constant(data)
        return float(value[0]) if np.ndim(pars) == 1 else value

    def sample(self, pars: np.ndarray, toys: int, rng: np.random.Generator) -> Data:
        """Generate toys: main data, and auxiliary data about the given parameters as Combine's ``--toysFrequentist``.

        Args:
            pars: the true parameters, (n,).
            toys: how many.
            rng: the random numbers.

        Returns:
            The data sets.
        """
        p = self.parameters
        main = rng.poisson(np.maximum(self.expected(pars), 0.0), size=(toys, self.spec.n_bins)).astype(float)
        aux = np.repeat(p.aux[None], toys, axis=0)
        normal, poisson = p.kind == "normal", p.kind == "poisson"
        aux[:, normal] = rng.normal(pars[normal], p.sigma[normal], size=(toys, int(normal.sum())))
        aux[:, poisson] = rng.poisson(p.factor[poisson] * pars[poisson], size=(toys, int(poisson.sum())))
        # what pyhf holds constant has no measurement to vary
        aux[:, p.fixed] = p.aux[p.fixed]
        return Data(main, aux)

    def asimov(self, pars: np.ndarray) -> Data:
        """Return the data set that equals its expectation at the given parameters; a bin that expects nothing is empty."""
        p, rate, usual = self.parameters, self.expected(pars), self.expected(self.parameters.init)
        nothing = NOTHING * np.where(usual > 0, np.minimum(usual, 1.0), 1.0)
        return Data(np.where(rate > nothing, rate, 0.0)[None], np.where(p.constrained, p.factor * pars, p.aux)[None])

    def problem(self, data: Data, start: np.ndarray, held: np.ndarray) -> Problem:
        """Return the likelihood of data sets, with constraints and bounds, to be minimised.

        Args:
            data: T data sets.
            start: where the fits start, (T, n); held parameters stay there.
            held: mask of the parameters that do not vary, (T, n).
        """
        p, layout = self.parameters, self.layout
        T = len(data.main)
        main = np.concatenate([data.main, np.zeros((T, 1))], axis=1)[:, layout.order]
        gamma = layout.gamma_pars
        there = gamma >= 0
        frozen = np.where(there, held[:, gamma], True)
        centre = np.where(frozen, np.where(there, start[:, gamma], 1.0), data.aux[:, gamma])
        gammas = Gammas(
            centre,
            np.where(frozen, 0.0, p.sigma[gamma] ** 2),
            *(np.where(there, b[gamma], 0)[None] for b in (p.low, p.high)),
        )
        weight = np.where(p.kind == "normal", 1 / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
        poisson = np.where(p.kind == "poisson", p.factor, 0.0)

        def constraints(index: np.ndarray) -> Constraints:
            shape = (T, *index.shape)
            real = index >= 0
            return Constraints(
                np.where(real, data.aux[:, index], 1.0),
                np.broadcast_to(np.where(real, weight[index], 0.0), shape),
                np.broadcast_to(np.where(real, poisson[index], 0.0), shape),
            )

        g, b = layout.global_pars, layout.block_pars
        return Problem(
            data=main,
            gammas=gammas,
            by_global=constraints(g),
            by_local=constraints(b),
            low=p.low[g],
            high=p.high[g],
            held=held[:, g],
            local_low=np.where(b >= 0, p.low[b], 0.0),
            local_high=np.where(b >= 0, p.high[b], 2.0),
            local_held=np.where(b >= 0, held[:, b], True),
        )

    def fit_batch(self, data: Data, start: np.ndarray, held: np.ndarray, *, restarts: bool = False) -> Batch:
        """Fit T data sets.

        Args:
            data: the data sets.
            start: (T, n) or (n,), the starting point; held parameters keep their values.
            held: (T, n) or (n,), mask of the held parameters; those that pyhf holds are held anyway.
            restarts: look for lower minima too (see `minima.lowest_minima`); slower for models that can have several.

        Returns:
            The fits; those that did not converge are marked, and are no result.
        """
        T, n = len(data.main), len(self.parameters)
        start = np.broadcast_to(start, (T, n))
        held = np.broadcast_to(held, (T, n)) | self.parameters.fixed
        batch = fit_once(self, data, start, held)
        return lowest_minima(self, batch, data, held) if restarts else batch

    def fit(
        self,
        fixed: Mapping[str, float] | None = None,
        *,
        data: Data | None = None,
        start: np.ndarray | None = None,
        with_covariance: bool = True,
    ) -> FitResult:
        """Fit one data set.

        Args:
            fixed: parameters to hold, by name.
            data: another data set; None: the workspace's.
            start: where to start, (n,); None: the suggested values.
            with_covariance: compute errors, and refuse a model without a unique minimum.

        Returns:
            The fit.

        Raises:
            FitError: it did not converge, no point is allowed, or directions are left undetermined.
        """
        if fixed is not None and not isinstance(fixed, Mapping):
            raise OddjetsError(f"fixed: names and values of parameters, as {{'mu': 1.0}}; got {fixed!r}")
        p = self.parameters
        data = self.data if data is None else data
        begin = (p.init if start is None else np.asarray(start, dtype=float)).copy()
        held = p.fixed.copy()
        for name, value in (fixed or {}).items():
            begin[p.index(name)] = value
            held[p.index(name)] = True
        batch = self.fit_batch(data, self._possible(begin, held, data), held, restarts=True)
        if not batch.converged[0]:
            raise FitError(
                f"the fit did not converge in {batch.iterations[0]} steps"
                + (f" with {', '.join(f'{k} = {v:g}' for k, v in fixed.items())} held" if fixed else "")
                + "; check the model for parameters that the data cannot tell apart"
            )
        none = np.zeros(0, dtype=int)
        found = Covariance(ArrowInverse.empty(), none, HeldBins(none, np.zeros(0)))
        if with_covariance:
            batch, found = self._with_covariance(batch, data, held)
        values = batch.parameters[0]
        bound = ~held & ((values <= p.low) | (values >= p.high))
        parts, no_effect, kinks = found
        return FitResult(
            names=p.names,
            values=values,
            errors=np.sqrt(np.maximum(parts.diagonal, 0.0)),
            parts=parts,
            twice_nll=float(batch.deviance[0] + self.constant(data)[0]),
            deviance=float(batch.deviance[0]),
            iterations=int(batch.iterations[0]),
            at_bounds=tuple(p.names[i] for i in np.flatnonzero(bound)),
            no_effect=tuple(p.names[i] for i in no_effect),
            kinks=kinks,
        )

    def _with_covariance(self, batch: Batch, data: Data, held: np.ndarray) -> tuple[Batch, Covariance]:
        """Add the covariance to a fit; a fit that ended at a saddle point is continued downhill from there."""
        p = self.parameters
        for _ in range(MAX_SADDLES):
            values = batch.parameters[0]
            try:
                return batch, covariance(self, values, data, ~held & (values > p.low) & (values < p.high))
            except SingularModelError as error:
                if error.downhill is None:
                    raise
                starts = values + np.stack([error.downhill, -error.downhill])
                again = self.fit_batch(Data(*(np.repeat(a, 2, axis=0) for a in data)), starts, held)
                lowest = int(np.argmin(np.where(again.converged, again.deviance, np.inf)))
                if not again.deviance[lowest] < batch.deviance[0] - 1e-7:
                    raise
                batch = Batch(*(a[lowest : lowest + 1] for a in again))
        raise FitError("the fit ended at saddle points of the likelihood repeatedly; add constraints to the model")

    @cached_property
    def nonlinear(self) -> NonlinearParameters:
        """The properties of the model that can give several minima."""
        return nonlinear_parameters(self)

    def _possible(self, start: np.ndarray, held: np.ndarray, data: Data) -> np.ndarray:
        """Return the start, or a possible point near it if the data are impossible there."""
        bad = np.flatnonzero(~np.isfinite(self.bin_deviance(start, data.main)[0]))
        if not len(bad):
            return start
        found = possible_start(self, start, held, data)
        if found is None:
            i = int(bad[0])
            raise ImpossiblePointError(
                f"{self.spec.bin_name(i)} has {data.main[0, i]:g} events where the model starts with "
                f"{self.expected(start)[i]:g}; give it a background, or merge the bin with its neighbour"
            )
        return found
