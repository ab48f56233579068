"""Closure of learnt scores: whether the two jets of an event know of each other, against permutations inside folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PairClosure", "pair_closure"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairClosure:
    """A D / (B C) of pairs of scores, and what it is where jets are paired at random inside folds.

    Attributes:
        share: of the jets that pass.
        in_A: events with both scores above.
        value: A D / (B C); NaN where B or C is empty.
        permuted: the mean of the permutations: ties and folds of different size move it from 1.
        permuted_error: the error of that mean.
        spread: standard deviation of the permutations: the statistical error of ``value`` without a correlation.
    """

    share: float
    in_A: int
    value: float
    permuted: float
    permuted_error: float
    spread: float

    @property
    def ratio(self) -> float:
        """The value over the mean of the permutations: 1 where the jets of an event know nothing of each other."""
        return self.value / self.permuted


def pair_closure(
    scores: Floats,
    folds: npt.NDArray[np.int8],
    rng: np.random.Generator,
    share: float = 0.05,
    permutations: int = 100,
) -> PairClosure:
    """Return A D / (B C) at a threshold that a share of the jets passes, and its permutations.

    Args:
        scores: of both jets, (n, 2), large for odd jets.
        folds: of the events, (n,): subleading jets are permuted within.
        rng: permutes.
        share: of the jets that pass, between 0 and 1.
        permutations: how many.
    """
    passing = scores >= np.quantile(scores, 1.0 - share)
    groups = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    found = np.empty(permutations)
    other = passing[:, 1].copy()
    for i in range(permutations):
        for rows in groups:
            other[rows] = passing[rng.permutation(rows), 1]
        found[i] = _constant(passing[:, 0], other)
    finite = found[np.isfinite(found)]
    number = max(len(finite), 1)
    spread = float(finite.std(ddof=1)) if len(finite) > 1 else float("nan")
    return PairClosure(
        float(passing.mean()),
        int((passing[:, 0] & passing[:, 1]).sum()),
        _constant(passing[:, 0], passing[:, 1]),
        float(finite.mean()) if len(finite) else float("nan"),
        spread / float(np.sqrt(number)),
        spread,
    )


def _constant(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    both = int((one & other).sum())
    b, c = int(other.sum()) - both, int(one.sum()) - both
    neither = len(one) - both - b - c
    return both * neither / (b * c) if b and c else float("nan")
