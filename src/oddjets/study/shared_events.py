"""Events that experiments of several choices have in common; each choice sees them in its own regions and bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.study.events import EventArrays
from oddjets.study.rates import Rates
from oddjets.study.thresholds import ThresholdGrid

__all__ = ["SharedEvents", "joined_truth", "places_in", "without_negative"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: events that are drawn at once
AT_ONCE = 10_000_000


@dataclass(frozen=True)
class SharedEvents:
    """The events that a choice's experiments are drawn from, one by one; the draws are those of all other choices.

    Attributes:
        rates: expected number of each event in an experiment, (n,).
        qcd: whether an event is of the process that ABCD estimates, (n,).
        places: the entry of the choice's rates that an event counts in (see `places_in`), -1 for none, (n,).
    """

    rates: Floats
    qcd: npt.NDArray[np.bool_]
    places: Ints

    @cached_property
    def _cumulative(self) -> Floats:
        return np.cumsum(self.rates)

    def counts(self, size: int, entries: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw experiments.

        The number of each event is Poisson. Which events are drawn depends on the generator and on the rates alone,
        not on the places: choices with the same events and the same seed have the same experiments.

        Args:
            size: experiments, E.
            entries: of the choice's rates.
            rng: draws.

        Returns:
            Counts of the data-driven process, and of all, by entry, shape (E, entries) each.
        """
        total = float(self._cumulative[-1])
        numbers = rng.poisson(total, size)
        qcd, every = np.zeros((2, size * entries))
        first = 0
        while first < size:
            last = max(first + 1, first + int(np.searchsorted(numbers[first:].cumsum(), AT_ONCE, side="right")))
            last = min(last, size)
            drawn = np.searchsorted(self._cumulative, total * rng.random(int(numbers[first:last].sum())), side="right")
            # rounding may leave a number at the very end
            drawn = np.minimum(drawn, len(self.rates) - 1)
            experiment = np.repeat(np.arange(first, last), numbers[first:last])
            place = self.places[drawn]
            used = place >= 0
            where = experiment[used] * entries + place[used]
            every += np.bincount(where, minlength=size * entries)
            of_qcd = self.qcd[drawn][used]
            qcd += np.bincount(where[of_qcd], minlength=size * entries)
            first = last
        return qcd.reshape(size, entries), every.reshape(size, entries)


def joined_truth(truth: Sequence[EventArrays]) -> list[EventArrays]:
    """Return the nominal events of all processes, in an order that does not depend on the regions of a choice.

    Args:
        truth: events of a choice's experiments.
    """
    nominal = [e for e in truth if NOMINAL in e.variations]
    return sorted(nominal, key=lambda e: e.process)


def places_in(
    rates: Rates, grid: ThresholdGrid, entries: tuple[Ints, Ints, Ints], truth: Sequence[EventArrays]
) -> Ints:
    """Return which entry of a choice's rates each event counts in, -1 where nothing is expected there, shape (n,).

    Args:
        rates: of the choice.
        grid: its thresholds.
        entries: of its experiments: pattern, and ranks of the leading and the subleading score, of each entry.
        truth: events, from `joined_truth`.
    """
    shape = (len(rates.codes), len(grid) + 1, len(grid) + 1)
    table = np.full(shape, -1, np.int64)
    table[entries] = np.arange(len(entries[0]))
    found = []
    for events in truth:
        code = np.searchsorted(rates.codes, events.codes)
        leading, subleading = grid.ranks(events.scores)
        found.append(table[code, leading, subleading])
    return np.concatenate(found)


def without_negative(rates: Floats, qcd: npt.NDArray[np.bool_], places: Sequence[Ints]) -> tuple[Floats, float]:
    """Return rates of which none is negative: events that are in the same place for every choice share their sum.

    Args:
        rates: expected number of each event, (n,).
        qcd: whether it is of the data-driven process, (n,).
        places: of each choice, (n,) each.

    Returns:
        Rates, and the expected events of places whose sum is negative, which are set to zero.

    Raises:
        OddjetsError: nothing is left.
    """
    if not (rates < 0).any():
        return rates, 0.0
    alike = np.unique(np.stack([qcd.astype(np.int64), *places], axis=1), axis=0, return_inverse=True)[1].ravel()
    sums = np.bincount(alike, rates)
    positive = np.bincount(alike, np.maximum(rates, 0.0))
    factor = np.divide(np.maximum(sums, 0.0), positive, out=np.zeros_like(sums), where=positive > 0)
    found = np.maximum(rates, 0.0) * factor[alike]
    if not found.sum() > 0:
        raise OddjetsError("no event of the source has a positive weight, so that no experiment can be drawn")
    return found, float(-sums[sums < 0].sum())
