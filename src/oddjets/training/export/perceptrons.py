"""Logistic regressions and small networks of scikit-learn as ONNX graphs, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.learning.trees import OPSET

__all__ = ["PerceptronLayers", "layers_graph", "read_layers"]

#: activation of scikit-learn to operator
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": None}
_IR_VERSION = 8


class PerceptronLayers(NamedTuple):
    """A network that ends in one logit, behind the scaling of its inputs.

    Attributes:
        shift: is subtracted from each column, shape (n_columns,).
        scale: each column is then divided by it, likewise.
        weights: of each layer, shape (n_in, n_out); the last n_out is 1.
        biases: of each layer, shape (n_out,).
        activation: of all layers but the last, an operator of ONNX; None: there is none.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: list[NDArray[np.float64]]
    biases: list[NDArray[np.float64]]
    activation: str | None


def read_layers(model: Any) -> PerceptronLayers | None:
    """Read a classifier of two classes that is a sum of products of columns, or a network of such.

    Args:
        model: a fitted LogisticRegression or MLPClassifier of scikit-learn, or a pipeline of a StandardScaler and one of these.

    Returns:
        Its numbers; None if it is none of these.
    """
    scaler, steps = None, [step for _, step in getattr(model, "steps", [])]
    if len(steps) == 2 and type(steps[0]).__name__ == "StandardScaler":
        scaler, model = steps
    n_columns = model.n_features_in_
    shift, scale = np.zeros(n_columns), np.ones(n_columns)
    if scaler is not None:
        shift = shift if scaler.mean_ is None else np.asarray(scaler.mean_, np.float64)
        scale = scale if scaler.scale_ is None else np.asarray(scaler.scale_, np.float64)
    if type(model).__name__ == "LogisticRegression":
        return PerceptronLayers(
            shift, scale, [np.asarray(model.coef_.T, np.float64)], [np.asarray(model.intercept_, np.float64)], None
        )
    if type(model).__name__ == "MLPClassifier":
        if model.out_activation_ != "logistic":
            raise OddjetsError("a network of several classes or labels: only one of two classes can be exported")
        weights = [np.asarray(array, np.float64) for array in model.coefs_]
        biases = [np.asarray(array, np.float64) for array in model.intercepts_]
        return PerceptronLayers(shift, scale, weights, biases, _ACTIVATIONS[model.activation])
    return None


def layers_graph(members: Sequence[PerceptronLayers], n_columns: int) -> Any:
    """Write networks as an ONNX model: the mean of their logits.

    Args:
        members: at least one.
        n_columns: of the input ``columns``, float32, shape [batch, n_columns].

    Returns:
        The ``onnx.ModelProto``; its output ``output`` is float64 and has the shape [batch, 1].
    """
    from onnx import TensorProto, helper, numpy_helper

    constants: list[Any] = []
    nodes = [helper.make_node("Cast", ["columns"], ["exact"], to=TensorProto.DOUBLE)]

    def constant(values: NDArray[np.float64]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), f"c{len(constants)}"))
        return f"c{len(constants) - 1}"

    def add(operator: str, *inputs: str) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [f"v{len(nodes)}"]))
        return f"v{len(nodes) - 1}"

    logits = []
    for member in members:
        value = add("Div", add("Sub", "exact", constant(member.shift)), constant(member.scale))
        for i, (weights, bias) in enumerate(zip(member.weights, member.biases, strict=True)):
            if i and member.activation is not None:
                value = add(member.activation, value)
            value = add("Gemm", value, constant(weights), constant(bias))
        logits.append(value)
    total = logits[0]
    for logit in logits[1:]:
        total = add("Add", total, logit)
    nodes.append(helper.make_node("Div", [total, constant(np.array(float(len(members))))], ["output"]))
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["batch", n_columns])],
        [helper.make_tensor_value_info("output", TensorProto.DOUBLE, ["batch", 1])],
        constants,
    )
    domains = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=domains, ir_version=_IR_VERSION, producer_name="oddjets")
