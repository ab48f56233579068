"""Are pseudo-data and templates independent, and alike? A hundred pseudo-experiments against one set of templates.

    python benchmarks/independence.py --out output/independence

Each pseudo-experiment is a set of pseudo-data with a seed of its own: a Poisson mix of QCD, top pairs and W + jet, some sixty
events at 0.5 /pb with the last two tenfold, so that a mistake in their share would show. Templates have some hundred times as
many. Compared are HT of the two leading jets and their larger soft-drop mass, in bins of some eight events: Baker and
Cousins' likelihood ratio for Poisson counts (Nucl. Instrum. Meth. 221 (1984) 437), whose probability comes from toys with the
templates' statistical errors, for counts are too small for chi2's own law. The probabilities must be flat; as a check that
this can fail, they are computed again with the strengths 1 instead of 10. No event may be there twice, in pseudo-data or
templates: compared by the momenta of the two leading jets. Some eight minutes of CPU; finished files are kept.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from scipy import stats

from oddjets.config import SimulationSpec
from oddjets.report import style
from oddjets.simulation import make_plan, simulate

LUMINOSITY, STRENGTH = 0.5, 10.0
STRENGTHS = {"qcd": 1.0, "top": STRENGTH, "wjets": STRENGTH}
TEMPLATES = SimulationSpec(seed=1, templates={"qcd": 100_000, "top": 4000, "wjets": 2500})
EVENTS_PER_BIN = 8
TOYS = 20_000
BRANCHES = ["FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_msoftdrop"]


def experiment(number: int) -> SimulationSpec:
    """Return the pseudo-data of a number from 1."""
    return SimulationSpec(
        seed=1000 + number,
        luminosity=LUMINOSITY,
        data_processes=("qcd",),
        inject={"top": STRENGTH, "wjets": STRENGTH},
        blocks=1,
    )


def read(folder: Path, dataset: str) -> ak.Array:
    """All events of a dataset."""
    return uproot.concatenate([f"{file}:Events" for file in sorted((folder / dataset).glob("*.root"))], BRANCHES)


def observables(events: ak.Array) -> dict[str, np.ndarray]:
    """What is compared, (events) each, GeV."""
    return {
        "HT": ak.to_numpy(ak.sum(events.FatJet_pt[:, :2], axis=1)),
        "mass": ak.to_numpy(ak.max(events.FatJet_msoftdrop[:, :2], axis=1)),
    }


def identities(events: ak.Array) -> list[bytes]:
    """An event's content: the bits of the two leading jets' momenta."""
    columns = [ak.to_numpy(events[f"FatJet_{name}"][:, :2]) for name in ("pt", "eta", "phi")]
    return [row.tobytes() for row in np.concatenate(columns, axis=1).astype(np.float32)]


def deviance(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """-2 ln of the likelihood ratio, summed over the last axis."""
    logs = np.where(counts > 0, counts * np.log(np.where(counts > 0, counts, 1) / expected), 0)
    return 2 * np.sum(expected - counts + logs, axis=-1)


def probabilities(
    counts: np.ndarray, expected: np.ndarray, error: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Probability of each experiment's deviance, and the mean deviance of the toys.

    Args:
        counts: (experiments, bins).
        expected: (bins) from the templates.
        error: (bins) of the expectation.
        rng: source of randomness.
    """
    true = np.clip(rng.normal(expected, error, (TOYS, len(expected))), 1e-9, None)
    toys = np.sort(deviance(rng.poisson(true), expected))
    found = deviance(counts, expected)
    low, high = (np.searchsorted(toys, found, side=side) for side in ("left", "right"))
    # counts are whole: where toys tie, anywhere between
    return 1 - rng.uniform(low, high + 1e-12) / TOYS, float(toys.mean())


def make(number: int, out: Path) -> None:
    """Simulate one pseudo-experiment."""
    simulate(experiment(number), out / f"experiment-{number:03d}", workers=1)


