"""A model of somebody's own, of three classes and two numbers a constituent, written without any package for ONNX."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from helpers.protobuf import field
from numpy.typing import NDArray

#: from the sums of d_eta and ln pT over constituents to logits
MATRIX = np.array([[0.3, -0.2, 0.1], [-0.02, 0.04, 0.01]], np.float32)
MAXIMUM = 30
CARD: dict[str, Any] = {
    "name": "mine",
    "file": "mine.onnx",
    "opset": 17,
    "licence": "CC0-1.0",
    "training": "none",
    "trained_on_labelled": [],
    "inputs": [
        {
            "name": "points",
            "dtype": "float32",
            "shape": ["batch", "constituents", 2],
            "columns": [{"quantity": "d_eta", "unit": "1"}, {"quantity": "pt", "unit": "GeV", "transform": "log"}],
        }
    ],
    "constituents": {"maximum": MAXIMUM, "puppi": "weighted"},
    "output": {"name": "logits", "kind": "logits", "n_classes": 3, "softmax": "0-2"},
    "classes": {"QCD": 0, "X": 1, "other": 2},
    "score": {"formula": "paper", "signal": ["X"], "qcd": ["QCD"]},
    "numerics": {"reference": "none", "tolerance": 0.0},
}


def write(folder: Path) -> Path:
    """Write the model and its card; return the card."""
    model = _model()
    (folder / CARD["file"]).write_bytes(model)
    card = folder / "mine.yaml"
    card.write_text(yaml.safe_dump(CARD | {"sha256": hashlib.sha256(model).hexdigest()}), encoding="utf-8")
    return card


def _model() -> bytes:
    """Sum over constituents, then multiply by the matrix (onnx.proto: ModelProto and what is in it)."""
    float32, int64, integer = 1, 7, 2

    def tensor(name: str, kind: int, array: NDArray[Any]) -> bytes:
        shape = b"".join(field(1, size) for size in array.shape)
        return field(5, shape + field(2, kind) + field(8, name) + field(9, array.tobytes()))

    def value(number: int, name: str, *dimensions: bytes) -> bytes:
        shape = b"".join(field(1, dimension) for dimension in dimensions)
        return field(number, field(1, name) + field(2, field(1, field(1, float32) + field(2, shape))))

    def node(operator: str, inputs: tuple[str, str], output: str, attribute: bytes = b"") -> bytes:
        return field(1, field(1, inputs[0]) + field(1, inputs[1]) + field(2, output) + field(4, operator) + attribute)

    batch, constituents = field(2, "batch"), field(2, "constituents")
    without_axis = field(5, field(1, "keepdims") + field(3, 0) + field(20, integer))
    graph = (
        node("ReduceSum", ("points", "axis"), "sums", without_axis)
        + node("MatMul", ("sums", "matrix"), "logits")
        + field(2, "mine")
        + tensor("axis", int64, np.array([1]))
        + tensor("matrix", float32, MATRIX)
        + value(11, "points", batch, constituents, field(1, 2))
        + value(12, "logits", batch, field(1, 3))
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, CARD["opset"]))
