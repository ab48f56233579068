"""What variations of constituents do to an analysis: `python benchmarks/score_variations.py ANALYSIS.yaml OUT`.

OUT has the workspace of an analysis with `score_variations`. Tables in Markdown, as in docs/corrections.md: by how many per
cent each variation moves the yield of each process in A of the fitted regions, with the statistical error of the events that
change sides and their number; the same of all events, averaged over thresholds near the one that is used, since few events
change sides of one; and what is expected with the same workspace without these nuisance parameters, with one, and with all.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.corrections.systematics import NOMINAL
from oddjets.io import event_table
from oddjets.io.event_table import JETS, EventTable
from oddjets.scoring.score import log_odds
from oddjets.selection import regions
from oddjets.stats.model import Model
from oddjets.workflow.run import RunContext
from oddjets.workflow.validation import validated


def weights_in_a(run: RunContext, processor: Any, table: EventTable, region: str, threshold: float) -> Any:
    """Weights of the events in A, 0 for all others."""
    name = run.analysis.threshold.score
    passing = np.minimum(*(table[f"score_{name}_{j}"] for j in JETS)) >= threshold
    mask = processor.passing(table) & regions.region_masks(run.analysis, processor, table)[region] & passing
    return np.where(mask, table["weight"], 0.0)


def movements(run: RunContext, threshold: float) -> list[str]:
    resolved = run.resolved
    processor = resolved.processor(run.analysis, resolved.era, resolved.era_folder, {})
    varied = [s for s in run.analysis.systematics if s.kind == "scores"]
    datasets = {d["process"]: name for name, d in run.extra("process")["datasets"].items() if not d["is_data"]}
    fitted = run.analysis.fit.regions if run.analysis.fit is not None else ()
    lines = [f"| variation | {' | '.join(f'{p} {r}' for r in fitted for p in datasets)} |"]
    lines.append("|---|" + "---|" * (len(fitted) * len(datasets)))
    tables = {process: event_table.read(run.event_tables, name) for process, name in datasets.items()}
    for systematic in varied:
        for direction in ("Up", "Down"):
            cells = []
            for region in fitted:
                for columns in tables.values():
                    if not any(name.endswith(f"__{systematic.name}{direction}") for name in columns):
                        cells.append("–")
                        continue
                    before, after = (
                        weights_in_a(run, processor, EventTable(columns, name), region, threshold)
                        for name in (NOMINAL, systematic.name + direction)
                    )
                    moved = before != after
                    error = np.sqrt(np.sum(np.maximum(before, after)[moved] ** 2))
                    change = 100 * (after.sum() / before.sum() - 1)
                    cells.append(f"{change:+.1f} ± {100 * error / before.sum():.1f} ({np.count_nonzero(moved)})")
            if set(cells) != {"–"}:
                lines.append(f"| `{systematic.name}{direction}` | {' | '.join(cells)} |")
    counts = {
        f"{process} {region}": np.count_nonzero(weights_in_a(run, processor, EventTable(columns), region, threshold))
        for region in fitted
        for process, columns in tables.items()
    }
    return [*lines, f"simulated events in A: {counts}"]


#: thresholds whose ln of the odds s / (1 - s) are so near to the one that is used are averaged over
WINDOW = 1.0


def averaged(run: RunContext, threshold: float) -> list[str]:
    """By how many per cent both scores' yield above the threshold moves, in all regions, as a mean over near thresholds."""
    name = run.analysis.threshold.score
    cut = float(log_odds(np.array([threshold]))[0])

    def part(table: EventTable) -> Any:
        lower = np.minimum(*(log_odds(np.asarray(table[f"score_{name}_{j}"], np.float64)) for j in JETS))
        return (np.clip(lower - cut, -WINDOW, WINDOW) + WINDOW) / (2 * WINDOW)

    made: dict[str, list[str]] = {}
    processes = []
    for dataset, about in run.extra("process")["datasets"].items():
        if "varied_scores" not in about:
            continue  # data, and processes that are not varied
        columns = event_table.read(run.event_tables, dataset)
        nominal = EventTable(columns)
        weight = np.where(nominal["passes_nominal"], nominal["weight"], 0.0)
        before = part(nominal)
        processes.append(f"{about['process']} ({np.count_nonzero(weight[before > 0])} events)")
        for variation in about["varied_scores"]:
            shift = weight * (part(EventTable(columns, variation)) - before)
            size, error = shift.sum() / (weight @ before), np.sqrt((shift**2).sum()) / (weight @ before)
            made.setdefault(variation, []).append(f"{100 * size:+.2f} ± {100 * error:.2f}")
    head = [f"| variation | {' | '.join(processes)} |", "|---|" + "---|" * len(processes)]
    return [*head, *(f"| `{name}` | {' | '.join(cells)} |" for name, cells in made.items())]


def without(workspace: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The workspace without some nuisance parameters."""
    made = copy.deepcopy(workspace)
    for channel in made["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [m for m in sample["modifiers"] if m["name"] not in names]
    for measurement in made["measurements"]:
        parameters = measurement["config"]["parameters"]
        measurement["config"]["parameters"] = [p for p in parameters if p["name"] not in names]
    return made


def expectations(run: RunContext) -> list[str]:
    """What is expected with all variations of constituents, with one of them, and with none."""
    workspace = json.loads((run.out / "workspace.json").read_text(encoding="utf-8"))
    names = {s.name for s in run.analysis.systematics if s.kind == "scores"}
    cases = {"none": names, **{f"`{name}` alone": names - {name} for name in sorted(names)}, "all": set()}
    lines = [
        "| variations | expected limit | 68 % band | observed | expected z | error of mu |",
        "|---|---|---|---|---|---|",
    ]
    for case, left_out in cases.items():
        model = Model(without(workspace, left_out))
        limit, fit = model.limit(), model.fit()
        low, middle, high = limit.expected[1:4]
        z, error = model.expected_significance().z, fit.errors[fit.names.index(str(model.poi))]
        lines.append(
            f"| {case} | {middle:.4f} | {low:.3f} to {high:.3f} | {limit.observed:.4f} | {z:.4f} | {error:.4f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("analysis", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    run = RunContext(validated(asked.analysis).analysis, asked.out)
    if run.analysis.fit is not None:
        print("\n".join(movements(run, run.extra("histogram")["threshold"]["value"])))
    print("\n".join(["", *averaged(run, run.extra("histogram")["threshold"]["value"])]))
    if run.analysis.fit is not None:
        print("\n".join(["", *expectations(run)]))


if __name__ == "__main__":
    main()
