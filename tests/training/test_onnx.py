"""The exported graph is the authors' network: whatever the multiplicity, the padding and the batch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.scoring.model_card import ModelCard, load_card

#: class probabilities of float32 against float64
TOLERANCE = 1e-5


def random_jets(counts: list[int], seed: int = 3) -> Any:
    from oddjets.training.export.random_jets import random_jets

    return random_jets(counts, np.random.default_rng(seed))


def probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    values = logits[:, :200].astype(np.float64)
    e = np.exp(values - values.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def exported(card: Path) -> ModelCard:
    return load_card(card)


@pytest.fixture(scope="module")
def for_gpus(torch: Any, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    """Graphs for GPUs, which CPUs can run too."""
    from oddjets.training.export.onnx import export

    folder = tmp_path_factory.mktemp("gpu")
    targets: tuple[Any, ...] = ("gpu", "gpu-half")
    return {target: load_card(export(checkpoint, folder / f"{target}.onnx", target=target).card) for target in targets}


@pytest.fixture(scope="module")
def reference(torch: Any, checkpoint: Path) -> Any:
    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.validate.reference import Reference

    return Reference(read_checkpoint(checkpoint))


@pytest.mark.parametrize("counts", [[1, 1], [2, 3], [9, 10], [11, 12], [150, 150], [5, 30, 55, 80]])
@pytest.mark.parametrize("padded", [False, True])
def test_probabilities_are_those_of_the_authors_network(
    exported: ModelCard, reference: Any, counts: list[int], padded: bool
) -> None:
    from oddjets.training.validate.parity import run_model

    jets = random_jets(counts)
    found = probabilities(run_model(exported, jets, padded))
    exact = probabilities(reference.logits(jets))
    assert exact.max(axis=1).min() > 0.02  # ten times what equal probabilities would be
    assert exact.max() < 0.99
    np.testing.assert_allclose(found, exact, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("target", ["gpu", "gpu-half"])
@pytest.mark.parametrize("counts", [[1, 1], [2, 3], [9, 10], [11, 12], [150, 150], [5, 30, 55, 80]])
def test_graphs_for_gpus_are_the_same_network(
    for_gpus: dict[str, ModelCard], reference: Any, counts: list[int], target: str
) -> None:
    import onnx

    from oddjets.training.validate.parity import run_model

    card = for_gpus[target]
    assert card.numerics.tolerance == (2e-3 if target == "gpu-half" else TOLERANCE)
    jets = random_jets(counts)
    found, exact = probabilities(run_model(card, jets, padded=True)), probabilities(reference.logits(jets))
    np.testing.assert_allclose(found, exact, rtol=0, atol=card.numerics.tolerance)
    weights = onnx.load(card.path).graph.initializer
    halves = sum(w.data_type == onnx.TensorProto.FLOAT16 and len(w.dims) == 2 for w in weights)
    assert (halves > 20) == (target == "gpu-half")


@pytest.mark.parametrize("target", ["gpu", "gpu-half"])
def test_graphs_for_gpus_ignore_padding_and_constituents_of_one_gev(
    for_gpus: dict[str, ModelCard], target: str
) -> None:
    from oddjets.training.validate.parity import run_model

    jets = random_jets([14, 25])
    jets.x[:, [0, 7], 2] = 0.0
    alone, together = (probabilities(run_model(for_gpus[target], jets, padded)) for padded in (False, True))
    np.testing.assert_allclose(alone, together, rtol=0, atol=2e-3 if target == "gpu-half" else 1e-6)
    coinciding = random_jets([20])
    coinciding.x[0, 5:9, :2] = coinciding.x[0, 4, :2]
    assert np.isfinite(run_model(for_gpus[target], coinciding)).all()


def test_the_first_constituent_may_be_one_that_the_network_ignores(exported: ModelCard, reference: Any) -> None:
    """ln pT = 0 counts as padding wherever it stands."""
    from oddjets.training.validate.parity import run_model

    jets = random_jets([14, 25])
    jets.x[:, [0, 7], 2] = 0.0
    found = probabilities(run_model(exported, jets, padded=True))
    np.testing.assert_allclose(found, probabilities(reference.logits(jets)), rtol=0, atol=TOLERANCE)


def test_the_order_of_constituents_does_not_matter(exported: ModelCard) -> None:
    from oddjets.training.validate.parity import run_model

    jets = random_jets([40])
    order = np.random.default_rng(0).permutation(40)
    shuffled = type(jets)(*(a[:, order] for a in jets))
    found, again = (probabilities(run_model(exported, j)) for j in (jets, shuffled))
    np.testing.assert_allclose(found, again, rtol=0, atol=TOLERANCE)


def test_coinciding_constituents_are_finite(exported: ModelCard) -> None:
    from oddjets.training.validate.parity import run_model

    jets = random_jets([20])
    jets.x[0, 5:9, :2] = jets.x[0, 4, :2]
    assert np.isfinite(run_model(exported, jets)).all()


def test_the_published_form_is_the_same_function_with_rounding(torch: Any, checkpoint: Path, reference: Any) -> None:
    """Where constituents are far apart, nothing cancels; where they are close, only the stable form keeps its digits."""
    import onnxruntime

    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.export.pet2 import build

    network = read_checkpoint(checkpoint)
    sessions = [onnxruntime.InferenceSession(build(network, stable=s).SerializeToString()) for s in (True, False)]

    def errors(jets: Any) -> list[float]:
        exact = probabilities(reference.logits(jets))
        return [np.abs(probabilities(s.run(None, jets._asdict())[0]) - exact).max() for s in sessions]

    jets = random_jets([30] * 4)
    jets.x[..., :2] = np.random.default_rng(1).uniform(-1, 1, (4, 30, 2))
    assert max(errors(jets)) < TOLERANCE
    jets.x[..., :2] /= 500
    stable, published = errors(jets)
    assert stable < TOLERANCE
    assert published > 10 * TOLERANCE


def test_probabilities_as_output(torch: Any, checkpoint: Path, exported: ModelCard, tmp_path: Path) -> None:
    from oddjets.scoring import score
    from oddjets.training.export.onnx import export
    from oddjets.training.validate.parity import run_model

    other = load_card(export(checkpoint, tmp_path / "other.onnx", output="probabilities").card)
    assert (other.output.kind, other.output.n_classes) == ("probabilities", 200)
    jets = random_jets([20, 60])
    found, logits = run_model(other, jets), run_model(exported, jets)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, probabilities(logits), rtol=0, atol=1e-6)
    np.testing.assert_allclose(score.anomaly_score(found, other), score.anomaly_score(logits, exported), rtol=1e-4)


def test_weights_of_large_models_lie_in_a_file_of_their_own(
    torch: Any, checkpoint: Path, exported: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oddjets.training.export import onnx as module
    from oddjets.training.validate.parity import run_model

    monkeypatch.setattr(module, "_EXTERNAL_ABOVE", 0)
    path = module.export(checkpoint, tmp_path / "large.onnx").card
    large = load_card(path)
    assert [extra.file for extra in large.external_data] == ["large.onnx.data"]
    jets = random_jets([20, 60])
    assert run_model(large, jets).tobytes() == run_model(exported, jets).tobytes()
    with (tmp_path / "large.onnx.data").open("r+b") as stream:
        stream.write(b"\1")
    with pytest.raises(OddjetsError, match="sha256"):
        load_card(path)


def test_the_card_says_what_was_exported(exported: ModelCard) -> None:
    assert exported.output.softmax == tuple(range(200))
    assert exported.constituents.maximum == 150
    assert {i for name in exported.score.qcd for i in exported.classes[name]} == {2, *range(173, 200)}
    assert {i for name in exported.score.signal for i in exported.classes[name]} == set(range(12, 173))
    assert exported.numerics.tolerance == 1e-5


def test_a_card_is_not_lost_and_can_describe_another_export(torch: Any, checkpoint: Path, tmp_path: Path) -> None:
    from oddjets.training.export.onnx import export

    first = export(checkpoint, tmp_path / "one.onnx").card
    with pytest.raises(OddjetsError, match="would be lost"):
        export(checkpoint, tmp_path / "one.onnx")
    edited = first.read_text(encoding="utf-8").replace("unstated", "CC0-1.0")
    first.write_text(edited, encoding="utf-8")
    second = load_card(export(checkpoint, tmp_path / "two.onnx", stable=False, like=first).card)
    original = load_card(first)
    assert (second.licence, second.name) == ("CC0-1.0", "two")
    assert (second.classes, second.score, second.inputs) == (original.classes, original.score, original.inputs)
    assert second.numerics.tolerance == 0.1
    again = load_card(export(checkpoint, tmp_path / "one.onnx", like=first).card)
    assert again == original


def test_a_checkpoint_with_other_classes_needs_a_card_that_describes_them(
    torch: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    from oddjets.training.export.onnx import export

    head = content["classifier_head"]
    two = head | {name: head[name][:2] for name in ("out.weight", "out.bias")}
    torch.save(content | {"classifier_head": two}, tmp_path / "two.pt")
    with pytest.raises(OddjetsError, match=r"(?s)2 classes.*published.*--like.*softmax: index 199 of an output with 2"):
        export(tmp_path / "two.pt", tmp_path / "two.onnx")
    assert not (tmp_path / "two.onnx").exists()


@pytest.mark.parametrize(("name", "target"), [("", "cpu"), ("_gpu", "gpu-half")])
def test_the_shipped_models_are_what_the_exporter_writes(torch: Any, name: str, target: Any, tmp_path: Path) -> None:
    from oddjets.training.export.onnx import export

    models = Path(__file__).parents[2] / "models"
    shipped = load_card(models / f"omnilearned_small_simulation{name}.yaml")
    checkpoint = models / "best_model_omnilearned_small_simulation_s.pt"
    made = load_card(export(checkpoint, tmp_path / "again.onnx", target=target).card)
    import onnx

    graph, stored = onnx.load(made.path).graph, onnx.load(shipped.path).graph
    assert [node.op_type for node in graph.node] == [node.op_type for node in stored.node]
    for one, other in zip(graph.initializer, stored.initializer, strict=True):
        a, b = (onnx.numpy_helper.to_array(tensor) for tensor in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7, err_msg=one.name)


def test_weights_outside_the_folder_of_the_model_are_refused(
    torch: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    from oddjets.scoring.onnx_session import get_session
    from oddjets.training.export import onnx as module

    monkeypatch.setattr(module, "_EXTERNAL_ABOVE", 0)
    folder = tmp_path / "model"
    path = module.export(checkpoint, folder / "large.onnx").card
    graph = onnx.load(folder / "large.onnx", load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../large.onnx.data"
    (folder / "large.onnx").write_bytes(graph.SerializeToString())
    (folder / "large.onnx.data").rename(tmp_path / "large.onnx.data")
    card = load_card(_resigned(path))
    with pytest.raises(OddjetsError, match="does not load"):
        get_session(card, "cpu")


def _resigned(card: Path) -> Path:
    """The card with the sha256 of the file as it is, and no other files: what an attacker would write."""
    content = yaml.safe_load(card.read_text(encoding="utf-8"))
    content.pop("external_data")
    content["sha256"] = hashlib.sha256((card.parent / content["file"]).read_bytes()).hexdigest()
    card.write_text(yaml.safe_dump(content), encoding="utf-8")
    return card


@pytest.mark.parametrize("counts", [[1, 2], [10, 11], [12, 150]])
def test_weights_in_16_bits_are_half_the_file_and_the_same_network(
    torch: Any,
    checkpoint: Path,
    exported: ModelCard,
    reference: Any,
    tmp_path: Path,
    counts: list[int],
    monkeypatch: Any,
) -> None:
    import onnx

    from oddjets.training.export import onnx_graph
    from oddjets.training.export.onnx import export
    from oddjets.training.validate.parity import run_model

    monkeypatch.setattr(onnx_graph, "_SMALLEST_HALF", 256)  # this network is small
    card = load_card(export(checkpoint, tmp_path / "half.onnx", half_weights=True).card)
    assert card.numerics.tolerance == 2e-3
    assert "weights stored in 16 bits" in card.notes[-1]
    stored = {tensor.name: tensor for tensor in onnx.load(card.path).graph.initializer}
    half = [t for t in stored.values() if t.data_type == onnx.TensorProto.FLOAT16]
    full = [t for t in stored.values() if t.data_type == onnx.TensorProto.FLOAT]
    assert sum(len(t.raw_data) for t in half) > sum(len(t.raw_data) for t in full)
    jets = random_jets(counts)
    found, exact = (probabilities(v) for v in (run_model(card, jets), reference.logits(jets)))
    assert 1e-6 < np.abs(found - exact).max() < card.numerics.tolerance
    np.testing.assert_allclose(probabilities(run_model(exported, jets)), exact, rtol=0, atol=TOLERANCE)


def test_a_value_too_large_for_16_bits_stays_in_32() -> None:
    pytest.importorskip("onnx", reason="needs onnx: pip install 'oddjets[train]'")
    from oddjets.training.export.onnx_graph import _fits_half

    assert _fits_half(np.full(4096, 65000, np.float32))
    assert not _fits_half(np.full(4096, 66000, np.float32))
    assert not _fits_half(np.ones(4095, np.float32))
    assert not _fits_half(np.ones(5000, np.int64))


def test_weights_in_16_bits_are_for_cpus(torch: Any, checkpoint: Path, tmp_path: Path) -> None:
    from oddjets.training.export.onnx import export

    with pytest.raises(OddjetsError, match="stored in 16 bits for CPUs alone, not for GPUs"):
        export(checkpoint, tmp_path / "x.onnx", target="gpu", half_weights=True)
