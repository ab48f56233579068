"""All that is asked of a workspace, here and of pyhf with MINUIT, on many workspaces: a table.

    python benchmarks/workspaces.py [WORKSPACE.json[.xz|.gz] ...] [--cap SECONDS] [--only-files] [--json FILE]

To the files come workspaces of the tests and generated ones. Prints Markdown: -2 ln L at the best fit, above the lower of the
two; the strength with its two-sided errors (MINUIT's are Minos's); q0; the upper limits; and CPU seconds for all of it. Each
has a process of its own for each workspace; pyhf's is stopped after the cap, and `>` stands for what it had no time for.
pyhf starts from its suggested parameters. Its limits are searched between a third and thrice ours, with the strength's bounds
at 0 (q-tilde's) and beyond the limit; beside them is its CLs at our observed limit, which should be 0.05. Where a bin is empty
it has ``clip_bin_data=0``: its default likelihood rises without end where such a bin expects less than nothing.
"""

from __future__ import annotations

import one_thread  # noqa: F401  # isort: skip  before NumPy

import argparse
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
from capped import Answers, ask_capped
from fit import make_workspace

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.random_workspace import hard_workspace, random_workspace
from helpers.small_fit import make_analysis, make_histograms

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model, best_fits, load_workspace, significance, upper_limit
from oddjets.stats.inference.estimates import two_sided_error
from oddjets.stats.workspace import build

logging.getLogger("pyhf").setLevel(logging.CRITICAL)

#: seeds of the random workspaces
RANDOM, HARD = range(5), (2, 7, 9, 24, 49, 752, 878, 916)


