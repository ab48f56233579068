"""Adapter from the fast fit to cabinetry: results in cabinetry's containers, for cabinetry's figures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2, norm

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Data, FitError, FitResult
from oddjets.stats.inference.estimates import (
    Fits,
    best_fits,
    error_of,
    significance,
    two_sided_error,
    two_sided_errors,
)
from oddjets.stats.inference.limits import BANDS, asimov_profile, cls_from_q, upper_limit
from oddjets.stats.inference.profile import ProfileLikelihood
from oddjets.stats.inference.searches import rises
from oddjets.stats.pyhf_optimizer import correlations, errors, fitted_model, model_of

if TYPE_CHECKING:
    from cabinetry.fit.results_containers import (
        FitResults,
        LimitResults,
        RankingResults,
        ScanResults,
        SignificanceResults,
    )

__all__ = ["CabinetryAdapter"]

log = logging.getLogger(__name__)

#: number of strengths at which CLs is computed, and the largest of them in units of the largest limit
CLS_POINTS, CLS_RANGE = 21, 1.2
#: refits per batch
BATCH = 256


class CabinetryAdapter:
    """The functions of `cabinetry.fit`, for a model and data of `cabinetry.model_utils.model_and_data`.

    Args:
        model: a `pyhf.Model`.
        data: main and auxiliary.
        poi_name: the parameter of interest; None: the model's.
        init_pars: starting values, and the values of fixed parameters; None: the model's.
        fix_pars: which parameters are held constant; None: those that the model holds constant.
        par_bounds: bounds of the parameters; None: the model's.

    Raises:
        OddjetsError: cabinetry is missing, or the fast fit does not know the model's likelihood.
    """

    def __init__(
        self,
        model: Any,
        data: Sequence[float] | np.ndarray,
        *,
        poi_name: str | None = None,
        init_pars: Sequence[float] | None = None,
        fix_pars: Sequence[bool] | None = None,
        par_bounds: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self._containers = _containers()
        config = model.config
        self._model = fitted_model(
            model_of(model),
            data,
            config.suggested_init() if init_pars is None else init_pars,
            config.suggested_bounds() if par_bounds is None else par_bounds,
            config.suggested_fixed() if fix_pars is None else fix_pars,
        )
        self._model.poi = poi_name or config.poi_name
        if self._model.poi is not None:
            self._model.parameters.index(self._model.poi)

    @cached_property
    def _best(self) -> FitResult:
        return self._model.fit()

    @cached_property
    def _errors(self) -> np.ndarray:
        return errors(self._model, self._best)

    @property
    def _poi(self) -> str:
        if self._model.poi is None:
            raise OddjetsError("the model names no parameter of interest; give one as poi_name")
        return self._model.poi

    def fit(self, *, minos: str | Iterable[str] = (), goodness_of_fit: bool = False) -> FitResults:
        """Fit the data.

        Args:
            minos: parameters whose two-sided errors to find, where -2 log of the profile likelihood has risen by one.
            goodness_of_fit: compare with the saturated model, by the chi-square approximation.

        Returns:
            The fit. The error of a parameter at a bound is the one-sided error away from the bound.

        Raises:
            FitError: the fit did not converge.
            SingularModelError: the data cannot tell parameters apart.
        """
        names = [minos] if isinstance(minos, str) else list(minos)
        both = {}
        for name, found in two_sided_errors(self._model, names, self._best).items():
            if isinstance(found, FitError):
                raise found
            both[name] = (-found.down, found.up)
        result: FitResults = self._containers.FitResults(
            bestfit=self._best.values.copy(),
            uncertainty=self._errors.copy(),
            labels=list(self._best.names),
            corr_mat=correlations(self._best, self._errors),
            best_twice_nll=self._best.twice_nll,
            goodness_of_fit=self._p_value() if goodness_of_fit else -1,
            minos_uncertainty=both,
        )
        return result

    def _p_value(self) -> float:
        p = self._model.parameters
        degrees = self._model.spec.n_bins - int((~p.constrained & ~p.fixed).sum())
        if degrees <= 0:
            log.warning("no goodness of fit: the model has %d degrees of freedom", degrees)
            return float("nan")
        return float(chi2.sf(self._best.deviance, degrees))

    def ranking(self) -> RankingResults:
        """Find the impacts of all other parameters on the parameter of interest.

        All other parameters are refitted with one parameter held at its best value plus and minus its error, both the prefit
        error (the width of its constraint) and the postfit error, within its bounds.

        Returns:
            The ranking. Parameters of which a refit did not converge are left out; the log names them.
        """
        p = self._model.parameters
        others = np.delete(np.arange(len(p)), p.index(self._poi))
        prefit = np.where(p.constrained & ~p.fixed, p.sigma, 0.0)
        steps = np.stack([prefit, -prefit, self._errors, -self._errors], axis=1)[others]
        impact = self._shifts(np.repeat(others, 4), steps.ravel()).reshape(-1, 4)
        good = np.isfinite(impact).all(axis=1)
        if not good.all():
            names = ", ".join(p.names[i] for i in others[~good])
            log.warning("the ranking leaves out %s: the refits did not converge", names)
        kept, impact = others[good], impact[good]
        found: RankingResults = self._containers.RankingResults(
            self._best.values[kept], self._errors[kept], [p.names[i] for i in kept], *impact.T
        )
        return found

    def _shifts(self, index: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the shifts of the parameter of interest with parameter `index` moved by a step, (m,); NaN: no convergence."""
        p, best, covariance = self._model.parameters, self._best.values, self._best.covariance
        poi, result = p.index(self._poi), np.zeros(len(index))
        value = np.clip(best[index] + steps, p.low[index], p.high[index])
        moved = np.flatnonzero(value != best[index])
        for part in np.split(moved, range(BATCH, len(moved), BATCH)):
            rows, i = np.arange(len(part)), index[part]
            held = np.zeros((len(part), len(p)), dtype=bool)
            held[rows, i] = True
            variance = np.where(covariance[i, i] > 0, covariance[i, i], np.inf)
            # the minimum of the quadratic approximation; then the best fit itself
            near = best + covariance[i] * ((value[part] - best[i]) / variance)[:, None]
            starts = [np.clip(near, p.low, p.high), np.repeat(best[None], len(part), axis=0)]
            found = np.full(len(part), np.nan)
            for start in starts:
                again = np.flatnonzero(np.isnan(found))
                if not len(again):
                    break
                start[rows, i] = value[part]
                data = Data(*(np.repeat(a, len(again), axis=0) for a in self._model.data))
                batch = self._model.fit_batch(data, start[again], held[again])
                found[again] = np.where(batch.converged, batch.parameters[:, poi], np.nan)
            result[part] = found - best[poi]
        return result

    def scan(self, par_name: str, *, par_range: tuple[float, float] | None = None, n_steps: int = 11) -> ScanResults:
        """Scan the profile likelihood of a parameter.

        Args:
            par_name: the parameter.
            par_range: lower and upper end, within the bounds; None: two errors to both sides.
            n_steps: number of points; those whose fits fail are omitted, and the log names them.

        Returns:
            The scan.

        Raises:
            OddjetsError: the parameter is constant, or the range does not overlap its bounds.
            FitError: no fit converged, or the error was not found.
        """
        self._model.check_free(par_name)
        p, index = self._model.parameters, self._model.parameters.index(par_name)
        value, error = float(self._best.values[index]), float(self._errors[index])
        if not error > 0:
            error = error_of(self._best, par_name, two_sided_error(self._model, par_name, self._best))[0]
        low, high = (value - 2 * error, value + 2 * error) if par_range is None else par_range
        low, high = max(low, float(p.low[index])), min(high, float(p.high[index]))
        if not low < high:
            raise OddjetsError(
                f"par_range: it does not overlap the bounds [{p.low[index]:g}, {p.high[index]:g}] of {par_name}"
            )
        grid = np.linspace(low, high, n_steps)
        height = rises(ProfileLikelihood(self._model, par_name, self._best.values, self._best.deviance), grid.tolist())
        there = np.isfinite(height)
        if not there.any():
            raise FitError(f"no fit of the scan of {par_name} converged")
        if not there.all():
            failed = ", ".join(f"{v:.4g}" for v in grid[~there])
            log.warning("the fits of the scan did not converge at %s = %s: left out", par_name, failed)
        found: ScanResults = self._containers.ScanResults(par_name, value, error, grid[there], height[there])
        return found

    def significance(self) -> SignificanceResults:
        """Find the discovery significance, observed and expected with a strength of one.

        Returns:
            p values and significances; the expected ones are for the Asimov data of a fit to the data with strength one.

        Raises:
            FitError: a fit did not converge, or the model has no fit with strength 0.
        """
        poi = self._poi
        found = significance(self._model, best_fits(self._model))
        one = self._model.fit({poi: 1.0}, start=self._best.values, with_covariance=False)
        data = self._model.asimov(one.values)
        without = self._model.fit({poi: 0.0}, data=data, start=one.values, with_covariance=False).deviance
        z = float(np.sqrt(max(without - float(self._model.deviance(one.values, data)[0]), 0.0)))
        result: SignificanceResults = self._containers.SignificanceResults(found.p_value, found.z, float(norm.sf(z)), z)
        return result

    def limit(self, *, confidence_level: float = 0.95) -> LimitResults:
        """Find the upper limits by CLs, observed and expected.

        Args:
            confidence_level: the confidence level of the limits.

        Returns:
            The limits, NaN where there is none, and CLs at strengths around them. Notes on the limits are logged.
        """
        poi = self._poi
        fits = best_fits(self._model)
        limits = upper_limit(self._model, fits, confidence_level)
        for note in limits.notes:
            log.warning("%s", note)
        all_limits = np.array([limits.observed, *limits.expected])
        grid = np.linspace(0.0, CLS_RANGE * np.nanmax(all_limits), CLS_POINTS)[1:]
        points = np.unique(np.append(grid, all_limits[np.isfinite(all_limits)]))
        observed, expected = _cls(self._model, poi, fits, points)
        there = np.isfinite(observed) & np.isfinite(expected).all(axis=1)
        observed, expected, points = observed[there], expected[there], points[there]
        found: LimitResults = self._containers.LimitResults(
            limits.observed, all_limits[1:], observed, expected, points, confidence_level
        )
        return found


def _cls(model: HistFactoryModel, poi: str, fits: Fits, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return observed, (m,), and expected CLs, (m, 5), of q-tilde at strengths above zero."""
    background, best = fits.background, fits.best
    if background is None:
        raise FitError(f"no CLs: {fits.no_background}")
    hat, points = best[poi], values.tolist()
    q_asimov = np.maximum(rises(asimov_profile(model, background), points), 0.0)
    reference = background.deviance if hat < 0 else best.deviance
    data = ProfileLikelihood(model, poi, best.values, best.deviance, beyond=True)
    q = np.maximum(rises(data, points) + data.minimum.deviance - reference, 0.0)
    expected = norm.sf(np.sqrt(q_asimov)[:, None] - BANDS) / norm.cdf(BANDS)
    return cls_from_q(np.where(values < hat, 0.0, q), q_asimov), expected


def _containers() -> Any:
    try:
        from cabinetry.fit import results_containers
    except ImportError as error:
        raise OddjetsError(f"results for cabinetry's figures need cabinetry ({error}): pip install cabinetry") from None
    return results_containers
