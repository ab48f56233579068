"""Export of a checkpoint to an ONNX file and its model card."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of
from oddjets.core.optional_imports import require
from oddjets.scoring.model_card import ModelCard, card_of, load_card
from oddjets.training.export.checkpoint import Pet2Config, read_checkpoint
from oddjets.training.export.onnx_graph import OPSET
from oddjets.training.export.pet2 import MAX_CONSTITUENTS, N_SOFTMAX, build
from oddjets.training.export.pet2_gpu import build_for_gpu
from oddjets.training.export.published_card import published_description

__all__ = ["ExportResult", "Target", "export"]

#: what a graph is arranged for: each runs everywhere, and is fast where it is said; ``gpu-half`` has 16-bit numbers
Target = Literal["cpu", "gpu", "gpu-half"]

_TARGETS: dict[Target, str] = {
    "cpu": "CPUs",
    "gpu": "GPUs in 32-bit numbers",
    "gpu-half": "GPUs in 16-bit numbers where they are safe",
}
#: larger graphs keep their weights in a file of their own: a protobuf ends at 2 GiB
_EXTERNAL_ABOVE = 1 << 30
#: largest difference of a class probability from float64 that the stable form keeps on generic jets
_TOLERANCE_STABLE = 1e-5
#: and with 16-bit numbers where they are safe
_TOLERANCE_HALF = 2e-3
#: and what rounding in the published form was seen to reach
_TOLERANCE_PUBLISHED = 0.1


class ExportResult(NamedTuple):
    """The files and properties of an export.

    Attributes:
        model: the ONNX file.
        card: the model card.
        config: the architecture.
        size: small, medium, large, or "".
    """

    model: Path
    card: Path
    config: Pet2Config
    size: str


def export(
    checkpoint: Path,
    model: Path,
    *,
    size: str | None = None,
    stable: bool = True,
    output: Literal["logits", "probabilities"] = "logits",
    target: Target = "cpu",
    like: Path | None = None,
    half_weights: bool = False,
) -> ExportResult:
    """Export a checkpoint.

    Args:
        checkpoint: an OmniLearned 0.2.0 checkpoint.
        model: the ONNX file to write; its card is written beside it, with the ending ``.yaml``.
        size: what the checkpoint is expected to be; None to take it as it is.
        stable: the pair mass without cancellation; False for the published form.
        output: logits of all classes, or probabilities of the first 200.
        target: what the graph is arranged for.
        like: a card whose description (classes, species, score, training) holds for this checkpoint too; None for a
            checkpoint with the published classes.
        half_weights: store the weights of a graph for CPUs in 16 bits, which halves the file; the arithmetic stays in
            float32.

    Returns:
        The files written.

    Raises:
        OddjetsError: 16-bit weights for another target, which has its own; see
            `oddjets.training.export.checkpoint.read_checkpoint`; a card that would be lost; a description that does not
            fit the network.
    """
    card = model.with_suffix(".yaml")
    if card.exists() and (like is None or like.resolve() != card.resolve()):
        raise OddjetsError(
            f"{card} exists and would be lost: name it with --like to keep its description, or remove it"
        )
    if half_weights and target != "cpu":
        raise OddjetsError(f"weights are stored in 16 bits for CPUs alone, not for {_TARGETS[target]}: take gpu-half")
    description = None if like is None else _description(like)
    network = read_checkpoint(checkpoint, size)
    content = published_description(network.size or "of unknown size") if description is None else description
    content |= {
        "name": model.stem,
        "file": model.name,
        "opset": OPSET,
        "output": _output(network.config, output, description),
        "numerics": {
            "reference": "the authors' PET2 in float64",
            "tolerance": _tolerance(stable, half_weights or target == "gpu-half"),
        },
    }
    content["notes"] = [*content.get("notes", ()), _note(stable, target, half_weights)]
    try:
        card_of(content | {"sha256": "0" * 64}, card)  # before anything is written
    except OddjetsError as error:
        described = like or "the published checkpoints"
        raise OddjetsError(
            f"{checkpoint} with its {network.config.n_classes} classes does not fit the description of {described}: name a "
            f"card that does with --like\n{error}"
        ) from error
    if target == "cpu":
        graph = build(network, stable=stable, output=output, half_weights=half_weights)
    else:
        graph = build_for_gpu(network, stable=stable, half=target == "gpu-half", output=output)
    external = _save(graph, model)
    content["sha256"] = sha256_of(model)
    if external is not None:
        content["external_data"] = [{"file": external.name, "sha256": sha256_of(external)}]
    order = {name: i for i, name in enumerate(ModelCard.model_fields)}
    content = {name: content[name] for name in sorted(content, key=order.__getitem__)}
    card.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    load_card(card)
    return ExportResult(model, card, network.config, network.size)


def _tolerance(stable: bool, half: bool) -> float:
    if not stable:
        return _TOLERANCE_PUBLISHED
    return _TOLERANCE_HALF if half else _TOLERANCE_STABLE


def _note(stable: bool, target: Target, half_weights: bool) -> str:
    form = "in its stable form" if stable else "in its published form, whose float32 scores carry rounding noise"
    stored = f"{_TARGETS[target]}, weights stored in 16 bits" if half_weights else _TARGETS[target]
    return (
        f"Exported with the pair mass {form}, for {stored}. The graph uses operators of ONNX Runtime beside the "
        f"standard ones, and takes at most {MAX_CONSTITUENTS} constituents."
    )


def _description(path: Path) -> dict[str, Any]:
    """Return the parts of a card that hold for another export too."""
    card = load_card(path, "constituents")
    own = {"name", "file", "sha256", "external_data", "opset", "numerics", "metrics"}
    content = card.model_dump(mode="json", exclude=own, exclude_defaults=True)
    content["trained_on_labelled"] = list(card.trained_on_labelled)
    content["classes"] = {name: _ranges(indices) for name, indices in card.classes.items()}
    content["notes"] = [note for note in card.notes if not note.startswith(("Exported with", "The graph uses"))]
    return content


def _ranges(indices: Iterable[int]) -> list[str | int]:
    """Write runs of consecutive indices as ``"first-last"``."""
    result: list[str | int] = []
    for _, run in groupby(enumerate(indices), lambda pair: pair[1] - pair[0]):
        members = [index for _, index in run]
        result.append(members[0] if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return result


def _output(config: Pet2Config, kind: str, description: dict[str, Any] | None) -> dict[str, Any]:
    softmax = f"0-{N_SOFTMAX - 1}" if description is None else _ranges(description["output"]["softmax"])
    n_classes = config.n_classes if kind == "logits" else min(N_SOFTMAX, config.n_classes)
    return {"name": kind, "kind": kind, "n_classes": n_classes, "softmax": softmax}


def _save(graph: Any, path: Path) -> Path | None:
    """Write a graph, and return the file of its weights if it has one."""
    onnx = require("onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    if sum(len(tensor.raw_data) for tensor in graph.graph.initializer) <= _EXTERNAL_ABOVE:
        onnx.save(graph, path)
        return None
    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)  # onnx appends to a file that is there
    onnx.save(graph, path, save_as_external_data=True, location=data.name)
    return data
