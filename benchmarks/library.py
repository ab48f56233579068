"""pyhf's and cabinetry's functions on the fast fit and on their own minimisers, on any workspaces, one core.

    python benchmarks/library.py [WORKSPACE.json[.xz|.gz] ...] [--limit SECONDS] [--repeat N] [--cabinetry] [--json FILE]

Without a workspace one of a third of the paper's size is made. Prints Markdown: CPU seconds of `pyhf.infer.mle.fit` with
uncertainties, of the first one, in which the fast fit reads the model, and of further ones; and of `pyhf.infer.hypotest`
at twice the strength's starting value. With `--cabinetry`, a second table: the questions of `cabinetry.fit`, asked of cabinetry
and of `CabinetryAdapter`. Each minimiser is in a process of its own; of several runs the shortest time counts.
"""

from __future__ import annotations

import one_thread  # noqa: F401  # isort: skip  before NumPy

import argparse
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
from capped import Answers, ask_capped
from fit import make_workspace

from oddjets.stats import CabinetryAdapter, PyhfOptimizer, load_workspace

MINIMISERS = {
    "oddjets": PyhfOptimizer,
    "MINUIT": lambda: pyhf.optimize.minuit_optimizer(maxiter=1_000_000),
    "SLSQP": pyhf.optimize.scipy_optimizer,
}


def ask_pyhf(workspace: dict[str, Any], minimiser: str) -> Iterator[Answers]:
    """What each question found and its CPU time, in s."""
    spec = pyhf.Workspace(workspace)
    model = spec.model()
    data = spec.data(model)
    pyhf.set_backend("numpy", MINIMISERS[minimiser]())
    poi = model.config.poi_index
    tested = 2 * model.config.suggested_init()[poi]
    start = time.process_time()
    try:
        pars, value = pyhf.infer.mle.fit(data, model, return_uncertainties=True, return_fitted_val=True)
        first = again = time.process_time() - start
        if minimiser == "oddjets":
            start = time.process_time()
            pyhf.infer.mle.fit(data, model, return_uncertainties=True)
            again = time.process_time() - start
        # SLSQP has no uncertainties
        strength, error = pars[poi] if np.ndim(pars) == 2 else (pars[poi], math.nan)
        found = {
            "first_s": first,
            "fit_s": again,
            "twice_nll": float(value),
            "strength": float(strength),
            "error": float(error),
        }
        yield {"parameters": model.config.npars, **found}
        start = time.process_time()
        cls = float(pyhf.infer.hypotest(tested, data, model, test_stat="qtilde"))
        yield {"cls_s": time.process_time() - start, "cls": cls}
    except pyhf.exceptions.FailedMinimization as error:
        yield {"failed": str(error).splitlines()[0]}


def ask_cabinetry(workspace: dict[str, Any], who: str) -> Iterator[Answers]:
    """The CPU time of each of cabinetry's questions, in s, and what was found."""
    import cabinetry

    logging.disable(logging.CRITICAL)
    pair = cabinetry.model_utils.model_and_data(workspace)
    poi = pair[0].config.poi_name
    start = time.process_time()
    ours = CabinetryAdapter(*pair) if who == "oddjets" else None
    yield {"setting up": (time.process_time() - start, "")}
    fit = cabinetry.fit
    questions: dict[str, Callable[[], Any]] = {
        "fit with MINOS": lambda: ours.fit(minos=poi) if ours else fit.fit(*pair, minos=poi),
        "significance": lambda: ours.significance() if ours else fit.significance(*pair),
        "scan, 11 points": lambda: ours.scan(poi) if ours else fit.scan(*pair, poi, n_steps=11),
        "limit": lambda: ours.limit() if ours else fit.limit(*pair),
        "ranking": lambda: ours.ranking() if ours else fit.ranking(*pair),
    }
    for name, question in questions.items():
        start = time.process_time()
        try:
            found = told(question(), poi)
        except Exception as error:  # whatever it is, it is the answer
            found = f"failed: {type(error).__name__}"
        yield {name: (time.process_time() - start, found)}


