"""Speed, size and precision of models of jet columns: `python benchmarks/column_models.py`.

Classifiers of scikit-learn on six columns of toy jets, exported and run by `ColumnScorer` on one core; needs the extra `learn`.
Times are CPU times. A table in Markdown, as in docs/scoring.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import oddjets
from oddjets.scoring import ColumnScorer
from oddjets.training import export_classifier

COLUMNS = ("mass", "tau1", "tau2", "tau3", "btag", "n_constituents")


def boosted(seed: int, trees: int, leaves: int) -> Any:
    settings = {"learning_rate": 0.05, "max_iter": trees, "max_leaf_nodes": leaves, "early_stopping": False}
    return HistGradientBoostingClassifier(**settings, min_samples_leaf=40, random_state=seed)


MODELS = {
    "boosted trees, 50 members of 60 trees with 4 leaves": lambda: [boosted(seed, 60, 4) for seed in range(50)],
    "boosted trees, 1 of 100 with 31 leaves": lambda: boosted(0, 100, 31),
    "GradientBoosting, 100 trees": GradientBoostingClassifier,
    "random forest, 100 trees": lambda: RandomForestClassifier(100, min_samples_leaf=10),
    "logistic regression behind a StandardScaler": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "network of 32 and 32 behind a StandardScaler": lambda: make_pipeline(
        StandardScaler(), MLPClassifier((32, 32), max_iter=20)
    ),
}


def toys(n: int, seed: int) -> tuple[Any, Any]:
    """Columns of toy jets of two classes, shape (n, 6)."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    scales = np.array([60.0, 0.1, 0.05, 0.03, 0.3, 15.0])
    middle = np.array([120.0, 0.3, 0.15, 0.1, 0.3, 50.0])
    x = middle + scales * (random.normal(size=(n, 6)) + 0.5 * y[:, np.newaxis])
    return x.astype(np.float32), y


def rate(run: Callable[[], Any], n: int) -> float:
    started = time.process_time()
    run()
    return n / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=50_000, help="in one call")
    n = parser.parse_args().jets
    warnings.simplefilter("ignore")
    x, _ = toys(n, 1)
    jets = {name: x[:, i] for i, name in enumerate(COLUMNS)}
    few = [{name: values[i : i + 1] for name, values in jets.items()} for i in range(2000)]
    print("| model | MB | jets/s, many | jets/s, one by one | difference | same bits |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in MODELS.items():
            made = make()
            for i, model in enumerate(made if isinstance(made, list) else [made]):
                model.fit(*toys(6000, 2 + i))
            found = export_classifier(
                made, Path(folder) / "model.onnx", COLUMNS, training="toys", trained_on_labelled=[]
            )
            scorer = ColumnScorer(oddjets.load_card(found.card))
            scorer.score(few[0])
            many = rate(lambda scorer=scorer: scorer.score(jets), n)
            alone = np.empty(len(few))

            def one_by_one(scorer: ColumnScorer = scorer, alone: Any = alone) -> None:
                alone[:] = [scorer.score(jet)[0] for jet in few]

            single = rate(one_by_one, len(few))
            same = alone.tobytes() == scorer.score(jets)[: len(few)].tobytes()
            size = found.model.stat().st_size / 1e6
            print(
                f"| {name} | {size:.2g} | {many:.2g} | {single:.2g} | {found.difference:.1e} | {'yes' if same else 'NO'} |"
            )


if __name__ == "__main__":
    main()
