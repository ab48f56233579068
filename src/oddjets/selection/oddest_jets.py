"""The jets with the highest scores, of tables of single jets that need not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.aspen import JetBump

__all__ = ["OddestJets", "bins_of", "find_oddest"]

Array = npt.NDArray[Any]


class OddestJets:
    """The jets with the highest scores of a stream, in memory that does not depend on its length.

    Args:
        total: jets of the whole stream.
        efficiency: the largest fraction that is asked for.
    """

    def __init__(self, total: int, efficiency: float) -> None:
        self._total = total
        self._size = self._place(efficiency)[0] + 2
        self._kept = np.empty((0, 2))

    def _place(self, efficiency: float) -> tuple[int, float]:
        """Return where the quantile lies: a place from the top, and how far from there to the next higher score."""
        exact = (self._total - 1) * (1 - efficiency)
        below = math.floor(exact)
        return self._total - 1 - below, exact - below

    def add(self, score: Array, mass: Array) -> None:
        """Add jets, shapes (n,)."""
        kept = np.concatenate([self._kept, np.stack([score, mass], axis=1)])
        if len(kept) > self._size:
            # a stable order: of equal scores the first jets stay, however the stream is cut
            kept = kept[np.argsort(-kept[:, 0], kind="stable")[: self._size]]
        self._kept = kept

    def above(self, efficiency: float) -> tuple[float, Array]:
        """Return the cut that a fraction of all jets passes (NumPy's linear quantile), and the masses of these jets, GeV."""
        ordered = self._kept[np.argsort(-self._kept[:, 0], kind="stable")]
        place, part = self._place(efficiency)
        lower, upper = ordered[place, 0], ordered[max(place - 1, 0), 0]
        cut = float(lower + part * (upper - lower))
        return cut, ordered[ordered[:, 0] >= cut, 1]


def find_oddest(
    tables: Iterable[Mapping[str, Array]], scores: Sequence[str], total: int, efficiency: float
) -> dict[str, OddestJets]:
    """Return score to the jets where it is highest.

    Args:
        tables: pieces of a table of single jets, with ``mass`` (GeV) and ``score_NAME``, shape (n,) each.
        scores: their names.
        total: jets of all pieces.
        efficiency: the largest fraction that is asked for.
    """
    found = {name: OddestJets(total, efficiency) for name in scores}
    for table in tables:
        for name, jets in found.items():
            jets.add(table[f"score_{name}"], table["mass"])
    return found


def bins_of(asked: JetBump) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the edges of the bins of mass, GeV, (bins + 1,), and which bins lie in the window with their centre, (bins,).

    Args:
        asked: the section ``jet_bump``.
    """
    edges = np.linspace(*asked.range, asked.bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    return edges, (centres > asked.window[0]) & (centres < asked.window[1])
