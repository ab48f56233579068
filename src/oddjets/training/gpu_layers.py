"""The layers of PET2 as nodes for GPUs, in 32 or 16 bits, on rows ordered jet by jet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddjets.training.checkpoint import Checkpoint
from oddjets.training.graph import GraphBuilder
from oddjets.training.layers import Layers, Stream

__all__ = ["FLOAT", "HALF", "INT32", "GpuLayers"]

#: codes of ONNX's types
FLOAT, HALF, INT32 = 1, 10, 6


class GpuLayers(Layers):
    """Layers on rows ordered jet by jet, in the arithmetic of the graph; residual streams are float32."""

    def __init__(self, graph: GraphBuilder, checkpoint: Checkpoint, half: bool) -> None:
        super().__init__(graph, checkpoint)
        self._half = half

    def number(self, value: Any) -> str:
        """A constant in the arithmetic of the layers."""
        return self.graph.constant(value, np.float16 if self._half else np.float32)

    def narrow(self, value: str) -> str:
        """From float32 to the arithmetic of the layers."""
        return self.graph.add("Cast", value, to=HALF) if self._half else value

    def wide(self, value: str) -> str:
        """From the arithmetic of the layers to float32."""
        return self.graph.add("Cast", value, to=FLOAT) if self._half else value

    def product(self, rows: str, matrix: NDArray[np.float64]) -> str:
        """Rows times a matrix (inputs, outputs), in the arithmetic of the layers."""
        return self.graph.add("Gemm", rows, self.number(matrix))

    def precise_product(self, planes: list[str], matrix: NDArray[np.float64]) -> str:
        """A matrix (outputs, inputs) times float32 inputs, each of shape (rows,); as exact as in float32."""
        graph = self.graph
        rows = graph.add("Concat", *(graph.add("Unsqueeze", p, graph.integers(0)) for p in planes), axis=0)
        if not self._half:
            return graph.add("Gemm", rows, graph.constant(matrix.T), transA=1)
        high = self.narrow(rows)
        low = self.narrow(graph.add("Sub", rows, self.wide(high)))
        coarse = matrix.astype(np.float16).astype(np.float64)
        weights = np.column_stack([coarse, coarse, matrix - coarse])
        return graph.add("Gemm", graph.add("Concat", high, low, high, axis=0), self.number(weights.T), transA=1)

    def normed_gelu(self, mlp: str, rows: str, bias: NDArray[np.float64]) -> str:
        """The hidden layer of a perceptron from its first product; the weights of the norm are left to the second."""
        rows = self.graph.add("BiasGelu", rows, self.number(bias))
        return self.graph.add("Tanh", self.graph.add("Mul", rows, self.number(self.slope(f"{mlp}.norm"))))

    def fused(self, queries: str, keys: str, values: str, bias: str) -> str:
        """Attention of projected rows (batch, sequence, width); returns (batch x queries, width).

        Args:
            queries: the queries.
            keys: the keys.
            values: the values.
            bias: what is added to the scores, broadcast to (batch, heads, queries, keys).
        """
        inputs = (queries, keys, values, "", "", bias)
        mixed = self.graph.add("MultiHeadAttention", *inputs, num_heads=self.config.heads, scale=1.0)
        return self.graph.add("Reshape", mixed, self.graph.integers(-1, self.config.base_dim))

    def attend(self, block: str, stream: Stream, shape: str, bias: str) -> Stream:
        """As `attention`; ``shape`` is (batch, sequence, width), ``bias`` as of `fused`."""
        rows = self.narrow(self.graph.add("Tanh", stream.value))
        queries, keys, values = (
            self.graph.add("Reshape", self.product(rows, matrix), shape)
            for matrix in self.projections(f"{block}.attn", f"{block}.norm1")
        )
        scale = self.slope(f"{block}.norm2")
        mixed = self.fused(queries, keys, values, bias)
        out = self.product(mixed, scale * self.linear(f"{block}.attn.out_proj"))
        return self._residual(stream, out, scale)

    def block_hidden(self, block: str, stream: Stream) -> str:
        """The hidden layer of a block's perceptron."""
        rows = self.narrow(self.graph.add("Tanh", stream.value))
        first = self.product(rows, self.linear(f"{block}.mlp.fc1", f"{block}.norm2"))
        return self.normed_gelu(f"{block}.mlp", first, self.weight(f"{block}.mlp.fc1.bias"))

    def perceptron(self, block: str, stream: Stream, scale: float) -> Stream:
        """As of `Layers`."""
        second = scale * self.linear(f"{block}.mlp.fc2", f"{block}.mlp.norm")
        kept = self._residual(stream, self.product(self.block_hidden(block, stream), second), scale)
        bias = self.graph.constant(scale * self.weight(f"{block}.mlp.fc2.bias"))
        return Stream(self.graph.add("Add", kept.value, bias), scale)

    def _residual(self, stream: Stream, change: str, scale: float) -> Stream:
        kept = self.graph.add("Mul", stream.value, self.graph.constant(scale / stream.scale))
        return Stream(self.graph.add("Add", kept, self.wide(change)), scale)
