"""The fit against pyhf's with MINUIT, workspace by workspace: a table of times and memory. And what questions cost.

    python benchmarks/fit.py [WORKSPACE.json[.xz|.gz] ...] [--large] [--limit SECONDS] [--skip-pyhf] [--json FILE]
    python benchmarks/fit.py --questions [--limit SECONDS] [--skip-pyhf] [--json FILE]
    python benchmarks/fit.py --multiples [WORKSPACE.json[.xz|.gz] ...]

Prints Markdown, CPU seconds of one core. The first form has a row for a generated workspace of the paper's size, for some with
many one-sided shapes, for each file, and with `--large` for 100 channels with 100 bins and 200 nuisance parameters. Columns:
reading (pyhf's: `Workspace.model`), the S+B fit from one start alone, from all, and with covariance, the limit with bands in
units of the latter, and pyhf's `mle.fit` with MINUIT and NumPy from its suggested start, which is stopped at the limit (then
`>`). pyhf runs once; here each time is the mean of runs of 0.3 s or more. Each workspace has a process of its own here and
another one for pyhf; the peak memory is that of the process, imports included.

The second form is for the generated workspace and one five times as large: more questions, and pyhf's other minimisers and
backends (JAX where it is installed; its compilation counts). The third prints how many times the fit of the strength each
question costs: the limit with its bands is to stay below 30.
"""

from __future__ import annotations

import one_thread  # noqa: F401  # isort: skip  before NumPy

import argparse
import importlib.util
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
from capped import Answers, ask_capped

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.random_workspace import one_sided_workspace

from oddjets.stats import Model, best_fits, goodness_of_fit, impacts, load_workspace, scan, upper_limit
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.estimates import two_sided_error

BINS = 14
PROCESSES = ("top", "stop", "stopw", "wjets", "zjets", "ww", "wz", "zz")
SHAPES = 36
#: numbers of one-sided shapes of generated workspaces
ONE_SIDED = (10, 20, 30, 40)
#: CPU seconds that the runs whose mean is taken last at least
LEAST_TIME = 0.3
FREE = ("stop", "stopw", "wjets", "zjets")


def make_workspace(regions: int, seed: int = 1) -> dict[str, Any]:
    """Make regions of four channels and 14 bins with 8 processes, 36 shape and 4 normalisation uncertainties."""
    rng = np.random.default_rng(seed)
    x = np.arange(BINS)
    channels, observations = [], []
    for r in range(regions):
        region = f"R{r}"
        qcd = {"D": 1e5 * np.exp(-x / 4) + 50, "B": 8e3 * np.exp(-x / 4) + 20, "C": 8e3 * np.exp(-x / 4) + 20}
        qcd["A"] = qcd["B"] * qcd["C"] / qcd["D"]
        for letter, factors in (("A", "sbc"), ("B", "sb"), ("C", "sc"), ("D", "s")):
            samples, total = [], qcd[letter].copy()
            for k, process in enumerate(PROCESSES):
                centre, size = rng.uniform(2, BINS - 2), rng.uniform(0.3, 1) * (3 if process == "top" else 1)
                y = {"A": 1, "B": 2, "C": 2, "D": 6}[letter] * (3 + 30 * np.exp(-0.5 * ((x - centre) / 2) ** 2)) * size
                modifiers = [_lognormal("lumi", 0.025), *_shapes(rng, y, k)]
                if process == "top":
                    modifiers.append({"name": "mu", "type": "normfactor", "data": None})
                elif letter == "A":
                    modifiers += [{"name": "sf", "type": "normfactor", "data": None}] if process in FREE else []
                    modifiers += [_lognormal("sf_v", 0.5)] if process in ("wjets", "zjets") else []
                    modifiers += [_lognormal("sf_vv", 0.5)] if process in ("ww", "wz", "zz") else []
                    modifiers += [_lognormal("sf_stop", 0.5)] if process in ("stop", "stopw") else []
                modifiers.append(
                    {"name": f"mcstat_{region}_{letter}", "type": "staterror", "data": (0.4 * np.sqrt(y)).tolist()}
                )
                samples.append({"name": process, "data": y.tolist(), "modifiers": modifiers})
                total += y
            free = [{"name": f"qcd_{f}_{region}", "type": "shapefactor", "data": None} for f in factors]
            samples.append({"name": "qcd", "data": qcd[letter].tolist(), "modifiers": free})
            channels.append({"name": f"{region}_{letter}", "samples": samples})
            observations.append({"name": f"{region}_{letter}", "data": rng.poisson(total).astype(float).tolist()})
    parameters = [
        {"name": "mu", "bounds": [[0.0, 20.0]], "inits": [1.0]},
        {"name": "sf", "bounds": [[0.0, 5.0]], "inits": [1.0]},
    ]
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "benchmark", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def make_large(channels: int = 100, bins: int = 100, nuisances: int = 200) -> dict[str, Any]:
    """Make channels of three samples, with half of the nuisance parameters in each; every other one is a shape."""
    rng = np.random.default_rng(3)
    result: dict[str, Any] = {"channels": [], "observations": [], "version": "1.0.0"}
    for c in range(channels):
        samples, total = [], np.zeros(bins)
        for k in range(3):
            y = rng.uniform(20, 200, bins) * (1.0 if k else 0.1)
            modifiers = [{"name": f"stat{c}", "type": "staterror", "data": (0.05 * y).tolist()}]
            modifiers += [] if k else [{"name": "mu", "type": "normfactor", "data": None}]
            for q in np.flatnonzero(rng.random(nuisances) < 0.5).tolist():
                shift = 0.02 * rng.normal() + 0.04 * rng.normal() * (np.arange(bins) / bins - 0.5)
                both = {"hi_data": (y * (1 + shift)).tolist(), "lo_data": (y * (1 - shift)).tolist()}
                shape = {"name": f"n{q}", "type": "histosys", "data": both}
                modifiers.append(shape if q % 2 else _lognormal(f"n{q}", 0.03 * abs(float(rng.normal()))))
            samples.append({"name": f"sample{k}", "data": y.tolist(), "modifiers": modifiers})
            total += y
        result["channels"].append({"name": f"c{c}", "samples": samples})
        result["observations"].append({"name": f"c{c}", "data": rng.poisson(total).astype(float).tolist()})
    parameters = [{"name": "mu", "bounds": [[0.0, 20.0]], "inits": [1.0]}]
    return result | {"measurements": [{"name": "large", "config": {"poi": "mu", "parameters": parameters}}]}


