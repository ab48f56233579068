"""Events against the pairs of their own jets: what they would be if the two jets of an event knew nothing of each other.

Events are divided into blocks of the same momenta of both jets. In a block every leading jet is paired with every subleading
one. If the two jets are independent there, each assignment of the subleading jets is as probable as the one that was seen, so
that permutations inside blocks are the toys, and their p is exact: the reference, all pairs, is the same for all of them.

Known processes, whose jets do know of each other, are added as they were simulated; the jets that are most like theirs are
taken out of the block for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "Known", "OwnPairs", "blocks_of"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

#: events of a block; its true pairs are one in so many of the reference
BLOCK = 16
#: a jet is left with at least this part of itself, whatever known processes would take
_LEAST_LEFT = 0.05
#: exchanges for each event of a block, with which a tilted permutation forgets where it began
_SWEEPS = 8


def blocks_of(columns: Sequence[Floats], size: int = BLOCK) -> list[Rows]:
    """Return the rows of events that are alike, block by block.

    The events are cut at quantiles of the first column, each part at quantiles of the second one, and so on.

    Args:
        columns: in which the events of a block are alike, (n,) each; none: all events are alike.
        size: events of a block, at least.
    """
    n = len(columns[0]) if columns else 0
    parts = [np.arange(n, dtype=np.intp)]
    for k, column in enumerate(columns):
        cut = []
        for rows in parts:
            ordered = rows[np.argsort(column[rows], kind="stable")]
            number = max(int((len(rows) / size) ** (1 / (len(columns) - k)) + 1e-9), 1)
            cut += np.array_split(ordered, number)
        parts = cut
    return parts


@dataclass(frozen=True)
class Known:
    """Simulated events of known processes, which are added to the pairs as they are.

    Attributes:
        weights: expected events, (m,).
        blocks: the block that each is in, (m,).
        nearest: for the leading and for the subleading jet the row of the data's event whose jet is most like it, (2, m).
    """

    weights: Floats
    blocks: Rows
    nearest: Rows

    @classmethod
    def none(cls) -> Known:
        """Return no events."""
        return cls(np.empty(0), np.empty(0, np.intp), np.empty((2, 0), np.intp))


class OwnPairs:
    """All pairs of the jets of blocks of events, and random assignments of them.

    The rows of the pool are all pairs, block by block, then the known events.

    Args:
        blocks: rows of events.
        known: what is added; None: nothing.
        weights: of the events, such as those of a simulation, (n,); None: 1.

    Attributes:
        leading: the event of each pair's leading jet, (pairs,).
        subleading: that of its subleading jet, (pairs,).
        actual: the rows of the pool that are the events themselves, in their order, (n,).
        reference: what each row of the pool weighs in the reference, (rows,).
    """

    def __init__(self, blocks: Sequence[Rows], known: Known | None = None, weights: Floats | None = None) -> None:
        self.known = Known.none() if known is None else known
        number = sum(map(len, blocks))
        self.weights = np.ones(number) if weights is None else weights
        self._sizes = np.array([len(rows) for rows in blocks])
        self._starts = np.concatenate([[0], np.cumsum(self._sizes**2)])[:-1]
        self.leading = np.concatenate([np.repeat(rows, len(rows)) for rows in blocks])
        self.subleading = np.concatenate([np.tile(rows, len(rows)) for rows in blocks])
        most = int(self._sizes.max())
        #: the events of each block, -1 where it has fewer, (blocks, most)
        self._events = np.full((len(blocks), most), -1, np.intp)
        for block, rows in enumerate(blocks):
            self._events[block, : len(rows)] = rows
        self._there = self._events >= 0
        self.actual = np.empty(number, np.intp)
        for block, rows in enumerate(blocks):
            self.actual[rows] = self._starts[block] + np.arange(len(rows)) * (len(rows) + 1)
        #: the part of each jet that known processes leave, (2, n)
        self.left = np.ones((2, number))
        for j in (0, 1):
            np.subtract.at(self.left[j], self.known.nearest[j], self.known.weights)
        self.clipped = int((self.left < _LEAST_LEFT).sum())
        self.left = np.maximum(self.left, _LEAST_LEFT)
        self.reference = np.concatenate([self._pair_weights(blocks), self.known.weights])

    def _pair_weights(self, blocks: Sequence[Rows]) -> Floats:
        """Return what the pairs weigh, (pairs,): each block what its events weigh, less what is known there."""
        one, other = self.weights * self.left
        found = one[self.leading] * other[self.subleading]
        taken = np.bincount(self.known.blocks, self.known.weights, len(blocks))
        block = np.repeat(np.arange(len(blocks)), self._sizes**2)
        made = np.bincount(block, found, len(blocks))
        total = np.array([self.weights[rows].sum() for rows in blocks])
        wanted = np.maximum(total - taken, _LEAST_LEFT * total)
        return np.asarray(found * (wanted / made)[block])

    def __len__(self) -> int:
        return len(self.reference)

    def toy(self, rng: np.random.Generator, tilt: Floats | None = None) -> Rows:
        """Return the rows of the pool of a random assignment, with the known events that it holds; (n,).

        Args:
            rng: draws it.
            tilt: the logarithm of what each pair is more probable than by chance, (pairs,): the assignment is drawn with the
                product of these, by exchanges of two jets (Metropolis); None: all are alike.
        """
        drawn = self._drawn_known(rng)
        kept = self._sizes - np.bincount(self.known.blocks[drawn], minlength=len(self._sizes))
        orders = [self._order(rng, jet, drawn) for jet in (0, 1)]
        if tilt is not None:
            self._exchange(rng, orders, kept, tilt)
        used = np.arange(self._events.shape[1]) < kept[:, None]
        pairs = self._row(np.arange(len(kept))[:, None], orders[0], orders[1])[used]
        return np.concatenate([pairs, len(self.leading) + drawn])

    def _row(self, block: Rows, one: Rows, other: Rows) -> Rows:
        """Return the row of the pair of places in a block."""
        return np.asarray(self._starts[block] + one * self._sizes[block] + other)

    def _drawn_known(self, rng: np.random.Generator) -> Rows:
        """Return which known events a toy has: no more in a block than it has events."""
        drawn = np.repeat(np.arange(len(self.known.weights)), rng.poisson(self.known.weights))
        if not len(drawn):
            return drawn
        drawn = rng.permutation(drawn)
        order = np.argsort(self.known.blocks[drawn], kind="stable")
        blocks = self.known.blocks[drawn][order]
        place = np.arange(len(blocks)) - np.searchsorted(blocks, blocks)
        return np.asarray(drawn[order][place < self._sizes[blocks]])

    def _order(self, rng: np.random.Generator, jet: int, drawn: Rows) -> Rows:
        """Return a random order of the jets of each block, those that are taken out last, (blocks, most)."""
        keys = rng.random(self._events.shape)
        taken = np.bincount(self.known.nearest[jet][drawn], minlength=len(self.weights))[self._events]
        # where two known events are most like the same jet, a random one is taken for the second
        keys = np.where(self._there, keys + 2.0 * taken, np.inf)
        return np.argsort(keys, axis=1)

    def _exchange(self, rng: np.random.Generator, orders: list[Rows], kept: Rows, tilt: Floats) -> None:
        """Exchange subleading jets inside blocks until the assignment has the probability of its tilt."""
        block = np.arange(len(kept))
        movable = kept >= 2
        one, other = orders
        for _ in range(_SWEEPS * int(kept.max(initial=0))):
            k, m = (np.minimum((rng.random(len(kept)) * kept).astype(np.intp), np.maximum(kept - 1, 0)) for _ in "ab")
            now = tilt[self._row(block, one[block, k], other[block, k])]
            now = now + tilt[self._row(block, one[block, m], other[block, m])]
            then = tilt[self._row(block, one[block, k], other[block, m])]
            then = then + tilt[self._row(block, one[block, m], other[block, k])]
            swap = movable & (k != m) & (np.log(rng.random(len(kept))) < then - now)
            first, second = other[block, k].copy(), other[block, m].copy()
            other[block[swap], k[swap]], other[block[swap], m[swap]] = second[swap], first[swap]
