"""Whether the fast fit's minima are the lowest: ``python benchmarks/minima.py --first 0 --number 1000``.

Random workspaces (`hard_workspace` of the tests) are fitted here, and by pyhf with MINUIT from several starts: its own, both
ends of the parameters' ranges, and five random ones. Printed are those where ours lies above the lowest of pyhf's by more than
1e-4 in -2 ln L, those that only one of the two can fit, and by how much ours lies below.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import numpy as np
import pyhf
from helpers.random_workspace import hard_workspace

from oddjets.core import OddjetsError
from oddjets.stats import Model

logging.getLogger("pyhf").setLevel(logging.CRITICAL)

#: by how much -2 ln L may lie above
TOLERANCE = 1e-4


class Outcome(NamedTuple):
    """Twice the negative log-likelihoods of one workspace, NaN where there is none, and the times, s."""

    seed: int
    ours: float
    pyhf: float
    our_time: float
    pyhf_time: float
    why: str


def starts(model: Model, seed: int) -> list[np.ndarray]:
    """pyhf's own start, near both ends of the ranges, and five random points."""
    p, rng = model.parameters, np.random.default_rng([seed, 1])
    width = np.where(p.constrained, 3 * np.maximum(p.sigma, 1e-3), p.high - p.low)
    low, high = np.maximum(p.low, p.init - width), np.minimum(p.high, p.init + width)
    points = [p.init, low + 0.02 * (high - low), high - 0.02 * (high - low)]
    points += [low + rng.random(len(p)) * (high - low) for _ in range(5)]
    return [np.where(p.fixed, p.init, point) for point in points]


def compare(seed: int) -> Outcome:
    """Fit one workspace both ways."""
    workspace = hard_workspace(seed)
    began, why, ours = time.perf_counter(), "", np.nan
    try:
        model = Model(workspace)
        ours = model.fit(with_covariance=False).twice_nll
    except OddjetsError as error:
        why = str(error)[:120]
        model = Model(workspace)
    took = time.perf_counter() - began
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(maxiter=4000, strategy=0))
    config = model.spec.pyhf_model.config
    best, began = np.nan, time.perf_counter()
    for start in starts(model, seed):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                _, value = pyhf.infer.mle.fit(
                    model.spec.pyhf_data,
                    model.spec.pyhf_model,
                    start.tolist(),
                    config.suggested_bounds(),
                    config.suggested_fixed(),
                    return_fitted_val=True,
                )
            except (pyhf.exceptions.FailedMinimization, ValueError):
                continue
        best = float(np.fmin(best, float(value)))
    return Outcome(seed, ours, best, took, time.perf_counter() - began, why)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--number", type=int, default=1000, help="of workspaces")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.number)
    found: list[Outcome] = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for done in as_completed([pool.submit(compare, seed) for seed in seeds]):
            o = done.result()
            found.append(o)
            if o.ours > o.pyhf + TOLERANCE:
                print(
                    f"seed {o.seed}: ours {o.ours:.6f}, pyhf {o.pyhf:.6f}: higher by {o.ours - o.pyhf:.2e}", flush=True
                )
            if np.isnan(o.ours):
                print(f"seed {o.seed}: not fitted by us ({o.why}); pyhf {o.pyhf:.6f}", flush=True)
            if len(found) % 20 == 0:
                print(summary(found), flush=True)
    print(summary(found))


def summary(found: list[Outcome]) -> str:
    """Say how many were higher, lower, and not fitted, and the times."""
    higher, lower = (sum(sign * (o.ours - o.pyhf) > TOLERANCE for o in found) for sign in (1, -1))
    return (
        f"{len(found)} workspaces: ours higher in {higher}, lower in {lower}; no fit of ours in"
        f" {sum(np.isnan(o.ours) for o in found)}, none of pyhf's in {sum(np.isnan(o.pyhf) for o in found)};"
        f" time: ours {sum(o.our_time for o in found):.1f} s, pyhf {sum(o.pyhf_time for o in found):.1f} s (8 starts)"
    )


if __name__ == "__main__":
    main()
