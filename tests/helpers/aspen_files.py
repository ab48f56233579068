"""Small files of the layout of Aspen Open Jets, and an analysis of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from oddjets.io import aspen


def rows(events: int, seed: int = 1, *, run: int = 280000, top: float = 0.0) -> dict[str, np.ndarray]:
    """Return jets of events with one to three jets each; of a share ``top``, jets with a mass near 173 GeV and high T scores.

    Args:
        events: number.
        seed: of all numbers.
        run: of all events; sections are 1 to 10 in turn.
        top: share of jets.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, events)
    number = np.repeat(np.arange(events), counts)
    n = len(number)
    info = np.stack([np.full(n, run), 1 + number % 10, 1_000_000 * seed + number], axis=1).astype(np.int64)
    # a falling mass, over which a score without a preference is flat
    mass = 50 + rng.exponential(60, n)
    is_top = rng.random(n) < top
    mass[is_top] = rng.normal(173, 10, is_top.sum())
    kinematics = np.stack(
        [300 / rng.random(n) ** 0.2, rng.uniform(-2.4, 2.4, n), rng.uniform(-3.1, 3.1, n), mass], axis=1
    ).astype(np.float32)
    candidates = np.zeros((n, 150, 11), np.float32)
    pt = rng.exponential(10, (n, 5)) + 1
    direction = rng.uniform(-3, 3, (n, 5))
    slope = np.sinh(rng.uniform(-1, 1, (n, 5)))
    candidates[:, :5, :3] = np.stack([pt * np.cos(direction), pt * np.sin(direction), pt * slope], axis=2)
    candidates[:, :5, 3] = np.sqrt((candidates[:, :5, :3].astype(float) ** 2).sum(axis=2) + 0.02)
    candidates[:, :5, 8:] = [1, 211, 1]
    tags = np.zeros((n, 13), np.float32)
    tags[:, 0], tags[:, 1:5], tags[:, 12] = 5, [0.2, 0.1, 0.05, 0.02], mass
    tags[:, 9] = np.where(is_top, rng.beta(20, 1, n), rng.beta(1, 6, n))
    return {"event_info": info, "jet_kinematics": kinematics, "PFCands": candidates, "jet_tagging": tags}


def write(path: Path, *pieces: dict[str, np.ndarray]) -> Path:
    """Write a file as published ones are."""
    aspen.write_file(path, pieces, simulated=False)
    return path


def analysis(folder: Path, **changes: Any) -> Path:
    """Write ``analysis.yaml`` of the files in a folder, whose score is a tagger of the files."""
    content: dict[str, Any] = {
        "name": "toy",
        "title": "Toy",
        "era": "simulation",
        "luminosity": 100.0,
        "aspen": {"files": ["."], "chunk_size": 100},
        "processes": {"qcd": {"label": "QCD", "data_driven": True}},
        "selection": {"cuts": ["jet_pt", "jet_mass"], "jets": {"pt_min": 320, "mass_min": 60}},
        "scores": {"top": {"column": "t_vs_qcd"}},
        "threshold": {"score": "top", "efficiency": 0.1},
        "observables": {"leading_mass": {"expression": "mass_1", "label": "mass", "bins": 6, "range": [60, 240]}},
        "regions": {"SR": {"cuts": ["mass_1 > 0"]}},
        "execution": {"executor": "iterative", "provider": "cpu"},
    }
    file = folder / "analysis.yaml"
    file.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return file
