"""Events of equal weight that look like the fitted background in A: jets of the data of B and C, and simulated events.

ABCD says that in a bin of the observable the two scores know nothing of each other. A leading jet that passes then looks as in
C, where the other one fails, and a subleading jet that passes as in B. So an event of the data-driven process is the leading
jet of an event in C, the subleading jet of an event in B in the same bin, and, for what is of the whole event, either of the
two. Each bin has as many of them as are fitted. Simulated processes are their events in A, at their fitted yields. Events are
taken at random so that all have the same weight, for permutations need equal ones.

The background may have another composition than the sample, within the errors of the fitted yields: see `composition_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.inspection.compared_columns import jet_of

__all__ = ["BackgroundSample", "FittedYields", "composition_weights", "equal_weights", "fitted_background"]

Columns = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

#: bins with a smaller part of the fitted yield do not limit how many events are taken
_LEAST_PART = 0.05


@dataclass(frozen=True)
class BackgroundSample:
    """Events like those of the fitted background.

    Attributes:
        columns: name to values, (n,).
        scale: how many of them there are for each fitted event.
        events: process -> events.
        fitted: process -> fitted events.
        lost: process -> the part of its fitted events that could not be represented: bins without an event to take, weights
            below zero, or weights much above the others.
        process: of each event, (n,).
        bins: of each event, (n,).
    """

    columns: dict[str, npt.NDArray[Any]]
    scale: float
    events: dict[str, int]
    fitted: dict[str, float]
    lost: dict[str, float]
    process: npt.NDArray[np.str_]
    bins: npt.NDArray[np.int64]


@dataclass(frozen=True)
class FittedYields:
    """The fitted yields of a process.

    Attributes:
        values: of the bins, (bins,).
        errors: of the bins, (bins,).
        sum_error: of the sum over all bins.
    """

    values: Floats
    errors: Floats
    sum_error: float

    def draw(self, number: int, rng: np.random.Generator) -> Floats:
        """Return yields within the errors, (number, bins), none below zero.

        The errors of any two bins have the same correlation, the one which the error of the sum says.

        Args:
            number: how many.
            rng: source of randomness.
        """
        alone, together = float((self.errors**2).sum()), float(self.errors.sum() ** 2)
        common = float(np.clip((self.sum_error**2 - alone) / (together - alone), 0, 1)) if together > alone else 0.0
        shift = np.sqrt(common) * rng.normal(size=(number, 1))
        shift = shift + np.sqrt(1 - common) * rng.normal(size=(number, len(self.values)))
        return np.asarray(np.maximum(self.values + shift * self.errors, 0.0))


def composition_weights(
    sample: BackgroundSample,
    window_bins: npt.ArrayLike,
    yields: Mapping[str, FittedYields],
    number: int,
    rng: np.random.Generator,
) -> Floats:
    """Return how much more probable each event is in the window, for compositions within the errors of the fitted yields.

    Without errors all divisions of the joined events are equally probable. With them, the yields are drawn again for each
    division, and an event of the sample is as much more probable as the yield of its process and bin is larger than the fitted
    one; an event of the window, whose process nobody knows, by that of all processes in its bin.

    Args:
        sample: the events like those of the fitted background.
        window_bins: of the window's events, (n,).
        yields: of the processes of the sample.
        number: how many compositions.
        rng: source of randomness.

    Returns:
        Shape (number, n + m), the window's events first.
    """
    drawn = {process: found.draw(number, rng) for process, found in yields.items()}
    fitted = {process: np.maximum(found.values, 0.0) for process, found in yields.items()}

    def ratio(above: Floats, below: Floats) -> Floats:
        return np.divide(above, below, out=np.ones_like(above), where=below > 0)

    weights = np.ones((number, len(sample.process)))
    for process in yields:
        own = np.flatnonzero(sample.process == process)
        weights[:, own] = ratio(drawn[process], fitted[process])[:, sample.bins[own]]
    every = ratio(np.sum([*drawn.values()], axis=0), np.sum([*fitted.values()], axis=0))
    return np.concatenate([every[:, np.asarray(window_bins, np.int64)], weights], axis=1)


def equal_weights(weights: npt.ArrayLike, rng: np.random.Generator, scale: float | None = None) -> npt.NDArray[np.intp]:
    """Return events that are taken with a probability proportional to their weights, so that all that are left have equal ones.

    Args:
        weights: of events, (n,); those below zero are never taken.
        rng: source of randomness.
        scale: the probability over the weight; None: the largest that is possible.
    """
    given = np.maximum(np.asarray(weights, np.float64), 0.0)
    largest = float(given.max(initial=0.0))
    if largest <= 0:
        return np.empty(0, np.intp)
    by = 1.0 / largest if scale is None else scale
    return np.flatnonzero(rng.random(len(given)) < given * by * (1 + 1e-12))


def fitted_background(
    leading: tuple[Columns, npt.ArrayLike],
    subleading: tuple[Columns, npt.ArrayLike],
    data_driven: tuple[str, npt.ArrayLike],
    simulated: Mapping[str, tuple[Columns, npt.ArrayLike, npt.ArrayLike]],
    yields: Mapping[str, npt.ArrayLike],
    rng: np.random.Generator,
) -> BackgroundSample:
    """Make a sample of the fitted background in A.

    Args:
        leading: columns of the data in C, (n,) each, and their bins, (n,).
        subleading: likewise in B.
        data_driven: name of the process that is made of these, and its fitted yields, (bins,).
        simulated: process -> columns of its simulated events in A, their bins, and their weights, (n,) each.
        yields: process -> fitted yields, (bins,).
        rng: source of randomness.
    """
    name, expected = data_driven[0], np.maximum(np.asarray(data_driven[1], np.float64), 0.0)
    of_bins = [
        [np.flatnonzero(np.asarray(bins) == b) for b in range(len(expected))] for _, bins in (leading, subleading)
    ]
    available = np.array([min(len(c), len(b)) for c, b in zip(*of_bins, strict=True)], np.float64)
    deciding = (expected > _LEAST_PART * expected.sum()) & (available > 0)
    limits = (available[deciding] / expected[deciding]).tolist()
    weights = {process: _fitted_weights(bins, w, yields[process]) for process, (_, bins, w) in simulated.items()}
    # a few weights far above the others are cut off rather than deciding for all
    limits += [1.0 / float(np.quantile(w[w > 0], 0.99)) for w in weights.values() if (w > 0).any()]
    scale = min(limits, default=0.0)
    rows = _rows_of_bins(of_bins, expected * scale, rng)
    parts = [_paired(leading[0], subleading[0], rows, rng)]
    bins_of_parts = [np.asarray(leading[1], np.int64)[rows[0]]]
    events, lost = {name: len(rows[0])}, {name: _lost(len(rows[0]), float(expected.sum()) * scale)}
    fitted = {name: float(expected.sum())}
    for process, (columns, bins, _) in simulated.items():
        taken = equal_weights(weights[process], rng, scale)
        bins_of_parts.append(np.asarray(bins, np.int64)[taken])
        parts.append({column: np.asarray(values)[taken] for column, values in columns.items()})
        events[process] = len(taken)
        fitted[process] = float(np.maximum(np.asarray(yields[process], np.float64), 0.0).sum())
        reached = float(np.minimum(weights[process] * scale, 1.0).sum())
        lost[process] = _lost(reached, fitted[process] * scale)
    common = [column for column in parts[0] if all(column in part for part in parts)]
    return BackgroundSample(
        {column: np.concatenate([part[column] for part in parts]) for column in common},
        scale,
        events,
        fitted,
        lost,
        np.repeat(np.array([*events], np.str_), [*events.values()]),
        np.concatenate(bins_of_parts),
    )


def _lost(reached: float, wanted: float) -> float:
    return max(0.0, 1.0 - reached / wanted) if wanted > 0 else 0.0


def _fitted_weights(bins: npt.ArrayLike, weights: npt.ArrayLike, yields: npt.ArrayLike) -> Floats:
    """Return the weights of simulated events, scaled to the fitted yield of each bin; 0 outside of the bins and below zero."""
    number, expected = np.asarray(bins, np.int64), np.maximum(np.asarray(yields, np.float64), 0.0)
    positive = np.maximum(np.asarray(weights, np.float64), 0.0)
    inside = (number >= 0) & (number < len(expected))
    sums = np.bincount(number[inside], positive[inside], len(expected))
    factors = np.divide(expected, sums, out=np.zeros(len(expected)), where=sums > 0)
    found = np.zeros(len(number))
    found[inside] = positive[inside] * factors[number[inside]]
    return found


def _rows_of_bins(
    of_bins: list[list[npt.NDArray[np.intp]]], wanted: Floats, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return pairs of rows of C and of B in the same bins: whole numbers whose mean is what is wanted; none is taken twice."""
    first, second = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for of_c, of_b, mean in zip(*of_bins, wanted.tolist(), strict=True):
        number = min(int(mean + rng.random()), len(of_c), len(of_b))
        first.append(rng.permutation(of_c)[:number])
        second.append(rng.permutation(of_b)[:number])
    return np.concatenate(first), np.concatenate(second)


def _paired(
    leading: Columns,
    subleading: Columns,
    rows: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    rng: np.random.Generator,
) -> dict[str, npt.NDArray[Any]]:
    """Return leading jets of some events with subleading jets of others; what is of the event is from either of the two."""
    either = rng.random(len(rows[0])) < 0.5
    found = {}
    for name in leading:
        if name in subleading:
            one, other = np.asarray(leading[name])[rows[0]], np.asarray(subleading[name])[rows[1]]
            jet = jet_of(name)
            found[name] = one if jet == 1 else other if jet == 2 else np.where(either, one, other)
    return found
