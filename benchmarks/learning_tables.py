"""Tag N' Train on the demo's pseudo-data: the significance improvement by injected signal, against an earlier measurement.

    oddjets run demo.yaml
    oddjets process benchmarks/learning_tables.yaml --out output/learning_tables
    python benchmarks/learning_tables.py --demo output/demo --signals output/learning_tables

The events of the demo's pseudo-data without its top quarks are the background of all trainings; QCD among them, by generator
truth, is what thresholds keep 1 % of. Simulated top pairs or HH are injected, one times being 2 % of QCD; which events, and
the seed of the training, differ from training to training, and +- is their spread. Simulated events that were not injected
test the separation, scored by the model of the fold that a hash gives them.

Square brackets have what was measured in November 2026 with separate code, and the pull: the difference over the spreads of
both, the statistical error of both signals and the rounding. The background is the same there (5372 events), so that its own
error, and what a training learns of its fluctuations, is common and left out; simulated signals were other samples of the same
size. Where nothing was written of a spread, it is taken as the one here.

The second table has A D / (B C) of QCD at 5 % of the events, with scores by fold, with the outputs of all models pooled, and
with one model that saw all events.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.io import event_table
from oddjets.io.combined_scores import TailProbability
from oddjets.io.event_table import JETS, Columns
from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.folded import FoldedScore
from oddjets.learning.folds import event_hash, fold_of
from oddjets.learning.labels import pt_edges_of, tag_n_train
from oddjets.scoring.column_inputs import input_matrix
from oddjets.selection.decorators import JetColumns
from oddjets.stats.score_comparison import find_cuts, improvement, rejection

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
FRACTION, EFFICIENCY, FOLDS = 0.01, 0.05, 5
SEED_SCORE = "omnilearned"
TAUS = ("tau2 / tau1", "tau3 / tau2", "tau4 / tau3", "n_constituents", "btag")
SIGNALS = ("top", "hh")
#: the signal over the background at one times
SHARE = 0.02
#: (signal, columns, score) -> what was measured earlier at each factor: value and spread, None where nothing was
EARLIER: dict[tuple[str, str, str], tuple[tuple[str, str | None] | None, ...]] = {
    ("top", "taus, n, b tag", "learnt"): (
        *((".8", ".3"), ("3.0", None), ("3.3", ".5")),
        *(("4.4", ".2"), ("4.9", None), ("5.0", None)),
    ),
    ("top", "taus, n, b tag", "product"): (
        *(("2.8", ".3"), ("4.4", None), ("4.6", ".3")),
        *(("5.4", ".2"), ("5.6", None), ("5.7", None)),
    ),
    ("top", "classes", "learnt"): (None, None, None, ("5.1", None), None, None),
    # of ranges, the middle and half of the width
    ("top", "classes", "product"): (("3.6", ".3"), ("4.5", ".4"), ("5.1", ".2"), ("5.6", ".1"), None, None),
    ("hh", "taus, n, b tag", "learnt"): (None, None, None, ("6.7", ".1"), None, None),
    ("hh", "taus, n, b tag", "product"): (
        *(("5.9", None), ("7.5", None), ("8.0", None)),
        *(("8.1", ".1"), ("8.1", None), ("8.0", None)),
    ),
}
#: rejection of jets at 30 % of the signal, top at one times, learnt from classes alone
EARLIER_REJECTION = 106.0
EARLIER_CLOSURE = {"by fold": "1.03", "outputs pooled": "2.9 +- 1.7", "one model of all events": "1.15 to 1.84"}


@dataclass(frozen=True)
class Jets:
    """Both jets of events.

    Attributes:
        features: columns -> (n, 2, columns).
        seed: the seed's score, (n, 2).
        pt: GeV, (n, 2).
        hashes: of the events, (n,).
        weights: (n,).
    """

    features: Mapping[str, npt.NDArray[np.float32]]
    seed: Floats
    pt: Floats
    hashes: npt.NDArray[np.uint64]
    weights: Floats

    def select(self, rows: npt.NDArray[Any]) -> Jets:
        """Return some events."""
        features = {name: array[rows] for name, array in self.features.items()}
        return Jets(features, self.seed[rows], self.pt[rows], self.hashes[rows], self.weights[rows])

    def with_others(self, other: Jets) -> Jets:
        """Return these events and others."""
        features = {name: np.concatenate([array, other.features[name]]) for name, array in self.features.items()}
        return Jets(
            features,
            np.concatenate([self.seed, other.seed]),
            np.concatenate([self.pt, other.pt]),
            np.concatenate([self.hashes, other.hashes]),
            np.concatenate([self.weights, other.weights]),
        )


def read(folder: Path, dataset: str) -> tuple[Columns, Jets]:
    """Return the events of a dataset that pass the base selection."""
    columns = event_table.read(folder / "events", dataset)
    kept = columns["passes_nominal"].astype(bool)
    columns = {name: values[kept] for name, values in columns.items()}
    shares = sorted(n[:-2] for n in columns if n.startswith("share_") and n.endswith(f"_{SEED_SCORE}_1"))
    features = {
        name: np.stack([input_matrix(inputs, JetColumns(columns, j)) for j in JETS], axis=1)
        for name, inputs in (("classes", shares), ("taus, n, b tag", TAUS))
    }
    seed, pt = (
        np.stack([np.asarray(columns[f"{name}_{j}"], np.float64) for j in JETS], axis=1)
        for name in (f"score_{SEED_SCORE}", "pt")
    )
    hashes = event_hash(columns["run"], columns["luminosityBlock"], columns["event"])
    return columns, Jets(features, seed, pt, hashes, np.asarray(columns["weight"], np.float64))


def process_of(demo: Path, columns: Columns) -> npt.NDArray[np.str_]:
    """Return the true process of events of pseudo-data, (n,)."""
    keys = ("run", "luminosityBlock", "event")
    known = {
        event: process
        for file in sorted((demo / "simulation" / "truth").glob("*.npz"))
        for found in [np.load(file)]
        for *parts, process in zip(*(found[key].tolist() for key in (*keys, "process")), strict=True)
        for event in [tuple(parts)]
    }
    return np.array([known[event] for event in zip(*(columns[key].tolist() for key in keys), strict=True)])


def train(data: Jets, name: str, seed: int) -> tuple[FoldedScore, npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Return a score that was learnt from events, and their folds and labels."""
    folds = fold_of(data.hashes, FOLDS)
    labels = tag_n_train(data.seed, data.pt, pt_edges_of(data.pt))
    trainer = BoostedTrainer(members=1)
    return FoldedScore.train(data.features[name], folds, trainer, labels, n_folds=FOLDS, seed=seed), folds, labels