def _lognormal(name: str, size: float) -> dict[str, Any]:
    return {"name": name, "type": "normsys", "data": {"hi": 1 + size, "lo": 1 / (1 + size)}}


def _shapes(rng: np.random.Generator, y: np.ndarray, k: int) -> list[dict[str, Any]]:
    """Two thirds of the shape uncertainties act on a process: a norm of 1 % and a tilt of 3 %, a little asymmetric."""
    result = []
    for q in range(SHAPES):
        shift = 0.01 * rng.normal() + 0.03 * rng.normal() * (np.arange(BINS) / BINS - 0.5)
        if (q + k) % 3:
            down = y * (1 - rng.uniform(0.8, 1.2) * shift)
            data = {"hi_data": (y * (1 + shift)).tolist(), "lo_data": down.tolist()}
            result.append({"name": f"shape{q}", "type": "histosys", "data": data})
    return result


def clock(work: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """Return the shortest of some CPU times in seconds, and the work's result."""
    best, result = np.inf, None
    for _ in range(repeat):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def mean_time(work: Callable[[], Any]) -> float:
    """Return the mean CPU time of some runs in s: the clock of a process with a limit can be coarse."""
    work()
    runs, start = 0, time.process_time()
    while time.process_time() < start + LEAST_TIME:
        work()
        runs += 1
    return (time.process_time() - start) / runs


def ours(workspace: dict[str, Any]) -> dict[str, float]:
    """Time the questions of the fit, in CPU s."""
    times: dict[str, float] = {}
    times["reading"], model = clock(lambda: Model(workspace))
    times |= {"bins": model.spec.n_bins, "parameters": len(model.parameters)}
    times["S+B fit"], fit = clock(lambda: model.fit(with_covariance=False), 3)
    times["twice_nll"] = fit.twice_nll
    times["S+B fit with covariance"], _ = clock(model.fit, 3)
    times["B and S+B fits with covariance"], fits = clock(lambda: best_fits(model))
    times["limit with bands"], _ = clock(lambda: upper_limit(model, fits))
    times["500 GoF toys"], gof = clock(lambda: goodness_of_fit(model, fits.best, 500, letters=["A"]))
    times["failed toys"] = gof.failed
    times["all impacts"], found = clock(lambda: impacts(model, fits.best))
    times["impacts"] = len(found.ranking)
    return times


def multiples(name: str, workspace: dict[str, Any], repeat: int = 3) -> str:
    """One row: the fit of the strength in CPU s, and each question as a multiple of it; the shortest of some times each."""
    model = Model(workspace)
    poi = str(model.poi)
    fit_s, best = clock(model.fit, repeat)
    fits = best_fits(model)
    questions: list[Callable[[], Any]] = [
        lambda: two_sided_error(model, poi, best),
        lambda: upper_limit(model, fits),
        lambda: scan(model, poi, best),
        lambda: impacts(model, best),
    ]
    ratios = []
    for question in questions:
        try:
            ratios.append(f"{clock(question, repeat)[0] / fit_s:.1f}")
        except FitError:
            ratios.append("no answer")
    return f"| {name} | {model.spec.n_bins} | {len(model.parameters)} | {fit_s:.3f} | " + " | ".join(ratios) + " |"


def peak_megabytes() -> float:
    """The peak of this process's memory so far, imports included."""
    # not ru_maxrss, where the kernel tells more: that of the process which started this one counts in it, also after exec
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="ascii").splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(workspace: dict[str, Any]) -> Iterator[Answers]:
    """Read, fit, and set limits here: CPU times in s, and -2 ln L."""
    reading, model = clock(lambda: Model(workspace))
    yield {"bins": model.spec.n_bins, "parameters": len(model.parameters), "reading": reading}
    p = model.parameters
    yield {"twice_nll": model.fit(with_covariance=False).twice_nll}
    yield {"bare": mean_time(lambda: model.fit_batch(model.data, p.init, p.fixed))}
    yield {"fit": mean_time(lambda: model.fit(with_covariance=False))}
    yield {"covariance": mean_time(model.fit), "peak": peak_megabytes()}
    fits = best_fits(model)
    if fits.background is not None:
        yield {"limit": mean_time(lambda: upper_limit(model, fits)), "peak": peak_megabytes()}


