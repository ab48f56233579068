"""What few events do to an ABCD fit, by toys: ``python benchmarks/low_counts.py [--experiments N] [--nested N]``.

One region of nine equal bins, with D, B and C events of QCD in each, and B C / D in A; a signal in A with the shape of a peak
over three bins, as large as the expected significance of `SIZE` sigma; no other process, and no nuisance parameters but the
factors of the bins. Experiments are Poisson numbers about this truth, without the signal and with it. Every row of the table is
one truth: the fitted strength over the true one, the coverage of intervals where -2 log L rises by 1 and 3.84, and false alarms
of the asymptotic z. The nested part gives some of the experiments a p of their own toys, of z and of the goodness of fit in A.
Errors are of the numbers of experiments, 68 %.
"""

from __future__ import annotations

import one_thread  # noqa: F401  # isort: skip  before NumPy

import argparse
import time
from typing import Any

import numpy as np
from scipy.stats import norm

from oddjets.stats import Model
from oddjets.stats.histfactory.results import Data
from oddjets.stats.inference.toys import ToyFits
from oddjets.study.calibration import binomial_interval
from oddjets.study.procedure import Answers, Procedure, Questions

BINS = 9
PEAK = (3, 4, 5)
SHAPE = (0.25, 0.5, 0.25)
SIZE = 3.0
NESTED_AT_ONCE = 10
#: events of QCD in a bin of D, B and C
TRUTHS = (
    (1, 1, 1), (4, 4, 4), (10, 10, 10), (30, 30, 30), (100, 100, 100),
    (10, 4, 4), (100, 10, 10), (100, 30, 30), (1000, 30, 30), (1000, 100, 100), (10000, 100, 100),
)  # fmt: skip


