"""Ensembles of decision trees of scikit-learn as ONNX graphs: one node, whatever the number of trees and members.

A tree of scikit-learn decides ``x <= threshold`` in float64; the graph does so in float32. For an x in float32 both decide
alike if the threshold is rounded down to float32: no float32 lies between the two. NaN goes where scikit-learn sends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError

__all__ = [
    "OPSET",
    "Ensemble",
    "Tree",
    "model_of",
    "read_ensemble",
    "rounded_down",
    "thresholds_of",
    "tree_graph",
    "tree_node",
]

#: versions of the standard operators, of those for trees, and of the file format
OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8


class Tree(NamedTuple):
    """A decision tree as arrays over its nodes, of which the first is the root.

    Attributes:
        feature: column that is compared, shape (n_nodes,).
        threshold: values up to it go left.
        left: the next node there; of no meaning in a leaf.
        right: the next node otherwise.
        missing_left: whether NaN goes left.
        is_leaf: whether the tree ends here.
        value: of a leaf.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    is_leaf: NDArray[np.bool_]
    value: NDArray[np.float64]


class Ensemble(NamedTuple):
    """Trees whose values add up.

    Attributes:
        trees: the trees.
        base: what is added to their sum.
        output: what the sum is: a logit, or a probability.
    """

    trees: list[Tree]
    base: float
    output: Literal["logit", "probability"]


def rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each value.

    Examples:
        >>> rounded_down(np.array([0.1, 0.5, 1e300, -1e300, np.inf])).tolist()
        [0.09999999403953552, 0.5, 3.4028234663852886e+38, -inf, inf]
    """
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
        return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest).astype(np.float32)


def read_ensemble(model: Any) -> Ensemble | None:
    """Read the trees of a classifier of two classes; what they add up to is for the second.

    Args:
        model: a fitted HistGradientBoostingClassifier, GradientBoostingClassifier, RandomForestClassifier or
            ExtraTreesClassifier of scikit-learn.

    Returns:
        Its trees; None if it is none of these.

    Raises:
        OddjetsError: categories, which are no numbers; GradientBoosting with an estimator of its own for the start.
    """
    kind = type(model).__name__
    if kind == "HistGradientBoostingClassifier":
        if model.is_categorical_ is not None and np.any(model.is_categorical_):
            raise OddjetsError("boosted trees with categorical columns: only numbers can be exported")
        trees = [_of_histograms(predictor.nodes) for (predictor,) in model._predictors]
        return Ensemble(trees, float(model._baseline_prediction.item()), "logit")
    if kind == "GradientBoostingClassifier":
        start = np.zeros((1, model.n_features_in_))
        trees = [_of_tree(tree.tree_, model.learning_rate * tree.tree_.value[:, 0, 0]) for (tree,) in model.estimators_]
        if model.init is not None and model.init != "zero":
            raise OddjetsError("boosted trees with 'init': an estimator of its own for the start cannot be exported")
        base = float(model._raw_predict_init(start)[0, 0])
        return Ensemble(trees, base, "logit")
    if kind in ("RandomForestClassifier", "ExtraTreesClassifier"):
        trees = []
        for estimator in model.estimators_:
            counts = estimator.tree_.value[:, 0, :]
            trees.append(_of_tree(estimator.tree_, counts[:, 1] / counts.sum(axis=1) / len(model.estimators_)))
        return Ensemble(trees, 0.0, "probability")
    return None


def _of_histograms(nodes: NDArray[Any]) -> Tree:
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        is_leaf=nodes["is_leaf"].astype(np.bool_),
        value=nodes["value"].astype(np.float64),
    )


def _of_tree(tree: Any, value: NDArray[np.float64]) -> Tree:
    return Tree(
        feature=tree.feature.astype(np.int64),
        threshold=tree.threshold.astype(np.float64),
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        missing_left=np.asarray(tree.missing_go_to_left, np.bool_),
        is_leaf=tree.children_left < 0,
        value=value,
    )


def thresholds_of(members: Sequence[Ensemble], n_columns: int) -> list[NDArray[np.float64]]:
    """Return the thresholds of each column in all trees, sorted; for tests at and between them."""
    found: list[list[NDArray[np.float64]]] = [[np.empty(0)] for _ in range(n_columns)]
    for tree in (tree for member in members for tree in member.trees):
        for column in range(n_columns):
            found[column].append(tree.threshold[~tree.is_leaf & (tree.feature == column)])
    return [np.unique(np.concatenate(arrays)) for arrays in found]


def tree_graph(members: Sequence[Ensemble], n_columns: int) -> Any:
    """Write trees as an ONNX model: the mean of the members, in one node.

    Args:
        members: at least one; their outputs are of one kind.
        n_columns: of the input ``columns``, float32, shape [batch, n_columns].

    Returns:
        The ``onnx.ModelProto``; its output ``output`` has the shape [batch, 1].
    """
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [tree_node(members, "columns", "output", "trees")],
        "trees",
        [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["batch", n_columns])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 1])],
    )
    return model_of(graph)


def model_of(graph: Any) -> Any:
    """Return an ``onnx.ModelProto`` of a graph of standard operators and those for trees.

    Args:
        graph: the ``onnx.GraphProto``.
    """
    from onnx import helper

    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    return helper.make_model(graph, opset_imports=domains, ir_version=_IR_VERSION, producer_name="oddjets")


def tree_node(members: Sequence[Ensemble], columns: str, output: str, name: str) -> Any:
    """Return the ``onnx.NodeProto`` that computes the mean of the members.

    Args:
        members: at least one; their outputs are of one kind.
        columns: name of its input, float32, shape [batch, columns].
        output: name of its output, float32, shape [batch, 1].
        name: of the node.
    """
    from onnx import helper

    trees = [(tree, len(members)) for member in members for tree in member.trees]
    sizes = [len(tree.value) for tree, _ in trees]
    number = np.repeat(np.arange(len(trees)), sizes)
    node = np.concatenate([np.arange(size) for size in sizes])
    leaf = np.concatenate([tree.is_leaf for tree, _ in trees])
    joined = {
        name: np.concatenate([getattr(tree, name) for tree, _ in trees])
        for name in ("feature", "left", "right", "missing_left")
    }
    threshold = rounded_down(np.concatenate([tree.threshold for tree, _ in trees]))
    weights = np.concatenate([tree.value[tree.is_leaf] / of for tree, of in trees])
    of_branches = {name: np.where(leaf, 0, array).astype(int).tolist() for name, array in joined.items()}
    return helper.make_node(
        "TreeEnsembleRegressor",
        [columns],
        [output],
        name,
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[float(np.mean([member.base for member in members]))],
        nodes_treeids=number.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=of_branches["feature"],
        nodes_values=np.where(leaf, np.float32(0), threshold).tolist(),
        nodes_truenodeids=of_branches["left"],
        nodes_falsenodeids=of_branches["right"],
        nodes_missing_value_tracks_true=of_branches["missing_left"],
        target_treeids=number[leaf].tolist(),
        target_nodeids=node[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=weights.tolist(),
    )
