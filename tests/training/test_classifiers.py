"""Classifiers of scikit-learn as ONNX files: the same scores, and what cannot be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.learning.trees import read_ensemble, rounded_down, thresholds_of
from oddjets.scoring.column_scorer import ColumnScorer
from oddjets.scoring.model_card import load_card
from oddjets.training.export import classifiers
from oddjets.training.export.classifiers import export_classifier

pytest.importorskip("onnx", reason="needs onnx: pip install 'oddjets[learn]'")
pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'oddjets[learn]'")

from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COLUMNS = ("mass", "tau1", "tau2")
SAID: dict[str, Any] = {"training": "toy jets", "trained_on_labelled": ["top"]}


def toys(n: int = 1500, nan: bool = False, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Jets whose class depends on all columns, with few distinct values in one, so that thresholds are met exactly."""
    random = np.random.default_rng(seed)
    x = np.stack([random.normal(120, 40, n), random.uniform(0, 1, n), random.integers(0, 8, n)], axis=1)
    y = (x[:, 0] / 40 + 2 * x[:, 1] - x[:, 2] / 4 + random.normal(size=n) > 3).astype(int)
    x = x.astype(np.float32)
    if nan:
        x[random.random(x.shape) < 0.1] = np.nan
    return x, y


def boosted(seed: int = 0, **settings: Any) -> Any:
    asked = {"max_iter": 25, "max_leaf_nodes": 8, "random_state": seed, **settings}
    return HistGradientBoostingClassifier(**asked).fit(*toys(nan=True, seed=seed))


def small(kind: type, nan: bool = False, **settings: Any) -> Any:
    return kind(**settings).fit(*toys(nan=nan))


def network(seed: int = 0, **settings: Any) -> Any:
    made = MLPClassifier((6, 5), random_state=seed, solver="lbfgs", max_iter=3000, tol=1e-2, **settings)
    return make_pipeline(StandardScaler(), made).fit(*toys())


def scorer_of(models: Any, folder: Path, **changes: Any) -> ColumnScorer:
    made = export_classifier(models, folder / "toy.onnx", COLUMNS, **SAID | changes)
    return ColumnScorer(load_card(made.card, "jet-columns"))


def jets_of(x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: x[:, i] for i, name in enumerate(COLUMNS)}


MODELS = {
    "boosted": lambda: boosted(),
    "several": lambda: [boosted(seed, max_iter=8, max_leaf_nodes=4) for seed in range(4)],
    "older boosting": lambda: small(GradientBoostingClassifier, n_estimators=20, random_state=0),
    "from zero": lambda: small(GradientBoostingClassifier, n_estimators=5, init="zero", random_state=0),
    "forest": lambda: small(RandomForestClassifier, n_estimators=12, random_state=0),
    "forest with NaN": lambda: small(RandomForestClassifier, nan=True, n_estimators=12, random_state=0),
    "forests": lambda: [small(ExtraTreesClassifier, n_estimators=5, random_state=seed) for seed in (0, 1)],
    "logistic": lambda: small(LogisticRegression, max_iter=5000),
    "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(*toys()),
    "network": lambda: network(),
    "networks": lambda: [network(seed, activation="tanh") for seed in (0, 1)],
}


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_scikit_learn(tmp_path: Path, name: str) -> None:
    made = MODELS[name]()
    models = made if isinstance(made, list) else [made]
    scorer = scorer_of(models, tmp_path)
    takes_nan = scorer.card.columns[0].missing == "nan"
    # whether a forest does so that has seen none depends on the version of scikit-learn
    if name not in ("forest", "forests"):
        assert takes_nan == (name in ("boosted", "several", "forest with NaN"))
    x, _ = toys(3000, nan=takes_nan, seed=9)
    found = scorer.score(jets_of(x))
    np.testing.assert_allclose(found, expected(models, x), rtol=0, atol=1e-6)
    assert found.std() > 0.05
    assert scorer.card.numerics.maximum is not None
    assert scorer.card.numerics.maximum <= 1e-6
    # one by one, the same bits
    alone = [scorer.score(jets_of(x[i : i + 1]))[0] for i in range(40)]
    assert np.array(alone).tobytes() == found[:40].tobytes()


