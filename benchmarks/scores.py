"""What scores without training find: separation of top pairs and HH from QCD, and the gain of combinations.

    python benchmarks/scores.py --sample output/paper/paper_top/simulation --out output/scores

The sample is that of `oddjets paper` (or of `oddjets simulate paper_top.yaml`). `oddjets process` computes the scores of
scores.yaml on its pseudo-data, top and HH: some six minutes of CPU with the shipped model; events that are done are
kept. Background are the QCD events of the pseudo-data, by generator truth, since the sample has few other ones.

The first table has single jets, both of each event after the base selection: area under the curve and rejection at 50 and
30 % of the signal. Events follow, by the smaller score of their jets: the significance improvement at 1 % of the background
and its gain over OmniLearned. Errors are 68 % ones; those of jets are from fluctuations of whole events, since the two jets
of one are not independent. Square brackets have what was measured earlier with separate code on another sample (`EARLIER`),
and the pull: the difference over the statistical errors of both and the rounding; of rejections, in the logarithm. Round
brackets: fewer than ten events (or jets) of background are above that threshold. The second table has events alone. `--json`
keeps all numbers, also those of each two scores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.config import load_analysis
from oddjets.core.rounding import rounded
from oddjets.io import event_table
from oddjets.stats.score_comparison import LEAST_EVENTS
from oddjets.stats.score_tables import TARGETS, ScoredEvents, compare_scores

Floats = npt.NDArray[np.float64]

HERE = Path(__file__).resolve().parent
#: datasets of the sample that are processed
DATASETS = ("data", "top", "hh")
SIGNALS = ("top", "hh")
KEYS = ["run", "luminosityBlock", "event"]
FRACTION = 0.01
REPLICAS = 200
#: measured in November 2026 with separate code, on other events of the same simulation: area, rejection at 50 and 30 % of
#: single jets, significance improvement at 1 % of events
EARLIER: dict[str, dict[str, tuple[str | None, ...]]] = {
    "top": {
        "omnilearned": (".866", "16", "37", "3.9"),
        "tau21": (".52", "2", "3", ".2"),
        "tau32": (".745", "7.5", "27", "1.9"),
        "both": (".905", "22", "40", "5.5"),
        "xbb": (".898", "20", "33", "5.4"),
        "x3q": (".885", "25", "77", "4.6"),
    },
    "hh": {
        "omnilearned": (".920", "84", "341", "6.6"),
        "tau21": (".69", "4", "9", ".9"),
        "tau32": (".51", None, None, ".1"),
        "both": (".951", "128", "458", "8.1"),
        "xbb": (".967", "318", "1350", "8.8"),
        "x3q": (".838", "10", "24", "2.4"),
    },
}
#: its events after the base selection
EARLIER_EVENTS = {"qcd": 10_003, "top": 1_761, "hh": 1_081}


class Sample(NamedTuple):
    """Events after the base selection, and their jets.

    Attributes:
        events: with the smaller score of both jets.
        jets: name of a score -> that of both jets, (n, 2); -inf where there is none.
    """

    events: ScoredEvents
    jets: dict[str, Floats]


class Measured(NamedTuple):
    """A number with its relative statistical errors.

    Attributes:
        value: the number.
        signal: its error by the statistics of the signal, over it.
        background: likewise.
        few: whether it rests on fewer than ten events of background.
    """

    value: float
    signal: float
    background: float
    few: bool


def write_analysis(sample: Path, out: Path) -> Path:
    """Write the analysis and the processor beside the results, with a fileset of the sample's files; return the analysis."""
    out.mkdir(parents=True, exist_ok=True)
    content = json.loads((sample / "fileset.json").read_text(encoding="utf-8"))
    fileset = {
        name: {
            **content[name],
            "files": {str((sample / file).resolve()): t for file, t in content[name]["files"].items()},
        }
        for name in DATASETS
    }
    (out / "fileset.json").write_text(json.dumps(fileset, indent=1), encoding="utf-8")
    for name in ("scores.yaml", "scores_processor.py"):
        shutil.copy(HERE / name, out / name)
    return out / "scores.yaml"


