"""Export of classifiers of scikit-learn on columns of the jet: an ONNX file and its model card of ``kind: jet-columns``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import expit, logit

from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write, sha256_of
from oddjets.core.optional_imports import require
from oddjets.learning.trees import OPSET, Ensemble, read_ensemble, rounded_down, thresholds_of, tree_graph
from oddjets.scoring.column_card import known_unit
from oddjets.scoring.model_card import card_of, load_card
from oddjets.training.export.perceptrons import PerceptronLayers, layers_graph, read_layers

__all__ = ["ExportedClassifier", "export_classifier"]

#: largest difference of a score from scikit-learn's on the rows that it is tried on; thousands of trees may reach the second,
#: since a graph adds them up in float32
_TOLERANCES = (1e-6, 1e-5)
_TRIED = 4000


class ExportedClassifier(NamedTuple):
    """The files of an export.

    Attributes:
        model: the ONNX file.
        card: the model card.
        difference: the largest difference of a score from scikit-learn's.
    """

    model: Path
    card: Path
    difference: float


def export_classifier(
    models: Any,
    file: str | Path,
    columns: Sequence[str] | Mapping[str, str],
    *,
    training: str,
    trained_on_labelled: Sequence[str],
    licence: str = "not stated",
    missing: Literal["nan", "error"] | float | None = None,
    metrics: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> ExportedClassifier:
    """Write a classifier, or the mean of several, as an ONNX file with a model card, and compare it with scikit-learn.

    Of several classifiers the logits are averaged (the probabilities, of forests). The score is the probability of the second
    of two classes. It is compared with scikit-learn's for 4000 random rows: at the thresholds of trees, next to them, between
    and beyond them, with NaN and infinities where the classifier takes them; normal numbers for others.

    Args:
        models: a fitted HistGradientBoostingClassifier, GradientBoostingClassifier, RandomForestClassifier,
            ExtraTreesClassifier, LogisticRegression or MLPClassifier, a pipeline of StandardScaler and one of the last two,
            or a list of such.
        file: the ONNX file to write; its card is written beside it, with the ending ``.yaml``.
        columns: columns of the jet, or expressions of them, in the order of the classifier's; a mapping gives their units,
            which need not be given of built-in columns. `oddjets.scoring.input_matrix` computes what to train on.
        training: what it was trained on, for readers of the card.
        trained_on_labelled: known particles whose labels the training saw; finding them is no discovery then.
        licence: of the model.
        missing: what a jet gets that has no finite value: see `oddjets.scoring.column_card.ColumnInput`; None: nan where the
            classifier takes NaN, else error.
        metrics: numbers measured on jets that the training did not see, by name.
        notes: what else a user should know.

    Returns:
        The files written.

    Raises:
        OddjetsError: scikit-learn or onnx is not installed; a classifier that is none of these, is not fitted, or has more
            than two classes or another number of columns; a column without a unit; scores that differ by more than 1e-5, with
            nothing written.
    """
    require("sklearn", "learn")
    onnx = require("onnx", "learn")
    members = list(models) if isinstance(models, (list, tuple)) else [models]
    units = _units(columns)
    _check(members, len(units))
    ensembles = [ensemble for model in members if (ensemble := read_ensemble(model)) is not None]
    layers = [found for model in members if not ensembles and (found := read_layers(model)) is not None]
    if len(ensembles or layers) != len(members) or len({ensemble.output for ensemble in ensembles}) > 1:
        raise OddjetsError(
            f"classifiers of {', '.join(sorted({type(model).__name__ for model in members}))} cannot be exported together: give"
            " boosted trees, forests, logistic regressions or networks of scikit-learn, of one kind; other models need an"
            " ONNX file of their own and a card beside it"
        )
    graph = tree_graph(ensembles, len(units)) if ensembles else layers_graph(layers, len(units))
    probability = bool(ensembles) and ensembles[0].output == "probability"
    accepted = "nan" if all(_takes_nan(model) for model in members) else "error"
    path = Path(file)
    card_file = path.with_suffix(".yaml")
    content: dict[str, Any] = {
        "kind": "jet-columns",
        "name": path.stem,
        "file": path.name,
        "sha256": "0" * 64,
        "opset": OPSET,
        "licence": licence,
        "training": training,
        "trained_on_labelled": list(trained_on_labelled),
        "inputs": [
            {
                "name": "columns",
                "dtype": "float32",
                "shape": ["batch", len(units)],
                "columns": [
                    {"column": column, "unit": unit, "missing": accepted if missing is None else missing}
                    for column, unit in units.items()
                ],
            }
        ],
        "output": {"name": "output", "n_columns": 1, "index": 0},
        "score": {"formula": "probability" if probability else "sigmoid"},
        "numerics": {"reference": f"scikit-learn {require('sklearn').__version__}", "tolerance": _TOLERANCES[0]},
        **({"metrics": dict(metrics)} if metrics else {}),
        **({"notes": list(notes)} if notes else {}),
    }
    card_of(content, card_file)  # before anything is written
    path.parent.mkdir(parents=True, exist_ok=True)
    infinite = all(type(model).__name__ == "HistGradientBoostingClassifier" for model in members)
    special = [np.nan] if accepted == "nan" else []
    rows = _rows(ensembles, layers, len(units), special=[*special, *([-np.inf, np.inf] if infinite else [])])
    with atomic_write(path) as temporary:
        onnx.save(graph, temporary)
        difference = _differences(temporary, rows, members, probability=probability)
        if (largest := float(difference.max())) > _TOLERANCES[1]:
            raise OddjetsError(
                f"{path} is not written: its scores differ from scikit-learn's by up to {largest:.1e}; fewer trees or members,"
                " or smaller weights, add up to less rounding"
            )
    content["sha256"] = sha256_of(path)
    content["numerics"] |= {
        "tolerance": next(tolerance for tolerance in _TOLERANCES if largest <= tolerance),
        "median": float(f"{np.median(difference):.2g}"),
        "quantile_99": float(f"{np.quantile(difference, 0.99):.2g}"),
        "maximum": float(f"{largest:.2g}"),
    }
    with atomic_write(card_file) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    load_card(card_file)
    return ExportedClassifier(path, card_file, largest)


def _units(columns: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(columns, str):
        raise OddjetsError(f"columns: a list of columns, not the text '{columns}'")
    if isinstance(columns, Mapping):
        return dict(columns)
    if len(set(columns)) != len(columns):
        raise OddjetsError(f"columns: one is given twice ({', '.join(columns)})")
    found = {column: known_unit(column) for column in columns}
    if unknown := [column for column, unit in found.items() if unit is None]:
        raise OddjetsError(
            f"columns: the unit of '{unknown[0]}' is not known; give a mapping of columns to units, as in"
            f" {{'{unknown[0]}': '1'}}, with 'GeV', 'rad' and so on, and '1' for a pure number"
        )
    return {column: unit for column, unit in found.items() if unit is not None}


def _check(members: Sequence[Any], n_columns: int) -> None:
    if not members:
        raise OddjetsError("models: there is none to export")
    for model in members:
        name = type(model).__name__
        classes, number = getattr(model, "classes_", None), getattr(model, "n_features_in_", None)
        if classes is None or number is None:
            raise OddjetsError(f"models: {name} is no fitted classifier of scikit-learn")
        if len(classes) != 2:
            raise OddjetsError(
                f"models: {name} has {len(classes)} classes, and a score is the probability of one of two"
            )
        if number != n_columns:
            raise OddjetsError(f"models: {name} was trained on {number} columns, and {n_columns} are given")


def _takes_nan(model: Any) -> bool:
    """Tell whether a classifier takes NaN: some do so only if there was NaN in the training."""
    if type(model).__name__ == "HistGradientBoostingClassifier":
        return True
    try:
        model.predict_proba(np.full((1, model.n_features_in_), np.nan))
    except ValueError:
        return False
    return True


def _rows(
    ensembles: Sequence[Ensemble], layers: Sequence[PerceptronLayers], n_columns: int, *, special: Sequence[float]
) -> NDArray[np.float32]:
    """Return rows to compare scores on, of which some have special values."""
    random = np.random.default_rng(0)
    if layers:
        normal = random.normal(size=(_TRIED, n_columns))
        return (layers[0].shift + 2 * layers[0].scale * normal).astype(np.float32)
    rows = np.empty((_TRIED, n_columns), np.float32)
    for column, exact in enumerate(thresholds_of(ensembles, n_columns)):
        at = rounded_down(exact[np.isfinite(exact) & (np.abs(exact) < 1e30)])
        ends = [at.min() - 1, at.max() + 1] if len(at) else [-1.0, 1.0]
        between = random.uniform(ends[0], ends[1], len(at) + 10)
        values = np.concatenate([at, np.nextafter(at, np.float32(np.inf)), between, ends, special])
        rows[:, column] = random.choice(values, _TRIED)
    # many thresholds leave special values out
    for value in special:
        rows[random.random(rows.shape) < 0.03] = value
    return rows


def _differences(file: Path, rows: NDArray[np.float32], members: Sequence[Any], *, probability: bool) -> NDArray[Any]:
    """Return by how much scores differ from scikit-learn's, shape (n_rows,)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    output = session.run(["output"], {"columns": rows})[0][:, 0].astype(np.float64)
    # networks would compute in float32 with these numbers
    exact = rows.astype(np.float64)
    if probability:
        return np.asarray(np.abs(output - np.mean([model.predict_proba(exact)[:, 1] for model in members], axis=0)))
    logits = []
    for member in members:
        if hasattr(member, "decision_function"):
            logits.append(member.decision_function(exact))
            continue
        with np.errstate(divide="ignore"):
            logits.append(logit(member.predict_proba(exact)[:, 1]))
    with np.errstate(invalid="ignore"):
        expected = np.mean(logits, axis=0)
    # of a probability that is 0 or 1 to all digits, the logit is not known
    known = np.isfinite(expected) if len(members) > 1 else np.ones(len(rows), np.bool_)
    return np.asarray(np.abs(expit(output) - expit(expected))[known])
