"""Folds of events by a fixed hash of run, luminosity section and event number, the same in every version."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["event_hash", "fold_of"]

Hashes = npt.NDArray[np.uint64]


def event_hash(run: npt.NDArray[Any], section: npt.NDArray[Any], event: npt.NDArray[Any]) -> Hashes:
    """Return a hash of the identity of each event, (n,).

    Each of the three numbers in turn is mixed into the state by an exclusive or and one step of splitmix64 (G. Steele, D. Lea,
    C. Flood, OOPSLA 2014). Cards of learnt scores keep these hashes: the function must not change.

    Args:
        run: shape (n,), integers; negative ones count as their two's complement.
        section: the luminosity block, (n,).
        event: the event number, (n,).

    Examples:
        >>> [hex(h) for h in event_hash(np.array([1, 1]), np.array([0, 0]), np.array([1, 2])).tolist()]
        ['0x6c5795e14b3b7e33', '0x1cf38a51a82265f3']
    """
    state = np.zeros(len(event), np.uint64)
    with np.errstate(over="ignore"):
        for number in (run, section, event):
            state ^= np.asarray(number).astype(np.uint64)
            state += np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return state


def fold_of(hashes: Hashes, folds: int) -> npt.NDArray[np.int8]:
    """Return the fold of each event, 0 to folds - 1, (n,).

    Args:
        hashes: of `event_hash`, (n,).
        folds: how many there are, at most 127.
    """
    return (hashes % np.uint64(folds)).astype(np.int8)
