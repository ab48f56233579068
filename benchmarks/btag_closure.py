"""Does ABCD hold with a b tag inside the score? The closure by pair of flavours, beside the gain.

    python benchmarks/btag_closure.py --out output/btag_closure

Simulates btag_closure.yaml (a fixed seed; 8 minutes of one core), computes the scores of its jets (6 minutes), and measures,
in QCD that is known by truth, for OmniLearned alone, the b tag alone and their product:

- c_structural, the ABCD constant A D / (B C) of jets of different events;
- c_flavour, that of jets which know only each other's flavours, over c_structural: pairs of flavours are as frequent as in the
  events, and jets independent otherwise;
- c_rest, all else that the two jets of an event have in common: c = c_structural x c_flavour x c_rest.

A jet is a b or c jet if it has such a hadron (pT > 5 GeV within 0.8); others are g or q by the nearest parton of the hard
scattering (within 0.8); those without one are in no pair of flavours of the tables, and count in the sums. Thresholds keep 5
and 1 % of QCD events. Errors are from 100 replicas of the events (bootstrap). `--json` keeps all numbers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config import load_analysis
from oddjets.config.analysis import Analysis
from oddjets.core.rounding import rounded
from oddjets.io import event_table
from oddjets.selection.closure_events import smaller_scores
from oddjets.selection.mixing import PairedEvents, abcd_yields_of_events, abcd_yields_of_pairs
from oddjets.stats.closure_flavours import flavour_coupling, flavour_excess
from oddjets.stats.closure_parts import LEAST_EVENTS, abcd_constant, effective_events, spread
from oddjets.stats.score_tables import ScoredEvents, compare_scores
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.run import RunContext

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]

FILE = Path(__file__).resolve().with_name("btag_closure.yaml")
EFFICIENCIES = (0.05, 0.01)
REPLICAS, SEED = 100, 1
#: of jets of different events; with a quarter of them the choice of pairs shows in single pairs of flavours
N_PAIRS = 500_000
RADIUS = 0.8
#: codes of a jet: hadrons with b or c, else the parton; 0: no parton near
B, C, GLUON, QUARK, NONE = 5, 4, 21, 1, 0
PAIRS = {
    "bb": (B, B), "bc": (B, C), "bg": (B, GLUON), "bq": (B, QUARK), "cc": (C, C), "cg": (C, GLUON), "cq": (C, QUARK),
    "gg": (GLUON, GLUON), "gq": (GLUON, QUARK), "qq": (QUARK, QUARK),
}  # fmt: skip


def with_codes(columns: Columns) -> Columns:
    """Return the columns with ``code_1`` and ``code_2``, what the jets are."""
    made = dict(columns)
    for j in (1, 2):
        best, parton = np.full(len(columns["weight"]), RADIUS), np.zeros(len(columns["weight"]))
        for which in "ab":
            turn = (columns[f"hard_phi_{which}"] - columns[f"phi_{j}"] + np.pi) % (2 * np.pi) - np.pi
            distance = np.hypot(columns[f"hard_eta_{which}"] - columns[f"eta_{j}"], turn)
            near = distance < best
            best = np.where(near, distance, best)
            parton = np.where(near, np.where(columns[f"hard_id_{which}"] == GLUON, GLUON, QUARK), parton)
        made[f"code_{j}"] = np.where(columns[f"flavour_{j}"] > 0, columns[f"flavour_{j}"], parton)
    return made


def groups(columns: Columns) -> list[npt.NDArray[np.bool_]]:
    """Return the masks of the pairs of flavours, in either order, and of what is in none of them."""
    one, other = columns["code_1"], columns["code_2"]
    masks = [((one == a) & (other == b)) | ((one == b) & (other == a)) for a, b in PAIRS.values()]
    return [*masks, ~np.any(masks, axis=0)]


def number(replicas: Floats, used: bool = True) -> dict[str, float | None]:
    """Return a value and its error from the replicas; None where there are too few events."""
    value, error = float(replicas[0]), spread(replicas)
    known = used and np.isfinite(value) and np.isfinite(error)
    return {"value": value, "error": error} if known else {"value": None, "error": None}


def measure(analysis: Analysis, processor: Any, columns: Columns, score: str) -> dict[str, Any]:
    """Return region -> what is measured of a score at each efficiency."""
    asked = analysis.model_copy(update={"threshold": analysis.threshold.model_copy(update={"score": score})})
    weights = np.ones(len(columns["weight"]))
    lower = smaller_scores(columns, score)
    thresholds = [float(np.quantile(lower, 1 - e)) for e in EFFICIENCIES]
    source = PairedEvents.from_columns(columns, weights, REPLICAS, SEED)
    observable = str(analysis.fit.observable if analysis.fit else "")
    events = abcd_yields_of_events(asked, processor, source, thresholds, observable, split=groups)
    pairs = abcd_yields_of_pairs(
        asked, processor, source, thresholds, observable, seed=SEED, pairs=N_PAIRS, split=groups
    )
    # all events weigh 1, so that sums of squares are counts
    found: dict[str, Any] = {}
    for region in ("SR", "VR1"):
        of_events, of_pairs = events[region], pairs[region]
        structural = abcd_constant(of_pairs.sum(axis=0))
        flavour = flavour_coupling(of_events, of_pairs)
        whole = abcd_constant(of_events.sum(axis=0))
        excess = flavour_excess(of_events, of_pairs)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = abcd_constant(of_events) / abcd_constant(of_pairs)
        found[region] = {}
        for i, efficiency in enumerate(EFFICIENCIES):

            def enough(letters: Floats) -> bool:
                control, expected = effective_events(letters, letters)
                return bool(min(control, expected) >= LEAST_EVENTS)

            used = enough(of_events[:, i, 0].sum(axis=0))
            found[region][str(efficiency)] = {
                "events in A": float(of_events[:, i, 0, 0].sum()),
                "structural": number(structural[i]),
                "flavour": number(flavour[i]),
                "rest": number(whole[i] / structural[i] / flavour[i], used),
                "whole": number(whole[i], used),
                "pairs": {
                    name: {
                        "events": float(of_events[k, i, 0].sum()),
                        "in A": float(of_events[k, i, 0, 0].sum()),
                        "excess": number(excess[k, i]),
                        "structural": number(abcd_constant(of_pairs[k, i])),
                        "correlation": number(correlation[k, i], enough(of_events[k, i, 0])),
                    }
                    for k, name in enumerate(PAIRS)
                },
            }
    return found


def text(one: dict[str, Any]) -> str:
    """Return a number with its error."""
    return "too few" if one["value"] is None else " ± ".join(rounded(one["value"], one["error"]))


def tables(found: dict[str, Any], labels: dict[str, str], gains: dict[str, Any]) -> str:
    """Return what is measured as tables in Markdown."""
    lines = [
        "| region, efficiency | score | QCD in A | c structural | c flavour | c rest | c | SIC of top |",
        "|---" * 8 + "|",
    ]
    for region in ("SR", "VR1"):
        for efficiency in EFFICIENCIES:
            for score, label in labels.items():
                one = found[score][region][str(efficiency)]
                cells = [text(one[part]) for part in ("structural", "flavour", "rest", "whole")]
                lines.append(
                    f"| {region}, {efficiency:.0%} | {label} | {one['events in A']:.0f} | {' | '.join(cells)} |"
                    f" {gains[score][str(efficiency)]} |"
                )
    for efficiency in EFFICIENCIES:
        names = " | ".join(PAIRS)
        lines += [
            "",
            f"SR at {efficiency:.0%}, by pair of flavours:",
            "",
            f"| | {names} |",
            "|---" * (len(PAIRS) + 1) + "|",
        ]
        first = found[next(iter(labels))]["SR"][str(efficiency)]["pairs"]
        lines.append("| events | " + " | ".join(f"{first[p]['events']:.0f}" for p in PAIRS) + " |")
        lines.append(
            "| times as many as if independent | " + " | ".join(text(first[p]["excess"]) for p in PAIRS) + " |"
        )
        for score, label in labels.items():
            one = found[score]["SR"][str(efficiency)]["pairs"]
            lines.append(f"| {label}: in A | " + " | ".join(f"{one[p]['in A']:.0f}" for p in PAIRS) + " |")
            for part in ("structural", "correlation"):
                lines.append(f"| {label}: c {part} | " + " | ".join(text(one[p][part]) for p in PAIRS) + " |")
    return "\n".join(lines)


def read(out: Path) -> tuple[Analysis, Any, dict[str, Columns]]:
    """Return the analysis, its processor, and the events of QCD and top pairs after the base selection."""
    run = RunContext(load_analysis(FILE), out)
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    samples = {}
    for name in ("qcd", "top"):
        columns = event_table.read(run.event_tables, name)
        kept = columns["passes_nominal"].astype(bool)
        samples[name] = {column: values[kept] for column, values in columns.items()}
    return run.analysis, processor, {**samples, "qcd": with_codes(samples["qcd"])}


def gains_of(samples: dict[str, Columns], scores: list[str]) -> dict[str, Any]:
    """Return score -> efficiency -> significance improvement of top pairs, as text."""
    scored = {
        name: ScoredEvents.from_jets(columns, scores, np.asarray(columns["weight"], np.float64))
        for name, columns in samples.items()
    }
    compared = compare_scores(scored, "qcd", ("top",), "omnilearned")
    found: dict[str, Any] = {}
    for score in scores:
        for efficiency in EFFICIENCIES:
            one = compared["separation"]["top"][score]["improvement"][compared["fractions"].index(efficiency)]
            error = (one["down"] + one["up"]) / 2
            found.setdefault(score, {})[str(efficiency)] = " ± ".join(rounded(one["value"], error))
    return found


def main() -> None:
    """Simulate, process, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("output/btag_closure"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for all numbers")
    options = parser.parse_args()
    for stage in ("simulate", "process"):
        command = [sys.executable, "-m", "oddjets", stage, str(FILE), "--out", str(options.out)]
        subprocess.run([*command, "--workers", str(options.workers)], check=True)
    analysis, processor, samples = read(options.out)
    labels = {name: analysis.score_label(name) for name in analysis.scores}
    gains = gains_of(samples, list(labels))
    found = {score: measure(analysis, processor, samples["qcd"], score) for score in labels}
    if options.json is not None:
        options.json.write_text(json.dumps({"closure": found, "gain": gains}, indent=1), encoding="utf-8")
    print(
        f"{len(samples['qcd']['weight'])} QCD events, {len(samples['top']['weight'])} of top pairs after the base selection\n"
    )
    print(tables(found, labels, gains))


if __name__ == "__main__":
    main()
