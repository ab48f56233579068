"""What outlier scores find beside the foundation model's score, and what ABCD makes of two autoencoders.

    oddjets demo
    oddjets simulate benchmarks/outliers.yaml && oddjets process benchmarks/outliers.yaml
    python benchmarks/outliers.py --demo output/demo --hh output/outliers

Mixtures of normal distributions and autoencoders (where PyTorch is installed) are trained on the demo's pseudo-data, with the
top pairs among them, in five folds by event. Signals are the templates of top pairs, and HH of the second sample; background
are the QCD events of the pseudo-data, by generator truth. The first table has single jets, both of each event after the base
selection, and the significance improvement of events at 1 % of the background, by the smaller score; errors are 68 %
statistical ones as those of scores.py, and the last column has the spread of the improvement for top over trainings with other
seeds. The second table has A D / (B C) of QCD, with the two jets' scores as axes, at thresholds that 10 and 5 % of the jets
pass, over the mean of permutations of the second jets inside folds, whose spread is the error, or that of the events in A if it
is larger. The third table has the errors of two autoencoders of whole events as axes (arXiv:2111.06417).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from scores import KEYS, against, is_qcd, of_jets, shown

from oddjets.core.rounding import rounded
from oddjets.io import event_table
from oddjets.io.combined_scores import TailProbability
from oddjets.learning import AutoencoderTrainer, FoldedScore, MixtureTrainer, Trainer, event_hash, fold_of
from oddjets.learning.closure import pair_closure
from oddjets.learning.double_autoencoder import DECORRELATION, DoubleAutoencoder
from oddjets.scoring import input_matrix
from oddjets.stats.divergence import distance_correlation
from oddjets.stats.score_tables import ScoredEvents, compare_scores

Floats = npt.NDArray[np.float64]

FOLDS = 5
FRACTION = 0.01
PERMUTATIONS = 500
CLASSES = ("QCD_q", "QCD_g", "QCD_c", "QCD_b", "X_qq", "X_cc", "X_bb", "X_gg", "X_3q", "X_4q")
FEATURES = {
    "class probabilities": [f"log(share_{name}_omnilearned)" for name in CLASSES],
    "columns": ["tau2 / tau1", "tau3 / tau2", "tau4 / tau3", "n_constituents", "btag"],
}
#: those of the double autoencoder, and of the variants
MAIN = "class probabilities"
#: columns that these read, without _1 and _2
READ = (*(f"share_{name}_omnilearned" for name in CLASSES), "tau1", "tau2", "tau3", "tau4", "n_constituents", "btag")
SCORE = "score_omnilearned"


class Events(NamedTuple):
    """Events after the base selection.

    Attributes:
        features: name of a set of columns -> both jets', (n, 2, columns).
        omnilearned: the score of both jets, (n, 2).
        weights: (n,).
        folds: of the events, (n,).
        is_qcd: by generator truth; only of the pseudo-data, (n,).
    """

    features: dict[str, npt.NDArray[np.float32]]
    omnilearned: Floats
    weights: Floats
    folds: npt.NDArray[np.int8]
    is_qcd: npt.NDArray[np.bool_]


def read(output: Path, dataset: str) -> Events:
    """Return the events of a dataset in a folder of results."""
    wanted = [*KEYS, "weight", "passes_nominal", *(f"{name}_{j}" for name in (*READ, SCORE) for j in (1, 2))]
    every = event_table.read(output / "events", dataset, wanted)
    kept = every["passes_nominal"].astype(bool)
    columns = {name: values[kept] for name, values in every.items()}
    truth = is_qcd(output / "simulation", columns) if dataset == "data" else np.zeros(int(kept.sum()), bool)
    jets = [{name: columns[f"{name}_{j}"] for name in (*READ, SCORE)} for j in (1, 2)]
    return Events(
        {name: np.stack([input_matrix(asked, one) for one in jets], axis=1) for name, asked in FEATURES.items()},
        np.stack([np.asarray(one[SCORE], np.float64) for one in jets], axis=1),
        np.ones(len(truth)) if dataset == "data" else np.asarray(columns["weight"], np.float64),
        fold_of(event_hash(*(columns[name] for name in KEYS)), FOLDS),
        truth,
    )


class Asked(NamedTuple):
    """A score to be trained.

    Attributes:
        name: of the score.
        trainer: of each fold.
        features: name of the set of columns.
        only_qcd: whether the training is without the signal in the data, by truth.
        with_product: whether its product with OmniLearned is wanted, too.
    """

    name: str
    trainer: Trainer
    features: str
    only_qcd: bool = False
    with_product: bool = False


def axes_of(
    asked: Asked, data: Events, samples: dict[str, Events], signals: list[str], seed: int
) -> dict[str, dict[str, Floats]]:
    """Return name of a score -> sample -> that of both jets, (n, 2): the trained one, and its product with OmniLearned."""
    features = data.features[asked.features]
    kept = data.is_qcd if asked.only_qcd else np.ones(len(features), bool)
    score = FoldedScore.train(features[kept], data.folds[kept], asked.trainer, n_folds=FOLDS, seed=seed)
    of_data = score.scores(features, data.folds)
    own = {signal: score.mean_scores(samples[signal].features[asked.features]) for signal in signals}
    own["qcd"] = of_data[data.is_qcd]
    found = {asked.name: own}
    if asked.with_product:
        known = [data.omnilearned, of_data]
        found[f"{asked.name} x OmniLearned"] = {
            sample: product(known, [samples[sample].omnilearned, of]) for sample, of in own.items()
        }
    return found


def product(data: list[Floats], of: list[Floats]) -> Floats:
    """Return minus the logarithm of the product of tail probabilities in data, (n, 2).

    Args:
        data: scores of both jets of data, (m, 2) each.
        of: the same scores of the events that are asked for, (n, 2) each.
    """
    pairs = zip(data, of, strict=True)
    return -np.sum([np.log(TailProbability.from_scores(known.ravel().copy())(asked)) for known, asked in pairs], axis=0)


def closure(scores: Floats, folds: npt.NDArray[np.int8], share: float) -> tuple[float, float, int]:
    """Return A D / (B C) over that of permutations inside folds, its error, and the events in A.

    Args:
        scores: both axes, (n, 2).
        folds: of the events, (n,).
        share: of each axis that passes.
    """
    # by ranks, so that one threshold passes the same share of each axis
    found = pair_closure(rankdata(scores, axis=0), folds, np.random.default_rng(1), share, PERMUTATIONS)
    # with more events in A than by chance, the error is that of their number
    error = max(found.spread / found.permuted, found.ratio / np.sqrt(max(found.in_A, 1)))
    return found.ratio, error, found.in_A


def improvements(
    scores: dict[str, dict[str, Floats]], samples: dict[str, Events], signals: list[str]
) -> dict[str, Any]:
    """Return what `compare_scores` says of events by the smaller score.

    Args:
        scores: name -> sample -> both axes, (n, 2).
        samples: by name, with ``qcd``.
        signals: their names.
    """
    events = {
        sample: ScoredEvents({name: of[sample].min(axis=1) for name, of in scores.items()}, samples[sample].weights)
        for sample in ("qcd", *signals)
    }
    return compare_scores(events, "qcd", signals, next(iter(scores)), fractions=(FRACTION,))


def cells(of: dict[str, Floats], samples: dict[str, Events], signal: str) -> list[str]:
    """Return area and rejections of single jets as text."""
    numbers = of_jets(of[signal], samples[signal].weights, of["qcd"])
    return [against(number, None, (1.0, 1.0), logarithm=False)[0] for number in numbers]


def row(parts: list[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(parts)} |"


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("output/demo"), help="results of `oddjets demo`")
    parser.add_argument("--hh", type=Path, help="results of outliers.yaml; without it there is no HH")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each score")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    options = parser.parse_args()
    torch = importlib.util.find_spec("torch") is not None
    if not torch:
        print("no PyTorch here: the autoencoders are left out (pip install 'oddjets[train]')")
    data = read(options.demo, "data")
    samples = {"top": read(options.demo, "top")}
    if options.hh is not None:
        samples["hh"] = read(options.hh, "hh")
    signals = list(samples)
    qcd = data.is_qcd
    samples["qcd"] = Events({}, data.omnilearned[qcd], np.ones(int(qcd.sum())), data.folds[qcd], qcd[qcd])
    print(
        f"{len(qcd)} events of data, {qcd.sum()} of QCD;", ", ".join(f"{len(samples[s].weights)} {s}" for s in signals)
    )

    trainers: dict[str, Trainer] = {"mixture": MixtureTrainer()}
    if torch:
        trainers["autoencoder"] = AutoencoderTrainer()
    asked: list[Asked] = []
    for method, trainer in trainers.items():
        asked += [Asked(f"{method}, {features}", trainer, features, with_product=True) for features in FEATURES]
        asked.append(Asked(f"{method}, {MAIN}, no signal in the training", trainer, MAIN, only_qcd=True))
    asked += [Asked(f"mixture of {n} components, {MAIN}", MixtureTrainer(components=n), MAIN) for n in (1, 16)]
    scores: dict[str, dict[str, Floats]] = {"OmniLearned": {name: one.omnilearned for name, one in samples.items()}}
    spread: dict[str, list[float]] = {}
    for one in asked:
        for seed in range(1, options.seeds + 1):
            for label, of in axes_of(one, data, samples, signals, seed).items():
                found = improvements({label: of}, samples, ["top"])
                spread.setdefault(label, []).append(found["separation"]["top"][label]["improvement"][0]["value"])
                scores.setdefault(label, of)
    table = improvements(scores, samples, signals)["separation"]
    numbers: dict[str, Any] = {"separation": table, "spread": spread}
    head = [
        "signal",
        "score",
        "AUC, jets",
        "rejection at 50 %",
        "at 30 %",
        "SIC at 1 %, events",
        "gain over OmniLearned",
    ]
    print(row([*head, "SIC of other seeds"]), "|---" * (len(head) + 1) + "|", sep="\n")
    for signal in signals:
        for name, of in scores.items():
            entry = table[signal][name]
            text = [signal, name, *cells(of, samples, signal), shown(entry["improvement"][0]), shown(entry["gain"][0])]
            several = spread.get(name, []) if signal == "top" else []
            text.append(f"{np.mean(several):.2f} ± {np.std(several, ddof=1):.2f}" if len(several) > 1 else "")
            print(row(text))

    print(
        "",
        row(["axes: both jets' score", "c at 10 %", "events in A", "c at 5 %", "events in A"]),
        "|---" * 5 + "|",
        sep="\n",
    )
    numbers["closure"] = {}
    for name, of in scores.items():
        constants = [closure(of["qcd"], samples["qcd"].folds, share) for share in (0.1, 0.05)]
        numbers["closure"][name] = constants
        texts = [text for value, error, n in constants for text in (" ± ".join(rounded(value, error)), str(n))]
        print(row([name, *texts]))
    if torch:
        numbers["double"] = double(data, samples, signals, options.seeds)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=1), encoding="utf-8")


def double(data: Events, samples: dict[str, Events], signals: list[str], seeds: int) -> list[dict[str, Any]]:
    """Train two autoencoders of events with and without the distance correlation in their loss, print, return the numbers."""
    head = [
        "weight",
        "seed",
        "squared distance correlation, QCD",
        "c at 10 %",
        "events in A",
        "c at 5 %",
        "events in A",
    ]
    head += [f"SIC at 1 %, {signal}" for signal in signals]

    def features(events: Events) -> Any:
        return events.features[MAIN].reshape(len(events.weights), -1)

    print("", row(head), "|---" * len(head) + "|", sep="\n")
    made = []
    for weight in (0.0, DECORRELATION):
        for seed in range(1, seeds + 1 if weight else 2):
            score = DoubleAutoencoder.train(features(data), data.folds, n_folds=FOLDS, seed=seed, decorrelation=weight)
            axes = {"qcd": score.scores(features(data), data.folds)[data.is_qcd]}
            axes |= {signal: score.mean_scores(features(samples[signal])) for signal in signals}
            squared = distance_correlation(*axes["qcd"].T).squared
            constants = [closure(axes["qcd"], samples["qcd"].folds, share) for share in (0.1, 0.05)]
            found = improvements({"double": axes}, samples, signals)["separation"]
            made.append({"weight": weight, "seed": seed, "squared": squared, "closure": constants, "separation": found})
            texts = [text for value, error, n in constants for text in (" ± ".join(rounded(value, error)), str(n))]
            sic = [shown(found[signal]["double"]["improvement"][0]) for signal in signals]
            print(row([f"{weight:g}", str(seed), f"{squared:.4f}", *texts, *sic]), flush=True)
    return made


if __name__ == "__main__":
    main()