def workspace(counts: tuple[int, int, int], signal: float) -> dict[str, Any]:
    """Return the workspace of one region, whose data are what is expected without signal."""
    d, b, c = (np.full(BINS, float(n)) for n in counts)
    yields = {"A": b * c / d, "B": b, "C": c, "D": d}
    peak = np.zeros(BINS)
    peak[list(PEAK)] = signal * np.array(SHAPE)
    channels, observations = [], []
    for letter, factors in (("A", "sbc"), ("B", "sb"), ("C", "sc"), ("D", "s")):
        free = [{"name": f"qcd_{factor}_R", "type": "shapefactor", "data": None} for factor in factors]
        samples = [{"name": "qcd", "data": yields[letter].tolist(), "modifiers": free}]
        if letter == "A":
            strength = [{"name": "mu", "type": "normfactor", "data": None}]
            samples.append({"name": "signal", "data": peak.tolist(), "modifiers": strength})
        channels.append({"name": f"R_{letter}", "samples": samples})
        observations.append({"name": f"R_{letter}", "data": yields[letter].tolist()})
    bounds: list[dict[str, Any]] = [
        {"name": f"qcd_{f}_R", "inits": [1.0] * BINS, "bounds": [[0.0, 50.0]] * BINS} for f in "sbc"
    ]
    parameters = [{"name": "mu", "bounds": [[0.0, 20.0]], "inits": [1.0]}, *bounds]
    measurement = {"name": "m", "config": {"poi": "mu", "parameters": parameters}}
    return {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


def signal_of(counts: tuple[int, int, int]) -> float:
    """Return the events of the signal whose expected significance is `SIZE`, by the Asimov data."""
    low, high = 0.1, 1e5
    for _ in range(30):
        middle = np.sqrt(low * high)
        spec = workspace(counts, middle)
        for channel, observation in zip(spec["channels"], spec["observations"], strict=True):
            observation["data"] = np.sum([sample["data"] for sample in channel["samples"]], axis=0).tolist()
        low, high = (low, middle) if Model(spec).significance().z > SIZE else (middle, high)
    return float(np.sqrt(low * high))


def answers(
    spec: dict[str, Any], strength: float, experiments: int, toys: int, seed: int
) -> tuple[Procedure, Data, Answers]:
    procedure = Procedure(spec, Questions("mu", strength=strength, limit=False, toys=toys))
    rng = np.random.default_rng(seed)
    data = procedure.model.sample(procedure.truth, experiments, rng)
    return procedure, data, procedure.answer(data, rng.spawn(experiments) if toys else ())


def rate(hits: np.ndarray, nominal: float = 1.0) -> str:
    low, high = binomial_interval(int(hits.sum()), len(hits))
    return f"{hits.mean() / nominal:.2f} [{low / nominal:.2f}, {high / nominal:.2f}]"


def goodness(procedure: Procedure, data: Data, toys: int, rng: np.random.Generator) -> np.ndarray:
    """Return the p of each experiment's goodness of fit in A, from toys of its own fit with signal."""
    model = procedure.model
    free = np.zeros(len(model.parameters), dtype=bool)
    mask = np.zeros(model.spec.n_bins, dtype=bool)
    mask[model.spec.slices["R_A"]] = True
    best = ToyFits(model, procedure.truth, free)(data)
    observed = model.bin_deviance(best.parameters, data.main)[:, mask].sum(axis=1)
    found = []
    for row in np.flatnonzero(best.converged).tolist():
        thrown = model.sample(best.parameters[row], toys, rng)
        fitted = ToyFits(model, best.parameters[row], free)(thrown)
        values = model.bin_deviance(fitted.parameters, thrown.main)[:, mask].sum(axis=1)[fitted.converged]
        found.append((1 + (values >= observed[row]).sum()) / (1 + len(values)))
    return np.array(found)


def nested(spec: dict[str, Any], experiments: int, toys: int, cap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the p by toys of z and of the goodness of fit, without signal, of as many experiments as the time allows."""
    begun, of_z, of_fit = time.process_time(), [], []
    for first in range(0, experiments, NESTED_AT_ONCE):
        if time.process_time() - begun > cap:
            break
        procedure, data, found = answers(spec, 0.0, NESTED_AT_ONCE, toys, 1000 + first)
        of_z.append(found.toy_p[np.isfinite(found.toy_p)])
        of_fit.append(goodness(procedure, data, toys, np.random.default_rng(first)))
    return np.concatenate(of_z), np.concatenate(of_fit)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=10000)
    parser.add_argument("--nested", type=int, default=1000, help="experiments that get toys of their own")
    parser.add_argument("--toys", type=int, default=199, help="of each of these")
    parser.add_argument("--cap", type=float, default=120.0, help="CPU seconds after which a row takes no more of these")
    options = parser.parse_args()
    print("| D, B, C, A | strength: mean | median | covered 68 % | 95 %", end="")
    print(" | P(z > 1.64) / 5 % | P(z > 3) / 0.13 % | toys: P(p <= 5 %) / 5 %", end="")
    print(" | goodness of fit: P(p <= 5 %) / 5 % | failed | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for counts in TRUTHS:
        begun = time.process_time()
        spec = workspace(counts, signal_of(counts))
        _, _, with_signal = answers(spec, 1.0, options.experiments, 0, 1)
        _, _, without = answers(spec, 0.0, options.experiments, 0, 2)
        toy_p, gof = nested(spec, options.nested, options.toys, options.cap)
        good = np.isfinite(with_signal.pull) & np.isfinite(with_signal.strength)
        mu, pull = with_signal.strength[good], np.abs(with_signal.pull[good])
        z = without.z[np.isfinite(without.z)]
        failed = int((~good).sum()) + options.experiments - len(z)
        a = counts[1] * counts[2] / counts[0]
        cells = [
            f"{counts[0]}, {counts[1]}, {counts[2]}, {a:.3g}",
            f"{mu.mean():.3f} ± {mu.std() / np.sqrt(len(mu)):.3f}",
            f"{np.median(mu):.2f}",
            rate(pull <= 1),
            rate(pull <= norm.isf(0.025)),
            rate(z > norm.isf(0.05), 0.05),
            rate(z > 3, norm.sf(3)),
            rate(toy_p <= 0.05, 0.05),
            rate(gof <= 0.05, 0.05),
            str(failed),
            f"{time.process_time() - begun:.0f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
