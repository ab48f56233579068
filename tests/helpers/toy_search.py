"""A whole search on files of random jets, with its fit: everything that `oddjets.Run` shows, in seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from helpers import toy_analysis
from helpers.toy_nano import toy_nano

from oddjets.simulation.nanoaod_layout import jagged

#: the shipped selection
DIJET_ANOMALY = Path(__file__).resolve().parents[2] / "processors" / "dijet_anomaly.py"

#: what it has beside a toy analysis
SEARCH: Mapping[str, Any] = {
    "processes": {"qcd": {"label": "QCD", "data_driven": True}, "top": {"label": "top pairs"}},
    "regions": {"SR": {"subleading": "mass_high"}, "VR1": {"cuts": ["not SR"]}},
    "systematics": ["jms", "pref"],
    "fit": {
        "observable": "leading_mass",
        "regions": ["SR", "VR1"],
        "poi": {"process": "top", "bounds": [0, 10]},
        "goodness_of_fit": {"toys": 10},
    },
}


def heavy(record: dict[str, Any], runs: dict[str, Any]) -> None:
    """Make a file's jets odd, and as heavy as top quarks."""
    jets = record["FatJet"]
    rng = np.random.default_rng(9)
    number = len(jets) * 2
    columns = {name: np.asarray(jets[name]).ravel() for name in jets.fields}
    columns |= {"msoftdrop": rng.normal(172.0, 12.0, number), "particleNetMD_Xbb": rng.uniform(0.5, 1.0, number)}
    record["FatJet"] = jagged(np.full(len(jets), 2), **columns)


def write(folder: Path, **changes: Any) -> Path:
    """Write ``analysis.yaml``, its fileset and its files: 400 events of data, 100 of simulated top pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "data": [toy_nano(folder / "data.root", 400, is_data=True, seed=1)],
        "top": [toy_nano(folder / "top.root", 100, seed=2, change=heavy)],
    }
    content = {**SEARCH, "execution": {"executor": "iterative"}, **changes}
    return toy_analysis.write(folder, found, **content).rename(folder / "analysis.yaml")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
