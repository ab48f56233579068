"""Cards of kind jet-columns: what they say, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from oddjets.core.errors import OddjetsError
from oddjets.scoring.column_card import ColumnCard, known_unit
from oddjets.scoring.column_scorer import ColumnScorer, scorer_of
from oddjets.scoring.model_card import ModelCard, card_of, load_card
from oddjets.scoring.scorer import Scorer

SHIPPED = "omnilearned_small_simulation.yaml"
CARD: dict[str, Any] = {
    "kind": "jet-columns",
    "name": "toy",
    "file": "toy.onnx",
    "sha256": "0" * 64,
    "opset": 17,
    "licence": "CC0-1.0",
    "training": "none",
    "trained_on_labelled": ["top"],
    "inputs": [
        {
            "name": "x",
            "shape": ["batch", 3],
            "columns": [
                {"column": "mass", "unit": "GeV"},
                {"column": "tau3 / tau2", "unit": "1", "missing": "nan"},
                {"column": "n_constituents", "unit": "1", "missing": -1},
            ],
        }
    ],
    "output": {"name": "y"},
    "score": {"formula": "sigmoid"},
    "numerics": {"reference": "none", "tolerance": 1e-6},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**CARD, **changes}


def with_column(**changes: Any) -> dict[str, Any]:
    column = {"column": "mass", "unit": "GeV", **changes}
    return changed(inputs=[{"name": "x", "shape": ["batch", 1], "columns": [column]}])


def test_a_card_says_what_it_reads() -> None:
    card = card_of(CARD, Path("toy.yaml"))
    assert isinstance(card, ColumnCard)
    assert card.columns_read == {"mass", "tau2", "tau3", "n_constituents"}
    assert card.reads_what()["tau2"] == "tau3 / tau2"
    assert [column.missing for column in card.columns] == ["error", "nan", -1.0]
    assert card.reads_constituents
    assert not card_of(with_column(), Path("toy.yaml")).reads_constituents
    assert "labelled top" in card.caveat


def test_nan_may_be_written_as_yaml_writes_it() -> None:
    for written in ("nan", ".nan", "'nan'"):
        card = card_of(with_column(missing=yaml.safe_load(written)), Path("toy.yaml"))
        assert isinstance(card, ColumnCard)
        assert card.columns[0].missing == "nan"


def test_cards_without_a_kind_are_of_constituents_and_keep_their_stored_scores() -> None:
    card = load_card(SHIPPED)
    assert isinstance(card, ModelCard)
    assert card.kind == "constituents"
    # stored scores are found by it: the value of the time when there was one kind of cards
    assert card.content_key == "2b1f45b5347ab53db402adbdf571c8ec42a69838328916c5f4ba97aa36292129"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(kind="jet_columns"), "kind: no kind 'jet_columns'; did you mean 'jet-columns'"),
        (changed(kind=3), "kind: no kind '3'"),
        (with_column(unit="TeV"), "mass is in 'GeV', not in 'TeV'"),
        (with_column(column="score_omnilearned", unit="GeV"), "score_omnilearned is in '1'"),
        (with_column(column="mass_1"), "'mass_1' is a column of an event: a card is of one jet, as in 'mass'"),
        (with_column(column="mass__jesUp"), "'mass__jesUp' is a column of an event"),
        (with_column(column="1 + 1"), "'1 [+] 1' reads no column"),
        (with_column(column="mass +"), "not an arithmetic expression"),
        (with_column(column="__import__('os')"), "toy.yaml is not a valid model card:\n.*no function '__import__'"),
        (with_column(column="mass and pt", unit="1"), "'mass and pt': 'mass' is no condition"),
        (with_column(column="where(mass > 100, tau1 | 2, 0)", unit="1"), "'&' and '|' are done before comparisons"),
        (with_column(missing="skip"), r"missing: should be nan, a number, or error [(]got 'skip'[)]$"),
        (with_column(missing=True), "missing.*nan, a number, or error"),
        (with_column(missing=float("inf")), r"missing: should be nan, a number, or error [(]got inf[)]$"),
        (
            changed(inputs=[{**CARD["inputs"][0], "columns": [{"column": "mass", "unit": "GeV"}] * 3}]),
            "columns: 'mass' is listed twice",
        ),
        (changed(inputs=[{**CARD["inputs"][0], "shape": ["batch", 2]}]), r"write \[batch, 3\]"),
        (changed(inputs=[{**CARD["inputs"][0], "shape": ["batch"]}]), r"write \[batch, 3\]"),
        (changed(inputs=[CARD["inputs"][0]] * 2), "two have the same name"),
        (changed(inputs=[]), "inputs: is empty"),
        (changed(output={"name": "y", "n_columns": 2, "index": 2}), "index 2 of an output with 2 columns"),
        (changed(score={"formula": "softmax"}), "a softmax of one number is 1"),
        (changed(score={"formula": "paper"}), "score.formula: should be 'sigmoid', .*got 'paper'"),
        (changed(constituents={"maximum": 3}), "constituents: unknown key"),
        (changed(file="../toy.onnx"), "file"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(OddjetsError, match=message):
        card_of(content, Path("toy.yaml"))


def test_a_processors_own_column_may_be_a_condition() -> None:
    """Its kind is known when there are jets."""
    card = card_of(with_column(column="where(mine and mass > 100, 1, 0)", unit="1"), Path("toy.yaml"))
    assert isinstance(card, ColumnCard)
    assert card.columns_read == {"mine", "mass"}


def test_the_model_must_be_the_one_that_the_card_is_of(tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(b"weights")
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(CARD))
    with pytest.raises(OddjetsError, match="has sha256"):
        load_card(tmp_path / "toy.yaml")
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(changed(sha256=hashlib.sha256(b"weights").hexdigest())))
    card = load_card(tmp_path / "toy.yaml", "jet-columns")
    assert card.path == tmp_path / "toy.onnx"
    with pytest.raises(OddjetsError, match="is a card of kind 'jet-columns', and a model of kind 'constituents'"):
        load_card(tmp_path / "toy.yaml", "constituents")


def test_each_kind_has_its_scorer() -> None:
    of_constituents, of_columns = load_card(SHIPPED, "constituents"), card_of(CARD, Path("toy.yaml"))
    assert isinstance(scorer_of(of_constituents, "cpu"), Scorer)
    assert isinstance(scorer_of(of_columns), ColumnScorer)
    with pytest.raises(OddjetsError, match=r"kind 'jet-columns': its scorer is oddjets\.scoring\.ColumnScorer"):
        Scorer(of_columns)  # type: ignore[arg-type]
    with pytest.raises(OddjetsError, match=r"kind 'constituents': its scorer is oddjets\.Scorer"):
        ColumnScorer(of_constituents)  # type: ignore[arg-type]
    with pytest.raises(OddjetsError, match="takes a model card"):
        ColumnScorer("toy.yaml")  # type: ignore[arg-type]


def test_units_are_known_of_built_in_columns_and_scores_alone() -> None:
    known = {name: known_unit(name) for name in ("mass", "phi", "tau1", "score_x", "share_QCD_x", "mine", "mass / pt")}
    expected = {"mass": "GeV", "phi": "rad", "tau1": "1", "score_x": "1", "share_QCD_x": "1", "mine": None}
    assert known == {**expected, "mass / pt": None}
