r"""The ratio of two densities by logistic regression with Gaussian kernels, of many samples against one reference at once.

The method is that of the New Physics Learning Machine with kernels (M. Letizia et al., Eur. Phys. J. C 82 (2022) 879,
arXiv:2204.02317): $f(x) = \sum_i a_i\,e^{-|x - x_i|^2/2\sigma^2}$ with centres $x_i$ drawn from the events (Nystrom) minimises

$$\sum_r w_r \log(1+e^{f}) + \sum_d \log(1+e^{-f}) + \lambda N\,a^\mathsf{T}Ka$$

over reference events $r$, whose weights add up to what is expected, and data $d$; N is the number of all events. The test
statistic is $t = -2\,[\sum_r w_r (e^f - 1) - \sum_d f]$. Here $K$ is diagonalised, so that the penalty is the square of the
coefficients and small eigenvalues can be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

__all__ = ["ComparedSample", "KernelBasis", "RatioFit", "distance_quantiles", "fit_ratios"]

Floats = npt.NDArray[np.float64]

#: eigenvalues of the kernel's matrix below this part of the largest are rounding errors
SMALLEST = 1e-10
#: rows whose kernels are computed at once
_ROWS = 20_000
#: half of the decrease that a Newton step still promises; t changes by less than this
TOLERANCE = 1e-6
#: steps with a fixed matrix; each of them lowers the loss, so that more are needed only where f is large
_STEPS, _NEWTON_STEPS = 40, 60


class ComparedSample(NamedTuple):
    """A sample that is compared with the reference.

    Attributes:
        values: the basis functions at its events, (n, functions).
        rows: of the reference, that are its events and are taken from it, (n,); None: they are no part of it.
        weights: of its events, (n,); None: 1.
    """

    values: Floats
    rows: npt.NDArray[np.integer] | None = None
    weights: Floats | None = None


@dataclass(frozen=True)
class RatioFit:
    """Fits of samples to one reference.

    Attributes:
        coefficients: of the basis functions; the logarithm of the ratio is their product, (samples, functions).
        statistics: t of each sample, (samples,).
        converged: whether the minimum was found, (samples,).
    """

    coefficients: Floats
    statistics: Floats
    converged: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KernelBasis:
    """The leading eigenfunctions of Gaussian kernels at some centres.

    Attributes:
        centres: shape (M, columns).
        width: of the kernels, in the columns' unit.
        weights: kernels -> functions whose squared coefficients are the penalty, (M, functions).
    """

    centres: Floats
    width: float
    weights: Floats

    @classmethod
    def at(cls, centres: Floats, width: float, most: int | None = None) -> KernelBasis:
        """Return the basis of kernels at centres.

        Args:
            centres: shape (M, columns).
            width: of the kernels.
            most: the largest number of functions, those with the largest eigenvalues; None: all but rounding errors.
        """
        values, vectors = np.linalg.eigh(_kernels(centres, centres, width))
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = int((values > SMALLEST * values[0]).sum())
        kept = kept if most is None else min(kept, most)
        return cls(centres, width, vectors[:, :kept] / np.sqrt(values[:kept]))

    def of(self, x: Floats) -> Floats:
        """Return the functions at events, (n, functions); the events have shape (n, columns)."""
        found = np.empty((len(x), self.weights.shape[1]))
        for start in range(0, len(x), _ROWS):
            part = slice(start, start + _ROWS)
            found[part] = _kernels(x[part], self.centres, self.width) @ self.weights
        return found


def _kernels(x: Floats, centres: Floats, width: float) -> Floats:
    squares = _squares(x, centres)
    squares *= -0.5 / width**2
    return np.asarray(np.exp(squares, out=squares))


def _squares(x: Floats, y: Floats) -> Floats:
    """Return squared distances, (n, m)."""
    found = x @ (-2.0 * y.T)
    found += np.square(x).sum(axis=1)[:, None]
    found += np.square(y).sum(axis=1)
    return np.maximum(found, 0.0, out=found)


def distance_quantiles(x: Floats, quantiles: Sequence[float], rng: np.random.Generator, most: int = 1000) -> Floats:
    """Return quantiles of the distances of pairs of events, (quantiles,).

    Args:
        x: shape (n, columns).
        quantiles: between 0 and 1.
        rng: chooses the events whose distances are taken.
        most: how many events at most.
    """
    some = x if len(x) <= most else x[rng.choice(len(x), most, replace=False)]
    squares = _squares(some, some)[np.triu_indices(len(some), 1)]
    return np.asarray(np.sqrt(np.quantile(squares, quantiles)))


def fit_ratios(
    reference: Floats, weights: Floats, samples: Sequence[ComparedSample], penalty: float, tolerance: float = TOLERANCE
) -> RatioFit:
    """Fit the ratio of the density of each sample to that of the reference.

    Each step solves with a matrix that is at least that of the second derivatives, so that the loss falls in every step
    (D. Boehning and B. Lindsay, Ann. Inst. Stat. Math. 40 (1988) 641). All samples take it together: nearly all of the time
    goes into products of large matrices. Newton steps finish the few that are left.

    Args:
        reference: the basis functions at the reference events, (N, functions).
        weights: of the reference events, (N,).
        samples: what is compared with it.
        penalty: the factor of the sum of squared coefficients: lambda times the number of all events.
        tolerance: of t.
    """
    functions = reference.shape[1]
    ridge = 2.0 * penalty * np.eye(functions)
    gram = reference.T @ (weights[:, None] * reference)
    bounds = []
    for sample in samples:
        own = sample.values.T @ (_data_weights(sample)[:, None] * sample.values)
        own -= sample.values.T @ (_taken(weights, sample)[:, None] * sample.values)
        bounds.append(cho_factor(0.25 * (gram + own) + ridge))
    found = np.zeros((functions, len(samples)))
    waiting = np.arange(len(samples))
    for _ in range(_STEPS):
        slopes = _slopes(reference, weights, [samples[int(i)] for i in waiting], found[:, waiting], penalty)
        steps = np.stack([cho_solve(bounds[i], slopes[:, k]) for k, i in enumerate(waiting)], axis=1)
        found[:, waiting] -= steps
        waiting = waiting[(slopes * steps).sum(axis=0) > tolerance]
        if not len(waiting):
            break
    converged = np.ones(len(samples), bool)
    for i in waiting:
        found[:, i], converged[i] = _newton(reference, weights, samples[int(i)], found[:, i], penalty, tolerance)
    return RatioFit(found.T, _statistics(reference, weights, samples, found), converged)


def _data_weights(sample: ComparedSample) -> Floats:
    return np.ones(len(sample.values)) if sample.weights is None else sample.weights


def _taken(weights: Floats, sample: ComparedSample) -> Floats:
    """Return what the events of a sample weigh in the reference, from which they are taken, (n,)."""
    return np.zeros(len(sample.values)) if sample.rows is None else np.asarray(weights[sample.rows])


def _slopes(reference: Floats, weights: Floats, samples: Sequence[ComparedSample], b: Floats, penalty: float) -> Floats:
    """Return the gradients of the losses, (functions, samples), at coefficients of the same shape."""
    passing = expit(reference @ b)
    passing *= weights[:, None]
    slopes = reference.T @ passing + 2.0 * penalty * b
    for k, sample in enumerate(samples):
        high = expit(sample.values @ b[:, k])
        slopes[:, k] -= sample.values.T @ (_data_weights(sample) * (1.0 - high) + _taken(weights, sample) * high)
    return np.asarray(slopes)


def _loss(reference: Floats, weights: Floats, sample: ComparedSample, b: Floats, penalty: float) -> float:
    f = sample.values @ b
    loss = float(weights @ np.logaddexp(0.0, reference @ b)) + penalty * float(b @ b)
    loss += float(_data_weights(sample) @ np.logaddexp(0.0, -f))
    return loss - float(_taken(weights, sample) @ np.logaddexp(0.0, f))


def _newton(
    reference: Floats, weights: Floats, sample: ComparedSample, b: Floats, penalty: float, tolerance: float
) -> tuple[Floats, bool]:
    """Return the minimum from a start near it, and whether it was found."""
    loss = _loss(reference, weights, sample, b, penalty)
    for _ in range(_NEWTON_STEPS):
        slope = _slopes(reference, weights, [sample], b[:, None], penalty)[:, 0]
        high, own = expit(reference @ b), expit(sample.values @ b)
        curved = reference.T @ ((weights * high * (1 - high))[:, None] * reference)
        of_sample = (_data_weights(sample) - _taken(weights, sample)) * own * (1 - own)
        curved += sample.values.T @ (of_sample[:, None] * sample.values)
        step = np.linalg.solve(curved + 2.0 * penalty * np.eye(len(b)), slope)
        if float(slope @ step) < tolerance:
            return b - step, True
        for factor in _halved():
            trial = b - factor * step
            if (tried := _loss(reference, weights, sample, trial, penalty)) < loss:
                b, loss = trial, tried
                break
        else:
            return b, False
    return b, False


def _halved() -> Iterator[float]:
    return (0.5**k for k in range(20))


def _statistics(reference: Floats, weights: Floats, samples: Sequence[ComparedSample], b: Floats) -> Floats:
    grown = reference @ b
    np.expm1(grown, out=grown)
    for k, sample in enumerate(samples):
        if sample.rows is not None:
            # not subtracted from the sum: where the ratio is huge, nothing but rounding errors would be left
            grown[sample.rows, k] = 0.0
    expected = weights @ grown
    found = np.empty(len(samples))
    for k, sample in enumerate(samples):
        f = sample.values @ b[:, k]
        found[k] = -2.0 * (expected[k] - float(_data_weights(sample) @ f))
    return found
