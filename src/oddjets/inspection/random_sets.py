"""Random sets of a jet's constituents, as many and about as hard as those of a group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["random_sets"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: sets that are tried for each that is wanted
_TRIES = 10
#: share of the jet's pT by which a set may differ: at least, and of the group's share
_TOLERANCE, _RELATIVE_TOLERANCE = 0.02, 0.15
#: neighbours in pT among which the narrowest choice is made
_LEAST_WIDTH = 4


def random_sets(pt: Floats, group: Mask, pool: Mask, draws: int, generator: np.random.Generator) -> Mask:
    """Draw sets of as many constituents as a group has, with about its pT.

    A set is a random one of the pool if enough of those come near the group's pT. Else the pool, sorted by pT, is cut
    into halves, quarters, ... down to four neighbours in pT, and of each piece as many are drawn as the group has there. Sets
    differ by at most 0.02 or 15 % of the group's share of the jet's pT where that can be; else the nearest are taken. A
    set may share members with the group, but is not the group; and no set is given twice.

    Args:
        pt: GeV, (n,).
        group: its members, (n,); all are in the pool.
        pool: what is drawn from, (n,).
        draws: how many sets.
        generator: of the random numbers.

    Returns:
        (sets, n): at most ``draws`` of them; fewer where there are not as many, none for the whole pool.
    """
    wanted = int(group.sum())
    places = np.flatnonzero(pool)
    places = places[np.argsort(-pt[places], kind="stable")]
    best = np.zeros((0, len(pt)), np.bool_)
    if wanted in (0, len(places)) or draws == 0:
        return best
    share = float(pt[group].sum() / pt.sum())
    tolerance = max(_TOLERANCE, _RELATIVE_TOLERANCE * share)
    best_near = -1
    width = len(places)
    while True:
        sets = _distinct(_draw(places, group, width, _TRIES * draws, generator), group)
        away = np.abs(sets @ pt / pt.sum() - share)
        near = int(np.count_nonzero(away <= tolerance))
        # a wider choice is a better comparison: a narrower one has to come nearer
        if near > best_near:
            best, best_near = sets[np.argsort(np.where(away <= tolerance, 0.0, away), kind="stable")[:draws]], near
        if best_near >= draws or width <= _LEAST_WIDTH:
            return best
        width = max(_LEAST_WIDTH, -(-width // 2))


def _draw(places: npt.NDArray[np.int64], group: Mask, width: int, number: int, generator: np.random.Generator) -> Mask:
    """Draw sets that have as many members in each ``width`` successive places as the group."""
    sets = np.zeros((number, len(group)), np.bool_)
    for first in range(0, len(places), width):
        piece = places[first : first + width]
        if count := int(group[piece].sum()):
            order = np.argsort(generator.random((number, len(piece))), axis=1)[:, :count]
            sets[np.arange(number)[:, np.newaxis], piece[order]] = True
    return sets


def _distinct(sets: Mask, group: Mask) -> Mask:
    """Drop sets that came before, and the group itself; the order stays."""
    _, first = np.unique(np.packbits(sets, axis=1), axis=0, return_index=True)
    sets = sets[np.sort(first)]
    return np.asarray(sets[(sets != group).any(axis=1)])
