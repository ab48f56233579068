"""What scores without training find: separation of top pairs and HH from QCD, and the gain of combinations.

    python benchmarks/scores.py --sample output/paper/paper_top/simulation --out output/scores

The sample is that of `oddjets paper` (or of `oddjets simulate paper_top.yaml`). `oddjets process` computes the scores of
scores.yaml on its pseudo-data, QCD, top and HH: some eight minutes of CPU with the shipped model; events that are done are
kept. Background are the QCD events of the pseudo-data, by generator truth, since the sample has few other ones. The table has
area under the curve, rejection at 50 and 30 % of the signal, and the significance improvement at 1 % of the background with
its gain over OmniLearned, for the smaller score of the two jets, with 68 % errors. In brackets: fewer than ten events of
background are above that threshold. `--json` keeps all numbers, also those of each two scores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.config import load_analysis
from oddjets.core.rounding import rounded
from oddjets.io import event_table
from oddjets.stats.score_tables import ScoredEvents, compare_scores

HERE = Path(__file__).resolve().parent
#: datasets of the sample that are processed
DATASETS = ("data", "qcd", "top", "hh")
SIGNALS = ("top", "hh")
KEYS = ["run", "luminosityBlock", "event"]
FRACTION = 0.01


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


def read(sample: Path, events: Path, names: list[str]) -> dict[str, ScoredEvents]:
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
        samples["qcd" if dataset == "data" else dataset] = ScoredEvents.from_jets(chosen, names, weights)
    return samples


def shown(entry: dict[str, Any]) -> str:
    """Return a number with its error; in brackets where few events are above the threshold."""
    if entry["value"] is None:
        return "-"
    errors = [error for error in (entry["down"], entry["up"]) if error is not None]
    text = " ± ".join(rounded(entry["value"], float(np.mean(errors)))) if errors else f"{entry['value']:.3g}"
    return f"({text})" if entry["few"] else text


def markdown(found: dict[str, Any], labels: dict[str, str]) -> str:
    """Return the table."""
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
    labels = {name: score.label for name, score in load_analysis(file).scores.items()}
    samples = read(options.sample, options.out / "results" / "events", list(labels))
    found = compare_scores(samples, "qcd", SIGNALS, "omnilearned")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(", ".join(f"{len(one.weights)} {name}" for name, one in samples.items()))
    print(markdown(found, labels))
    if options.json is not None:
        print(f"all numbers: {options.json}")


if __name__ == "__main__":
    main()
