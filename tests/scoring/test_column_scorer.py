"""Scores of columns: the formulas, the same bits in any company, missing values, and graphs that do not fit."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import column_models as models
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.core.errors import OddjetsError
from oddjets.core.expressions import MissingColumnError
from oddjets.scoring.column_inputs import input_matrix
from oddjets.scoring.column_scorer import ColumnScorer, MissingValueError
from oddjets.scoring.model_card import load_card

JETS = {
    "mass": np.array([80.0, 173.0, 91.0, 60.5]),
    "pt": np.array([500.0, 450.25, 800.0, 1200.0]),
    "tau2": np.array([0.2, 0.0, 0.1, 0.3]),
    "tau3": np.array([0.1, 0.1, 0.0, 0.2]),
}

NAMES = ("mass", "tau1", "tau2", "tau3", "eta", "phi")


def scorer(folder: Path, graph: Any, columns: Any = ("mass", "pt"), **changes: Any) -> ColumnScorer:
    return ColumnScorer(load_card(models.write(folder, graph, columns, **changes), "jet-columns"))


def test_raw_is_what_the_graph_gives(tmp_path: Path) -> None:
    found = scorer(tmp_path, models.linear([[0.5], [-0.25]])).score(JETS)
    np.testing.assert_allclose(found, 0.5 * JETS["mass"] - 0.25 * JETS["pt"], rtol=1e-6)
    assert found.dtype == np.float64


def test_sigmoid_and_softmax_agree_with_their_definitions(tmp_path: Path) -> None:
    weights = np.array([[0.01, -0.02, 0.03], [0.001, 0.002, -0.001]])
    logits = np.stack([JETS["mass"], JETS["pt"]], axis=1) @ weights
    one = scorer(tmp_path / "1", models.linear(weights[:, 1:2]), score={"formula": "sigmoid"}).score(JETS)
    np.testing.assert_allclose(one, [1 / (1 + math.exp(-value)) for value in logits[:, 1]], rtol=1e-6)
    many = scorer(
        tmp_path / "3",
        models.linear(weights),
        output={"name": "y", "n_columns": 3, "index": 2},
        score={"formula": "softmax"},
    ).score(JETS)
    expected = [math.exp(row[2]) / sum(math.exp(value) for value in row) for row in logits]
    np.testing.assert_allclose(many, expected, rtol=1e-6)


def test_a_probability_stays_and_anything_else_is_none(tmp_path: Path) -> None:
    graph = models.linear([[0.001], [0.0]])
    found = scorer(tmp_path / "a", graph, score={"formula": "probability"}).score(JETS)
    np.testing.assert_allclose(found, 0.001 * JETS["mass"], rtol=1e-6)
    wrong = scorer(tmp_path / "b", models.linear([[1.0], [0.0]]), score={"formula": "probability"})
    with pytest.raises(OddjetsError, match=r"gives values from 60\.5 to 173, and its card calls them probabilities"):
        wrong.score(JETS)


def test_inputs_may_be_several_and_in_float64(tmp_path: Path) -> None:
    graph = models.model([("Sub", ["a", "b"], "y", {})], [], [], {}, np.float64, inputs=("a", "b"))
    inputs = [
        {"name": name, "dtype": "float64", "shape": ["batch"], "columns": [{"column": column, "unit": "1"}]}
        for name, column in (("a", "tau3"), ("b", "log(tau2 + 1)"))
    ]
    found = scorer(tmp_path, graph, inputs=inputs).score(JETS)
    as_stored = {name: np.float32(values).astype(float) for name, values in JETS.items()}
    np.testing.assert_allclose(found, as_stored["tau3"] - np.log(as_stored["tau2"] + 1), rtol=1e-15)


def test_columns_from_a_file_and_from_a_processor_are_the_same_inputs() -> None:
    """A processor may have float64 where the event table keeps float32."""
    asked = ["tau3 / (tau2 + 1)", "mass", "log(pt)"]
    stored = {name: values.astype(np.float32) for name, values in JETS.items()}
    assert input_matrix(asked, JETS).tobytes() == input_matrix(asked, stored).tobytes()
    ratio = input_matrix(["tau3 / pt"], JETS)[:, 0]
    assert ratio.tobytes() == (stored["tau3"] / stored["pt"]).tobytes()


def test_values_that_are_not_finite_are_missing(tmp_path: Path) -> None:
    column: dict[str, Any] = {"column": "tau3 / tau2", "unit": "1"}
    graph = models.linear([[1.0]])
    with pytest.raises(MissingValueError, match="'tau3 / tau2' is not finite for 1 of 4 jets, and the card of toy"):
        scorer(tmp_path / "e", graph, [column]).score(JETS)
    replaced = scorer(tmp_path / "n", graph, [column | {"missing": -2}]).evaluate(JETS)
    np.testing.assert_allclose(replaced.scores, [0.5, -2.0, 0.0, 2 / 3], rtol=1e-6)
    values = replaced.columns["tau3 / tau2"]
    # what was measured, not what it was replaced by
    assert (values.jets, values.missing, values.least) == (4, 1, 0.0)
    assert values.greatest == pytest.approx(2 / 3)
    passed_on = scorer(tmp_path / "p", graph, [column | {"missing": "nan"}])
    with pytest.raises(
        OddjetsError, match=r"not finite for 1 of 4 jets; a model that cannot deal with NaN needs a number"
    ):
        passed_on.score(JETS)
    is_nan = models.model([("IsNaN", ["x"], "b", {}), ("Cast", ["b"], "y", {"to": 1})], [1], [1], {})
    got = scorer(tmp_path / "i", is_nan, [column | {"missing": "nan"}]).score(JETS)
    assert got.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match=r"no column 'taux' \(in 'taux / pt'\) of the jets; did you mean 'tau"):
        scorer(tmp_path, models.linear([[1.0]]), [{"column": "taux / pt", "unit": "1"}]).score(JETS)


def network(width: int = 40) -> Any:
    """A network in float32, whose products of matrices round in some order."""
    random = np.random.default_rng(1)
    constants = {
        "a": random.normal(size=(2, width)).astype(np.float32) / 100,
        "b": random.normal(size=(width, width)).astype(np.float32),
        "c": random.normal(size=(width, 1)).astype(np.float32),
    }
    nodes: list[Any] = [
        ("MatMul", ["x", "a"], "h", {}),
        ("Tanh", ["h"], "t", {}),
        ("MatMul", ["t", "b"], "g", {}),
        ("Relu", ["g"], "r", {}),
        ("MatMul", ["r", "c"], "y", {}),
    ]
    return models.model(nodes, [2], [1], constants)


@pytest.fixture(scope="module")
def of_network(tmp_path_factory: pytest.TempPathFactory) -> ColumnScorer:
    return scorer(tmp_path_factory.mktemp("network"), network(), score={"formula": "sigmoid"})


@settings(max_examples=30)
@given(data=st.data())
def test_the_bits_of_a_score_depend_on_its_jet_alone(of_network: ColumnScorer, data: st.DataObject) -> None:
    """Whatever the number of jets, their order, and who else is there."""
    random = np.random.default_rng(2)
    jets = {"mass": random.uniform(20, 300, 300), "pt": random.uniform(400, 2000, 300)}
    every = of_network.score(jets)
    chosen = np.array(data.draw(st.lists(st.integers(0, 299), min_size=1, max_size=150)))
    some = of_network.score({name: values[chosen] for name, values in jets.items()})
    assert some.tobytes() == every[chosen].tobytes()


def test_no_jets_have_no_scores(of_network: ColumnScorer) -> None:
    assert of_network.score({name: np.empty(0) for name in JETS}).shape == (0,)


def test_a_scorer_travels_to_workers(of_network: ColumnScorer) -> None:
    assert pickle.loads(pickle.dumps(of_network)).score(JETS).tobytes() == of_network.score(JETS).tobytes()
    assert (of_network.provider_used, of_network.fallback) == ("cpu", "")


def test_a_graph_that_rounds_with_its_neighbours_gets_jets_one_by_one(tmp_path: Path) -> None:
    """A sum over the batch that is taken away again: its rounding stays."""
    nodes: list[Any] = [
        ("MatMul", ["x", "w"], "v", {}),
        ("ReduceSum", ["v", "axis"], "sum", {"keepdims": 1}),
        ("Add", ["v", "sum"], "more", {}),
        ("Sub", ["more", "sum"], "y", {}),
    ]
    constants = {"w": np.array([[1e-3], [1e-3]], np.float32), "axis": np.array([0])}
    found = scorer(tmp_path, models.model(nodes, [2], [1], constants))
    many = {name: np.tile(values, 60) for name, values in JETS.items()}
    assert found.score(many)[:4].tobytes() == found.score(JETS).tobytes()


def test_a_graph_that_mixes_jets_is_refused(tmp_path: Path) -> None:
    nodes: list[Any] = [("ReduceMean", ["x"], "mean", {"axes": [0]}), ("Sub", ["x", "mean"], "y", {})]
    with pytest.raises(OddjetsError, match="gives a jet another output if other jets are in the batch"):
        scorer(tmp_path, models.model(nodes, [1], [1], {}), ["mass"]).score(JETS)


def test_a_graph_that_mixes_jets_behind_a_logarithm_is_refused(tmp_path: Path) -> None:
    """Most rows with numbers of both signs have no logarithm, and NaN is the same in any company."""
    columns = [{"column": f"{name} / pt", "unit": "1"} for name in ("mass", "tau2", "tau3", "eta", "phi", "tau1")]
    nodes: list[Any] = [
        ("Log", ["x"], "log", {}),
        ("MatMul", ["log", "w"], "sum", {}),
        ("ReduceMean", ["sum"], "mean", {"axes": [0], "keepdims": 1}),
        ("Sub", ["sum", "mean"], "y", {}),
    ]
    graph = models.model(nodes, [6], [1], {"w": np.ones((6, 1), np.float32)})
    with pytest.raises(OddjetsError, match="gives a jet another output if other jets are in the batch"):
        scorer(tmp_path, graph, columns).score({name: np.full(3, 0.5) for name in ("pt", *NAMES)})


def test_a_graph_that_tells_nothing_of_its_rows_gets_jets_one_by_one(tmp_path: Path) -> None:
    """A number only above 1e6, which no probe has: whether jets are kept apart is not known."""
    nodes: list[Any] = [
        ("Sub", ["x", "least"], "above", {}),
        ("Log", ["above"], "log", {}),
        ("ReduceMax", ["log"], "largest", {"axes": [0], "keepdims": 1}),
        ("Add", ["log", "largest"], "y", {}),
    ]
    found = scorer(tmp_path, models.model(nodes, [1], [1], {"least": np.float32([1e6])}), ["mass"])
    masses = np.array([2e6, 3e6])
    together, alone = found.score({"mass": masses}), [found.score({"mass": masses[i : i + 1]})[0] for i in (0, 1)]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("graph", "changes", "message"),
    [
        (models.linear([[1.0]]), {}, r"input x has shape \['batch', 1\] in the graph, \['batch', 2\] in the card"),
        (models.linear([[1.0]] * 2, np.float64), {}, r"input x is tensor\(double\) in the graph, float32 in the card"),
        (models.linear([[1.0, 2.0]] * 2), {}, r"output y has shape \['batch', 2\] in the graph, 1 columns in the card"),
        (models.linear([[1.0]] * 2), {"output": {"name": "logit"}}, "the graph's outputs are y, the card's logit"),
        (
            models.model([("Add", ["x", "z"], "y", {})], [2], [2], {}, inputs=("x", "z")),
            {"output": {"name": "y", "n_columns": 2}},
            "the graph's inputs are x, z, the card's x",
        ),
        (
            # a size that the graph leaves open, since it depends on a value
            models.model([("NonZero", ["x"], "z", {}), ("Cast", ["z"], "y", {"to": 1})], [2], ["open"], {}),
            {"output": {"name": "y", "n_columns": 2}},
            r"its output y has the shape \(2, 128\) for 64 jets, and 2 columns in the card",
        ),
    ],
    ids=["columns", "type", "outputs", "name", "inputs", "open"],
)
def test_a_graph_that_does_not_fit_its_card_is_refused(
    tmp_path: Path, graph: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(OddjetsError, match=message):
        scorer(tmp_path, graph, **changes).score(JETS)


def test_maps_of_classes_are_refused_with_what_to_do(tmp_path: Path) -> None:
    helper = models.onnx.helper
    value = helper.make_map_type_proto(models.onnx.TensorProto.STRING, helper.make_tensor_type_proto(1, []))
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["qcd", "top"])],
        "graph",
        [helper.make_tensor_value_info("x", 1, ["batch", 2])],
        [helper.make_value_info("y", helper.make_sequence_type_proto(value))],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)], ir_version=8
    )
    with pytest.raises(OddjetsError, match="export the classifier without ZipMap"):
        scorer(tmp_path, made).score(JETS)


def test_a_graph_that_fails_is_named(tmp_path: Path) -> None:
    nodes: list[Any] = [("Reshape", ["x", "shape"], "y", {})]
    graph = models.model(nodes, [2], [3], {"shape": np.array([-1, 3])})
    with pytest.raises(OddjetsError, match=r"toy\.onnx of the model toy fails"):
        scorer(tmp_path, graph, output={"name": "y", "n_columns": 3}).score(JETS)
