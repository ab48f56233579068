"""Studies of choices, of an injected signal, of sculpting and of two samples, from random numbers in no time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.core.files import write_json
from oddjets.io.studies import CHOICES, FOLDER, INJECTION, LEARNING, SCULPTING, TWO_SAMPLE, made_of
from oddjets.learning.evidence import FULL_WEIGHT
from oddjets.study.choices import describe_choices
from oddjets.study.density_ratio import ratio_map
from oddjets.study.injection import describe_strength, strength_for
from oddjets.study.learning import SCORES
from oddjets.study.learning_summary import describe_learning
from oddjets.study.sculpting import divergence_of, spurious_signal
from oddjets.study.width_combination import combine_widths

EDGES = np.linspace(60, 240, 10)


def choices(out: Path, observed: float | None = 2.5) -> dict[str, Any]:
    """Three choices, two of them much alike; the first has the observed z."""
    return {"of": made_of(out, CHOICES), **_choices(observed)}


@cache
def _choices(observed: float | None) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(2000, 3))
    z[:, 1] = 0.9 * z[:, 0] + np.sqrt(0.19) * z[:, 1]
    names = ("SR + VR1", "tighter", "dijet mass")
    seen = None if observed is None else dict(zip(names, (observed, 1.0, 0.0), strict=True))
    found = describe_choices({name: z[:, i] for i, name in enumerate(names)}, seen)
    for name in names:
        found["choices"][name] |= {
            "score": "s",
            "efficiency": 0.02,
            "regions": ["SR"],
            "observable": "mass",
            "signal": "top",
        }
    return {"name": "made_up", "of_folder": "SR + VR1", "luminosity_pb": None, **found}


def injection(out: Path) -> dict[str, Any]:
    """A search with 2 sigma for each unit of strength, and one with half of it; a held-out signal that is harder."""
    return {"of": made_of(out, INJECTION), **_injection()}


@cache
def _injection() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    strengths = [0.0, 1.0, 2.0, 3.0]

    def methods(gain: float) -> dict[str, Any]:
        made = {}
        for name, by in (("this analysis", gain), ("tau21 alone", gain / 2)):
            rows = []
            for strength in strengths:
                pull = rng.normal(size=400)
                rows.append(describe_strength(strength, by * strength + pull, strength + pull / by, pull))
            medians = [row["z"]["median"] for row in rows]
            made[name] = {"strengths": rows, **{f"for_{s}": strength_for(s, strengths, medians) for s in (3, 5)}}
        return made

    return {
        "signal": "top",
        "luminosity_pb": 80.0,
        "experiments": 400,
        "strengths": strengths,
        "methods": methods(2.0),
        "hold_out": {"wjets": {"methods": methods(1.0), "strengths": strengths}},
    }


def learning(out: Path) -> dict[str, Any]:
    """A product that loses a fifth without signal, and gains a half with much; a held-out signal that gains less."""
    return {"of": made_of(out, LEARNING), **_learning()}


@cache
def _learning() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    # of numbers that came later, so that figures stay as they were
    later = np.random.default_rng(6)

    def experiments(strength: float, most: float) -> dict[str, np.ndarray]:
        seed = rng.normal(3.8, 0.15, 50)
        gain = {
            "seed": 1.0,
            "learnt": most * strength / (1 + strength),
            "product": 0.8 + most * strength / (1 + strength),
            "equal": 0.6 + most * strength / (1 + strength),
        }
        n_sigma = later.normal(3 * strength, 1, 50)
        made = {"weight": np.clip(n_sigma / FULL_WEIGHT, 0, 1), "n_sigma": n_sigma}
        made |= {"events": rng.poisson(5400, 50) * 1.0, "injected": rng.poisson(100 * strength, 50) * 1.0}
        for name in SCORES:
            random = later if name == "equal" else rng
            predicted = random.normal(60, 6, 50)
            made |= {
                f"sic_{name}": seed * gain[name] + random.normal(0, 0.1, 50),
                f"auc_{name}": random.normal(0.87, 0.005, 50),
                f"in_a_{name}": random.poisson(predicted) * 1.0,
                f"predicted_{name}": predicted,
                f"permuted_{name}": predicted,
                f"sculpting_{name}": random.normal(0.002, 0.001, 50),
                f"z_{name}": random.normal(3 * strength * gain[name], 1, 50),
                f"strength_{name}": random.normal(strength, 0.3, 50),
                f"pull_{name}": random.normal(0, 1, 50),
            }
        return made

    of = {
        signal: describe_learning({s: experiments(s, by) for s in (0.0, 0.5, 1.0, 2.0)})
        for signal, by in (("top", 0.9), ("hh", 0.4))
    }
    return {
        "signal": "top",
        "seed_score": "s",
        "trained_on": ["share_bb", "share_qq"],
        "labels": {"high": 0.95, "low": 0.8},
        "folds": 5,
        "members": 1,
        "source": "simulation",
        "luminosity_pb": 80.0,
        "experiments": 50,
        **of["top"],
        "hold_out": {"hh": of["hh"]},
    }


def sculpting(out: Path) -> dict[str, Any]:
    """A region in which ABCD holds, and a sample too small to know it."""
    return {"of": made_of(out, SCULPTING), **_sculpting()}


@cache
def _sculpting() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    d = 1e5 * np.exp(-0.5 * (EDGES[1:] + EDGES[:-1]) / 50)
    letters = np.stack([0.01 * d * rng.normal(1, 0.03, 9), 0.1 * d, 0.1 * d, d])
    mass = 60 + rng.exponential(50, 2000)
    rows = [
        {
            "efficiency": efficiency,
            "threshold": 1 - efficiency,
            "divergence": divergence_of(mass, rng.random(2000) < efficiency, np.ones(2000), EDGES),
            "spurious_simulation": spurious_signal(letters, letters / 17, EDGES),
            "spurious_mixed": spurious_signal(letters, letters / 100, EDGES),
        }
        for efficiency in (0.05, 0.02)
    ]
    return {
        "score": "s",
        "observable": "mass",
        "process": "qcd",
        "luminosity_pb": 80.0,
        "regions": {"SR": {"correlation": {"squared": 0.0, "p_value": 0.4, "n": 2000}, "efficiencies": rows}},
    }


def two_sample(out: Path) -> dict[str, Any]:
    """Data that differ from their own pairs where both scores are high."""
    return {"of": made_of(out, TWO_SAMPLE), **_two_sample()}


@cache
def _two_sample() -> dict[str, Any]:
    rng = np.random.default_rng(4)
    toys = rng.chisquare([17, 16, 15], (400, 3))
    test = combine_widths(np.array([40.0, 48.0, 45.0]), toys)
    for k, row in enumerate(test["widths"]):
        counts, edges = np.histogram(toys[:, k], bins=20)
        row |= {"width": 1.0 + k, "edges": edges.tolist(), "counts": counts.tolist()}
    score, mass = rng.random((2, 4000)), 60 + rng.exponential(60, (2, 4000))
    reference, log_ratio = np.full(4000, 0.25), np.where(score.min(axis=0) > 0.9, 1.0, -0.01)
    observed = np.flatnonzero(rng.random(4000) < 0.25 * np.exp(log_ratio))
    known = (reference, observed, log_ratio)
    event = {
        "id": "1:2:3",
        "dataset": "JetHT",
        "ratio": 2.7,
        "mass_1": 170.0,
        "mass_2": 168.0,
        "pt_1": 600.0,
        "pt_2": 590.0,
    }
    return {
        "against": "own-pairs",
        "columns": ["score_s_1", "score_s_2", "mass_1", "mass_2"],
        "hypothesis": "the two jets are independent among events with the same pt_1, pt_2",
        "events": len(observed),
        "left_out": {"without a number for mass_1": 3},
        "shows_data_in_A": True,
        "part": "all events of the base selection",
        "score": "s",
        "known": {"processes": ["wjets"], "events": 30.0, "jets_taken_whole": 0},
        "residual": {"used": False, "why_not": "not asked for (--no-residual)"},
        "test": test,
        "with_residual": None,
        "maps": {"score_s": ratio_map(*score, *known), "mass": ratio_map(*mass, *known)},
        "spectra": {},
        "most_discrepant": [event | {"score_s_1": 0.98, "score_s_2": 0.97}],
    }


def write(out: Path, **made: dict[str, Any]) -> None:
    """Write studies by the name of their file, without its ending."""
    (out / FOLDER).mkdir(exist_ok=True)
    for name, content in made.items():
        write_json(out / FOLDER / f"{name}.json", content)
