"""Whether the fast fit's minima are the lowest, on random workspaces that are hard on purpose.

``python benchmarks/minima.py reference FILE --number 1000 --workers 32`` fits `hard_workspace` of the tests by pyhf alone, with
MINUIT from eight starts (its own, near both ends of the parameters' ranges, five random ones), and writes the lowest
-2 ln L of each to FILE, a JSON object a line. It takes CPU hours; seeds that FILE has already are skipped. pyhf rewards an
empty bin for expecting less than nothing, without end; where its lowest minimum does, all starts are fitted again with its
``clip_bin_data=0``, which is the likelihood here.

``python benchmarks/minima.py compare FILE`` fits the same workspaces here, and prints those where ours lies above by more than
1e-4, those that only one of the two can fit, by how much ours lies below, and the times.

``python benchmarks/minima.py held`` needs no file: it holds the strength at 0 and at 2.5 with the workspace's data, and at 2.5
with the background's Asimov data, as limits do, and compares with the lowest of 48 random starts of the fast fit.
"""

from __future__ import annotations

# a worker a core: matrices this small gain nothing from threads, and lose a lot where every worker starts some
import one_thread  # noqa: F401  # isort: skip  before NumPy

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from helpers.pyhf_minima import Reference, reference
from helpers.random_workspace import hard_workspace

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.histfactory.results import Data

logging.getLogger("pyhf").setLevel(logging.CRITICAL)

#: by how much -2 ln L may lie above
TOLERANCE = 1e-4
#: random starts where the strength is held
RANDOM = 48


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
    """Our -2 ln L of one workspace, or NaN and why; CPU seconds of the fit, and of one without further starts."""

    seed: int
    twice_nll: float
    seconds: float
    bare_seconds: float
    why: str


def model_of(seed: int) -> Model:
    """Read a workspace, whether or not anything depends on its strength."""
    workspace = hard_workspace(seed)
    workspace["measurements"][0]["config"]["poi"] = ""
    return Model(workspace)


def fit(seed: int) -> Outcome:
    """Fit one workspace here."""
    why, value, model = "", float("nan"), model_of(seed)
    began = time.process_time()
    model.fit_batch(model.data, model.parameters.init, model.parameters.fixed)
    bare, began = time.process_time() - began, time.process_time()
    try:
        value = model.fit(with_covariance=False).twice_nll
    except OddjetsError as error:
        why = str(error)
    return Outcome(seed, value, time.process_time() - began, bare, why)


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
        "our CPU seconds": round(sum(o.seconds for o in outcomes), 1),
        "of them without further starts": round(sum(o.bare_seconds for o in outcomes), 1),
        "pyhf's seconds, all starts": round(sum(r.seconds for r in references.values()), 1),
    }


def held(seed: int) -> list[tuple[str, float, float]]:
    """Hold the strength: of each case its name, our -2 ln L and the lowest of random starts, against the saturated model."""
    model = model_of(seed)
    p, found = model.parameters, []
    if "mu" not in p.names:
        return []
    index = p.index("mu")
    mask = p.fixed.copy()
    mask[index] = True
    background = p.init.copy()
    background[index] = max(0.0, p.low[index])
    without = model.fit_batch(model.data, background, mask, restarts=True)
    asimov = model.asimov(without.parameters[0])
    for name, data, strength in (("0", model.data, 0.0), ("2.5", model.data, 2.5), ("Asimov, 2.5", asimov, 2.5)):
        # there are no such data where the background's fit does not converge
        if strength < p.low[index] or (data is asimov and not without.converged[0]):
            continue
        start = p.init.copy()
        start[index] = strength
        width = np.where(p.constrained, 3 * np.maximum(p.sigma, 1e-3), np.inf)
        low, high = np.maximum(p.low, p.init - width), np.minimum(p.high, p.init + width)
        points = low + np.random.default_rng([seed, 5]).random((RANDOM, len(p))) * (high - low)
        half = p.constrained & (np.arange(RANDOM)[:, None] < RANDOM // 2)
        points = np.where(mask, start, np.where(half, 0.5 * (points + p.init), points))
        with np.errstate(all="ignore"):
            many = model.fit_batch(Data(*(np.repeat(a, RANDOM, axis=0) for a in data)), points, mask)
        ours = model.fit_batch(data, start, mask, restarts=True)
        values = [np.where(b.converged, b.deviance, np.inf).min() for b in (ours, many)]
        found.append((f"seed {seed}, strength {name}", float(values[0]), float(values[1])))
    return found


def compare_held(seeds: Iterable[int], workers: int) -> dict[str, Any]:
    """Hold the strength in all workspaces, print where ours is higher, and return the counts."""
    with ProcessPoolExecutor(workers) as pool:
        cases = [case for cases in pool.map(held, seeds, chunksize=8) for case in cases]
    for name, ours, lowest in cases:
        if ours > lowest + TOLERANCE:
            print(f"{name}: ours {ours:.6f}, lowest {lowest:.6f}")
    return {
        "fits": len(cases),
        "ours higher": sum(ours > lowest + TOLERANCE for _, ours, lowest in cases),
        "ours lower": sum(ours < lowest - TOLERANCE for _, ours, lowest in cases),
        "neither converged": sum(not np.isfinite([ours, lowest]).any() for _, ours, lowest in cases),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("reference", "compare", "held"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--number", type=int, default=1000, help="of workspaces")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.number)
    if arguments.what == "held":
        counts = compare_held(seeds, arguments.workers)
    elif arguments.file is None:
        parser.error(f"{arguments.what} needs a file")
    elif arguments.what == "reference":
        make_reference(arguments.file, seeds, arguments.workers)
        return
    else:
        found = {seed: r for seed, r in stored(arguments.file).items() if seed in seeds}
        counts = compare(found, arguments.workers)
    print("\n".join(f"{name}: {value}" for name, value in counts.items()))


if __name__ == "__main__":
    main()
