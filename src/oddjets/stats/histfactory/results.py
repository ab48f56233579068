"""Input and output of the fast fit: data sets, batches of fits, a single fit with its covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.tables import Table, Tabular
from oddjets.stats.histfactory.arrow import ArrowInverse

__all__ = ["Batch", "Data", "FitError", "FitResult", "HeldBins", "ImpossiblePointError"]


#: the number of a fit's parameters that are shown
SHOWN = 40


class FitError(OddjetsError):
    """A fit that did not converge, or has no unique result; it is never returned."""


class ImpossiblePointError(FitError):
    """Data that are impossible at the start of a fit: events in a bin where none are expected."""


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


@dataclass(frozen=True, repr=False)
class FitResult(Tabular):
    """A converged fit.

    Attributes:
        names: parameters in pyhf's order.
        values: their best values, (n,).
        errors: from the inverse Hessian, (n,); zero for parameters that are held or at a bound.
        parts: the covariance, in parts.
        twice_nll: minus twice pyhf's full logpdf at the minimum.
        deviance: -2 log L against the saturated model.
        iterations: Newton steps.
        at_bounds: free parameters that end at a bound.
        no_effect: free parameters without effect at the minimum.
        kinks: empty bins with an expectation of exactly zero; the covariance does not include changes of it.
    """

    names: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    parts: ArrowInverse
    twice_nll: float
    deviance: float
    iterations: int
    at_bounds: tuple[str, ...]
    no_effect: tuple[str, ...]
    kinks: HeldBins

    @cached_property
    def covariance(self) -> np.ndarray:
        """The covariance, (n, n)."""
        return self.parts.dense()

    def __getitem__(self, name: str) -> float:
        """Return a parameter's best value.

        Raises:
            OddjetsError: there is no such parameter.
        """
        return float(self.values[self._index(name)])

    def error(self, name: str) -> float:
        """Return a parameter's uncertainty.

        Raises:
            OddjetsError: there is no such parameter.
        """
        return float(self.errors[self._index(name)])

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise OddjetsError(f"the fit has no parameter '{name}'; {nearest(name, self.names)}")
        return self.names.index(name)

    @property
    def _headline(self) -> str:
        bounds = f"; at a bound: {len(self.at_bounds)}" if self.at_bounds else ""
        return f"fit of {len(self.names)} parameters: -2 log L = {self.twice_nll:.6g} after {self.iterations} steps{bounds}"

    def _tables(self) -> list[Table]:
        """Return one table, of the first `SHOWN` parameters, those of single bins last."""
        order = sorted(range(len(self.names)), key=lambda i: "[" in self.names[i])
        rows: list[tuple[str, ...]] = [
            (
                self.names[i],
                f"{self.values[i]:.5g}",
                f"{self.errors[i]:.3g}" if self.errors[i] > 0 else "-",
                "at a bound" if self.names[i] in self.at_bounds else "",
            )
            for i in order[:SHOWN]
        ]
        if len(order) > SHOWN:
            rows.append((f"... and {len(order) - SHOWN} more", "", "", ""))
        return [(("parameter", "value", "error", ""), rows)]
