"""Nodes of ONNX graphs, written one after another with names of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.optional_imports import require
from oddjets.learning.model import GraphPart

__all__ = ["NodeWriter"]


class NodeWriter:
    """Nodes and constants in float64 behind an input in float32.

    Args:
        columns: name of the input, float32, (batch, columns).
        prefix: what names begin with.

    Attributes:
        exact: name of the input in float64.

    Raises:
        OddjetsError: onnx is not installed.
    """

    def __init__(self, columns: str, prefix: str) -> None:
        self._onnx = require("onnx", "learn")
        self._prefix = prefix
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self.exact = self.add("Cast", columns, to=self._onnx.TensorProto.DOUBLE)

    def constant(self, values: npt.ArrayLike, dtype: type[np.float64 | np.int64] = np.float64) -> str:
        """Return the name of a constant.

        Args:
            values: any shape.
            dtype: float64; int64 for shapes and axes.
        """
        name = f"{self._prefix}c{len(self._constants)}"
        # ascontiguousarray would make a number an array of one
        array = np.array(values, dtype, order="C")
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Return the name of the output of a new node.

        Args:
            operator: of ONNX.
            inputs: names.
            attributes: of the operator.
        """
        name = f"{self._prefix}v{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def mean_of(self, outputs: list[str], output: str) -> GraphPart:
        """Return all nodes, with the mean of some outputs as the result.

        Args:
            outputs: names, float64, (batch, 1) each.
            output: name of the result, float32.
        """
        total = self.add("Sum", *outputs)
        mean = self.add("Div", total, self.constant(float(len(outputs))))
        cast = self._onnx.helper.make_node(
            "Cast", [mean], [output], name=f"{self._prefix}output", to=self._onnx.TensorProto.FLOAT
        )
        return GraphPart([*self._nodes, cast], self._constants)
