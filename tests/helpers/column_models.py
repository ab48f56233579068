"""Small models of columns of the jet, as ONNX files with cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import ArrayLike

from oddjets.core.files import sha256_of

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'oddjets[learn]'")


def linear(weights: ArrayLike, dtype: type[np.generic] = np.float32) -> Any:
    """The product of the columns ``x`` and weights, shape (n_columns, n_outputs), as ``y``."""
    matrix = np.asarray(weights, dtype)
    return model([("MatMul", ["x", "w"], "y", {})], [matrix.shape[0]], [matrix.shape[1]], {"w": matrix}, dtype)


def model(
    nodes: Sequence[tuple[str, list[str], str, dict[str, Any]]],
    n_columns: list[Any],
    n_outputs: list[Any],
    constants: dict[str, np.ndarray],
    dtype: type[np.generic] = np.float32,
    inputs: Sequence[str] = ("x",),
) -> Any:
    """A graph with inputs of the shape [batch, *n_columns] and the output ``y`` of the shape [batch, *n_outputs]."""
    helper = onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node(operator, given, [output], **attributes) for operator, given, output, attributes in nodes],
        "graph",
        [helper.make_tensor_value_info(name, kind, ["batch", *n_columns]) for name in inputs],
        [helper.make_tensor_value_info("y", kind, ["batch", *n_outputs])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def content(columns: Sequence[Any] = ("mass", "pt"), **changes: Any) -> dict[str, Any]:
    """What a card says, without the sha256: columns in GeV, or with their units and so on."""
    of_columns = [{"column": c, "unit": "GeV"} if isinstance(c, str) else c for c in columns]
    return {
        "kind": "jet-columns",
        "name": "toy",
        "file": "toy.onnx",
        "opset": 17,
        "licence": "CC0-1.0",
        "training": "none",
        "trained_on_labelled": [],
        "inputs": [{"name": "x", "shape": ["batch", len(of_columns)], "columns": of_columns}],
        "output": {"name": "y"},
        "score": {"formula": "raw"},
        "numerics": {"reference": "none", "tolerance": 0.0},
        **changes,
    }


def write(folder: Path, graph: Any, columns: Sequence[Any] = ("mass", "pt"), **changes: Any) -> Path:
    """Write a model and its card; return the card."""
    folder.mkdir(parents=True, exist_ok=True)
    card = content(columns, **changes)
    file = folder / card["file"]
    onnx.save(graph, file)
    path = file.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(card | {"sha256": sha256_of(file)}), encoding="utf-8")
    return path
