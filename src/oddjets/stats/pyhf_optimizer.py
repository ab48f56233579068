"""The fast fit as an optimizer for pyhf: `pyhf.set_backend("numpy", PyhfOptimizer())`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyhf
from scipy.optimize import OptimizeResult

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.hessian import SingularModelError
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError, FitResult
from oddjets.stats.histfactory.workspace_sources import load_workspace
from oddjets.stats.inference.estimates import error_of, two_sided_error

__all__ = ["PyhfOptimizer", "correlations", "errors", "fitted_model", "model_of"]

log = logging.getLogger(__name__)

#: options of pyhf's minimisers; the fast fit always goes to the minimum and needs none
_OPTIONS = frozenset({"maxiter", "method", "solver_options", "strategy", "tolerance", "verbose"})


def model_of(pdf: Any) -> HistFactoryModel:
    """Return the fast fit's model of a `pyhf.Model`, without data and parameter of interest.

    Raises:
        OddjetsError: the fast fit does not support its likelihood.
    """
    workspace = load_workspace((pdf, np.zeros(pdf.config.nmaindata + pdf.config.nauxdata)))
    # a fit needs no parameter of interest, so mistakes in it must not prevent the fit
    workspace["measurements"][0]["config"]["poi"] = ""
    model = HistFactoryModel(workspace)
    if list(model.parameters.names) != list(pdf.config.par_names):
        raise OddjetsError("the parameters of the model are not those of its specification")
    return model


def fitted_model(
    model: HistFactoryModel,
    data: Sequence[float] | np.ndarray,
    init: Sequence[float],
    bounds: Sequence[Sequence[float | None]],
    fixed: Sequence[bool],
) -> HistFactoryModel:
    """Return the model with the data, start, bounds and fixed parameters of a fit in pyhf.

    Args:
        model: from `model_of`.
        data: main and auxiliary data.
        init: starting values; fixed parameters keep them.
        bounds: lower and upper bound of each parameter; None: unbounded.
        fixed: which parameters are held constant.
    """
    low, high = (
        np.array([fallback if b[side] is None else b[side] for b in bounds], dtype=float)
        for side, fallback in ((0, -np.inf), (1, np.inf))
    )
    p = model.parameters
    # a constraint without a width holds its parameter constant
    pinned = np.asarray(fixed, dtype=bool) | (p.constrained & (p.sigma <= 0))
    return model.adjusted(model.from_pyhf(data), np.asarray(init, dtype=float), low, high, pinned)


def errors(model: HistFactoryModel, best: FitResult) -> np.ndarray:
    """Return the parameters' errors, (n,): at a bound the one-sided error, zero for fixed parameters."""
    result = best.errors.copy()
    for name in best.at_bounds:
        # free factors of single bins may be hundreds
        if not model.parameters.binned[model.parameters.index(name)]:
            try:
                result[model.parameters.index(name)] = error_of(best, name, two_sided_error(model, name, best))[0]
            except OddjetsError as error:
                log.warning("%s ends at a bound, and its one-sided error was not found: %s", name, error)
    return result


def correlations(best: FitResult, error: np.ndarray) -> np.ndarray:
    """Return the correlation matrix, (n, n): zero rows for fixed parameters, as in pyhf; only a diagonal entry at a bound."""
    scale = np.where(best.errors > 0, best.errors, np.inf)
    result = best.covariance / scale[:, None] / scale
    np.fill_diagonal(result, (error > 0).astype(float))
    return result


