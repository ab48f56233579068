"""Cumulative distributions of raw scores, by which the models of different folds have one scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError

__all__ = ["ScoreCdf"]

Floats = npt.NDArray[np.float64]

#: knots between the tails, and in each tail down to one jet
_BETWEEN, _TAIL = 501, 60


@dataclass(frozen=True)
class ScoreCdf:
    """The cumulative distribution of a raw score in a sample of jets, as a strictly rising function from 0 to 1.

    Linear between knots. Beyond the first and the last knot, where the sample has no jets, it goes on as a hyperbola towards 0
    and 1, so that no two raw scores become the same.

    Attributes:
        knots: raw scores, strictly rising, (knots,), at least 2.
        levels: the part of the jets below each, half of those at it counted, strictly rising, (knots,).
    """

    knots: Floats
    levels: Floats

    @classmethod
    def of(cls, raw: npt.ArrayLike) -> ScoreCdf:
        """Return the distribution of the raw scores of a sample, any shape.

        Raises:
            OddjetsError: fewer than two different values, or one that is not finite.
        """
        values = np.ravel(np.asarray(raw, np.float64))
        if not np.isfinite(values).all():
            raise OddjetsError("a model gives scores that are not finite: its score has no distribution")
        unique, counts = np.unique(values, return_counts=True)
        if len(unique) < 2:
            raise OddjetsError(
                f"a model gives all {len(values)} jets of its fold the same score: it has learnt nothing; take other columns,"
                " or more events"
            )
        levels = (np.cumsum(counts) - 0.5 * counts) / len(values)
        tail = np.geomspace(0.5 / len(values), 0.01, _TAIL)
        wanted = np.concatenate([np.linspace(0.0, 1.0, _BETWEEN), tail, 1.0 - tail])
        kept = np.unique(np.clip(np.searchsorted(levels, wanted), 0, len(levels) - 1))
        return cls(unique[kept], levels[kept])

    @property
    def widths(self) -> tuple[float, float]:
        """Return the scale of the hyperbolas below and above: from the first and the last knot to the middle one."""
        middle = self.knots[len(self.knots) // 2]
        whole = self.knots[-1] - self.knots[0]
        return float(middle - self.knots[0]) or float(whole), float(self.knots[-1] - middle) or float(whole)

    def __call__(self, raw: npt.ArrayLike) -> Floats:
        """Return the level of raw scores, between 0 and 1, of the same shape; NaN of NaN."""
        values = np.asarray(raw, np.float64)
        found = np.interp(values, self.knots, self.levels)
        low, high = self.widths
        below = self.levels[0] / (1.0 + np.maximum(self.knots[0] - values, 0.0) / low)
        above = 1.0 - (1.0 - self.levels[-1]) / (1.0 + np.maximum(values - self.knots[-1], 0.0) / high)
        found = np.where(values < self.knots[0], below, found)
        return np.asarray(np.where(values > self.knots[-1], above, found))
