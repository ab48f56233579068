"""Time of `oddjets learn` on made numbers, beside the same fits by scikit-learn alone.

    python benchmarks/learning.py --events 10000
    python benchmarks/learning.py --events 1000000 --workers 2

    python benchmarks/learning.py --events 20000 --members 2 --closure 12

The jets have ten columns without a signal: there is little to learn, and fits end as early as they ever do. With --signal a
part of the events has two odd jets.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from oddjets.learning.boosted import BoostedModel, BoostedTrainer, one_thread
from oddjets.learning.card import LearntFrom, write_learnt
from oddjets.learning.closure import pair_closure
from oddjets.learning.folded import FoldedScore
from oddjets.learning.folds import event_hash, fold_of
from oddjets.learning.labels import pt_edges_of, tag_n_train

COLUMNS = ("tau1", "tau2", "tau3", "tau4", "btag", "xbb", "xqq", "xcc", "n_constituents", "eta")


def made(events: int, signal: float, sample: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features (n, 2, 10), the seed score and pT (n, 2), and the hashes of the events (n,)."""
    random = np.random.default_rng(sample)
    features = random.normal(size=(events, 2, len(COLUMNS))).astype(np.float32)
    odd = random.random(events) < signal
    features[odd, :, :5] += 1.0
    seed = features[..., 0] + random.normal(size=(events, 2)) + odd[:, None]
    pt = 450 + random.exponential(120, (events, 2))
    number = np.arange(events)
    return features, seed, pt, event_hash(np.ones(events, np.int64), number // 1000, number)


def plain(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, score: FoldedScore, settings: BoostedTrainer
) -> float:
    """Return the CPU seconds of scikit-learn for as many fits with as many trees on as many jets, without what oddjets adds."""
    began = time.process_time()
    for fold, model in enumerate(score.models):
        assert isinstance(model, BoostedModel)
        used = (labels >= 0) & (folds != fold)[:, None]
        x, y = features[used], labels[used]
        for member in model.members:
            alone = HistGradientBoostingClassifier(
                learning_rate=settings.rate,
                max_iter=int(member.n_iter_),
                max_leaf_nodes=settings.leaves,
                min_samples_leaf=settings.least_jets,
                early_stopping=False,
                class_weight="balanced",
            )
            with one_thread():
                alone.fit(x, y)
    return time.process_time() - began


def measure(events: int, folds: int, members: int, workers: int, signal: float, *, compare: bool) -> dict[str, Any]:
    features, seed, pt, hashes = made(events, signal)
    began, cpu = time.perf_counter(), time.process_time()
    of = fold_of(hashes, folds)
    labels = tag_n_train(seed, pt, pt_edges_of(pt))
    trainer = BoostedTrainer(members=members)
    score = FoldedScore.train(features, of, trainer, labels, n_folds=folds, workers=workers)
    trained, cpu_trained = time.perf_counter(), time.process_time()
    score.scores(features, of)
    scored = time.perf_counter()
    agreement = score.agreement(features, of)
    flat = features.reshape(-1, len(COLUMNS))
    about = LearntFrom("made", "made", "tag-n-train", "made numbers", COLUMNS, members, hashes, agreement)
    with TemporaryDirectory() as folder:
        files = write_learnt(Path(folder), score, flat, about)
        size = sum(file.stat().st_size for file in files[:3]) / 1e6
    done, cpu_done = time.perf_counter(), time.process_time()
    found = {
        "events": events,
        "folds": folds,
        "members": members,
        "workers": workers,
        "trees": int(sum(int(m.n_iter_) for model in score.models for m in model.members)),  # type: ignore[attr-defined]
        "train_s": round(trained - began, 2),
        "train_cpu_s": round(cpu_trained - cpu, 2),
        "score_s": round(scored - trained, 2),
        "agreement": round(agreement, 3),
        "all_s": round(done - began, 2),
        "all_cpu_s": round(cpu_done - cpu, 2),
        "parity": files.difference,
        "MB": round(size, 2),
    }
    if compare:
        alone = plain(features, labels, of, score, trainer)
        found |= {"sklearn_cpu_s": round(alone, 2), "ratio": round((cpu_trained - cpu) / alone, 2)}
    return found


def closure(events: int, folds: int, members: int, samples: int) -> dict[str, Any]:
    """Return A D / (B C) over that of permutations inside folds, of samples without a signal, at 5 % of the jets."""
    found: dict[str, list[float]] = {"learnt": [], "raw scores pooled": [], "in sample": []}
    sums: dict[str, list[float]] = {name: [] for name in found}
    trainer = BoostedTrainer(members=members)
    for sample in range(samples):
        features, seed, pt, hashes = made(events, 0.0, sample + 100)
        of = fold_of(hashes, folds)
        labels = tag_n_train(seed, pt, pt_edges_of(pt))
        score = FoldedScore.train(features, of, trainer, labels, n_folds=folds, seed=sample)
        used = labels >= 0
        event = np.broadcast_to(np.arange(events)[:, None], used.shape)[used]
        whole = trainer(features[used], labels[used], event, sample)
        seen = whole.logit(features.reshape(-1, len(COLUMNS))).reshape(-1, 2)
        rng = np.random.default_rng(sample)
        every = np.zeros(events, np.int8)
        for name, values, groups in (
            ("learnt", score.scores(features, of), of),
            ("raw scores pooled", score.raw_scores(features, of), every),
            ("in sample", seen, every),
        ):
            one = pair_closure(values, groups, rng)
            found[name].append(one.ratio)
            sums[name].append(one.value)
    return {
        name: {
            "ratio": round(float(np.mean(ratios)), 3),
            "error": round(float(np.std(ratios, ddof=1) / np.sqrt(samples)), 3),
            "constant": round(float(np.mean(sums[name])), 3),
        }
        for name, ratios in found.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--signal", type=float, default=0.0)
    parser.add_argument("--alone", action="store_true", help="do not repeat the fits with scikit-learn")
    parser.add_argument("--closure", type=int, default=0, metavar="N", help="closure of N samples instead of time")
    asked = parser.parse_args()
    if asked.closure:
        print(json.dumps(closure(asked.events, asked.folds, asked.members, asked.closure)))
        raise SystemExit
    print(
        json.dumps(
            measure(asked.events, asked.folds, asked.members, asked.workers, asked.signal, compare=not asked.alone)
        )
    )
