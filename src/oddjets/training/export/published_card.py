"""The model card of the published OmniLearned checkpoints: classes, inputs and score."""

from __future__ import annotations

from typing import Any

from oddjets.training.export.pairs import MAX_CONSTITUENTS

__all__ = ["SPECIES", "published_description"]

#: PDG codes in the order of the network's indices, and what stands for other particles; where this is from, each card says
SPECIES: dict[str, Any] = {
    "codes": [-211, -13, -11, 0, 11, 13, 22, 130, 211],
    "substitutes": {321: 211, -321: -211, 2212: 211, -2212: -211, 2112: 130},
    "other_charged": 211,
    "other_neutral": 130,
}


def _columns(*columns: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"quantity": q, "unit": unit} | ({"transform": t} if t else {}) for q, unit, t in columns]


def published_description(size: str) -> dict[str, Any]:
    """Return the part of a card that does not depend on the file.

    The ranges of classes are those of OmniLearned's loader (arXiv:2510.24066); the orders within them, and of the
    species, are inferred from public third-party code. The score is that of arXiv:2603.23593.

    Args:
        size: small, medium or large.

    Returns:
        Content for `oddjets.scoring.model_card.ModelCard`, without name, file, sha256, opset, output and numerics.
    """
    per_constituent = ["batch", "constituents"]
    return {
        "licence": "unstated",
        "training": (
            f"the published OmniLearned checkpoint, PET2 {size}, pretrained on JetClass, JetClass-II, CMS and H1 data "
            "(arXiv:2510.24066)"
        ),
        # classes of JetClass; the score sums none of them
        "trained_on_labelled": ["H", "W", "Z", "top"],
        "inputs": [
            {
                "name": "x",
                "dtype": "float32",
                "shape": [*per_constituent, 4],
                "columns": _columns(
                    ("d_eta", "1", ""), ("d_phi", "rad", ""), ("pt", "GeV", "log"), ("energy", "GeV", "log")
                ),
            },
            {
                "name": "pid",
                "dtype": "int64",
                "shape": per_constituent,
                "columns": _columns(("species", "1", "")),
            },
            {
                "name": "add",
                "dtype": "float32",
                "shape": [*per_constituent, 4],
                "columns": _columns(
                    ("d0", "cm", "tanh"), ("d0_error", "cm", ""), ("dz", "cm", "tanh"), ("dz_error", "cm", "")
                ),
            },
        ],
        "constituents": {"maximum": MAX_CONSTITUENTS, "puppi": "weighted"},
        "species": {**SPECIES, "source": "inferred from public third-party code"},
        "classes": {
            "H1": "0-1",
            "JetClass_QCD": 2,
            "JetClass_H": "3-7",
            "JetClass_Z": 8,
            "JetClass_W": 9,
            "JetClass_top": "10-11",
            "two_prong": "12-26",
            "three_and_four_prong": "27-172",
            "QCD": "173-199",
        },
        "score": {
            "formula": "paper",
            "signal": ["two_prong", "three_and_four_prong"],
            "qcd": ["JetClass_QCD", "QCD"],
        },
        "notes": [
            "Whether the published scores were computed with or without PUPPI weights is not public.",
            "The orders of the classes within their ranges, and of the species, are inferred.",
        ],
    }