def main() -> None:
    """Simulate, compare, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("output/independence"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--experiments", type=int, default=100)
    options = parser.parse_args()
    numbers = range(1, options.experiments + 1)
    plans = [make_plan(spec) for spec in (TEMPLATES, *map(experiment, numbers))]
    seeds = [stream.pythia_seed for plan in plans for block in plan for stream in block.streams]
    fileset = json.loads(simulate(TEMPLATES, options.out / "templates", options.workers).read_text(encoding="utf-8"))
    with ProcessPoolExecutor(options.workers) as pool:
        list(pool.map(make, numbers, [options.out] * len(numbers)))

    data = [read(options.out / f"experiment-{number:03d}", "data") for number in numbers]
    templates = {name: read(options.out / "templates", name) for name in TEMPLATES.templates}
    found = [identity for events in (*data, *templates.values()) for identity in identities(events)]
    results: dict[str, Any] = {
        "experiments": len(data),
        "events in pseudo-data": sum(map(len, data)),
        "events in templates": sum(map(len, templates.values())),
        "seeds, of which different": [len(seeds), len(set(seeds))],
        "events that are there twice": len(found) - len(set(found)),
    }
    rng = np.random.default_rng(1)
    drawn = {}
    per_event = {process: LUMINOSITY * _per_try(fileset[process]["metadata"]) for process in templates}
    for name in ("HT", "mass"):
        values = {process: observables(events)[name] for process, events in templates.items()}
        edges = _edges(values, {p: STRENGTHS[p] * per_event[p] for p in values})
        for case, strengths in (("", STRENGTHS), (", strengths 1", dict.fromkeys(STRENGTHS, 1.0))):
            weight = {p: strengths[p] * per_event[p] for p in values}
            filled = {p: np.histogram(v, edges)[0] for p, v in values.items()}
            expected = sum(weight[p] * filled[p] for p in values)
            error = np.sqrt(sum(weight[p] ** 2 * filled[p] for p in values))
            counts = np.array([np.histogram(observables(events)[name], edges)[0] for events in data])
            flat, mean = probabilities(counts, expected, error, rng)
            test = stats.kstest(flat, "uniform")
            results[name + case] = {
                "bins": len(expected),
                "events expected": round(float(expected.sum()), 2),
                "events found, mean": round(float(counts.sum(axis=1).mean()), 2),
                "deviance, mean": round(float(deviance(counts, expected).mean()), 2),
                "deviance of toys, mean": round(mean, 2),
                "Kolmogorov-Smirnov probability": float(f"{test.pvalue:.2g}"),
            }
            if not case:
                drawn[name] = flat
    print(json.dumps(results, indent=2))
    _draw(drawn, options.out / "independence.png")


def _per_try(metadata: dict[str, Any]) -> float:
    """pb that an event of a template stands for."""
    return metadata["cross_section_pb"] * metadata["k_factor"] / metadata["events_tried"]


def _edges(values: dict[str, np.ndarray], weight: dict[str, float]) -> np.ndarray:
    """Bins in which ``EVENTS_PER_BIN`` are expected."""
    joined = np.concatenate(list(values.values()))
    order = np.argsort(joined)
    expected = np.cumsum(np.concatenate([np.full(len(v), weight[p]) for p, v in values.items()])[order])
    steps = np.arange(EVENTS_PER_BIN, expected[-1] - EVENTS_PER_BIN / 2, EVENTS_PER_BIN)
    return np.array([-np.inf, *joined[order][np.searchsorted(expected, steps)], np.inf])


def _draw(probability: dict[str, np.ndarray], path: Path) -> None:
    with style.context(0.9):
        made = style.figure(8.0, 5.0)
        axes = made.subplots()
        edges = np.linspace(0, 1, 11)
        for (name, values), dashes in zip(probability.items(), ("-", "--"), strict=True):
            axes.stairs(np.histogram(values, edges)[0], edges, label=name, linestyle=dashes, linewidth=2)
        axes.axhline(len(values) / 10, color="0.4", linewidth=1, linestyle=":")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, None)
        axes.set_xlabel("Probability of the pseudo-experiment")
        axes.set_ylabel("Pseudo-experiments / bin")
        axes.legend()
        style.header(axes, ("oddjets", "simulation"), "(13 TeV)")
        made.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
