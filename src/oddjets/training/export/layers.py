"""The layers of PET2 as ONNX nodes: normalisation by tanh, attention, multilayer perceptrons.

PET2 normalises by w tanh(alpha x) (`DynamicTanh`). The weights w go into the linear layer that follows. The slope alpha
would need a multiplication of its own in front of every tanh; instead, a residual stream is kept multiplied by the slope
of the next normalisation, and the change from one slope to the next is the factor beta of the Gemm that adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.training.export.checkpoint import Checkpoint
from oddjets.training.export.onnx_graph import GraphBuilder

__all__ = ["Layers", "ResidualStream"]


class ResidualStream(NamedTuple):
    """A residual stream.

    Attributes:
        value: name of the stream times ``scale``, shape (rows, width).
        scale: the slope of the next normalisation.
    """

    value: str
    scale: float


class Layers:
    """A builder of layers from a checkpoint's weights.

    Matrices of rows are ordered sequence first, (sequence, batch): so a product with ``transBatchA`` and ``transBatchB``
    reads heads in place, and nothing is transposed before it.
    """

    def __init__(self, graph: GraphBuilder, checkpoint: Checkpoint) -> None:
        self.graph = graph
        self.config = checkpoint.config
        self._weights: Mapping[str, NDArray[np.float32]] = checkpoint.weights

    def weight(self, name: str) -> NDArray[np.float64]:
        """Return a weight by its name in the checkpoint."""
        return self._weights[name].astype(np.float64)

    def slope(self, norm: str) -> float:
        """Return the slope alpha of a normalisation."""
        return float(self._weights[f"{norm}.alpha"][0])

    def linear(self, layer: str, norm: str | None = None) -> NDArray[np.float64]:
        """Return the matrix (inputs, outputs) of a linear layer, with the weights of the normalisation before it."""
        return self._normed(f"{layer}.weight", norm)

    def projections(self, attention: str, norm: str | None = None) -> list[NDArray[np.float64]]:
        """Return the matrices (inputs, width) of queries, keys and values; queries divided by the root of the head's width."""
        queries, keys, values = np.split(self._normed(f"{attention}.in_proj_weight", norm), 3, axis=1)
        return [queries / np.sqrt(self.config.base_dim // self.config.heads), keys, values]

    def _normed(self, name: str, norm: str | None) -> NDArray[np.float64]:
        matrix = self.weight(name).T
        return matrix if norm is None else self.weight(f"{norm}.weight")[:, np.newaxis] * matrix

    def head_shape(self, *leading: str) -> str:
        """Return the shape (sequence, batch, heads, width of a head); ``leading`` names sequence and batch, one may be -1."""
        heads = self.config.heads
        return self.graph.add("Concat", *leading, self.graph.integers(heads, self.config.base_dim // heads), axis=0)

    def mixed(self, queries: str, keys: str, values: str, mask: str) -> str:
        """Compute the attention of projected rows.

        Args:
            queries: shape (queries, batch, heads, width of a head).
            keys: shape (keys, batch, heads, width of a head).
            values: likewise.
            mask: what is added to the scores, broadcast to (batch, heads, queries, keys).

        Returns:
            The mixed values, shape (queries x batch, width).
        """
        graph = self.graph
        scores = graph.add("FusedMatMul", queries, keys, transBatchA=1, transBatchB=1, transB=1)
        shares = graph.add("Softmax", graph.add("Add", scores, mask), axis=-1)
        mixed = graph.add("Transpose", graph.add("FusedMatMul", shares, values, transBatchB=1), perm=[2, 0, 1, 3])
        return graph.add("Reshape", mixed, graph.integers(-1, self.config.base_dim))

    def attention(self, block: str, stream: ResidualStream, shape: str, mask: str) -> ResidualStream:
        """Add the self-attention of a block to a stream; the result has the slope of the block's second norm.

        Args:
            block: the block's name.
            stream: with the slope of the block's first norm.
            shape: as of `head_shape`.
            mask: as of `mixed`.
        """
        graph = self.graph
        rows = graph.add("Tanh", stream.value)
        queries, keys, values = (
            graph.add("Reshape", graph.add("MatMul", rows, graph.constant(matrix)), shape)
            for matrix in self.projections(f"{block}.attn", f"{block}.norm1")
        )
        mixed = self.mixed(queries, keys, values, mask)
        scale = self.slope(f"{block}.norm2")
        out = graph.constant(scale * self.linear(f"{block}.attn.out_proj"))
        return ResidualStream(graph.add("Gemm", mixed, out, stream.value, beta=scale / stream.scale), scale)

    def activated(self, mlp: str, rows: str) -> str:
        """Apply Gelu and tanh after a perceptron's first layer; the second applies the weights of the norm."""
        graph = self.graph
        return graph.add("Tanh", graph.add("Mul", graph.add("Gelu", rows), graph.constant(self.slope(f"{mlp}.norm"))))

    def hidden(self, mlp: str, rows: str, norm: str | None = None) -> str:
        """Compute the hidden layer of a perceptron, shape (rows, hidden).

        Args:
            mlp: the perceptron's name.
            rows: its input, shape (rows, width).
            norm: the normalisation whose weights are still to be applied.
        """
        first = self.graph.constant(self.linear(f"{mlp}.fc1", norm))
        bias = self.graph.constant(self.weight(f"{mlp}.fc1.bias"))
        return self.activated(mlp, self.graph.add("Gemm", rows, first, bias))

    def block_hidden(self, block: str, stream: ResidualStream) -> str:
        """Compute the hidden layer of a block's perceptron."""
        return self.hidden(f"{block}.mlp", self.graph.add("Tanh", stream.value), f"{block}.norm2")

    def perceptron(self, block: str, stream: ResidualStream, scale: float) -> ResidualStream:
        """Add a block's perceptron to a stream.

        Args:
            block: the block's name.
            stream: with the slope of the block's second norm.
            scale: the slope of the norm that follows.
        """
        graph, mlp = self.graph, f"{block}.mlp"
        second = graph.constant(scale * self.linear(f"{mlp}.fc2", f"{mlp}.norm"))
        value = graph.add("Gemm", self.block_hidden(block, stream), second, stream.value, beta=scale / stream.scale)
        return ResidualStream(graph.add("Add", value, graph.constant(scale * self.weight(f"{mlp}.fc2.bias"))), scale)

    def token_perceptron(self, block: str, token: str) -> str:
        """Add the perceptron of a block of the classifier to class tokens, shape (tokens x batch, width)."""
        graph = self.graph
        scaled = graph.add("Mul", token, graph.constant(self.slope(f"{block}.norm")))
        hidden = self.hidden(f"{block}.mlp", graph.add("Tanh", scaled), f"{block}.norm")
        token = graph.add("Gemm", hidden, graph.constant(self.linear(f"{block}.mlp.fc2", f"{block}.mlp.norm")), token)
        return graph.add("Add", token, graph.constant(self.weight(f"{block}.mlp.fc2.bias")))

    def logits(self, together: str) -> str:
        """Compute the logits of jets from their class tokens, shape (batch, tokens x width), by two linear layers."""
        hidden = self.hidden("classifier.fc", together)
        last = self.linear("classifier.out")
        matrix = self.linear("classifier.fc.fc2", "classifier.fc.norm") @ last
        bias = self.weight("classifier.fc.fc2.bias") @ last + self.weight("classifier.out.bias")
        return self.graph.add("Gemm", hidden, self.graph.constant(matrix), self.graph.constant(bias))