def told(found: Any, poi: str) -> str:
    """An answer in a few characters."""
    if hasattr(found, "minos_uncertainty"):
        down, up = found.minos_uncertainty[poi]
        return f"{found.bestfit[found.labels.index(poi)]:.4g} +{up:.3g} {down:.3g}"
    if hasattr(found, "observed_significance"):
        return f"{found.observed_significance:.3g}"
    if hasattr(found, "observed_limit"):
        return f"{found.observed_limit:.4g}, expected {found.expected_limit[2]:.4g}"
    if hasattr(found, "delta_nlls"):
        return f"highest {max(found.delta_nlls):.4g}"
    return f"{len(found.labels)} parameters"


def cabinetry_rows(name: str, workspace: dict[str, Any], limit: int, repeat: int) -> dict[str, Any]:
    """Ask both, and print a row for each question."""
    rows = {
        who: shortest([ask_capped(limit, ask_cabinetry, workspace, who) for _ in range(repeat)])
        for who in ("oddjets", "cabinetry")
    }
    for question in rows["oddjets"]:
        cells = [
            f"{rows[who][question][0]:.2f} | {rows[who][question][1]}"
            if question in rows[who]
            else f"> {limit} | stopped"
            for who in rows
        ]
        print(f"| {name} | {question} | " + " | ".join(cells) + " |", flush=True)
    return rows


def shortest(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What several runs found, each question with its shortest time."""
    return {key: min((run[key] for run in runs if key in run), key=lambda found: found[0]) for key in runs[0]}


def fastest(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The first run's answers with the shortest of each time."""
    times = {key: min(run[key] for run in runs if key in run) for key in runs[0] if key.endswith("_s")}
    return runs[0] | times


def row(name: str, minimiser: str, found: dict[str, Any], lowest: float, limit: int) -> str:
    """One line of the table."""

    def cell(key: str, text: str) -> str:
        return format(found[key], text) if key in found else "-"

    seconds = cell("first_s", ".2f") if "first_s" in found else found.get("failed", f"> {limit}")
    above = f"{found['twice_nll'] - lowest:.1e}" if "twice_nll" in found else "-"
    cells = [
        name,
        cell("parameters", "d"),
        minimiser,
        seconds,
        cell("fit_s", ".2f"),
        above,
        cell("strength", ".5g"),
        cell("error", ".4g"),
    ]
    cls_seconds = "failed" if "first_s" in found and "failed" in found else cell("cls_s", ".2f")
    return "| " + " | ".join([*cells, cls_seconds, cell("cls", ".5f")]) + " |"


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="*", type=Path)
    parser.add_argument(
        "--limit", type=int, default=600, help="CPU seconds that each minimiser may take on a workspace"
    )
    parser.add_argument("--repeat", type=int, default=1, help="runs, of which the shortest time counts")
    parser.add_argument("--cabinetry", action="store_true", help="ask cabinetry's questions too")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    workspaces = {path.name.split(".")[0]: load_workspace(path) for path in arguments.workspaces}
    columns = (
        "workspace, parameters, minimiser, first fit (s), further (s), 2 delta lnL above the lowest, strength, error"
    )
    header = [*columns.split(", "), "CLs (s)", "CLs"]
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    rows: dict[str, Any] = {}
    chosen = workspaces or {"generated": make_workspace(1)}
    for name, workspace in chosen.items():
        rows[name] = {
            minimiser: fastest(
                [ask_capped(arguments.limit, ask_pyhf, workspace, minimiser) for _ in range(arguments.repeat)]
            )
            for minimiser in MINIMISERS
        }
        lowest = min((found["twice_nll"] for found in rows[name].values() if "twice_nll" in found), default=math.nan)
        for minimiser, found in rows[name].items():
            print(row(name, minimiser, found, lowest, arguments.limit), flush=True)
    if arguments.cabinetry:
        print(
            "\n| workspace | question | oddjets, CPU s | found | cabinetry, CPU s | found |" + "\n" + "|---" * 6 + "|"
        )
        for name, workspace in chosen.items():
            rows[f"{name}, cabinetry"] = cabinetry_rows(name, workspace, arguments.limit, arguments.repeat)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