def expected(models: list[Any], x: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of the probabilities of forests, of the logits of others."""
    probabilities = np.stack([model.predict_proba(x.astype(np.float64))[:, 1] for model in models])
    if type(models[0]).__name__ in ("RandomForestClassifier", "ExtraTreesClassifier"):
        return np.asarray(probabilities.mean(axis=0))
    logits = np.log(probabilities / (1 - probabilities)).mean(axis=0)
    return np.asarray(1 / (1 + np.exp(-logits)))


def test_trees_decide_alike_at_their_thresholds_and_at_infinities(tmp_path: Path) -> None:
    """At each threshold rounded down and the next float32 above, with NaN and infinities in between."""
    import onnxruntime

    model = boosted(max_iter=40)
    ensemble = read_ensemble(model)
    assert ensemble is not None
    file = export_classifier(model, tmp_path / "toy.onnx", COLUMNS, **SAID).model
    random = np.random.default_rng(4)
    rows = np.empty((6000, 3), np.float32)
    for column, exact in enumerate(thresholds_of([ensemble], 3)):
        at = rounded_down(exact)
        values = np.concatenate([at, np.nextafter(at, np.float32(np.inf)), [np.nan, np.inf, -np.inf]])
        rows[:, column] = random.choice(values, len(rows))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"columns": rows})[0][:, 0]
    np.testing.assert_allclose(logits, model.decision_function(rows), rtol=0, atol=5e-6)


@settings(max_examples=50)
@given(hnp.arrays(np.float64, 20, elements=st.floats(allow_nan=False)))
def test_no_float32_is_between_a_threshold_and_the_rounded_one(thresholds: NDArray[np.float64]) -> None:
    rounded = rounded_down(thresholds)
    assert rounded.dtype == np.float32
    assert (rounded <= thresholds).all()
    with np.errstate(over="ignore"):
        above = np.nextafter(rounded, np.float32(np.inf)).astype(np.float64)
    assert ((above > thresholds) | np.isposinf(rounded)).all()


def test_trees_of_one_leaf_are_a_constant(tmp_path: Path) -> None:
    x, y = toys()
    model = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1200).fit(x, y)
    found = scorer_of(model, tmp_path).score(jets_of(x[:5]))
    np.testing.assert_allclose(found, model.predict_proba(x[:5])[:, 1], atol=1e-7)


def test_the_card_says_what_was_exported(tmp_path: Path) -> None:
    columns = {"mass": "GeV", "tau3 / tau2": "1", "mine": "GeV"}
    made = export_classifier(
        boosted(), tmp_path / "a" / "bdt.onnx", columns, licence="CC0-1.0", missing=0, metrics={"auc": 0.9}, **SAID
    )
    card = load_card(made.card, "jet-columns")
    assert (card.name, card.path, card.licence) == ("bdt", made.model, "CC0-1.0")
    assert [(c.column, c.unit, c.missing) for c in card.columns] == [(c, u, 0.0) for c, u in columns.items()]
    assert card.trained_on_labelled == ("top",)
    assert card.metrics == {"auc": 0.9}
    assert card.numerics.reference.startswith("scikit-learn ")
    assert card.numerics.tolerance == 1e-6
    # an export again replaces both files
    assert export_classifier(boosted(1), made.model, columns, **SAID).card == made.card
    assert load_card(made.card).sha256 != card.sha256


@pytest.mark.parametrize(
    ("models", "columns", "message"),
    [
        (list, COLUMNS, "there is none to export"),
        (lambda: HistGradientBoostingClassifier(), COLUMNS, "HistGradientBoostingClassifier is no fitted classifier"),
        (lambda: "bdt.pkl", COLUMNS, "str is no fitted classifier"),
        (boosted, ("mass", "tau1"), "was trained on 3 columns, and 2 are given"),
        (boosted, "mass", "a list of columns, not the text 'mass'"),
        (boosted, ("mass", "mass", "tau1"), "one is given twice"),
        (boosted, ("mass", "tau1", "tau2 / tau1"), "the unit of 'tau2 / tau1' is not known; give a mapping"),
        (boosted, {"mass": "GeV", "tau1": "1", "tau2_1": "1"}, "'tau2_1' is a column of an event"),
        (
            lambda: HistGradientBoostingClassifier(max_iter=2).fit(toys()[0], toys()[0][:, 2] // 3),
            COLUMNS,
            "has 3 classes, and a score is the probability of one of two",
        ),
        (
            lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[2]).fit(*toys()),
            COLUMNS,
            "categorical columns: only numbers",
        ),
        (
            lambda: small(GradientBoostingClassifier, n_estimators=2, init=LogisticRegression(max_iter=5000)),
            COLUMNS,
            "an estimator of its own for the start",
        ),
        (lambda: [boosted(), small(LogisticRegression, max_iter=5000)], COLUMNS, "cannot be exported together"),
        (lambda: [boosted(), small(RandomForestClassifier, n_estimators=2)], COLUMNS, "cannot be exported together"),
        (lambda: small(gaussian()), COLUMNS, "classifiers of GaussianNB cannot be exported"),
    ],
)
def test_what_cannot_be_exported_says_so_and_writes_nothing(
    tmp_path: Path, models: Any, columns: Any, message: str
) -> None:
    with pytest.raises(OddjetsError, match=message):
        export_classifier(models(), tmp_path / "toy.onnx", columns, **SAID)
    assert not list(tmp_path.iterdir())


def gaussian() -> type:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB


def test_a_graph_that_does_not_agree_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if thresholds were rounded upwards: wrong where a value is between the two."""
    monkeypatch.setattr("oddjets.learning.trees.rounded_down", lambda values: np.float32(values + 1))
    with pytest.raises(OddjetsError, match=r"toy\.onnx is not written: its scores differ from scikit-learn's"):
        export_classifier(boosted(), tmp_path / "toy.onnx", COLUMNS, **SAID)
    assert not list(tmp_path.iterdir())


def test_without_the_packages_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> Any:
        raise ImportError(module, name=module)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(OddjetsError, match=r"this needs sklearn: pip install 'oddjets\[learn\]'"):
        classifiers.export_classifier(None, tmp_path / "toy.onnx", COLUMNS, **SAID)
