"""The two-sample test: is a sample drawn from a reference, in some columns together, and where does it differ?

The density ratio of both is learnt with kernels of five widths (`oddjets.stats.kernel_ratio`), which need neither a threshold
nor a signal. Toys, treated in the same way, tell what t is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.stats.kernel_ratio import ComparedSample, KernelBasis, distance_quantiles, fit_ratios
from oddjets.study.own_pairs import OwnPairs
from oddjets.study.width_combination import combine_widths

__all__ = [
    "LEAST_EVENTS",
    "PairProblem",
    "TwoSamplePlan",
    "TwoSampleProblem",
    "TwoSampleResult",
    "compare_samples",
    "permutation_problem",
    "refuse_constant",
]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

#: fewer events say nothing of a density in several dimensions
LEAST_EVENTS = 200
#: quantiles of the distances between events that are the widths of the kernels
WIDTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
#: centres of the kernels, and functions that are made of them
CENTRES, FUNCTIONS = 300, 40
#: the penalty for each event: small enough that a peak is found, large enough that no fit runs away
PENALTY = 1e-6
#: bins of the toys in a picture
_BINS = 20
#: toys that are fitted together
_TOGETHER = 8
#: the place of the width whose fit to simulated pairs tilts the toys
_MIDDLE = 2


@dataclass(frozen=True)
class TwoSamplePlan:
    """Numbers of a two-sample test: toys, kernels, penalty.

    Attributes:
        toys: how many.
        seed: of all random numbers.
        workers: threads.
        centres: of the kernels, at most.
        functions: that are made of them, at most.
        penalty: for each event.
    """

    toys: int = 300
    seed: int = 1
    workers: int = 1
    centres: int = CENTRES
    functions: int = FUNCTIONS
    penalty: float = PENALTY


class TwoSampleProblem(Protocol):
    """A sample, a reference and toys, all of them rows of one pool."""

    @property
    def x(self) -> Floats:
        """The columns of the rows, (rows, columns)."""

    @property
    def reference(self) -> Floats:
        """What each row weighs in the reference, (rows,)."""

    @property
    def observed(self) -> Rows:
        """The rows of the data, (n,)."""

    @property
    def taken(self) -> float:
        """What an event of a sample weighs in the reference, from which it is taken; 0: it is no part of it."""

    @property
    def observed_weights(self) -> Floats | None:
        """Weights of the data, (n,); None: 1."""

    def toy(self, rng: np.random.Generator, tilt: Floats | None = None) -> Rows:
        """Return the rows of a toy."""


@dataclass(frozen=True)
class PairProblem:
    """Events against the pairs of their own jets; see `TwoSampleProblem`."""

    x: Floats
    pairs: OwnPairs
    taken: float = 0.0
    observed_weights: Floats | None = None

    @property
    def reference(self) -> Floats:
        """What each row weighs, (rows,)."""
        return self.pairs.reference

    @property
    def observed(self) -> Rows:
        """The events as they are, (n,)."""
        return self.pairs.actual

    def toy(self, rng: np.random.Generator, tilt: Floats | None = None) -> Rows:
        """Return a random assignment of the jets."""
        return self.pairs.toy(rng, tilt)


@dataclass(frozen=True)
class _Permuted:
    x: Floats
    reference: Floats
    observed: Rows
    taken: float
    observed_weights: Floats | None = None

    def toy(self, rng: np.random.Generator, tilt: Floats | None = None) -> Rows:
        assert tilt is None, "only pairs are tilted"
        return np.asarray(rng.choice(len(self.x), len(self.observed), replace=False), np.intp)


def permutation_problem(data: Floats, other: Floats) -> TwoSampleProblem:
    """Return data against other events, with toys that exchange which event is of which; see `TwoSampleProblem`.

    Args:
        data: shape (n, columns).
        other: shape (m, columns); each weighs the same.
    """
    each = len(data) / len(other)
    x = np.concatenate([data, other])
    return _Permuted(x, np.full(len(x), each), np.arange(len(data), dtype=np.intp), each)


@dataclass(frozen=True)
class TwoSampleResult:
    """The result of a test.

    Attributes:
        found: as `combine_widths`, and ``width`` of each kernel.
        with_residual: the same with toys whose jets are correlated as in the simulation; None: not asked for.
        log_ratio: the logarithm of data over reference that the most significant width finds, of each row, (rows,).
        unconverged: fits that did not find their minimum.
    """

    found: dict[str, Any]
    with_residual: dict[str, Any] | None
    log_ratio: Floats
    unconverged: int


def refuse_constant(names: Sequence[str], x: Floats) -> None:
    """Refuse columns of which all values are the same.

    Args:
        names: of the columns.
        x: shape (n, columns).

    Raises:
        OddjetsError: one of them is constant; the message names it.
    """
    for name, column in zip(names, x.T, strict=True):
        if not np.ptp(column) > 0:
            raise OddjetsError(f"--column {name}: all events have the same value, {column[0]:g}; leave it out")


def compare_samples(
    problem: TwoSampleProblem, plan: TwoSamplePlan, residual: PairProblem | None = None
) -> TwoSampleResult:
    """Test whether the data of a problem are drawn from its reference.

    Args:
        problem: data, reference and toys.
        plan: how.
        residual: simulated events against their own pairs: a correlation that is known, and no sign of a signal. Each toy has
            it with a strength drawn from a normal distribution of mean 0 and width 1. None: there is none.

    Raises:
        OddjetsError: too few events.
    """
    number = len(problem.observed)
    if number < LEAST_EVENTS:
        raise OddjetsError(f"{number} events are too few for a two-sample test, which needs {LEAST_EVENTS}")
    rng = np.random.default_rng(plan.seed)
    x, moved = _standardised(problem)
    weights = np.maximum(problem.reference, 0.0)
    some = rng.choice(len(x), min(4000, int((weights > 0).sum())), replace=False, p=weights / weights.sum())
    widths = distance_quantiles(x[some], WIDTHS, rng)
    centres = x[some[: plan.centres]]
    bases = [KernelBasis.at(centres, float(width), plan.functions) for width in widths]
    penalty = plan.penalty * 2 * number
    toys = [problem.toy(np.random.default_rng([plan.seed, k])).astype(np.int32) for k in range(plan.toys)]
    tilted: list[npt.NDArray[np.int32]] = []
    if residual is not None:
        tilt = _tilt(bases[_MIDDLE], problem, residual, x, moved, penalty)
        for k in range(plan.toys):
            own = np.random.default_rng([plan.seed, k, 1])
            tilted.append(problem.toy(own, own.normal() * tilt).astype(np.int32))
    t = np.empty((len(bases), 1 + len(toys) + len(tilted)))
    unconverged = 0
    ratios = []
    for k, basis in enumerate(bases):
        values = basis.of(x)
        alone = fit_ratios(values, problem.reference, [_sample(problem, values, problem.observed)], penalty)
        t[k, 0] = alone.statistics[0]
        t[k, 1:], lost = _of_toys(problem, values, [*toys, *tilted], penalty, plan.workers)
        unconverged += lost + int(not alone.converged[0])
        ratios.append(values @ alone.coefficients[0])
    plain = t[:, 1 : 1 + len(toys)].T
    found = combine_widths(t[:, 0], plain)
    for k, (row, width) in enumerate(zip(found["widths"], widths, strict=True)):
        counts, edges = np.histogram(plain[:, k], bins=_BINS)
        row |= {"width": float(width), "edges": edges.tolist(), "counts": counts.tolist()}
    with_residual = combine_widths(t[:, 0], t[:, 1 + len(toys) :].T) if tilted else None
    return TwoSampleResult(found, with_residual, ratios[found["best"]], unconverged)


def _standardised(problem: TwoSampleProblem) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return the columns with mean 0 and width 1 in the reference, and what was subtracted and divided by."""
    weights = problem.reference / problem.reference.sum()
    mean = weights @ problem.x
    width = np.sqrt(np.maximum(weights @ np.square(problem.x - mean), 1e-300))
    return (problem.x - mean) / width, (mean, width)