def is_qcd(sample: Path, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return which events of the pseudo-data are QCD, shape (n,), from the files of generator truth."""
    found = [np.load(file) for file in sorted((sample / "truth").glob("data-*.npz"))]
    of = {
        event: process
        for one in found
        for *event_parts, process in zip(*(one[key].tolist() for key in (*KEYS, "process")), strict=True)
        for event in [tuple(event_parts)]
    }
    events = zip(*(columns[key].tolist() for key in KEYS), strict=True)
    return np.array([of[event] == "qcd" for event in events])


def read(sample: Path, events: Path, names: list[str]) -> dict[str, Sample]:
    """Return QCD of the pseudo-data and the signals, after the base selection."""
    samples = {}
    wanted = [*KEYS, "weight", "passes_nominal", *(f"score_{name}_{j}" for name in names for j in (1, 2))]
    for dataset in ("data", *SIGNALS):
        columns = event_table.read(events, dataset, wanted)
        kept = columns["passes_nominal"].astype(bool)
        if dataset == "data":
            kept &= is_qcd(sample, columns)
        chosen = {name: values[kept] for name, values in columns.items()}
        weights = np.ones(int(kept.sum())) if dataset == "data" else chosen["weight"]
        both = {
            name: np.column_stack([np.asarray(chosen[f"score_{name}_{j}"], np.float64) for j in (1, 2)])
            for name in names
        }
        samples["qcd" if dataset == "data" else dataset] = Sample(
            ScoredEvents.from_jets(chosen, names, weights),
            {name: np.where(np.isnan(scores), -np.inf, scores) for name, scores in both.items()},
        )
    return samples


def separation(signal: Floats, background: Floats, weights: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Return the area under the curve and the rejections of single jets, for several weights of the same events.

    They are those of `oddjets.stats.score_comparison`, with one sorting for all weights.

    Args:
        signal: scores of both jets, shape (n, 2).
        background: likewise, shape (m, 2).
        weights: of the events of signal, (n,), and of background, (m,); k pairs.

    Returns:
        Shape (k, 1 + targets).
    """
    levels, place = np.unique(np.concatenate([signal.ravel(), background.ravel()]), return_inverse=True)
    places = np.split(place, [signal.size])
    found = []
    for pair in weights:
        # from the highest score to the lowest: the share of the jets at each, and at or above it
        at = [
            np.bincount(p, np.repeat(w, 2), len(levels))[::-1] / (2 * w.sum())
            for p, w in zip(places, pair, strict=True)
        ]
        above = [np.cumsum(share) for share in at]
        area = float(at[0] @ (1 - above[1] + at[1] / 2))
        kept = np.searchsorted(above[0], np.asarray(TARGETS) * (1 - 1e-12))
        with np.errstate(divide="ignore"):
            found.append([area, *(1 / above[1][kept])])
    return np.asarray(found)


def of_jets(signal: Floats, weights: Floats, background: Floats, seed: int = 1) -> list[Measured]:
    """Return the area and the rejections of single jets with errors that allow for two jets in each event.

    Args:
        signal: scores of both jets, shape (n, 2).
        weights: of the events of signal, (n,).
        background: as the signal, shape (m, 2), of weight 1.
        seed: of the fluctuations: events count as often as a Poisson number of mean 1 says.
    """
    rng = np.random.default_rng(seed)
    ones = np.ones(len(background))
    values = separation(signal, background, [(weights, ones)])[0]
    moved = [
        separation(signal, background, [(weights * rng.poisson(1.0, len(weights)), ones) for _ in range(REPLICAS)]),
        separation(signal, background, [(weights, rng.poisson(1.0, len(ones)) * ones) for _ in range(REPLICAS)]),
    ]
    with np.errstate(invalid="ignore"):
        errors = [np.std(np.log(replicas), axis=0) for replicas in moved]
    few = [False, *(background.size / values[1:] < LEAST_EVENTS - 1e-9)]
    return [
        Measured(float(value), float(by_signal), float(by_background), bool(less))
        for value, by_signal, by_background, less in zip(values, *errors, few, strict=True)
    ]


def of_events(entry: dict[str, Any]) -> Measured:
    """Return a significance improvement of `compare_scores`: what is not the signal's error is the background's."""
    share, value = entry["efficiency"], entry["value"]
    if not value:
        return Measured(0.0, np.nan, np.nan, True)
    of_signal = (share["down"] + share["up"]) / (2 * share["value"])
    total = (entry["down"] + entry["up"]) / (2 * value)
    return Measured(value, of_signal, float(np.sqrt(max(total**2 - of_signal**2, 0.0))), entry["few"])


def pull(found: Measured, earlier: str, sizes: tuple[float, float], *, logarithm: bool) -> float:
    """Return the difference from an earlier number over the errors of both samples and its rounding.

    Args:
        found: the number.
        earlier: as it was written.
        sizes: events of this sample over those of the earlier one, of the signal and of the background.
        logarithm: whether logarithms are compared.
    """
    number = float(earlier)
    # a rounded number is uniform in one unit of its last digit
    rounding = 10.0 ** -len(earlier.partition(".")[2]) / np.sqrt(12)
    statistical = np.hypot(found.signal * np.sqrt(1 + sizes[0]), found.background * np.sqrt(1 + sizes[1]))
    if logarithm:
        return float(np.log(found.value / number) / np.hypot(statistical, rounding / number))
    return float((found.value - number) / np.hypot(statistical * found.value, rounding))


def finite(number: float) -> float | None:
    """Return a number as JSON can hold it."""
    return number if np.isfinite(number) else None


def against(
    found: Measured, earlier: str | None, sizes: tuple[float, float], *, logarithm: bool
) -> tuple[str, float | None]:
    """Return the text of a number with the earlier one and the pull, and the pull unless few events say little."""
    error = found.value * float(np.hypot(found.signal, found.background))
    text = " ± ".join(rounded(found.value, error)) if np.isfinite(error) else f"{found.value:.3g}"
    text = f"({text})" if found.few else text
    if earlier is None:
        return text, None
    size = pull(found, earlier, sizes, logarithm=logarithm)
    number = f"0{earlier}" if earlier.startswith(".") else earlier
    if found.few or not np.isfinite(size):
        return f"{text} [{number}]", None
    return f"{text} [{number}, {size:+.1f}]".replace("-", "\N{MINUS SIGN}"), size


def compared(samples: dict[str, Sample], found: dict[str, Any], labels: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the table of jets and events beside the earlier numbers, and its numbers."""
    at = found["fractions"].index(FRACTION)
    lines = [
        "| signal | score | AUC, jets | rejection at 50 %, jets | at 30 %, jets | SIC at 1 %, events | gain over OmniLearned |",
        "|---" * 7 + "|",
    ]
    kept: dict[str, Any] = {}
    pulls: list[float] = []
    ratios = {name: len(sample.events.weights) / EARLIER_EVENTS[name] for name, sample in samples.items()}
    for signal, of_scores in found["separation"].items():
        for name, one in of_scores.items():
            sample = samples[signal]
            numbers = of_jets(sample.jets[name], sample.events.weights, samples["qcd"].jets[name])
            numbers.append(of_events(one["improvement"][at]))
            earlier = EARLIER[signal].get(name, (None,) * len(numbers))
            pairs = [
                against(number, old, (ratios[signal], ratios["qcd"]), logarithm=0 < k < 3)
                for k, (number, old) in enumerate(zip(numbers, earlier, strict=True))
            ]
            cells = [*(text for text, _ in pairs), shown(one["gain"][at])]
            lines.append(f"| {signal} | {labels[name]} | {' | '.join(cells)} |")
            kept.setdefault(signal, {})[name] = [
                {**{key: finite(part) for key, part in number._asdict().items()}, "earlier": old, "pull": size}
                for number, old, (_, size) in zip(numbers, earlier, pairs, strict=True)
            ]
            pulls += [size for _, size in pairs if size is not None]
    beyond = [sum(abs(size) > limit for size in pulls) for limit in (1, 2, 3)]
    spread = float(np.sqrt(np.mean(np.square(pulls))))
    lines.append(
        f"\n{len(pulls)} pulls: root mean square {spread:.2f}; {beyond[0]}, {beyond[1]} and {beyond[2]} beyond 1, 2 and 3"
    )
    return "\n".join(lines), kept


def shown(entry: dict[str, Any]) -> str:
    """Return a number with its error; in brackets where few events are above the threshold."""
    if entry["value"] is None:
        return "-"
    errors = [error for error in (entry["down"], entry["up"]) if error is not None]
    text = " ± ".join(rounded(entry["value"], float(np.mean(errors)))) if errors else f"{entry['value']:.3g}"
    return f"({text})" if entry["few"] else text


def markdown(found: dict[str, Any], labels: dict[str, str]) -> str:
    """Return the table of events."""
    at = found["fractions"].index(FRACTION)
    lines = [
        "| signal | score | AUC | rejection at 50 % | at 30 % | SIC at 1 % | gain over OmniLearned |",
        "|---" * 7 + "|",
    ]
    for signal, of_scores in found["separation"].items():
        for name, one in of_scores.items():
            numbers = [one["area"], *one["rejection"], one["improvement"][at], one["gain"][at]]
            lines.append(f"| {signal} | {labels[name]} | {' | '.join(map(shown, numbers))} |")
    return "\n".join(lines)


def main() -> None:
    """Process, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path, default=Path("output/paper/paper_top/simulation"))
    parser.add_argument("--out", type=Path, default=Path("output/scores"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for all numbers")
    options = parser.parse_args()
    file = write_analysis(options.sample, options.out)
    command = [sys.executable, "-m", "oddjets", "process", str(file), "--out", str(options.out / "results")]
    subprocess.run([*command, "--workers", str(options.workers)], check=True)
    analysis = load_analysis(file)
    labels = {name: analysis.score_label(name) for name in analysis.scores}
    samples = read(options.sample, options.out / "results" / "events", list(labels))
    found = compare_scores({name: one.events for name, one in samples.items()}, "qcd", SIGNALS, "omnilearned")
    table, found["jets"] = compared(samples, found, labels)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(", ".join(f"{len(one.events.weights)} {name}" for name, one in samples.items()))
    print(table, "Events, by the smaller score of both jets:", markdown(found, labels), sep="\n\n")
    if options.json is not None:
        print(f"all numbers: {options.json}")


if __name__ == "__main__":
    main()
