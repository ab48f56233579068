"""Cumulative distributions of raw scores, by which the models of different folds have one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.learning.model import GraphPart

__all__ = ["ScoreCdf"]

Floats = npt.NDArray[np.float64]

#: knots between the tails, and in each tail down to one jet
_BETWEEN, _TAIL = 501, 60
#: distance of knots, at least, in units of the span of all: of trees, two jets may differ by no more than rounding, and a step
#: there would make it a difference of the score
_LEAST_STEP = 1e-3


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
        kept = _apart(unique, np.unique(np.clip(np.searchsorted(levels, wanted), 0, len(levels) - 1)))
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

    def graph(self, raw: str, output: str, prefix: str) -> GraphPart:
        """Return the part of an ONNX graph that computes the levels, in float64.

        Args:
            raw: name of its input, float64, (batch, 1).
            output: name of its output, float64, (batch, 1).
            prefix: what names of nodes and constants begin with.
        """
        from onnx import TensorProto, helper, numpy_helper

        nodes: list[Any] = []
        constants: list[Any] = []

        def constant(name: str, value: npt.ArrayLike) -> str:
            constants.append(numpy_helper.from_array(np.asarray(value), f"{prefix}{name}"))
            return f"{prefix}{name}"

        def made(operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
            name = name or f"{prefix}{operator}_{len(nodes)}"
            nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
            return name

        low, high = self.widths
        first, last = constant("first", self.knots[0]), constant("last", self.knots[-1])
        one, zero = constant("one", 1.0), constant("zero", 0.0)
        inside = made("Min", made("Max", raw, first), last)
        # the interval: how many of the knots but the last are not above it, less one
        reached = made("GreaterOrEqual", inside, constant("knots", self.knots[np.newaxis, :-1]))
        count = made(
            "ReduceSum",
            made("Cast", reached, to=TensorProto.INT64),
            constant("axis", np.array([1], np.int64)),
            keepdims=1,
        )
        place = made("Sub", count, constant("less", np.int64(1)))
        start = made("Gather", constant("starts", self.knots[:-1]), place)
        level = made("Gather", constant("levels", self.levels[:-1]), place)
        slope = made("Gather", constant("slopes", np.diff(self.levels) / np.diff(self.knots)), place)
        between = made("Add", level, made("Mul", slope, made("Sub", inside, start)))
        # what the hyperbolas differ from the ends, 0 between the knots
        below = made("Div", made("Max", made("Sub", first, raw), zero), constant("low", low))
        left = made("Div", constant("bottom", self.levels[0]), made("Add", one, below))
        above = made("Div", made("Max", made("Sub", raw, last), zero), constant("high", high))
        right = made("Div", constant("top", 1.0 - self.levels[-1]), made("Add", one, above))
        lower = made("Sub", left, f"{prefix}bottom")
        upper = made("Sub", f"{prefix}top", right)
        made("Add", between, made("Add", lower, upper), name=output)
        return GraphPart(nodes, constants)


def _apart(values: Floats, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return which rows are far enough from the one before; the first and the last are among them."""
    least = _LEAST_STEP * float(values[kept[-1]] - values[kept[0]])
    found = [int(kept[0])]
    for row in kept[1:-1]:
        if values[row] - values[found[-1]] >= least and values[kept[-1]] - values[row] >= least:
            found.append(int(row))
    return np.array([*found, int(kept[-1])], np.intp)
