"""What goes into the fast fit and what comes out of it: data sets, batches of fits, one fit with its covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from oddjets.core.errors import OddjetsError

__all__ = ["Batch", "Data", "FitError", "FitResult", "HeldBins", "ImpossiblePointError"]


class FitError(OddjetsError):
    """A fit that did not converge, or has no unique answer; it is never returned as a result."""


class ImpossiblePointError(FitError):
    """Data that the model cannot give where a fit would start: events in a bin where nothing is expected."""


class Data(NamedTuple):
    """Data sets: main bins, (T, n_bins), and auxiliary measurements by parameter, (T, n_parameters)."""

    main: np.ndarray
    aux: np.ndarray


class Batch(NamedTuple):
    """Fits of T data sets: parameters (T, n_parameters) in pyhf's order; deviance (T,); converged (T,); iterations (T,)."""

    parameters: np.ndarray
    deviance: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray


class HeldBins(NamedTuple):
    """Empty bins that the fit holds at an expectation of exactly zero.

    Attributes:
        bins: their positions in the data vector, (k,).
        slope: the likelihood's slopes there, between 0 and 1, (k,).
    """

    bins: np.ndarray
    slope: np.ndarray


@dataclass(frozen=True)
class FitResult:
    """A converged fit.

    Attributes:
        names: parameters in pyhf's order.
        values: their best values, (n,).
        errors: from the inverse Hessian, (n,); zero where held or at a bound.
        covariance: (n, n).
        twice_nll: minus twice pyhf's full logpdf at the minimum.
        deviance: the same against the saturated model.
        iterations: Newton steps.
        at_bounds: free parameters that end at a bound.
        no_effect: free parameters that nothing depends on at the minimum.
        kinks: empty bins that expect exactly nothing; the covariance has no direction that moves them.
    """

    names: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray
    twice_nll: float
    deviance: float
    iterations: int
    at_bounds: tuple[str, ...]
    no_effect: tuple[str, ...]
    kinks: HeldBins

    def __getitem__(self, name: str) -> float:
        """Return a parameter's best value."""
        return float(self.values[self.names.index(name)])

    def error(self, name: str) -> float:
        """Return a parameter's uncertainty."""
        return float(self.errors[self.names.index(name)])
