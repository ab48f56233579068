"""A small builder of ONNX graphs: nodes in order, constants stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["OPSET", "GraphBuilder"]

#: version of the standard operators: the first with Gelu
OPSET = 20
#: operators of ONNX Runtime that the standard lacks
_CONTRIBUTED = frozenset({"BiasGelu", "FusedMatMul", "MultiHeadAttention"})
#: version of the file format that opset 20 came with
_IR_VERSION = 9
#: smaller arrays, such as biases, slopes and masks, stay in 32 bits: they cost nothing
_SMALLEST_HALF = 4096


class GraphBuilder:
    """A collection of nodes and constants; values are referred to by their names."""

    def __init__(self, *, half_weights: bool = False) -> None:
        """Begin a graph.

        Args:
            half_weights: store matrices of float32 in 16 bits, which halves the file, and cast them in the graph. ONNX Runtime
                does this once, when it loads the file; all arithmetic stays in float32.
        """
        self._half_weights = half_weights
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], str], str] = {}
        self._tensors: list[Any] = []

    def constant(self, value: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Store an array; equal arrays are stored once.

        Args:
            value: the array.
            dtype: its type in the file.

        Returns:
            The name of the value.
        """
        from onnx import TensorProto, numpy_helper

        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            if self._half_weights and _fits_half(array):
                self._tensors.append(numpy_helper.from_array(array.astype(np.float16), name))
                name = self.add("Cast", name, to=TensorProto.FLOAT)
            else:
                self._tensors.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Store a list of int64, such as a shape or axes."""
        return self.constant(values, np.int64)

    def many(self, operator: str, inputs: Sequence[str], n_outputs: int, **attributes: Any) -> list[str]:
        """Append a node.

        Args:
            operator: its type.
            inputs: the names of its inputs.
            n_outputs: how many outputs it has.
            attributes: its attributes.

        Returns:
            The names of its outputs.
        """
        from onnx import helper

        names = [f"{operator}_{len(self._nodes)}" + (f"_{i}" if n_outputs > 1 else "") for i in range(n_outputs)]
        domain = "com.microsoft" if operator in _CONTRIBUTED else ""
        self._nodes.append(helper.make_node(operator, list(inputs), names, names[0], domain=domain, **attributes))
        return names

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output, and return that output's name."""
        return self.many(operator, inputs, 1, **attributes)[0]

    def model(
        self,
        inputs: dict[str, tuple[type[np.generic], Sequence[str | int]]],
        outputs: dict[str, tuple[str, Sequence[str | int]]],
        producer: str,
    ) -> Any:
        """Close the graph.

        Args:
            inputs: types and shapes by name; a dimension with a name is dynamic.
            outputs: for every output's name, the value that it is, and its shape; float32.
            producer: who made it.

        Returns:
            The ``onnx.ModelProto``.
        """
        from onnx import TensorProto, helper

        for name, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name], name))
        graph = helper.make_graph(
            self._nodes,
            "PET2",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
                for name, (dtype, shape) in inputs.items()
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, (_, shape) in outputs.items()
            ],
            self._tensors,
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=_IR_VERSION, producer_name=producer)


def _fits_half(array: NDArray[Any]) -> bool:
    """Tell whether an array is worth storing in float16, and none of its values is too large for that."""
    large = array.dtype == np.float32 and array.size >= _SMALLEST_HALF
    return large and bool(np.abs(array).max() < np.finfo(np.float16).max)