def _sample(problem: TwoSampleProblem, values: Floats, rows: Rows) -> ComparedSample:
    weights = problem.observed_weights if rows is problem.observed else None
    return ComparedSample(values[rows], rows if problem.taken else None, weights)


def _of_toys(
    problem: TwoSampleProblem, values: Floats, toys: Sequence[npt.NDArray[np.int32]], penalty: float, workers: int
) -> tuple[Floats, int]:
    """Return t of toys, (toys,), and how many fits did not converge."""

    def part(start: int) -> tuple[Floats, int]:
        samples = [
            ComparedSample(values[rows], rows if problem.taken else None) for rows in toys[start : start + _TOGETHER]
        ]
        made = fit_ratios(values, problem.reference, samples, penalty)
        return made.statistics, int((~made.converged).sum())

    # threads, since products of matrices and exponentials release the interpreter, and the pool is in memory once
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(part, range(0, len(toys), _TOGETHER)))
    return np.concatenate([t for t, _ in done]), sum(lost for _, lost in done)


def _tilt(
    basis: KernelBasis,
    problem: TwoSampleProblem,
    residual: PairProblem,
    x: Floats,
    moved: tuple[Floats, Floats],
    penalty: float,
) -> Floats:
    """Return the logarithm of the ratio that simulated events have to their own pairs, at the rows of the problem, (rows,)."""
    mean, width = moved
    values = basis.of((residual.x - mean) / width)
    # as many as the data, so that the penalty is the same
    scale = len(problem.observed) / float(residual.reference.sum())
    own = residual.observed_weights
    weights = scale * (np.ones(len(residual.observed)) if own is None else own)
    sample = ComparedSample(values[residual.observed], None, weights)
    made = fit_ratios(values, scale * residual.reference, [sample], penalty)
    return np.asarray(basis.of(x) @ made.coefficients[0])
