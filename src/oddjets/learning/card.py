"""The files of a learnt score: one ONNX graph with the scores of all folds, the hashes of its events, and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import yaml

from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write, sha256_of
from oddjets.core.optional_imports import require
from oddjets.learning.folded import FoldedScore
from oddjets.learning.trees import OPSET, model_of
from oddjets.scoring.card_base import DATA_LABEL
from oddjets.scoring.column_card import known_unit
from oddjets.scoring.model_card import card_of, load_card

__all__ = ["CARD", "EVENTS", "LEAST_AGREEMENT", "MODEL", "LearntFiles", "LearntFrom", "fold_graph", "write_learnt"]

#: names of the files
CARD, MODEL, EVENTS = "card.yaml", "model.onnx", "events.u64"
#: difference of a score between graph and training, at most: raw scores differ by 2e-7, and their distribution has steps
_TOLERANCE = 1e-5
#: jets that graph and training are compared on
_TRIED = 4000
#: of members that chance has made, whose rank correlation is 0; where there is no signal at all it was 0.6
LEAST_AGREEMENT = 0.2
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class LearntFrom:
    """Description of a training, as a card says it.

    Attributes:
        name: of the model.
        analysis: whose data they are.
        method: how jets were labelled, in one word, such as ``tag-n-train``.
        training: the same in a sentence.
        columns: columns and expressions of a jet that the model reads, in order.
        members: trainings of each fold.
        hashes: of the events of the training, from `oddjets.learning.event_hash`, (n,).
        agreement: mean rank correlation of the scores of two members (`FoldedScore.agreement`).
        seed_score: the score that labelled the jets; None: none.
        missing: what a jet gets without a finite value: see `oddjets.scoring.column_card.ColumnInput`.
        metrics: further numbers, by name.
        notes: what else a user should know.
    """

    name: str
    analysis: str
    method: str
    training: str
    columns: Sequence[str]
    members: int
    hashes: npt.NDArray[np.uint64]
    agreement: float
    seed_score: str | None = None
    missing: Literal["nan", "error"] | float = "nan"
    metrics: Mapping[str, float] | None = None
    notes: Sequence[str] = ()


class LearntFiles(NamedTuple):
    """The files of a learnt score.

    Attributes:
        card: the model card.
        model: the ONNX file.
        events: the hashes of the events of the training.
        difference: the largest difference of a score from that of the training.
    """

    card: Path
    model: Path
    events: Path
    difference: float


def fold_graph(score: FoldedScore, n_columns: int) -> Any:
    """Return the ``onnx.ModelProto`` of all folds.

    Args:
        score: the trained folds.
        n_columns: of the input ``columns``, float32, (batch, n_columns).

    Returns:
        Its output ``output``, float64, (batch, folds), has the score by each fold, between 0 and 1.

    Raises:
        OddjetsError: onnx is not installed.
    """
    require("onnx", "learn")
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    constants: list[Any] = []
    for fold, (model, cdf) in enumerate(zip(score.models, score.cdfs, strict=True)):
        parts = [
            model.graph("columns", f"raw_{fold}", f"model_{fold}_"),
            cdf.graph(f"exact_{fold}", f"score_{fold}", f"cdf_{fold}_"),
        ]
        nodes += parts[0].nodes
        nodes.append(helper.make_node("Cast", [f"raw_{fold}"], [f"exact_{fold}"], to=TensorProto.DOUBLE))
        nodes += parts[1].nodes
        constants += [constant for part in parts for constant in part.constants]
    nodes.append(helper.make_node("Concat", [f"score_{fold}" for fold in range(score.n_folds)], ["output"], axis=1))
    graph = helper.make_graph(
        nodes,
        "folds",
        [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["batch", n_columns])],
        [helper.make_tensor_value_info("output", TensorProto.DOUBLE, ["batch", score.n_folds])],
        constants,
    )
    return model_of(graph)


def write_learnt(folder: Path, score: FoldedScore, features: npt.NDArray[Any], about: LearntFrom) -> LearntFiles:
    """Write the card, the graph and the hashes of the events, and compare the graph with the training.

    Args:
        folder: is made.
        score: the trained folds.
        features: of jets to compare on, (n, columns), float32.
        about: what the card says.

    Raises:
        OddjetsError: onnx is not installed; the members disagree; or the graph's scores differ by more than 1e-5, with no card
            written.
    """
    onnx = require("onnx", "learn")
    folder.mkdir(parents=True, exist_ok=True)
    card_file, model_file, events_file = (folder / name for name in (CARD, MODEL, EVENTS))
    content: dict[str, Any] = {
        "kind": "jet-columns",
        "name": about.name,
        "file": MODEL,
        "sha256": "0" * 64,
        "opset": OPSET,
        "licence": _NOT_STATED,
        "training": about.training,
        "trained_on_labelled": [DATA_LABEL],
        "inputs": [
            {
                "name": "columns",
                "dtype": "float32",
                "shape": ["batch", len(about.columns)],
                "columns": [
                    {
                        "column": column,
                        "unit": known_unit(column) or _NOT_STATED,
                        "missing": float("nan") if about.missing == "nan" else about.missing,
                        # a fixed number of classes or a narrow sample may leave a column with one value
                        "may_be_constant": True,
                    }
                    for column in about.columns
                ],
            }
        ],
        "output": {"name": "output", "n_columns": score.n_folds, "index": 0},
        "score": {"formula": "probability"},
        "numerics": {"reference": "the training", "tolerance": _TOLERANCE},
        "learnt": {
            "folds": score.n_folds,
            "members": about.members,
            "method": about.method,
            **({"seed_score": about.seed_score} if about.seed_score is not None else {}),
            "analysis": about.analysis,
            "events": {"file": EVENTS, "sha256": "0" * 64},
            "n_events": len(about.hashes),
            "agreement": round(float(about.agreement), 4),
            "least_agreement": LEAST_AGREEMENT,
        },
        **({"metrics": {name: float(value) for name, value in about.metrics.items()}} if about.metrics else {}),
        **({"notes": list(about.notes)} if about.notes else {}),
    }
    card_of(content, card_file)  # before anything is written, or an earlier card is lost
    # a card is there only if all of its files are
    card_file.unlink(missing_ok=True)
    with atomic_write(events_file) as temporary:
        np.sort(about.hashes).astype("<u8").tofile(temporary)
    with atomic_write(model_file) as temporary:
        onnx.save(fold_graph(score, len(about.columns)), temporary)
        difference = _differences(temporary, score, features)
    if (largest := float(difference.max())) > _TOLERANCE:
        raise OddjetsError(
            f"{card_file} is not written: the scores of {MODEL} differ from those of the training by up to {largest:.1e}, and"
            f" may by {_TOLERANCE:.0e}; take fewer trees or members, whose sum is rounded less"
        )
    content["sha256"], content["learnt"]["events"]["sha256"] = sha256_of(model_file), sha256_of(events_file)
    content["numerics"] |= {
        "median": float(f"{np.median(difference):.2g}"),
        "quantile_99": float(f"{np.quantile(difference, 0.99):.2g}"),
        "maximum": float(f"{largest:.2g}"),
    }
    with atomic_write(card_file) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    load_card(card_file)
    return LearntFiles(card_file, model_file, events_file, largest)


def _differences(file: Path, score: FoldedScore, features: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return by how much scores differ from those of the training, (n, folds)."""
    import onnxruntime

    rows = np.linspace(0, len(features) - 1, min(_TRIED, len(features))).astype(np.intp)
    tried = np.ascontiguousarray(features[rows], np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    output = session.run(["output"], {"columns": tried})[0]
    return np.asarray(np.abs(output - score.fold_scores(tried)))