def separation(data: Jets, of_qcd: Mask, test: Jets, name: str, seed: int) -> dict[str, float]:
    """Return the improvement of seed, learnt score and product, and the learnt one's rejection of jets at 30 %.

    Args:
        data: what is learnt from.
        of_qcd: which of them are QCD.
        test: simulated signal.
        name: of the columns.
        seed: of the training.
    """
    learnt, folds, _ = train(data, name, seed)
    seen = {"seed": data.seed, "learnt": learnt.scores(data.features[name], folds)}
    other = {"seed": test.seed, "learnt": learnt.scores(test.features[name], fold_of(test.hashes, FOLDS))}
    tails = {key: TailProbability.from_scores(values.copy()) for key, values in seen.items()}
    for of in (seen, other):
        of["product"] = -np.log10(tails["seed"](of["seed"])) - np.log10(tails["learnt"](of["learnt"]))
    found, ones = {}, np.ones(int(of_qcd.sum()))
    for key, scores in seen.items():
        (cut,) = find_cuts(scores[of_qcd].min(axis=1), ones, [FRACTION])
        one = improvement(other[key].min(axis=1), test.weights, cut)
        found[key] = one.estimate.value
        of_signal = (one.efficiency.up + one.efficiency.down) / (2 * one.efficiency.value)
        found[f"error_{key}"] = one.estimate.value * of_signal
    (at,) = find_cuts(other["learnt"].ravel(), np.repeat(test.weights, 2), [0.3])
    found["rejection"] = rejection(seen["learnt"][of_qcd].ravel(), np.repeat(ones, 2), at).value
    return found


def closures(data: Jets, of_qcd: Mask, name: str, seed: int) -> dict[str, float]:
    """Return A D / (B C) of QCD at 5 % of the events, for three ways to score."""
    learnt, folds, labels = train(data, name, seed)
    x, used = data.features[name], labels >= 0
    events = np.broadcast_to(np.arange(len(folds), dtype=np.intp)[:, None], used.shape)[used]
    single = BoostedTrainer(members=1)(x[used], labels[used], events, seed)
    ways = {
        "by fold": learnt.scores(x, folds),
        "outputs pooled": learnt.raw_scores(x, folds),
        "one model of all events": single.logit(x.reshape(-1, x.shape[-1])).reshape(-1, 2),
    }
    found = {}
    for way, scores in ways.items():
        passes = (scores >= np.quantile(scores.min(axis=1), 1 - EFFICIENCY))[of_qcd]
        one, other = passes.T
        a, b, c, d = (float(p.sum()) for p in (one & other, ~one & other, one & ~other, ~one & ~other))
        found[way] = a * d / (b * c)
        if way == "by fold":
            of = folds[of_qcd]
            number, leading, subleading = (np.bincount(of, w, FOLDS) for w in (np.ones(len(of)), one, other))
            found["by fold, over exchanged jets"] = a / float((leading * subleading / number).sum())
    return found


def injected(background: Jets, signal: Jets, number: int, seed: int) -> tuple[Jets, Jets]:
    """Return the background with some events of the signal, and the other events of the signal."""
    rows = np.random.default_rng((seed, 1)).permutation(len(signal.weights))
    return background.with_others(signal.select(rows[:number])), signal.select(rows[number:])


