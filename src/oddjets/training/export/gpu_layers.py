"""The layers of PET2 as ONNX nodes for GPUs, in 32 or 16 bits."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oddjets.training.export.checkpoint import Checkpoint
from oddjets.training.export.layers import Layers, ResidualStream
from oddjets.training.export.onnx_graph import GraphBuilder

__all__ = ["FLOAT", "HALF", "INT32", "GpuLayers"]

#: codes of ONNX's types
FLOAT, HALF, INT32 = 1, 10, 6


class GpuLayers(Layers):
    """Layers on rows ordered jet by jet, in the arithmetic of the graph.

    Args:
        graph: where nodes go.
        checkpoint: the network.
        half: 16-bit numbers where they are safe.
        wide_stream: residual streams in float32 all the same, since rounding adds up over many blocks.
    """

    def __init__(self, graph: GraphBuilder, checkpoint: Checkpoint, half: bool, wide_stream: bool = True) -> None:
        super().__init__(graph, checkpoint)
        self._half = half
        self._wide_stream = wide_stream

    def number(self, value: Any) -> str:
        """Add a constant in the arithmetic of the layers."""
        return self.graph.constant(value, np.float16 if self._half else np.float32)

    def narrow(self, value: str) -> str:
        """Convert float32 to the arithmetic of the layers."""
        return self.graph.add("Cast", value, to=HALF) if self._half else value

    def wide(self, value: str) -> str:
        """Convert the arithmetic of the layers to float32."""
        return self.graph.add("Cast", value, to=FLOAT) if self._half else value

    def on_stream(self, value: str) -> str:
        """Convert the arithmetic of the layers to that of residual streams."""
        return self.wide(value) if self._wide_stream else value

    def off_stream(self, value: str) -> str:
        """Convert the arithmetic of residual streams to that of the layers."""
        return self.narrow(value) if self._wide_stream else value

    def stream_number(self, value: Any) -> str:
        """Add a constant in the arithmetic of residual streams."""
        return self.graph.constant(value) if self._wide_stream else self.number(value)

    def _tanh(self, stream: ResidualStream) -> str:
        """Compute the tanh of a stream, which has the slope already; rounded first, since tanh is faster on 16 bits."""
        return self.graph.add("Tanh", self.off_stream(stream.value))

    def product(self, rows: str, matrix: NDArray[np.float64]) -> str:
        """Multiply rows by a matrix (inputs, outputs), in the arithmetic of the layers."""
        return self.graph.add("Gemm", rows, self.number(matrix))

    def narrow_product(self, rows: str, matrix: NDArray[np.float64]) -> str:
        """Multiply as `product` does, with weights as exact as in float32; it computes each output twice."""
        if not self._half:
            return self.product(rows, matrix)
        coarse = matrix.astype(np.float16).astype(np.float64)
        both = self.product(rows, np.column_stack([coarse, matrix - coarse]))
        return self.graph.add("Add", *self.graph.many("Split", [both], 2, axis=1, num_outputs=2))

    def stacked(self, planes: list[str]) -> str:
        """Stack planes of shape (rows,) to one array, (planes, rows)."""
        return self.graph.add(
            "Concat", *(self.graph.add("Unsqueeze", p, self.graph.integers(0)) for p in planes), axis=0
        )

    def precise_product(self, planes: list[str], matrix: NDArray[np.float64]) -> str:
        """Multiply a matrix (outputs, inputs) by float32 inputs, each of shape (rows,); as exact as in float32."""
        graph = self.graph
        rows = self.stacked(planes)
        if not self._half:
            return graph.add("Gemm", rows, graph.constant(matrix.T), transA=1)
        high = self.narrow(rows)
        low = self.narrow(graph.add("Sub", rows, self.wide(high)))
        coarse = matrix.astype(np.float16).astype(np.float64)
        weights = np.column_stack([coarse, coarse, matrix - coarse])
        return graph.add("Gemm", graph.add("Concat", high, low, high, axis=0), self.number(weights.T), transA=1)

    def _slope_after_gelu(self, mlp: str) -> tuple[Literal["Mul", "Div"], float, float]:
        """Return how a perceptron's norm multiplies by its slope: an operator, its constant, and the slope that these give.

        A slope that is off by a factor shifts all jets alike, which costs more than rounding their numbers: in 16 bits,
        the nearer one of the slope and the inverse of its inverse is taken.
        """
        slope = self.slope(f"{mlp}.norm")
        if not self._half:
            return "Mul", slope, slope
        factor, divisor = float(np.float16(slope)), float(np.float16(1 / slope))
        if abs(factor - slope) <= abs(1 / divisor - slope):
            return "Mul", factor, factor
        return "Div", divisor, 1 / divisor

    def before_gelu(self, mlp: str) -> float:
        """Return the factor on a perceptron's first layer that corrects for the rounded slope after its Gelu.

        Gelu(c x) is close to c Gelu(x) for c close to 1: with c = 1 + d they differ by d x^2 phi(x) < 0.3 d, phi the normal
        density.
        """
        return self.slope(f"{mlp}.norm") / self._slope_after_gelu(mlp)[2]

    def normed_gelu(self, mlp: str, rows: str, bias: NDArray[np.float64]) -> str:
        """Compute the hidden layer of a perceptron from its first product; the second applies the weights of the norm.

        Args:
            mlp: the perceptron's name.
            rows: the product, times `before_gelu`.
            bias: of the first layer, likewise.
        """
        if self._half and self._wide_stream:
            # Gelu of 16-bit numbers rounds three times, and what it is off by adds up over the blocks of the body
            rows = self.narrow(self.graph.add("BiasGelu", self.wide(rows), self.graph.constant(bias)))
        else:
            rows = self.graph.add("BiasGelu", rows, self.number(bias))
        operator, constant, _ = self._slope_after_gelu(mlp)
        return self.graph.add("Tanh", self.graph.add(operator, rows, self.number(constant)))

    def fused(self, queries: str, keys: str, values: str, bias: str) -> str:
        """Compute the attention of projected rows (batch, sequence, width); returns (batch x queries, width).

        Args:
            queries: the queries.
            keys: the keys.
            values: the values.
            bias: what is added to the scores, broadcast to (batch, heads, queries, keys).
        """
        inputs = (queries, keys, values, "", "", bias)
        mixed = self.graph.add("MultiHeadAttention", *inputs, num_heads=self.config.heads, scale=1.0)
        return self.graph.add("Reshape", mixed, self.graph.integers(-1, self.config.base_dim))

    def attend(self, block: str, stream: ResidualStream, shape: str, bias: str) -> ResidualStream:
        """Add self-attention as `attention` does; ``shape`` is (batch, sequence, width), ``bias`` as of `fused`."""
        rows, factor = self._tanh(stream), self._after_norm(f"{block}.norm1", stream)
        queries, keys, values = (
            self.graph.add("Reshape", self.product(rows, factor * matrix), shape)
            for matrix in self.projections(f"{block}.attn", f"{block}.norm1")
        )
        scale = self.slope(f"{block}.norm2")
        return self._residual(
            stream, self.fused(queries, keys, values, bias), self.linear(f"{block}.attn.out_proj"), scale
        )

    def block_hidden(self, block: str, stream: ResidualStream) -> str:
        """Compute the hidden layer of a block's perceptron."""
        rows = self._tanh(stream)
        factor = self.before_gelu(f"{block}.mlp")
        matrix = factor * self._after_norm(f"{block}.norm2", stream) * self.linear(f"{block}.mlp.fc1", f"{block}.norm2")
        first = self.product(rows, matrix)
        return self.normed_gelu(f"{block}.mlp", first, factor * self.weight(f"{block}.mlp.fc1.bias"))

    def perceptron(self, block: str, stream: ResidualStream, scale: float) -> ResidualStream:
        """Add a block's perceptron to a stream, as `Layers` does."""
        second = self.linear(f"{block}.mlp.fc2", f"{block}.mlp.norm")
        kept = self._residual(stream, self.block_hidden(block, stream), second, scale)
        bias = self.stream_number(kept.scale * self.weight(f"{block}.mlp.fc2.bias"))
        return ResidualStream(self.graph.add("Add", kept.value, bias), kept.scale)

    def _residual(self, stream: ResidualStream, rows: str, matrix: NDArray[np.float64], scale: float) -> ResidualStream:
        """Add the product of rows and a matrix (inputs, outputs) to a stream, and give it another scale, or one close to it.

        Where both are of one arithmetic, the product adds the stream, in float32, and rounds once. With 16-bit numbers the
        factor on the stream is one of them, too; the scale is what such a factor gives, and `_after_norm` corrects for it.
        """
        factor = scale / stream.scale
        if self._half and self._wide_stream:
            change = self.wide(self.product(rows, scale * matrix))
            kept = self.graph.add("Mul", stream.value, self.graph.constant(factor))
            return ResidualStream(self.graph.add("Add", kept, change), scale)
        if self._half:
            factor = float(np.float16(factor))
        scale = factor * stream.scale
        value = self.graph.add("Gemm", rows, self.number(scale * matrix), stream.value, beta=factor)
        return ResidualStream(value, scale)

    def _after_norm(self, norm: str, stream: ResidualStream) -> float:
        """Return the factor on the layer after a norm that corrects for the scale of its stream, if it is not the slope.

        For c close to 1, tanh(c x) is close to c tanh(x) where x is small, as in most of a stream.
        """
        return self.slope(norm) / stream.scale
