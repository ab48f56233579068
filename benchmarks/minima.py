"""Whether the fast fit's minima are the lowest, on random workspaces that are hard on purpose.

``python benchmarks/minima.py reference FILE --number 1000 --workers 32`` fits `hard_workspace` of the tests by pyhf alone, with
MINUIT from eight starts (its own, near both ends of the parameters' ranges, five random ones), and writes the lowest
-2 ln L of each to FILE, a JSON object a line. It takes CPU hours; seeds that FILE has already are skipped. pyhf rewards an
empty bin for expecting less than nothing, without end; where its lowest minimum does, all starts are fitted again with its
``clip_bin_data=0``, which is the likelihood here.

``python benchmarks/minima.py compare FILE`` fits the same workspaces here, and prints those where ours lies above by more than
1e-4, those that only one of the two can fit, by how much ours lies below, and the times.
"""

# ruff: noqa: E402  the number of threads must be set before NumPy is imported
from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

# a worker a core: matrices this small gain nothing from threads, and lose a lot where every worker starts some
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import pyhf
from helpers.random_workspace import hard_workspace

logging.getLogger("pyhf").setLevel(logging.CRITICAL)

#: by how much -2 ln L may lie above
TOLERANCE = 1e-4


class Reference(NamedTuple):
    """pyhf's lowest -2 ln L of one workspace.

    Attributes:
        seed: of the workspace.
        twice_nll: None where no start converged.
        converged: how many starts did.
        seconds: of all of them.
        clipped: by ``clip_bin_data=0``.
    """

    seed: int
    twice_nll: float | None
    converged: int
    seconds: float
    clipped: bool = False


def starts(model: pyhf.Model, seed: int) -> list[np.ndarray]:
    """pyhf's own start, near both ends of the ranges, and five random points."""
    config, rng = model.config, np.random.default_rng([seed, 1])
    init, fixed = np.array(config.suggested_init()), np.array(config.suggested_fixed())
    low, high = np.array(config.suggested_bounds(), dtype=float).T
    for name in config.par_order:
        if (parameter := config.param_set(name)).constrained:
            s = config.par_slice(name)
            width = 3 * np.maximum(np.array(parameter.width()), 1e-3)
            low[s], high[s] = np.maximum(low[s], init[s] - width), np.minimum(high[s], init[s] + width)
    points = [init, low + 0.02 * (high - low), high - 0.02 * (high - low)]
    points += [low + rng.random(len(init)) * (high - low) for _ in range(5)]
    return [np.where(fixed, init, point) for point in points]


def reference(seed: int) -> Reference:
    """Fit one workspace by pyhf from every start."""
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(maxiter=20000, strategy=0))
    workspace, began = pyhf.Workspace(hard_workspace(seed)), time.perf_counter()
    model = workspace.model(validate=False)
    data = workspace.data(model)
    values, points = minima(model, data, seed)
    clipped = bool(points) and below_zero(model, data, points[int(np.argmin(values))])
    if clipped:
        values, _ = minima(workspace.model(validate=False, clip_bin_data=0.0), data, seed)
    return Reference(
        seed, min(values, default=None), len(values), round(time.perf_counter() - began, 2), clipped=clipped
    )


def minima(model: pyhf.Model, data: list[float], seed: int) -> tuple[list[float], list[np.ndarray]]:
    """Return -2 ln L of those starts that converge, and where."""
    values, points, config = [], [], model.config
    for start in starts(model, seed):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                point, value = pyhf.infer.mle.fit(
                    data,
                    model,
                    start.tolist(),
                    config.suggested_bounds(),
                    config.suggested_fixed(),
                    return_fitted_val=True,
                )
            # the last: iminuit without an error matrix, which pyhf takes for granted
            except (pyhf.exceptions.FailedMinimization, ValueError, AttributeError):
                continue
        if np.isfinite(value):
            values.append(float(value))
            points.append(point)
    return values, points


def below_zero(model: pyhf.Model, data: list[float], point: np.ndarray) -> bool:
    """Tell whether a point expects less than nothing in an empty bin."""
    rate = model.expected_data(point, include_auxdata=False)
    return bool(((rate < -1e-6) & (np.array(data)[: len(rate)] <= 0)).any())


def stored(path: Path) -> dict[int, Reference]:
    """Return the references of a file by seed."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {r.seed: r for r in (Reference(**json.loads(line)) for line in lines)}


def make_reference(path: Path, seeds: Iterable[int], workers: int) -> None:
    """Fit what is missing, a line at a time."""
    missing = sorted(set(seeds) - set(stored(path)))
    with ProcessPoolExecutor(workers) as pool, path.open("a") as file:
        for done in as_completed([pool.submit(reference, seed) for seed in missing]):
            print(json.dumps(done.result()._asdict()), file=file, flush=True)


class Outcome(NamedTuple):
    """Our -2 ln L of one workspace, NaN where there is none, the time, s, and why there is none."""

    seed: int
    twice_nll: float
    seconds: float
    why: str


def fit(seed: int) -> Outcome:
    """Fit one workspace here."""
    from oddjets.core.errors import OddjetsError
    from oddjets.stats import Model

    began, why, value = time.perf_counter(), "", float("nan")
    try:
        value = Model(hard_workspace(seed)).fit(with_covariance=False).twice_nll
    except OddjetsError as error:
        why = str(error)
    return Outcome(seed, value, time.perf_counter() - began, why)


def compare(references: dict[int, Reference], workers: int) -> dict[str, Any]:
    """Fit all workspaces here, print those that differ, and return the counts."""
    with ProcessPoolExecutor(workers) as pool:
        outcomes = list(pool.map(fit, references, chunksize=8))
    higher, lower, gains = 0, 0, []
    for o in outcomes:
        theirs = references[o.seed].twice_nll
        if theirs is None or np.isnan(o.twice_nll):
            print(f"seed {o.seed}: ours {o.twice_nll:.6f}, pyhf {theirs} {o.why}")
            continue
        difference = o.twice_nll - theirs
        gains.append(-difference)
        lower += difference < -TOLERANCE
        if difference > TOLERANCE:
            higher += 1
            print(f"seed {o.seed}: ours {o.twice_nll:.6f}, pyhf {theirs:.6f}: higher by {difference:.2e}")
    return {
        "workspaces": len(outcomes),
        "ours higher": higher,
        "ours lower": lower,
        "lower by at most": max(gains, default=0.0),
        "no fit of ours": sum(bool(np.isnan(o.twice_nll)) for o in outcomes),
        "none of pyhf's": sum(r.twice_nll is None for r in references.values()),
        "our seconds": round(sum(o.seconds for o in outcomes), 1),
        "pyhf's seconds, all starts": round(sum(r.seconds for r in references.values()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("reference", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--number", type=int, default=1000, help="of workspaces")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.number)
    if arguments.what == "reference":
        make_reference(arguments.file, seeds, arguments.workers)
    else:
        found = {seed: r for seed, r in stored(arguments.file).items() if seed in seeds}
        print("\n".join(f"{name}: {value}" for name, value in compare(found, arguments.workers).items()))


if __name__ == "__main__":
    main()