def workspaces(files: list[Path], *, only_files: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and workspaces."""
    if not only_files:
        signal, background, up, down = [4.0, 9.0, 6.0], [60.0, 52.0, 41.0], [64.0, 54.0, 42.0], [56.0, 50.5, 40.0]
        simple = pyhf.simplemodels.correlated_background(signal, background, up, down)
        yield "pyhf's correlated background", dict(pyhf.Workspace.build(simple, [63.0, 60.0, 45.0, 0.0]))
        yield "the tests' small analysis", build(make_analysis(), make_histograms())[0]
        yield from ((f"random {seed}", random_workspace(seed)) for seed in RANDOM)
        yield from ((f"hard {seed}", hard_workspace(seed)) for seed in HARD)
        yield "generated, 1 region", make_workspace(1)
        yield "generated, 3 regions", make_workspace(3)
    for path in files:
        yield path.name.split(".")[0], load_workspace(path)


def ours(workspace: dict[str, Any]) -> Iterator[Answers]:
    """Answer here."""
    model = Model(workspace)
    poi = str(model.poi)
    fits = best_fits(model)
    yield {"parameters": len(model.parameters), "twice_nll": fits.best.twice_nll, "strength": fits.best[poi]}
    errors = two_sided_error(model, poi, fits.best)
    yield {
        "up": errors.up,
        "down": errors.down,
        "up_at_bound": errors.up_at_bound,
        "down_at_bound": errors.down_at_bound,
    }
    if fits.background is not None:
        yield {"q0": significance(model, fits).q0}
        limit = upper_limit(model, fits)
        yield {"limit": limit.observed, "expected": limit.expected[2], "band": [limit.expected[0], limit.expected[-1]]}


def theirs(workspace: dict[str, Any], found: Answers) -> Iterator[Answers]:
    """Answer by pyhf and MINUIT.

    Args:
        workspace: the workspace.
        found: our answers, for where to look for the limits.
    """
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(maxiter=1_000_000))
    spec = pyhf.Workspace(workspace)
    empty = any(n <= 0 for observation in workspace["observations"] for n in observation["data"])
    model = spec.model(validate=False, **({"clip_bin_data": 0.0} if empty else {}))
    data, poi = spec.data(model), model.config.poi_index
    low, high = model.config.suggested_bounds()[poi]
    pars, value, result = pyhf.infer.mle.fit(data, model, return_fitted_val=True, return_result_obj=True)
    yield {"parameters": model.config.npars, "twice_nll": float(value), "strength": float(pars[poi])}
    if low <= 0 <= high:
        without = pyhf.infer.mle.fixed_poi_fit(0.0, data, model, return_fitted_val=True)[1]
        yield {"q0": max(float(without) - float(value), 0.0) if pars[poi] > 0 else 0.0}
    try:
        # -2 ln L rises by one
        result.minuit.errordef = 1.0
        errors = result.minuit.minos(model.config.poi_name).merrors[model.config.poi_name]
    except RuntimeError:
        yield {"no errors": True}
    else:
        sides = {"up": (errors.upper_valid, errors.upper), "down": (errors.lower_valid, -errors.lower)}
        yield {side: float(error) for side, (valid, error) in sides.items() if valid}
        yield {"up_at_bound": errors.at_upper_limit, "down_at_bound": errors.at_lower_limit}
    if math.isfinite(found.get("limit", math.nan)):
        ends = [found["limit"], *found["band"]]
        least, most = float(np.nanmin(ends)) / 3, float(np.nanmax(ends)) * 3
        bounds = model.config.suggested_bounds()
        bounds[poi] = (0.0, max(high, most))
        how = {"test_stat": "qtilde", "par_bounds": bounds}
        yield {"cls": float(pyhf.infer.hypotest(found["limit"], data, model, **how))}
        observed, expected = pyhf.infer.intervals.upper_limits.toms748_scan(data, model, least, most, rtol=1e-3, **how)
        yield {"limit": float(observed), "expected": float(expected[2])}


def timed(questions: Callable[..., Iterator[Answers]], *arguments: Any) -> Iterator[Answers]:
    """Answers with the CPU time so far, s, and why the rest of them failed."""
    start = time.process_time()
    try:
        with np.errstate(all="ignore"):
            for answers in questions(*arguments):
                yield {**answers, "seconds": time.process_time() - start}
    except (
        OddjetsError,
        pyhf.exceptions.FailedMinimization,
        ValueError,
        TypeError,
        AssertionError,
        AttributeError,
    ) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        yield {"failed": why, "seconds": time.process_time() - start}
    yield {"done": True}


def row(name: str, who: str, found: Answers, lowest: float, cap: int) -> str:
    """One line of the table."""
    nothing = "-" if found.get("done") else ">"

    def number(key: str, text: str = ".5g") -> str:
        return format(found[key], text) if key in found else nothing

    def side(key: str) -> str:
        return number(key, ".4g") + (" (bound)" if found.get(f"{key}_at_bound") else "")

    above = f"{found['twice_nll'] - lowest:.1e}" if "twice_nll" in found else nothing
    seconds = number("seconds", ".2f") if found.get("done") else f"> {cap}"
    cells = [
        name,
        number("parameters", "d"),
        who,
        above,
        number("strength"),
        f"+{side('up')} -{side('down')}",
        number("q0"),
    ]
    cells += [number("limit"), number("expected"), number("cls", ".4f") if who != "oddjets" else "", seconds]
    return "| " + " | ".join(cells) + " |" + (f" <!-- {found['failed']} -->" if "failed" in found else "")


def main() -> None:
    """Ask everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="*", type=Path)
    parser.add_argument("--cap", type=int, default=300, help="CPU seconds that pyhf may take on a workspace")
    parser.add_argument("--only-files", action="store_true", help="leave the tests' and generated workspaces out")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    columns = (
        "workspace, parameters, by, 2 delta lnL, strength, errors, q0, limit, expected limit, CLs at our limit, seconds"
    )
    header = columns.split(", ")
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|", flush=True)
    rows: dict[str, Any] = {}
    for name, workspace in workspaces(arguments.workspaces, only_files=arguments.only_files):
        here = ask_capped(3600, timed, ours, workspace)
        there = ask_capped(arguments.cap, timed, theirs, workspace, here)
        rows[name] = {"oddjets": here, "MINUIT": there}
        lowest = min((x["twice_nll"] for x in (here, there) if "twice_nll" in x), default=math.nan)
        for who, found in rows[name].items():
            print(row(name, who, found, lowest, arguments.cap), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
