"""The files of a finished training: checkpoint, ONNX model, card, metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.training.class_labels import KNOWN, QCD, SIGNAL
from oddjets.training.export.onnx import export
from oddjets.training.export.published_card import SPECIES
from oddjets.training.train.checkpoint_state import STATE, TrainingState
from oddjets.training.train.members import Member
from oddjets.training.train.settings import MAX_CONSTITUENTS

__all__ = ["add_metrics", "checkpoint_path", "write_checkpoint", "write_metrics", "write_model"]

_LICENCE = "BSD-3-Clause"
#: of the training's known particles, as `trained_on_labelled` says them
_KNOWN_NAMES = {"W": "W", "Z": "Z", "H_bb": "H", "top": "top"}


def checkpoint_path(folder: Path, name: str) -> Path:
    """Return the file of a model's best weights, ``best_model_NAME_s.pt``."""
    return folder / f"best_model_{name.replace('-', '_')}_s.pt"


def write_checkpoint(folder: Path, name: str, state: TrainingState) -> Path:
    """Write the best weights in OmniLearned's layout.

    Args:
        folder: of the training.
        name: of the model.
        state: of the training.

    Returns:
        ``best_model_NAME_s.pt``.

    Raises:
        OddjetsError: no loss was finite.
    """
    if not state.best:
        raise OddjetsError(f"{folder / STATE}: no state had a finite loss on held-back jets: a lower --learning-rate")
    best_step = min(state.history, key=lambda look: min(look[2], look[3]))[0]
    parts = {
        key: {k.removeprefix(f"{prefix}."): v for k, v in state.best.items() if k.startswith(f"{prefix}.")}
        for key, prefix in (("body", "body"), ("classifier_head", "classifier"))
    }
    path = checkpoint_path(folder, name)
    torch.save(parts | {"epoch": state.settings["epochs"] * best_step / state.steps, "loss": state.loss}, path)
    return path


def write_model(member: Member, checkpoint: Path, state: TrainingState, *, half_weights: bool = False) -> Path:
    """Export the best weights, with a card that has no metrics yet.

    Args:
        member: the training.
        checkpoint: as of `write_checkpoint`.
        state: of the training.
        half_weights: store the weights in 16 bits.

    Returns:
        The card.
    """
    model = member.card.with_suffix(".onnx")
    member.card.unlink(missing_ok=True)  # of an earlier export
    exported = export(checkpoint, model, half_weights=half_weights)
    content = yaml.safe_load(exported.card.read_text(encoding="utf-8"))
    notes = [note for note in content["notes"] if note.startswith("Exported with")]
    return _write(exported.card, content | _description(member, state, notes))


def add_metrics(card: Path, metrics: Mapping[str, Any], numerics: Mapping[str, float]) -> None:
    """Write measurements into a card.

    Args:
        card: the card.
        metrics: as of `oddjets.training.validate.evaluation.measure`; their summary is written.
        numerics: differences of class probabilities from the checkpoint: median, quantile_99, maximum.
    """
    content = yaml.safe_load(card.read_text(encoding="utf-8"))
    summary: dict[str, float] = {}
    for name, found in metrics["signals"].items():
        summary[f"auc_{name}"] = round(found["auc"], 4)
        for efficiency, value in found["rejection"].items():
            percent = efficiency.removesuffix(" %")
            if value["qcd_passing"]:
                summary[f"rejection_{name}_at_{percent}_percent"] = float(f"{value['rejection']:.3g}")
                summary[f"rejection_{name}_at_{percent}_percent_error"] = float(f"{value['error']:.2g}")
    for share, found in metrics["qcd_mass"].items():
        where = "all" if share == "100 %" else f"at_{share.removesuffix(' %')}_percent"
        for key in ("mean", "mean_error", "std", "std_error"):
            summary[f"qcd_mass_{key}_{where}"] = round(found[key], 2)
    _write(card, content | {"metrics": summary, "numerics": content["numerics"] | numerics})


def _description(member: Member, state: TrainingState, notes: list[str]) -> dict[str, Any]:
    """Return what the card says beyond the published networks' inputs."""
    supervised = state.settings["supervised"]
    signal = SIGNAL | (KNOWN if supervised else {})
    classes = QCD | signal
    final = [look for look in state.history if look[0] == state.steps]
    labels = (
        "labels of W, Z, H and top were seen: supervised"
        if supervised
        else "no label of a known particle was seen, and no such jet"
    )
    seeds = f"seed {state.settings['seed']}"
    if member.family:
        seeds += f" (of first weights, order and dropout; the jets are those of seed {state.settings['split_seed']})"
    return {
        "name": member.name,
        "licence": _LICENCE,
        **({"family": member.family, "seed": member.settings.seed} if member.family else {}),
        "training": (
            f"PET2 small (architecture of OmniLearned 0.2.0, arXiv:2510.24066) on {state.jets} jets: Pythia 8 at 13 TeV "
            "and a parametric detector without pileup; anti-kT 0.8, pT > 400 GeV, soft-drop mass > 20 GeV; QCD by flavour "
            f"and generic resonances with broad masses to two, three and four partons; {labels}. QCD and signal weighted "
            f"to one spectrum of pT and mass; jets turned and mirrored at random; {state.settings['epochs']} epochs, "
            f"batches of {state.settings['batch']}, {seeds}; the best state by held-back events was "
            f"kept (loss {state.loss:.4f}"
            + (f", at the end {min(final[0][2:4]):.4f}" if final else "")
            + "). Made by `oddjets model train`."
        ),
        "trained_on_labelled": [_KNOWN_NAMES[one] for one in KNOWN] if supervised else [],
        "constituents": {"maximum": MAX_CONSTITUENTS, "puppi": "weighted"},
        "species": {
            **SPECIES,
            "source": (
                "the training of this model; that OmniLearned sorts these nine species so, and maps kaons, protons and "
                "neutrons so, is inferred from public third-party code"
            ),
        },
        "output": {"name": "logits", "kind": "logits", "n_classes": 210, "softmax": sorted(classes.values())},
        "classes": classes,
        "score": {"formula": "paper", "signal": list(signal), "qcd": list(QCD)},
        "notes": [*notes, "The authors' formula for their stored predictions means nothing for these classes."],
    }


def _write(path: Path, content: dict[str, Any]) -> Path:
    ModelCard.model_validate(content)
    order = {name: i for i, name in enumerate(ModelCard.model_fields)}
    content = {name: content[name] for name in sorted(content, key=order.__getitem__)}
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    load_card(path)
    return path


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> Path:
    """Write ``metrics.json``; null for what is not finite."""
    path = folder / "metrics.json"
    path.write_text(json.dumps(_finite(metrics), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