def measure_pyhf(workspace: dict[str, Any]) -> Iterator[Answers]:
    """Read and fit by pyhf with MINUIT: CPU times in s, -2 ln L, the tolerance and the estimated distance to the minimum."""
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(maxiter=1_000_000))
    start = time.process_time()
    spec = pyhf.Workspace(workspace)
    model = spec.model()
    yield {"reading": time.process_time() - start}
    data = spec.data(model)
    model.logpdf(model.config.suggested_init(), data)
    yield {"peak": peak_megabytes()}
    start = time.process_time()
    try:
        with np.errstate(all="ignore"):
            _, value, result = pyhf.infer.mle.fit(data, model, return_fitted_val=True, return_result_obj=True)
    except pyhf.exceptions.FailedMinimization as error:
        yield {"failed": str(error).splitlines()[0]}
    else:
        minuit = result.minuit
        yield {"twice_nll": float(value), "tolerance": float(minuit.tol), "edm": float(minuit.fmin.edm)}
    yield {"fit": time.process_time() - start, "peak": peak_megabytes()}


COLUMNS = (
    "workspace",
    "bins",
    "parameters",
    "reading",
    "pyhf's",
    "one start",
    "S+B fit",
    "with covariance",
    "limit, in fits",
    "peak, MB",
    "pyhf's",
    "pyhf's fit",
    "times ours",
    "its -2 ln L above ours",
    "its tolerance, EDM",
)


def table_row(name: str, mine: Answers, theirs: Answers, limit: int) -> str:
    """One row of the table of workspaces."""

    def number(found: Answers, key: str, text: str) -> str:
        return format(found[key], text) if key in found else "-"

    ratio, above, precision = "-", "-", "-"
    seconds = theirs.get("fit", limit) if theirs else math.nan
    shown = "-"
    if theirs:
        more = "" if "fit" in theirs else "> "
        shown, ratio = f"{more}{seconds:.3g}", f"{more}{seconds / mine['covariance']:.0f}"
    if "twice_nll" in theirs:
        above = f"{theirs['twice_nll'] - mine['twice_nll']:.1e}"
        precision = f"{theirs['tolerance']:g}, {theirs['edm']:.1e}"
    elif "failed" in theirs:
        above = "failed"
    fits = f"{mine['limit'] / mine['covariance']:.1f}" if "limit" in mine else "none"
    cells = [
        name,
        f"{mine['bins']}",
        f"{mine['parameters']}",
        f"{mine['reading']:.3f}",
        number(theirs, "reading", ".3f"),
    ]
    cells += [f"{mine[key]:.4f}" for key in ("bare", "fit", "covariance")]
    cells += [fits, f"{mine['peak']:.0f}", number(theirs, "peak", ".0f"), shown, ratio, above, precision]
    return "| " + " | ".join(cells) + " |"


def table(files: list[Path], limit: int, *, large: bool, with_pyhf: bool) -> dict[str, Any]:
    """Print the table of workspaces, and return its numbers."""
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    named = {path.name.split(".")[0] if path.stem != "workspace" else path.parent.name: path for path in files}
    generated = {f"{k} one-sided shapes": one_sided_workspace(1, k, bins=20) for k in ONE_SIDED}
    generated |= {"large": make_large()} if large else {}
    rows: dict[str, Any] = {}
    for name, given in ({"paper's size": make_workspace(3)} | generated | named).items():
        workspace = load_workspace(given)
        mine = ask_capped(3600, measure, workspace)
        theirs = ask_capped(limit, measure_pyhf, workspace) if with_pyhf else {}
        rows[name] = {"oddjets": mine, "pyhf": theirs}
        print(table_row(name, mine, theirs, limit) if "covariance" in mine else f"| {name} | {mine} |", flush=True)
    return rows


