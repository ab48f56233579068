"""Events that experiments of several choices have in common; each choice sees them in its own regions and bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.study.events import EventArrays
from oddjets.study.rates import Rates
from oddjets.study.thresholds import ThresholdGrid

__all__ = ["SharedEvents", "counted_alike", "joined_truth", "places_in", "without_negative"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: numbers that are drawn at once
AT_ONCE = 10_000_000


@dataclass(frozen=True)
class SharedEvents:
    """The events that a choice's experiments are drawn from; the draws are those of all other choices.

    Events that count in the same place for every choice stand for each other, and are one event with the sum of their rates.

    Attributes:
        rates: expected number of each event in an experiment, (n,).
        qcd: whether an event is of the process that ABCD estimates, (n,).
        places: the entry of the choice's rates that an event counts in (see `places_in`), -1 for none, (n,).
        firsts: of events that stand for several, the first of these among all, (n,); None: each stands for itself.
    """

    rates: Floats
    qcd: npt.NDArray[np.bool_]
    places: Ints
    firsts: Ints | None = None

    def counted_in(self, places: Ints) -> SharedEvents:
        """Return the same events, which count elsewhere.

        Args:
            places: of all events, by which the groups were made, too.
        """
        return replace(self, places=places if self.firsts is None else places[self.firsts])

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
        used = np.flatnonzero(self.places >= 0)
        shape = (len(self.rates), entries)
        every = csr_array((np.ones(len(used)), (used, self.places[used])), shape=shape)
        qcd = csr_array((self.qcd[used].astype(np.float64), (used, self.places[used])), shape=shape)
        step = max(1, AT_ONCE // max(len(self.rates), 1))
        parts = [rng.poisson(self.rates, (min(step, size - k), len(self.rates))) for k in range(0, size, step)]
        return np.concatenate([part @ qcd for part in parts]), np.concatenate([part @ every for part in parts])


def counted_alike(qcd: npt.NDArray[np.bool_], places: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Return an event of each group that counts in the same place for every choice, and the group of each event, (n,).

    Args:
        qcd: whether it is of the data-driven process, (n,).
        places: of each choice, (n,) each.
    """
    group = qcd.astype(np.int64)
    for place in places:
        # small numbers again after each choice: the product of all ranges does not fit into an integer
        group = np.unique(group * (int(place.max(initial=-1)) + 2) + place + 1, return_inverse=True)[1].ravel()
    return np.unique(group, return_index=True)[1], group


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
    _, alike = counted_alike(qcd, places)
    sums = np.bincount(alike, rates)
    positive = np.bincount(alike, np.maximum(rates, 0.0))
    factor = np.divide(np.maximum(sums, 0.0), positive, out=np.zeros_like(sums), where=positive > 0)
    found = np.maximum(rates, 0.0) * factor[alike]
    if not found.sum() > 0:
        raise OddjetsError("no event of the source has a positive weight, so that no experiment can be drawn")
    return found, float(-sums[sums < 0].sum())