class PyhfOptimizer:
    """An optimizer for `pyhf.set_backend` that minimises pyhf's likelihood with the fast fit.

    `pyhf.infer.mle.fit`, `fixed_poi_fit`, `hypotest`, `upper_limits` and toys run on it unchanged. Uncertainties and
    correlations are those of the exact Hessian. Another objective than pyhf's `twice_nll`, a model that the fast fit does not
    support (custom modifiers, another interpolation) or a backend other than NumPy in double precision is fitted
    by pyhf's MINUIT, or by SLSQP if iminuit is not installed; this is logged once.

    Attributes:
        name: the name shown by pyhf.
    """

    name = "oddjets"

    def __init__(self) -> None:
        self._models: WeakKeyDictionary[Any, HistFactoryModel | str] = WeakKeyDictionary()
        self._logged: set[str] = set()

    def minimize(
        self,
        objective: Callable[..., Any],
        data: Any,
        pdf: Any,
        init_pars: Sequence[float],
        par_bounds: Sequence[Sequence[float]],
        fixed_vals: Sequence[tuple[int, float]] | None = None,
        return_fitted_val: bool = False,
        return_result_obj: bool = False,
        return_uncertainties: bool = False,
        return_correlations: bool = False,
        do_grad: bool | None = None,
        do_stitch: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Find the parameters that minimise the objective; the arguments and what is returned are those of pyhf's optimizers.

        Args:
            objective: `pyhf.infer.mle.twice_nll`.
            data: main and auxiliary data.
            pdf: the `pyhf.Model`.
            init_pars: starting values.
            par_bounds: bounds of each parameter.
            fixed_vals: pairs of a parameter's index and its fixed value.
            return_fitted_val: also return the value at the minimum.
            return_result_obj: also return a `scipy.optimize.OptimizeResult`.
            return_uncertainties: the parameters become columns of values and uncertainties, (n, 2).
            return_correlations: also return the correlation matrix.
            do_grad: for pyhf's own optimizer.
            do_stitch: for pyhf's own optimizer.
            **kwargs: options of pyhf's minimisers; the fast fit needs none of them.

        Returns:
            The parameters, or a tuple: parameters, correlations, minimum, result, if requested.

        Raises:
            pyhf.exceptions.FailedMinimization: the fit did not converge, or errors are requested and the data do
                not constrain all parameters.
            pyhf.exceptions.InvalidPdfData: data of another length, or not all finite.
            pyhf.exceptions.Unsupported: an unknown option.
        """
        model = self._model(objective, pdf)
        if isinstance(model, str):
            return self._pyhf_optimizer(model).minimize(
                objective,
                data,
                pdf,
                init_pars,
                par_bounds,
                fixed_vals,
                return_fitted_val=return_fitted_val,
                return_result_obj=return_result_obj,
                return_uncertainties=return_uncertainties,
                return_correlations=return_correlations,
                do_grad=do_grad,
                do_stitch=do_stitch,
                **kwargs,
            )
        if unknown := sorted(set(kwargs) - _OPTIONS):
            raise pyhf.exceptions.Unsupported(f"Unsupported options were passed in: {unknown}.")
        init, fixed = np.array(init_pars, dtype=float), np.zeros(len(init_pars), dtype=bool)
        for index, value in fixed_vals or ():
            init[index], fixed[index] = value, True
        try:
            model = fitted_model(model, data, init.tolist(), par_bounds, fixed.tolist())
        except OddjetsError as error:
            raise pyhf.exceptions.InvalidPdfData(str(error)) from None
        result = _minimum(model, with_covariance=return_uncertainties or return_correlations)
        if return_uncertainties:
            result.x = np.stack([result.x, result.unc], axis=1)
        returns = [result.x]
        if return_correlations:
            returns.append(result.corr)
        if return_fitted_val:
            returns.append(result.fun)
        if return_result_obj:
            returns.append(result)
        return tuple(returns) if len(returns) > 1 else returns[0]

    def _model(self, objective: Callable[..., Any], pdf: Any) -> HistFactoryModel | str:
        """Return the fast fit's model, or the reason why there is none."""
        if objective is not pyhf.infer.mle.twice_nll:
            return "the objective is not pyhf's twice_nll"
        tensorlib, _ = pyhf.get_backend()
        if tensorlib.name != "numpy" or tensorlib.precision != "64b":
            return f"the backend is {tensorlib.name} with {tensorlib.precision} numbers and not NumPy with 64b"
        if not isinstance(pdf, pyhf.Model):
            return "the likelihood is not a pyhf.Model"
        if pdf not in self._models:
            try:
                self._models[pdf] = model_of(pdf)
            except OddjetsError as error:
                self._models[pdf] = str(error)
        return self._models[pdf]

    def _pyhf_optimizer(self, reason: str) -> Any:
        """Return the optimizer of pyhf itself; log the reason for it once."""
        try:
            own = pyhf.optimize.minuit_optimizer()
        except pyhf.exceptions.ImportBackendError:
            own = pyhf.optimize.scipy_optimizer()
        if reason not in self._logged:
            self._logged.add(reason)
            log.warning("the fit uses pyhf's %s instead of the fast fit: %s", own.name, reason)
        return own


def _minimum(model: HistFactoryModel, *, with_covariance: bool) -> OptimizeResult:
    try:
        best = model.fit(with_covariance=with_covariance)
    except (FitError, SingularModelError) as error:
        failure = OptimizeResult(x=model.parameters.init, fun=np.nan, success=False, message=str(error))
        raise pyhf.exceptions.FailedMinimization(failure) from error
    spread = errors(model, best) if with_covariance else None
    return OptimizeResult(
        x=best.values,
        fun=np.asarray(best.twice_nll),
        unc=spread,
        corr=None if spread is None else correlations(best, spread),
        hess_inv=best.covariance if with_covariance else None,
        success=True,
        message="Optimization terminated successfully.",
        nit=best.iterations,
    )