def pull(mean: float, spread: float, error: float, earlier: tuple[str, str | None]) -> float:
    """Return the difference to the earlier value over the errors."""
    word, known = earlier
    rounding = 10.0 ** -len(word.partition(".")[2]) / np.sqrt(12)
    theirs = spread if known is None else float(known)
    return (mean - float(word)) / float(np.sqrt(spread**2 + theirs**2 + 2 * error**2 + rounding**2))


def measure(background: Jets, of_qcd: Mask, signals: Mapping[str, Jets], seeds: int) -> dict[str, Any]:
    """Return all numbers of the first table."""
    found: dict[str, Any] = {}
    for signal, name in dict.fromkeys((signal, name) for signal, name, _ in EARLIER):
        for factor in FACTORS:
            number = round(factor * SHARE * int(of_qcd.sum()))
            rows = []
            for seed in range(seeds):
                data, test = injected(background, signals[signal], number, seed)
                known = np.concatenate([of_qcd, np.zeros(number, bool)])
                rows.append(separation(data, known, test, name, seed))
            values = {key: np.array([row[key] for row in rows]) for key in rows[0]}
            found[f"{signal}; {name}; {factor:g}"] = {
                "injected": number,
                **{key: [float(v.mean()), float(v.std(ddof=1))] for key, v in values.items()},
            }
    return found


def table_of(found: Mapping[str, Any]) -> tuple[str, list[float]]:
    """Return the first table, and all pulls."""
    lines = [
        "| signal | learnt from | score | " + " | ".join(f"{factor:g}x" for factor in FACTORS) + " |",
        "|---" * (3 + len(FACTORS)) + "|",
    ]
    pulls = []
    for (signal, name, score), earlier in EARLIER.items():
        cells = []
        for factor, known in zip(FACTORS, earlier, strict=True):
            one = found[f"{signal}; {name}; {factor:g}"]
            (mean, spread), error = one[score], one[f"error_{score}"][0]
            text = f"{mean:.2f} ± {spread:.2f}"
            if known is not None:
                pulls.append(pull(mean, spread, error, known))
                said = known[0] if known[1] is None else f"{known[0]} ± {known[1]}"
                text += f" [{said}, {pulls[-1]:+.1f}]".replace("-", "−")
            cells.append(text)
        words = {"learnt": "learnt", "product": "learnt x OmniLearned"}[score]
        lines.append(f"| {signal} | {name} | {words} | " + " | ".join(cells) + " |")
    for signal in SIGNALS:
        mean, _ = found[f"{signal}; taus, n, b tag; 0"]["seed"]
        lines.append(f"| {signal} | - | OmniLearned | {mean:.2f} |" + " |" * (len(FACTORS) - 1))
    return "\n".join(lines), pulls


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--demo", type=Path, required=True, help="output folder of the demo")
    parser.add_argument("--signals", type=Path, required=True, help="output folder with simulated top pairs and HH")
    parser.add_argument("--seeds", type=int, default=8, help="trainings for each number")
    parser.add_argument("--json", type=Path, help="where all numbers are written")
    options = parser.parse_args(arguments)
    columns, jets = read(options.demo, "data")
    truth = process_of(options.demo, columns)
    background, of_qcd = jets.select(truth != "top"), truth[truth != "top"] == "qcd"
    signals = {name: read(options.signals, name)[1] for name in SIGNALS}
    numbers = {name: len(one.weights) for name, one in signals.items()}
    print(f"{int(of_qcd.sum())} events of QCD of {len(of_qcd)}; simulated: {numbers}\n")
    start = time.process_time()
    found = measure(background, of_qcd, signals, options.seeds)
    text, pulls = table_of(found)
    print(text)
    print(
        f"\n{len(pulls)} pulls: root mean square {np.sqrt(np.mean(np.square(pulls))):.2f}, largest {max(map(abs, pulls)):.1f}"
    )
    mean, spread = found["top; classes; 1"]["rejection"]
    print(
        f"rejection of jets at 30 %, top at 1x, from classes alone: {mean:.0f} ± {spread:.0f} [{EARLIER_REJECTION:g}]"
    )
    whole = jets.select(np.ones(len(truth), bool))
    made = {
        name: [closures(whole, truth == "qcd", name, seed) for seed in range(options.seeds)] for name in column_sets()
    }
    print("\n| learnt from | scores | A D / (B C) | earlier |\n|---|---|---|---|")
    for name, rows in made.items():
        for way in rows[0]:
            values = np.array([row[way] for row in rows])
            print(
                f"| {name} | {way} | {values.mean():.3f} ± {values.std(ddof=1):.3f} | {EARLIER_CLOSURE.get(way, '')} |"
            )
    print(f"\n{time.process_time() - start:.0f} CPU s")
    if options.json is not None:
        content = {"separation": found, "pulls": pulls, "closure": made}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def column_sets() -> list[str]:
    """Return the sets of columns."""
    return list(dict.fromkeys(name for _, name, _ in EARLIER))


if __name__ == "__main__":
    main()
