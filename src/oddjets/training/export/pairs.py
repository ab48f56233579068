"""Pair features and nearest neighbours of constituents as ONNX nodes.

A pair has three features: ln m2, ln dR and ln kT, each 0 where its argument is 0. They are symmetric, so they are computed
once for every pair j > i and gathered where the interaction and the neighbourhoods need them. Here a pair's row is

    ln m2,    ln dR2,    ln min(pT_i, pT_j),    1

and `pair_weights` turns a linear layer of the three features into one of these four: the one carries the bias.

The squared mass is 2 pT_i pT_j (cosh d_eta - cos d_phi), which cancels for close constituents; 4 pT_i pT_j (sinh2(d_eta/2) +
sin2(d_phi/2)) is the same number without the cancellation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.training.export.onnx_graph import GraphBuilder

__all__ = ["MASKED", "MAX_CONSTITUENTS", "Neighbours", "Pairs", "pair_weights"]

#: what OmniLearned takes at most; the graph holds tables of pairs up to it
MAX_CONSTITUENTS = 150
#: added to scores of keys that must not count, as in OmniLearned
MASKED = -1e9
#: a squared distance larger than any real one
_FAR = 1e6


def pair_weights(matrix: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a linear layer of ln m2, ln dR, ln kT into one of a pair's row.

    Args:
        matrix: shape (outputs, 3).
        bias: shape (outputs,).

    Returns:
        Shape (outputs, 4); ln kT = ln min(pT) + ln dR.
    """
    mass, distance, kt = matrix.T
    return np.column_stack([mass, (distance + kt) / 2, kt, bias])


class Neighbours(NamedTuple):
    """The nearest constituents of each.

    Attributes:
        features: differences of the four features to the neighbour, and the pair's row; shape
            (8, neighbours x constituents x batch).
        real: 1 for a real neighbour, 0 for padding; shape (constituents x batch, neighbours).
        mask: 0 or a large negative number for scores, shape (constituents x batch, 1, 1, neighbours), or (1, 1, 1, 1)
            where all neighbours are real.
    """

    features: str
    real: str
    mask: str


