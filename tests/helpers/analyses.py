"""A small analysis for tests, as data and as an object."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis

CONTENT: dict[str, Any] = {
    "name": "small",
    "title": "A small analysis",
    "era": "simulation",
    "processor": "dijet_anomaly.py:DijetAnomaly",
    "fileset": "fileset.json",
    "processes": {
        "qcd": {"label": "QCD", "data_driven": True},
        "top": {"label": "top pairs"},
        "wjets": {"label": "W + jets"},
    },
    "selection": {"triggers": ["PFHT800", "PFJet450"], "filters": ["goodVertices"]},
    "scores": {"omnilearned": {"card": "omnilearned_small_simulation.yaml"}},
    "threshold": {"score": "omnilearned", "efficiency": 0.1},
    "observables": {
        "leading_mass": {"expression": "mass_1", "label": "mass", "unit": "GeV", "bins": 6, "range": [60, 240]},
    },
    "regions": {
        "SR": {"all": "tau21_low"},
        "VR1": {"any": "not tau21_low"},
        "SR1": {"cuts": ["SR"], "subleading": "mass_high"},
        "SR2": {"cuts": ["SR"], "subleading": "not mass_high", "binning": {"leading_mass": {"bins": 3}}},
    },
    "systematics": ["jes", "jms", "pu"],
    "fit": {"observable": "leading_mass", "regions": ["SR", "VR1"], "poi": {"process": "top"}},
}


def content(**changes: Any) -> dict[str, Any]:
    """Return the content with top-level keys replaced; None removes one."""
    merged = copy.deepcopy(CONTENT) | changes
    return {key: value for key, value in merged.items() if value is not None}


def analysis(**changes: Any) -> Analysis:
    """Return the analysis with top-level keys replaced."""
    return Analysis.model_validate(content(**changes))


def of_simulation(folder: Path) -> dict[str, Any]:
    """Return an analysis of the pseudo-data and top pairs that the fixture `sample` made, as data."""
    data = content(
        fileset=str(folder / "subset.json"),
        luminosity=1.0,
        execution={"executor": "iterative"},
        systematics=["jes", "jms", "jmr", "pu", "pref"],
        threshold={"score": "omnilearned", "efficiency": 0.3},
    )
    data["processes"]["hh"] = {"label": "HH"}
    data["selection"]["jets"] = {"pt_min": 400.0, "mass_min": 60.0}
    return data
