"""Model cards: what they say, and what is refused."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from oddjets.core.errors import OddjetsError
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.scoring.scorer import Scorer
from oddjets.training.class_labels import KNOWN

MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED = MODELS / "omnilearned_small_simulation.yaml"


@pytest.fixture
def content() -> dict[str, Any]:
    """The shipped card as a dictionary, to be spoilt."""
    return yaml.safe_load(SHIPPED.read_text())


@pytest.fixture
def write(tmp_path: Path):
    """Write a card beside a small stand-in for a model, whose sha256 is put into it."""

    def _write(card: dict[str, Any], model: bytes = b"weights") -> Path:
        (tmp_path / "model.onnx").write_bytes(model)
        card = {"file": "model.onnx", "sha256": hashlib.sha256(model).hexdigest(), **card}
        path = tmp_path / "card.yaml"
        path.write_text(yaml.safe_dump(card))
        return path

    return _write


def described(content: dict[str, Any]) -> dict[str, Any]:
    """All of the shipped card but the file and its sha256."""
    return {k: v for k, v in content.items() if k not in ("file", "sha256")}


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_card_loads_and_its_model_is_the_one_described(path: Path) -> None:
    card = load_card(path)
    assert hashlib.sha256(card.path.read_bytes()).hexdigest() == card.sha256


def test_shipped_score_is_all_that_is_not_qcd() -> None:
    card = load_card(SHIPPED)
    assert sorted([*card.score.signal, *card.score.qcd]) == sorted(card.classes)
    assert {i for indices in card.classes.values() for i in indices} == set(card.output.softmax)
    assert all(name.startswith("QCD") for name in card.score.qcd)
    assert not any(name.startswith("QCD") for name in card.score.signal)


def test_a_card_says_that_finding_what_the_training_was_told_is_no_discovery(content: dict[str, Any]) -> None:
    told = ModelCard.model_validate({**content, "trained_on_labelled": ["top"]})
    assert "trained on labelled top" in told.caveat
    assert "no discovery" in told.caveat


def test_the_shipped_model_saw_no_label_of_a_known_particle() -> None:
    card = load_card(SHIPPED)
    assert card.trained_on_labelled == ()
    assert card.caveat == ""
    assert not set(card.output.softmax) & set(KNOWN.values())


def test_card_survives_pickling_with_the_place_of_its_model() -> None:
    card = load_card(SHIPPED)
    copy = pickle.loads(pickle.dumps(card))
    assert copy == card
    assert copy.path == card.path
    assert copy.content_key == card.content_key


def test_a_card_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_card(SHIPPED).opset = 17


@pytest.mark.fault("Model file replaced", "Refuses a model whose sha256 differs from its card's, and shows both.")
def test_tampered_model_is_refused_with_both_digests(tmp_path: Path) -> None:
    card = load_card(SHIPPED)
    shutil.copy(SHIPPED, tmp_path)
    model = bytearray(card.path.read_bytes())
    model[len(model) // 2] ^= 1
    (tmp_path / card.file).write_bytes(model)
    with pytest.raises(OddjetsError, match=card.sha256) as error:
        load_card(tmp_path / SHIPPED.name)
    assert hashlib.sha256(model).hexdigest() in str(error.value)


@pytest.mark.fault("Model file truncated", "Refuses it by its sha256.")
def test_truncated_model_is_refused(tmp_path: Path) -> None:
    card = load_card(SHIPPED)
    shutil.copy(SHIPPED, tmp_path)
    (tmp_path / card.file).write_bytes(card.path.read_bytes()[:-1])
    with pytest.raises(OddjetsError, match="cut short"):
        load_card(tmp_path / SHIPPED.name)


def test_missing_model_and_missing_card_say_what_to_do(tmp_path: Path) -> None:
    shutil.copy(SHIPPED, tmp_path)
    with pytest.raises(OddjetsError, match="put the model beside its card"):
        load_card(tmp_path / SHIPPED.name)
    with pytest.raises(OddjetsError, match=f"did you mean '{SHIPPED.name}'"):
        load_card(tmp_path / "omnilearned_smal_simulation.yaml")
    with pytest.raises(OddjetsError, match="no model card"):
        load_card(tmp_path / "nowhere" / "card.yaml")


@pytest.mark.fault(
    "A model card with `../`", "Refuses every path that leads outside the card's folder, on any operating system."
)
@pytest.mark.parametrize("name", ["../model.onnx", "/tmp/model.onnx", "a/../../model.onnx", "C:\\model.onnx", "..\\m"])
@pytest.mark.parametrize("key", ["file", "external_data"])
def test_paths_that_leave_the_folder_are_refused(content: dict[str, Any], write: Any, name: str, key: str) -> None:
    value = name if key == "file" else [{"file": name, "sha256": "0" * 64}]
    with pytest.raises(OddjetsError, match="leaves the card's folder"):
        load_card(write({**described(content), key: value}))


@pytest.mark.fault("A model file that is a link to another folder", "Refuses it: a model must be in its card's folder.")
def test_a_link_that_leaves_the_folder_is_refused(content: dict[str, Any], write: Any, tmp_path: Path) -> None:
    path = write(described(content))
    outside = tmp_path.parent / f"{tmp_path.name}-outside.onnx"
    shutil.move(tmp_path / "model.onnx", outside)
    (tmp_path / "model.onnx").symlink_to(outside)
    with pytest.raises(OddjetsError, match="link that leaves"):
        load_card(path)


def test_external_data_is_verified_too(content: dict[str, Any], write: Any, tmp_path: Path) -> None:
    (tmp_path / "model.data").write_bytes(b"more weights")
    external = {"file": "model.data", "sha256": hashlib.sha256(b"more weights").hexdigest()}
    assert load_card(write({**described(content), "external_data": [external]})).external_data[0].file == "model.data"
    (tmp_path / "model.data").write_bytes(b"other weights")
    with pytest.raises(OddjetsError, match=r"model\.data has sha256"):
        load_card(tmp_path / "card.yaml")


def test_all_mistakes_come_in_one_message_with_their_places(content: dict[str, Any], write: Any) -> None:
    card = described(content)
    card["licens"] = card.pop("licence")
    card["constituents"] = {**card["constituents"], "puppi": "maybe"}
    for tensor in card["inputs"]:
        tensor["columns"][0]["unit"] = "degrees"
    card["score"]["formula"] = "papr"
    with pytest.raises(OddjetsError) as error:
        load_card(write(card))
    message = str(error.value)
    assert "licens: unknown key; did you mean 'licence'?" in message
    assert "licence: missing" in message
    assert "constituents.puppi" in message
    assert "inputs.0.columns.0.unit" in message
    assert "score: no formula 'papr'; did you mean 'paper'?" in message
    assert "at least 1 item" not in message  # there are inputs, if none that is right
    assert len(message.splitlines()) == 8


def spoil_unit(card: dict[str, Any]) -> None:
    card["inputs"][0]["columns"][2]["unit"] = "cm"


def spoil_shape(card: dict[str, Any]) -> None:
    card["inputs"][0]["shape"] = ["batch", "constituents", 5]


def spoil_score(card: dict[str, Any]) -> None:
    card["score"]["signal"] = ["X_bbb"]


def spoil_index(card: dict[str, Any]) -> None:
    card["output"]["n_classes"] = 199


def spoil_overlap(card: dict[str, Any]) -> None:
    card["classes"]["X_qq"] = 12


def spoil_class_name(card: dict[str, Any]) -> None:
    card["classes"]["X_"] = card["classes"].pop("X_qq")


def spoil_outside_softmax(card: dict[str, Any]) -> None:
    card["classes"]["X_qq"] = 3


def spoil_species(card: dict[str, Any]) -> None:
    card["species"]["other_charged"] = 321


def spoil_missing_species(card: dict[str, Any]) -> None:
    del card["species"]


def spoil_both(card: dict[str, Any]) -> None:
    card["score"]["qcd"] = ["QCD_q", "X_bb"]


def spoil_tolerance(card: dict[str, Any]) -> None:
    card["numerics"]["tolerance"] = float("nan")  # nothing is beyond it


def spoil_inputs(card: dict[str, Any]) -> None:
    card["inputs"] = []


def spoil_offset(card: dict[str, Any]) -> None:
    card["score"] = {"formula": "authors-code", "class_offset": 5}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_unit, "pt is computed in 'GeV'"),
        (spoil_shape, r"write \[batch, constituents, 4\]"),
        (spoil_score, "no class 'X_bbb'; did you mean 'X_bb'"),
        (spoil_index, "index 199 of an output with 199 classes"),
        (spoil_overlap, "already belongs to"),
        (spoil_class_name, "'X_' makes columns with two underscores"),
        (spoil_outside_softmax, "index 3 is not in output.softmax"),
        (spoil_species, "not among the codes: -321, 321"),
        (spoil_missing_species, "species: needed"),
        (spoil_both, "listed twice"),
        (spoil_tolerance, r"numerics\.tolerance: Input should be a finite number"),
        (spoil_inputs, "inputs: is empty"),
        (spoil_offset, "leaves no position 10"),
    ],
)
def test_inconsistent_cards_are_refused(content: dict[str, Any], write: Any, spoil: Any, message: str) -> None:
    card = described(content)
    spoil(card)
    with pytest.raises(OddjetsError, match=message):
        load_card(write(card))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "42"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(OddjetsError, match="not a valid model card"):
        load_card(tmp_path / "card.yaml")


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("a: [")
    with pytest.raises(OddjetsError, match="no valid YAML"):
        load_card(tmp_path / "card.yaml")


def test_ranges_of_classes_include_both_ends(content: dict[str, Any]) -> None:
    content["output"]["softmax"] = "0-199"
    content["classes"] = {"prongs": "12-172", "qcd": [2, "173-199"]}
    content["score"] = {"formula": "paper", "signal": ["prongs"], "qcd": ["qcd"]}
    card = ModelCard.model_validate(content)
    assert card.output.softmax == tuple(range(200))
    assert card.classes["prongs"] == tuple(range(12, 173))
    assert card.classes["qcd"] == (2, *range(173, 200))


def test_content_key_follows_what_a_score_depends_on(content: dict[str, Any]) -> None:
    key = ModelCard.model_validate(content).content_key
    assert ModelCard.model_validate({**content, "notes": ["another note"], "metrics": {}}).content_key == key
    raw = {**content["constituents"], "puppi": "raw"}
    assert ModelCard.model_validate({**content, "constituents": raw}).content_key != key
    fewer = {**content["score"], "signal": ["X_bb"]}
    assert ModelCard.model_validate({**content, "score": fewer}).content_key != key


@pytest.mark.parametrize("given", [None, 3, b"card.yaml", ["card.yaml"], ""])
def test_what_is_no_card_is_told_what_one_is(given: Any) -> None:
    with pytest.raises(OddjetsError, match=r"a model card is a YAML file, or its name in the package; got"):
        load_card(given)
    with pytest.raises(OddjetsError, match=r"a scorer takes a model card, as oddjets.load_card reads it from a file"):
        Scorer(given)


def test_a_wrong_name_is_told_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OddjetsError, match=rf"no model card .*did you mean '{SHIPPED.name}'"):
        load_card(SHIPPED.stem[:-1])