class Pairs:
    """Nodes that describe the pairs of the graph's input ``x``, shape (batch, constituents, 4).

    Attributes:
        batch: size of the batch, as an array of one.
        constituents: their number, as an array of one.
        key_mask: 0 for real constituents, a large negative number for padding, shape (batch, 1, 1, constituents).
    """

    def __init__(self, graph: GraphBuilder, stable: bool) -> None:
        self.graph = graph
        shape = graph.add("Shape", "x")
        self.batch, self.constituents = (graph.add("Gather", shape, graph.integers(axis)) for axis in (0, 1))
        self._first = graph.add("Transpose", "x", perm=[2, 1, 0])  # (4, constituents, batch)
        log_pt = graph.add("Reshape", self._slice(self._first, 2, 3), graph.integers(-1))
        self._padded = graph.add("Equal", log_pt, graph.constant(0.0))  # (constituents x batch,)
        flat = graph.add("Where", self._padded, graph.constant(MASKED), graph.constant(0.0))
        mask = graph.add("Reshape", flat, graph.add("Concat", self.constituents, self.batch, axis=0))
        self.key_mask = graph.add("Unsqueeze", graph.add("Transpose", mask, perm=[1, 0]), graph.integers(1, 2))

        # the pair of a constituent with itself is number 0, that of i < j is number 1 + j (j - 1) / 2 + i
        index = np.arange(MAX_CONSTITUENTS)
        low, high = np.minimum.outer(index, index), np.maximum.outer(index, index)
        self._table = np.where(low == high, 0, 1 + high * (high - 1) // 2 + low)
        both = graph.add("Concat", self.constituents, self.constituents, axis=0)
        table = graph.constant(self._table, np.int32)
        self._numbers = graph.add("Slice", table, graph.integers(0, 0), both)  # (constituents, constituents)
        self._rows, self._distance2 = self._features(stable)

    def _slice(self, value: str, start: int, stop: int, axis: int = 0) -> str:
        return self.graph.add("Slice", value, *(self.graph.integers(i) for i in (start, stop, axis)))

    def _members(self) -> list[list[str]]:
        """Return d_eta, d_phi and ln pT of both members of all pairs, each of shape (1, pairs x batch)."""
        graph = self.graph
        later, earlier = np.tril_indices(MAX_CONSTITUENTS, -1)
        counts = [n * (n - 1) // 2 + 1 for n in range(MAX_CONSTITUENTS + 1)]
        count = graph.add("Gather", graph.constant(counts, np.int64), self.constituents)
        constituents = graph.add("Transpose", "x", perm=[1, 0, 2])  # rows are gathered faster than columns
        members = []
        for which in (earlier, later):
            chosen = graph.constant(np.concatenate([[0], which]), np.int32)
            chosen = graph.add("Slice", chosen, graph.integers(0), count)
            # without a last axis of length one, on which ONNX Runtime's elementwise operators are slow
            rows = graph.add("Reshape", graph.add("Gather", constituents, chosen, axis=0), graph.integers(-1, 4))
            columns = graph.add("Transpose", rows, perm=[1, 0])
            members.append(graph.many("Split", [columns], 4, axis=0, num_outputs=4)[:3])
        return members

    def _features(self, stable: bool) -> tuple[str, str]:
        """Return rows of all pairs, shape (4, pairs x batch), and their squared distances, shape (1, pairs x batch)."""
        graph = self.graph
        (eta, phi, log_pt), (other_eta, other_phi, other_log_pt) = self._members()
        d_eta, d_phi = graph.add("Sub", eta, other_eta), graph.add("Sub", phi, other_phi)
        distance2 = graph.add("Add", graph.add("Mul", d_eta, d_eta), graph.add("Mul", d_phi, d_phi))
        if stable:
            half = graph.constant(0.5)
            sinh, sin = (
                graph.add(function, graph.add("Mul", difference, half))
                for function, difference in (("Sinh", d_eta), ("Sin", d_phi))
            )
            angle, factor = graph.add("Add", graph.add("Mul", sinh, sinh), graph.add("Mul", sin, sin)), 4.0
        else:
            angle, factor = graph.add("Sub", graph.add("Cosh", d_eta), graph.add("Cos", d_phi)), 2.0
        zero = graph.constant(0.0)
        pts = graph.add("Add", graph.add("Add", log_pt, other_log_pt), graph.constant(np.log(factor)))
        apart = graph.add("Greater", distance2, zero)
        # the published form rounds to zero, or below, where the constituents are apart
        massive = graph.add("Greater", angle, zero)
        log_mass2 = graph.add("Where", massive, graph.add("Add", graph.add("Log", angle), pts), zero)
        log_distance2 = graph.add("Where", apart, graph.add("Log", distance2), zero)
        log_min_pt = graph.add("Where", apart, graph.add("Min", log_pt, other_log_pt), zero)
        one = graph.add("Expand", graph.constant([[1.0]]), graph.add("Shape", distance2))
        return graph.add("Concat", log_mass2, log_distance2, log_min_pt, one, axis=0), distance2

    def bias(
        self, first: NDArray[np.float64], second: NDArray[np.float64], second_bias: NDArray[np.float64], tokens: int
    ) -> str:
        """Compute the scores that pairs add to the attention, from a perceptron without normalisation.

        Args:
            first: `pair_weights` of its first layer, shape (hidden, 4).
            second: the matrix of its second, shape (hidden, heads).
            second_bias: shape (heads,).
            tokens: class tokens in front of the constituents; pairs with them get 0.

        Returns:
            Shape (batch, heads, tokens + constituents, tokens + constituents), with the mask of padded keys.
        """
        graph, heads = self.graph, second.shape[1]
        hidden = graph.add("Gelu", graph.add("FusedMatMul", self._rows, graph.constant(first.T), transA=1))
        out = graph.add("Gemm", hidden, graph.constant(second), graph.constant(second_bias))
        columns = graph.add("Mul", self.batch, graph.integers(heads))
        out = graph.add("Reshape", out, graph.add("Concat", graph.integers(-1), columns, axis=0))
        out = graph.add("Pad", out, graph.integers(1, 0, 0, 0))  # a row of zeros in front, for tokens
        numbers = graph.add("Add", self._numbers, graph.constant(1, np.int32))
        numbers = graph.add("Pad", numbers, graph.integers(tokens, tokens, 0, 0))
        gathered = graph.add("Gather", out, graph.add("Reshape", numbers, graph.integers(-1)), axis=0)
        length = graph.add("Add", self.constituents, graph.integers(tokens))
        shape = graph.add("Concat", self.batch, graph.integers(heads), length, length, axis=0)
        bias = graph.add("Reshape", graph.add("Transpose", gathered, perm=[1, 0]), shape)
        return graph.add("Add", bias, graph.add("Pad", self.key_mask, graph.integers(0, 0, 0, tokens, 0, 0, 0, 0)))

    def neighbours(self, count: int) -> Neighbours:
        """Find the ``count`` nearest constituents of each, itself excluded.

        Args:
            count: how many; where there are fewer, the rest is marked as not real.
        """
        graph = self.graph
        index, mask, real = self._nearest(count)
        width = graph.constant(np.arange(MAX_CONSTITUENTS)[:, np.newaxis] * MAX_CONSTITUENTS, np.int64)
        rows = graph.add("Slice", width, graph.integers(0), self.constituents)
        number = graph.add("Gather", graph.constant(self._table.ravel(), np.int64), graph.add("Add", index, rows))
        end = graph.add("Squeeze", self.batch, graph.integers(0))
        jet = graph.add("Range", graph.constant(0, np.int64), end, graph.constant(1, np.int64))
        # both tables have the jets of the batch as their fastest index
        number, index = (graph.add("Add", graph.add("Mul", i, self.batch), jet) for i in (number, index))
        pair = graph.add("Gather", self._rows, number, axis=1)
        other = graph.add("Gather", graph.add("Reshape", self._first, graph.integers(4, -1)), index, axis=1)
        difference = graph.add("Sub", graph.add("Unsqueeze", self._first, graph.integers(1)), other)
        features = graph.add("Concat", difference, pair, axis=0)
        return Neighbours(graph.add("Reshape", features, graph.integers(8, -1)), real, mask)

    def _nearest(self, count: int) -> tuple[str, str, str]:
        """Return indices (neighbours, constituents, batch), and ``mask`` and ``real`` of `Neighbours`."""
        graph = self.graph
        zero, far = graph.constant(0.0), graph.constant(_FAR)
        pairs = graph.add("Reshape", self._distance2, graph.add("Concat", graph.integers(-1), self.batch, axis=0))
        itself_far = graph.add("Pad", self._slice(pairs, 1, 1 << 30), graph.integers(1, 0, 0, 0), far)
        distance2 = graph.add("Gather", itself_far, self._numbers, axis=0)
        padded = graph.add("Where", self._padded, far, zero)
        shape = graph.add("Concat", self.constituents, graph.integers(1), self.batch, axis=0)
        distance2 = graph.add("Add", distance2, graph.add("Reshape", padded, shape))
        distance2 = graph.add("Pad", distance2, graph.integers(0, 0, 0, count, 0, 0), far)  # for few constituents
        nearest, index = graph.many("TopK", [distance2, graph.integers(count)], 2, axis=0, largest=0, sorted=0)
        last = graph.add("Sub", self.constituents, graph.integers(1))
        index = graph.add("Min", index, last)  # of those that stand for none, any

        is_real = graph.add("Less", graph.add("Reshape", nearest, graph.integers(count, -1)), graph.constant(_FAR / 2))
        real = graph.add("Transpose", graph.add("Cast", is_real, to=1), perm=[1, 0])
        missing = graph.add("Sub", real, graph.constant(1.0))
        mask = graph.add("Unsqueeze", graph.add("Mul", missing, graph.constant(-MASKED)), graph.integers(1, 2))
        # Adding rows of ten numbers is slow, and jets with padded neighbours are rare: else, one zero is added
        few = graph.add("Less", graph.add("ReduceMin", real, keepdims=0), graph.constant(0.5))
        end = graph.add("Where", few, graph.integers(1 << 30, 1 << 30), graph.integers(1, 1))
        mask = graph.add("Slice", mask, graph.integers(0, 0), end, graph.integers(0, 3))
        return index, mask, real
