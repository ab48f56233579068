"""Events of a small search whose truth is known: jets whose scores, tau21 and masses are drawn from simple laws."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers import small_fit

from oddjets.config.analysis import Analysis
from oddjets.corrections.systematics import NOMINAL
from oddjets.study.events import EventArrays, read_events

#: the variations of simulated processes
VARIATIONS = ("jesUp", "jesDown", "isrUp", "isrDown")


class Cuts:
    """The cuts of the small search: a cut on both jets, and its declaration by jet."""

    def passing(self, table: Any) -> np.ndarray:
        return np.ones(table.size, dtype=bool)

    def low_tau21(self, table: Any) -> np.ndarray:
        return np.maximum(table["tau21_1"], table["tau21_2"]) < 0.5


def make_analysis(**changes: Any) -> Analysis:
    """Return an analysis whose threshold comes from data, with the regions of a product (SR) and a union (VR1)."""
    content = small_fit.make_analysis(regions=["SR"]).model_dump(exclude_unset=True)
    content |= {
        "threshold": {"score": "s", "efficiency": 0.02},
        "regions": {"SR": {"cuts": ["low_tau21"]}, "VR1": {"cuts": ["not SR"]}},
    }
    return Analysis.model_validate(content | changes)


def columns(
    process: str, events: int, weight: float, seed: int, *, correlation: float = 0.0, bump: float = 0.0
) -> dict[str, np.ndarray]:
    """Return an event table.

    Args:
        process: qcd, top or wjets.
        events: rows.
        weight: of each.
        seed: of the random numbers.
        correlation: of the scores of QCD's jets.
        bump: share of QCD's events near 150 GeV whose both scores are high.
    """
    rng = np.random.default_rng(seed)
    mass = {
        "qcd": 60 + rng.exponential(60, events),
        "top": rng.normal(172, 12, events),
        "wjets": rng.normal(85, 8, events),
    }[process]
    noise = rng.normal(size=(2, events))
    if correlation:
        noise[1] = correlation * noise[0] + np.sqrt(1 - correlation**2) * noise[1]
    tau21 = rng.uniform(0.2, 0.8, (2, events))
    # jets of two prongs score higher, and top quarks much higher
    score = noise + 1.0 * (tau21 < 0.5) + {"qcd": 0.0, "top": 2.0, "wjets": 1.0}[process]
    if bump:
        odd = (np.abs(mass - 150) < 15) & (rng.random(events) < bump)
        score[:, odd] += 2.5
    found = {
        "event": np.arange(events),
        "mass_1": mass,
        "mass_2": rng.exponential(60, events) + 60,
        "weight": np.full(events, weight),
        **{f"tau21_{j + 1}": tau21[j] for j in range(2)},
        **{f"score_s_{j + 1}": score[j] for j in range(2)},
        **{f"pt_{j}": np.full(events, 600.0 - 50 * j) for j in (1, 2)},
    }
    if process != "qcd":
        for name, size in (("isrUp", 1.05), ("isrDown", 0.96)):
            found[f"weight__{name}"] = found["weight"] * size
        for name, scale in (("jesUp", 1.01), ("jesDown", 0.99)):
            for j in (1, 2):
                found[f"pt_{j}__{name}"] = found[f"pt_{j}"] * scale
                found[f"mass_{j}__{name}"] = found[f"mass_{j}"] * scale
        for j in (1, 2):
            found[f"mass_ungroomed_{j}"] = found[f"mass_{j}"]
    return found


def classes(table: Any) -> np.ndarray:
    """Return the cut on tau21 of each jet."""
    return np.stack([table[f"tau21_{j}"] < 0.5 for j in (1, 2)]).astype(np.int64)


def make_events(
    analysis: Analysis, *, qcd: int = 40_000, scale: float = 0.5, seed: int = 1, cuts: Any = None, **odd: float
) -> list[EventArrays]:
    """Return events of QCD and simulated processes; an experiment has ``scale`` times their number.

    Args:
        analysis: of `make_analysis`.
        qcd: rows of QCD.
        scale: weight of QCD's events.
        seed: of the random numbers.
        cuts: None: `Cuts`.
        odd: ``correlation`` and ``bump`` of `columns`.
    """
    expected = qcd * scale
    found = []
    for i, (process, share, rows) in enumerate((("qcd", 1.0, qcd), ("top", 0.004, 4000), ("wjets", 0.01, 3000))):
        simulated = process != analysis.data_driven
        table = columns(process, rows, share * expected / rows, 10 * seed + i, **({} if simulated else odd))
        factors = dict.fromkeys((NOMINAL, *(VARIATIONS if simulated else ())), 1.0)
        found += read_events(analysis, cuts or Cuts(), [table], process, factors, classes=classes)
    return found
