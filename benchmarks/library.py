"""pyhf's own functions on the fast fit and on pyhf's minimisers, on any workspaces, one core, one run.

    python benchmarks/library.py [WORKSPACE.json[.xz|.gz] ...] [--limit SECONDS] [--json FILE]

Without a workspace one of a third of the paper's size is made. Prints Markdown: CPU seconds of `pyhf.infer.mle.fit` with
uncertainties, of the first one, in which the fast fit reads the model, and of further ones; and of `pyhf.infer.hypotest`
at twice the strength's starting value; each minimiser in a process of its own.
"""

# ruff: noqa: E402  the number of threads must be set before NumPy is imported
from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import json
import math
import multiprocessing
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
from fit import make_workspace

from oddjets.stats import PyhfOptimizer, load_workspace

MINIMISERS = {
    "oddjets": PyhfOptimizer,
    "MINUIT": lambda: pyhf.optimize.minuit_optimizer(maxiter=1_000_000),
    "SLSQP": pyhf.optimize.scipy_optimizer,
}


def ask(workspace: dict[str, Any], minimiser: str, limit: int, out: Any) -> None:
    """Send what each question found and its CPU time, in s; killed at the limit."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    warnings.simplefilter("ignore")
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
        out.send({"parameters": model.config.npars, **found})
        start = time.process_time()
        cls = float(pyhf.infer.hypotest(tested, data, model, test_stat="qtilde"))
        out.send({"cls_s": time.process_time() - start, "cls": cls})
    except pyhf.exceptions.FailedMinimization as error:
        out.send({"failed": str(error).splitlines()[0]})


def asked(workspace: dict[str, Any], minimiser: str, limit: int) -> dict[str, Any]:
    """Ask in a process of its own; what was not answered within the limit is not there."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=ask, args=(workspace, minimiser, limit, sender))
    process.start()
    sender.close()
    result: dict[str, Any] = {}
    try:
        while True:
            result |= receiver.recv()
    except EOFError:
        process.join()
    return result


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
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    workspaces = {path.name.split(".")[0]: load_workspace(path) for path in arguments.workspaces}
    columns = (
        "workspace, parameters, minimiser, first fit (s), further (s), 2 delta lnL above the lowest, strength, error"
    )
    header = [*columns.split(", "), "CLs (s)", "CLs"]
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    rows: dict[str, Any] = {}
    for name, workspace in (workspaces or {"generated": make_workspace(1)}).items():
        rows[name] = {minimiser: asked(workspace, minimiser, arguments.limit) for minimiser in MINIMISERS}
        lowest = min((found["twice_nll"] for found in rows[name].values() if "twice_nll" in found), default=math.nan)
        for minimiser, found in rows[name].items():
            print(row(name, minimiser, found, lowest, arguments.limit), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