def pyhf_fit(workspace: dict[str, Any], backend: str, optimizer: str) -> Iterator[Answers]:
    """The CPU time of pyhf's S+B fit from its suggested start, in s, and its twice_nll, or how it failed."""
    minimiser = (
        pyhf.optimize.minuit_optimizer(maxiter=1000000)
        if optimizer == "MINUIT"
        else pyhf.optimize.scipy_optimizer(maxiter=100000)
    )
    pyhf.set_backend(backend, minimiser)
    spec = pyhf.Workspace(workspace)
    model = spec.model()
    data = spec.data(model)
    try:
        seconds, (_, value) = clock(lambda: pyhf.infer.mle.fit(data, model, return_fitted_val=True))
        yield {"seconds": seconds, "twice_nll": float(value)}
    except pyhf.exceptions.FailedMinimization as error:
        yield {"failed": str(error).splitlines()[0], "seconds": time.process_time()}


def pyhf_rows(workspace: dict[str, Any], mine: dict[str, float], limit: int) -> dict[str, Any]:
    """Time pyhf's fits and print a row for each, beside our fit of the same workspace."""
    runs = [("NumPy", "SLSQP"), ("NumPy", "MINUIT")]
    if importlib.util.find_spec("jax"):
        runs.append(("JAX", "SLSQP"))
    rows: dict[str, Any] = {}
    print("\n| S+B fit | CPU s | times ours | -2 ln L above ours |\n|---|---|---|---|")
    print(f"| oddjets | {mine['S+B fit']:.3f} | 1 | 0 |")
    for backend, optimizer in runs:
        found = ask_capped(limit, pyhf_fit, workspace, backend.lower(), optimizer)
        rows[f"{backend} + {optimizer}"] = found
        name, times = f"pyhf, {backend} + {optimizer}", found.get("seconds", limit) / mine["S+B fit"]
        if "twice_nll" in found:
            above = f"{found['twice_nll'] - mine['twice_nll']:.2g}"
            print(f"| {name} | {found['seconds']:.1f} | {times:.0f} | {above} |", flush=True)
        elif "failed" in found:
            seconds = f"{found['seconds']:.1f}" if "seconds" in found else "-"
            print(f"| {name} | {seconds} | - | failed: {found['failed']} |", flush=True)
        else:
            print(f"| {name} | > {limit} | > {times:.0f} | stopped |", flush=True)
    return rows


def questions(limit: int, *, with_pyhf: bool) -> dict[str, Any]:
    """Print what questions cost in generated workspaces of two sizes, and pyhf's fits, and return the numbers."""
    workspace = make_workspace(3)
    small, large = ours(workspace), ours(make_workspace(15))
    rows: dict[str, Any] = {"paper's size": small, "five times": large}
    print(f"{small['bins']} bins and {small['parameters']} parameters; {large['bins']} and {large['parameters']}\n")
    print("| question | paper's size, CPU s | five times, CPU s | ratio |\n|---|---|---|---|")
    for key in ("reading", "S+B fit", "S+B fit with covariance", "limit with bands", "500 GoF toys", "all impacts"):
        print(f"| {key} | {small[key]:.3f} | {large[key]:.3f} | {large[key] / small[key]:.1f} |", flush=True)
    if with_pyhf:
        rows["pyhf"] = pyhf_rows(workspace, small, limit)
    return rows


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="*", type=Path, help="files of workspaces")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--questions", action="store_true", help="more questions to generated workspaces of two sizes")
    form.add_argument("--multiples", action="store_true", help="what questions cost in fits of the strength")
    parser.add_argument(
        "--large", action="store_true", help="the large model too, whose workspace pyhf reads in half a minute"
    )
    parser.add_argument("--skip-pyhf", action="store_true", help="our times only")
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds that each of pyhf's processes may take")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    if arguments.multiples:
        print(
            "| workspace | bins | parameters | S+B fit, CPU s | two-sided error | limit with bands | scan | all impacts |"
        )
        print("|---|---|---|---|---|---|---|---|")
        given = {path.name.split(".")[0]: load_workspace(path) for path in arguments.workspaces}
        for name, workspace in (given or {"paper's size": make_workspace(3), "a third": make_workspace(1)}).items():
            print(multiples(name, workspace), flush=True)
        return
    if arguments.questions:
        rows = questions(arguments.limit, with_pyhf=not arguments.skip_pyhf)
    else:
        rows = table(arguments.workspaces, arguments.limit, large=arguments.large, with_pyhf=not arguments.skip_pyhf)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
