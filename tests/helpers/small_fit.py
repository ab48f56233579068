"""A small analysis with smooth templates and Poisson data, as the histogram stage would write it."""

from __future__ import annotations

from typing import Any

import hist
import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.io.histograms import DATA, HistogramSet, ThresholdResult, empty_histogram

EDGES = [60.0, 90.0, 120.0, 150.0, 180.0, 210.0]
#: QCD by letter: A = B C / D
QCD = {"D": 4000.0, "B": 400.0, "C": 500.0, "A": 50.0}
TOP = {"D": 6.0, "B": 12.0, "C": 12.0, "A": 60.0}
WJETS = {"D": 30.0, "B": 10.0, "C": 12.0, "A": 8.0}


def make_analysis(**fit: Any) -> Analysis:
    """An analysis of two regions; keywords replace parts of its fit."""
    return Analysis.model_validate(
        {
            "name": "small",
            "title": "A small analysis",
            "era": "simulation",
            "processes": {
                "qcd": {"label": "QCD", "data_driven": True},
                "top": {"label": "top"},
                "wjets": {"label": "W"},
            },
            "selection": {"triggers": ["PFHT800"]},
            "scores": {"s": {"signal": ["a"], "background": ["b"]}},
            "threshold": {"score": "s", "value": 0.5},
            "observables": {"mass": {"expression": "mass_1", "label": "mass", "edges": EDGES}},
            "regions": {"SR": {"all": "tau21_low"}, "VR1": {"any": "not tau21_low"}},
            "systematics": ["jes", {"name": "isr", "decorrelate": True}],
            "fit": {
                "observable": "mass",
                "regions": ["SR", "VR1"],
                "poi": {"name": "mu", "process": "top", "bounds": [0, 10]},
                **fit,
            },
        }
    )


def shapes(region: str) -> dict[str, np.ndarray]:
    """Shape of each process in the bins, normalised to one."""
    x = np.arange(5.0)
    raw = {
        "qcd": np.exp(-x / (4 if region == "SR" else 5)),
        "top": np.exp(-0.5 * (x - 3.5) ** 2),
        "wjets": np.exp(-0.5 * (x - 0.7) ** 2),
    }
    return {name: values / values.sum() for name, values in raw.items()}


def make_histograms(*, strength: float = 1.0, seed: int | None = 0, scale: float = 1.0) -> HistogramSet:
    """Histograms with Poisson data of this signal strength; seed None: data equal to their expectation."""
    rng = np.random.default_rng(seed)
    histograms = {}
    for region in ("SR", "VR1"):
        h = empty_histogram("mass", EDGES)
        shape = shapes(region)
        for letter in "ABCD":
            rates = {"qcd": QCD, "top": TOP, "wjets": WJETS}
            total = np.zeros(5)
            for process, yields in rates.items():
                y = scale * yields[letter] * shape[process]
                total += y * (strength if process == "top" else 1.0)
                put(h, process, letter, "nominal", y, 0.05 * y)
                if process != "qcd":
                    for name, slope in (("jes", 0.05), ("isr", 0.03)):
                        tilt = slope * np.linspace(-1, 1.4, 5)
                        put(h, process, letter, f"{name}Up", y * (1 + tilt), 0.05 * y)
                        put(h, process, letter, f"{name}Down", y * (1 - 0.8 * tilt), 0.05 * y)
            data = total if seed is None else rng.poisson(total)
            put(h, DATA, letter, "nominal", data, data)
        histograms[region, "mass"] = h
    varied = ["nominal", "jesUp", "jesDown", "isrUp", "isrDown"]
    return HistogramSet(
        histograms=histograms,
        variations={DATA: ["nominal"], "qcd": ["nominal"], "top": varied, "wjets": varied},
        luminosity_pb=100.0,
        threshold=ThresholdResult("s", 0.5, None, None, 0, 0),
    )


def put(h: hist.Hist, process: str, letter: str, variation: str, values: Any, variances: Any) -> None:
    """Set the bins of one template."""
    # a fill of weight zero makes the categories grow
    h.fill(process=process, letter=letter, variation=variation, mass=[100.0], weight=[0.0])
    view = h[process, letter, variation, :].view(flow=False)
    view["value"], view["variance"] = values, variances
    h[process, letter, variation, :] = view
