"""Columns whose distribution is made normal, so that their units and their tails do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from oddjets.core.errors import OddjetsError
from oddjets.learning.model import Floats
from oddjets.learning.onnx_nodes import NodeWriter

__all__ = ["LARGEST", "NormalColumns"]

#: beyond the outermost jets the transform goes on as a line, up to so many standard deviations
LARGEST = 8.0
#: knots of each column, and jets beyond the outermost two
_KNOTS, _BEYOND = 65, 10


@dataclass(frozen=True)
class NormalColumns:
    """A rising function for each column, linear between knots, that makes its distribution a standard normal one.

    The knots are the quantiles at equal steps of the normal variable; where several have the same value, as of whole numbers,
    this value gets the mean of theirs. Beyond the outermost knots the last line goes on, to at most `LARGEST`. A missing value
    becomes 0, the median: whatever a jet lacks does not make it odd by itself.

    `sklearn.preprocessing.QuantileTransformer` is linear in the probability instead, which puts the oddest jet of the training
    at 5.2 standard deviations, whatever the number of jets.

    Attributes:
        knots: of each column, strictly rising, (knots,).
        normal: the normal variable at these, strictly rising, (knots,).
    """

    knots: tuple[Floats, ...]
    normal: tuple[Floats, ...]

    @classmethod
    def of(cls, features: npt.NDArray[Any], names: Sequence[str] = ()) -> NormalColumns:
        """Return the transform of the distributions in a sample.

        Args:
            features: of jets, (n, columns); NaN where there is no value.
            names: of the columns, for errors; without them columns are counted from 1.

        Raises:
            OddjetsError: a column without a value for at least half of the jets, or with fewer than two different ones.
        """
        exact = np.asarray(features, np.float32).astype(np.float64)
        knots, normal = [], []
        for number, column in enumerate(exact.T):
            name = f"'{names[number]}'" if names else f"column {number + 1} of {exact.shape[1]}"
            known = column[np.isfinite(column)]
            if 2 * len(known) < max(len(column), 2 * _BEYOND):
                raise OddjetsError(
                    f"{name} has a value for {len(known)} of {len(column)} jets: outliers are"
                    " found in columns that most jets have; leave it out"
                )
            end = -float(ndtri(_BEYOND / len(known))) if len(known) > 2 * _BEYOND else 0.5
            at = np.linspace(-end, end, _KNOTS)
            # of the jets themselves, since float32 is what the graph gets
            values, place = np.unique(np.quantile(known, ndtr(at), method="nearest"), return_inverse=True)
            if len(values) < 2:
                raise OddjetsError(
                    f"{name} has the value {values[0]:.6g} for nearly all jets: nothing can be"
                    " learnt from it; leave it out"
                )
            knots.append(values)
            normal.append(np.bincount(place, at) / np.bincount(place))
        return cls(tuple(knots), tuple(normal))

    def __call__(self, features: npt.NDArray[Any]) -> Floats:
        """Return the normal variables, (n, columns).

        Args:
            features: of jets, (n, columns), rounded to float32 before use.
        """
        exact = np.asarray(features, np.float32).astype(np.float64)
        found = np.empty(exact.shape)
        for column, (knots, normal) in enumerate(zip(self.knots, self.normal, strict=True)):
            values = exact[:, column]
            slopes = np.diff(normal)[[0, -1]] / np.diff(knots)[[0, -1]]
            line = np.interp(values, knots, normal)
            line += np.minimum(values - knots[0], 0.0) * slopes[0] + np.maximum(values - knots[-1], 0.0) * slopes[1]
            found[:, column] = np.clip(line, -LARGEST, LARGEST)
        return np.where(np.isnan(exact), 0.0, found)

    def add_to(self, writer: NodeWriter) -> str:
        """Write the transform; return the name of the normal variables, float64, (batch, columns).

        A sum of the steps between knots, each times the part of it that lies below the value. Lines beyond the knots are the
        first and the last part without an end.
        """
        most = max(map(len, self.knots)) - 1
        shape = (len(self.knots), most)
        # what a column has fewer knots than another: steps of no height
        start, width, step = np.zeros(shape), np.ones(shape), np.zeros(shape)
        least, greatest = np.zeros(shape), np.ones(shape)
        for column, (knots, normal) in enumerate(zip(self.knots, self.normal, strict=True)):
            parts = len(knots) - 1
            start[column, :parts], width[column, :parts] = knots[:-1], np.diff(knots)
            step[column, :parts] = np.diff(normal)
            # a number, since infinity times a step of no height is none
            least[column, 0], greatest[column, parts - 1] = -1e30, 1e30
        values = writer.add("Unsqueeze", writer.exact, writer.constant([2], np.int64))
        part = writer.add("Div", writer.add("Sub", values, writer.constant(start)), writer.constant(width))
        part = writer.add("Min", writer.add("Max", part, writer.constant(least)), writer.constant(greatest))
        risen = writer.add(
            "ReduceSum", writer.add("Mul", part, writer.constant(step)), writer.constant([2], np.int64), keepdims=0
        )
        line = writer.add("Add", risen, writer.constant([normal[0] for normal in self.normal]))
        line = writer.add("Min", writer.add("Max", line, writer.constant(-LARGEST)), writer.constant(LARGEST))
        return writer.add("Where", writer.add("IsNaN", writer.exact), writer.constant(0.0), line)
