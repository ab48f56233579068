"""A made-up output directory in which everything is consistent: what the fit gives is what the histograms hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from oddjets import __version__
from oddjets.config.analysis import Analysis
from oddjets.core.provenance import digests, read_manifest, upstream_state
from oddjets.io import event_table
from oddjets.io.histograms import HistogramSet, ThresholdResult, empty_histogram
from oddjets.simulation.writer import write_nano

LETTERS = ("A", "B", "C", "D")


def analysis(processes: int = 4, bins: int = 6, **changes: Any) -> Analysis:
    """An analysis with QCD from data, a top signal and as many other processes as asked."""
    named: dict[str, Any] = {
        "qcd": {"label": "QCD multijet", "color": "#94a4a2", "data_driven": True},
        "top": {"label": r"$t\bar{t}$", "color": "#bd1f01"},
        "wjets": {"label": r"$W$ + jets", "color": "#ffa90e"},
    }
    for number in range(processes - len(named)):
        named[f"extra{number}"] = {"label": f"Extra {number}"}
    content: dict[str, Any] = {
        "name": "synthetic",
        "title": "Top quarks as anomalies",
        "question": "Are there jets that look odd, and are they top quarks?",
        "notes": ["The model was trained on labelled tops: this checks the chain and is no discovery."],
        "era": "run2016",
        "simulate": None,
        "luminosity": 10_000.0,
        "processes": named,
        "selection": {"triggers": ["PFHT800"]},
        "scores": {
            "odd": {"signal": ["a"], "background": ["b"], "label": "anomaly score"},
            "xbb": {"signal": ["c"], "background": ["d"], "label": "X(bb)"},
        },
        "threshold": {"score": "odd", "efficiency": 0.02},
        "observables": {
            "mass": {
                "expression": "mass_1",
                "label": "Leading jet soft-drop mass",
                "unit": "GeV",
                "bins": bins,
                "range": [60, 240],
            }
        },
        "regions": {
            "SR": {"all": "tau21_low", "label": r"both $\tau_{21} < 0.45$"},
            "VR1": {"any": "not tau21_low", "label": r"a jet with $\tau_{21} \geq 0.45$"},
        },
        "systematics": ["jes", "pu"],
        "fit": {"observable": "mass", "regions": ["SR", "VR1"], "poi": {"name": "mu", "process": "top"}},
    }
    return Analysis.model_validate({**content, **changes})


def fabricate(
    out: Path, asked: Analysis, *, scale: float = 1.0, with_data: bool = True, empty: str | None = None, seed: int = 1
) -> None:
    """Write every artifact of an analysis.

    Args:
        out: the output directory.
        asked: from `analysis`.
        scale: factor on the number of events.
        with_data: whether there are data.
        empty: a process without events.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    _simulation(out)
    templates = _histograms(asked, scale, empty, with_data, rng)
    templates.save(out / "histograms")
    _results(out, asked, templates, with_data, rng)
    _tables(out, asked, empty, with_data, rng)
    _closure(out, asked, rng)
    _manifests(out, asked)


def _simulation(out: Path) -> None:
    """Pseudo-data and one template: W + jet, with a jet at the W's mass and one that fails the selection."""
    pair = {
        "pt": [500.0, 460.0],
        "eta": [0.0, 1.0],
        "msoftdrop": [80.4, 100.0],
        "tau1": [0.2, 0.2],
        "tau2": [0.05, 0.1],
    }
    soft = {**pair, "pt": [500.0, 440.0]}
    jets = ak.zip({name: ak.Array([pair[name], soft[name]]) for name in pair})
    fileset = {}
    for name, is_data in (("data", True), ("wjets", False)):
        (out / "simulation" / name).mkdir(parents=True)
        file = f"{name}/{name}-0000.root"
        write_nano(out / "simulation" / file, [ak.zip({"FatJet": jets}, depth_limit=1)], {"run": np.array([1])})
        fileset[name] = {"files": {file: "Events"}, "metadata": {"is_data": is_data}}
    (out / "simulation" / "fileset.json").write_text(json.dumps(fileset))


def _shape(name: str, edges: np.ndarray) -> np.ndarray:
    centres = (edges[:-1] + edges[1:]) / 2
    if name == "qcd":
        return np.exp(-(centres - 60) / 60)
    peak = {"top": 173.0, "wjets": 80.4}.get(name, 120.0)
    return np.exp(-0.5 * ((centres - peak) / 22) ** 2) + 0.02


def _histograms(
    asked: Analysis, scale: float, empty: str | None, with_data: bool, rng: np.random.Generator
) -> HistogramSet:
    histograms = {}
    yields = {"A": 120.0, "B": 900.0, "C": 900.0, "D": 40_000.0}
    weights = {"qcd": 1.0, "top": 0.4, "wjets": 0.1}
    shifts = ["jesUp", "jesDown", "puUp", "puDown"]
    names = {p: ["nominal", *([] if p.startswith("extra") else shifts)] for p in asked.processes}
    for region in asked.regions:
        edges = np.asarray(asked.binning("mass", region))
        histogram = empty_histogram("mass", edges, "Leading jet soft-drop mass")
        for letter, total in yields.items():
            expected = np.zeros(len(edges) - 1)
            for process in asked.processes:
                shape = _shape(process, edges)
                signal_like = 1.0 if process == "qcd" or letter == "A" else 0.1
                n = 0.0 if process == empty else scale * total * weights.get(process, 0.02) * signal_like
                values = n * shape / shape.sum()
                for variation in names[process]:
                    shift = {"jesUp": 0.06, "jesDown": -0.06, "puUp": 0.02, "puDown": -0.02}.get(variation, 0.0)
                    _put(
                        histogram, process, letter, variation, values * (1 + shift * np.linspace(-1, 1.5, len(values)))
                    )
                expected += values
            if with_data:
                _put(histogram, "data", letter, "nominal", rng.poisson(expected).astype(float), data=True)
        histograms[region, "mass"] = histogram
    variations = {**names, **({"data": ["nominal"]} if with_data else {})}
    threshold = ThresholdResult("odd", 0.9, 0.02, 0.0201 if with_data else None, 5000 if with_data else 0, 100)
    return HistogramSet(histograms, variations, asked.luminosity or 1.0, threshold, 13.0)


def _put(histogram: Any, process: str, letter: str, variation: str, values: np.ndarray, data: bool = False) -> None:
    axis = histogram.axes[-1]
    weight = 1.0 if data else 0.1
    histogram.fill(process=process, letter=letter, variation=variation, mass=axis.centers, weight=values)
    view = histogram[process, letter, variation, :].view(flow=True)
    view["variance"][1:-1] = weight * values
    place = tuple(histogram.axes[i].index(n) for i, n in enumerate((process, letter, variation)))
    histogram.view(flow=True)[place] = view


def _fitted(values: np.ndarray, error: float) -> dict[str, Any]:
    """Yields with this relative error, common to all bins."""
    total = {"value": float(values.sum()), "error": float(error * values.sum())}
    return {"values": values.tolist(), "errors": (error * values).tolist(), "sum": total}


def _results(out: Path, asked: Analysis, templates: HistogramSet, with_data: bool, rng: np.random.Generator) -> None:
    yields: dict[str, Any] = {}
    for region in asked.regions:
        yields[region] = {}
        for letter in LETTERS:
            prefit = {p: templates.values(region, "mass", p, letter) for p in asked.processes}
            fits = {}
            for hypothesis, mu in (("signal_plus_background", 1.1), ("background_only", 0.0)):
                values = {p: v * (mu if p == "top" else 1.0) for p, v in prefit.items()}
                one = {p: _fitted(v, 0.05) for p, v in values.items()}
                one["total"] = _fitted(np.sum(list(values.values()), axis=0), 0.03)
                fits[hypothesis] = one
            yields[region][letter] = {
                "edges": templates.edges(region, "mass").tolist(),
                "data": templates.values(region, "mass", "data", letter).tolist() if with_data else None,
                "prefit": {p: v.tolist() for p, v in prefit.items()},
                **fits,
            }
    names = ["mu", "jes", "pu", "lumi"]
    matrix = np.eye(4)
    matrix[0, 1] = matrix[1, 0] = -0.4
    matrix[0, 3] = matrix[3, 0] = -0.7
    grid = np.linspace(0.5, 1.7, 25)
    results = {
        "analysis": asked.name,
        "title": asked.title,
        **({"blinded": list(asked.regions)} if asked.blind else {}),
        "poi": {"name": "mu", "value": 1.1, "error": 0.2, "at_boundary": False},
        "pois": [{"name": "mu", "value": 1.1, "error": 0.2, "at_boundary": False}],
        "significance": {"z": 5.6, "q0": 31.4, "p_value": 1.1e-8},
        "twice_nll": {"background": 931.4, "signal_plus_background": 900.0},
        "yields": yields,
        "closure": None,
        "pulls": [
            {"name": n, "value": float(rng.normal(0, 0.5)), "error": 0.9, "prefit_error": 1.0, "centre": 0.0}
            for n in names[1:]
        ],
        "correlation": {"names": names, "matrix": matrix.tolist()},
        "limit": {"observed": 1.5, "expected": [0.2, 0.27, 0.38, 0.55, 0.75], "level": 0.95},
        "scan": {"name": "mu", "poi": grid.tolist(), "twice_delta_nll": (((grid - 1.1) / 0.2) ** 2).tolist()},
        "gof": {
            "statistic": 51.0,
            "p_value": 0.34,
            "toys": 200,
            "failed": 0,
            "letters": ["A"],
            "model": "signal",
            "distribution": rng.chisquare(48, 200).tolist(),
        },
        "impacts": [
            {"name": "lumi", "up": -0.14, "down": 0.15, "pull": 0.2, "error": 0.98},
            {"name": "jes", "up": -0.08, "down": 0.08, "pull": -0.5, "error": 0.9},
        ],
        "absorbed": {"SR": {"top": {"events": 1.5, "signal_in_A": 30.0, "strength": 1.0}}},
        "at_bounds": [],
        "warnings": [],
        "timing_s": {"fit": 0.4, "gof": 3.1},
        "convergence": {
            name: {"converged": True, "iterations": 9, "deviance": 51.0}
            for name in ("background", "signal_plus_background")
        },
    }
    (out / "results.json").write_text(json.dumps(results))


def _tables(out: Path, asked: Analysis, empty: str | None, with_data: bool, rng: np.random.Generator) -> None:
    cuts = ["all", "trigger", "two_jets", "jet_mass"]
    datasets: dict[str, Any] = {}
    for process in [*asked.processes, *(["data"] if with_data else [])]:
        n = 0 if process == empty else (5000 if process in ("qcd", "data") else 300)
        # which events are signal-like: all of a simulated signal, some of the data
        odd = np.full(n, process != "qcd") if process != "data" else rng.random(n) < 0.06
        score = {
            f"score_{name}_{j}": np.where(odd, rng.beta(5, 1, n), rng.beta(1, 6, n))
            for name in ("odd", "xbb")
            for j in (1, 2)
        }
        mass = {f"mass_{j}": np.where(odd, rng.normal(173, 15, n), 60 + rng.exponential(50, n)) for j in (1, 2)}
        columns = {
            "run": np.ones(n),
            "luminosityBlock": np.ones(n),
            "event": np.arange(n),
            "weight": np.full(n, 1.0 if process == "data" else 0.5),
            "passes_nominal": np.ones(n, bool),
            "mjj": rng.normal(1300, 150, n),
            **{f"pt_{j}": 450 + rng.exponential(100, n) for j in (1, 2)},
            **mass,
            **{f"tau1_{j}": rng.uniform(0.2, 0.4, n) for j in (1, 2)},
            **{f"tau2_{j}": rng.uniform(0.05, 0.3, n) for j in (1, 2)},
            **score,
        }
        name = f"{process}_one"
        event_table.write_part(out / "events" / name / "part-0.parquet", columns, {})
        raw = [n * 20, n * 8, n * 2, n]
        datasets[name] = {
            "process": process,
            "is_data": process == "data",
            "raw": raw,
            "weighted": [float(r) * (1.0 if process == "data" else 0.3) for r in raw],
        }
    n_minus_1 = {
        name: {cut: [2 * d["raw"][-1], 2 * d["weighted"][-1]] for cut in cuts[1:]} for name, d in datasets.items()
    }
    (out / "cutflow.json").write_text(json.dumps({"cuts": cuts, "datasets": datasets, "n_minus_1": n_minus_1}))


def _closure(out: Path, asked: Analysis, rng: np.random.Generator) -> None:
    regions = {}
    for region in asked.regions:
        edges = asked.binning("mass", region)
        predicted = 80 * _shape("qcd", np.asarray(edges))
        observed = predicted * (1 + rng.normal(0, 0.1, len(predicted)))
        regions[region] = {
            "edges": edges,
            "observed": observed.tolist(),
            "observed_error": (0.1 * observed).tolist(),
            "predicted": predicted.tolist(),
            "predicted_error": (0.05 * predicted).tolist(),
            "constant": 0.98,
            "constant_error": 0.04,
            "chi2": 5.2,
            "ndf": len(predicted) - 1,
            "verdict": "closes",
        }
    looser = {
        region: {**found, "constant": 1.3, "constant_error": 0.15, "verdict": "inconclusive"}
        for region, found in regions.items()
    }
    scans = [
        {"label": "qcd simulation at 5%", "process": "qcd", "threshold": 0.8, "efficiency": 0.05, "regions": looser}
    ]
    content = {"process": "qcd", "regions": regions, "scans": scans, "parts": _closure_parts()}
    (out / "closure.json").write_text(json.dumps(content))


def _closure_parts() -> dict[str, Any]:
    """Parts of the closure: a product that closes, and a union that does not."""
    efficiencies = [0.002, 0.01, 0.05, 0.1]
    used = {"structural": [True] * 4, "unmixed": [False, True, True, True], "correlation": [False, True, True, True]}
    constants = {
        "SR": {"structural": (1.0, 0.02), "unmixed": (0.99, 0.06), "correlation": (0.99, 0.06)},
        "VR1": {"structural": (0.93, 0.015), "unmixed": (1.02, 0.05), "correlation": (1.1, 0.06)},
    }
    regions = {}
    for region, parts in constants.items():
        entries = {
            part: {
                "values": [value + 0.01 * i for i in range(4)],
                "errors": [error * (3.0 - 0.6 * i) for i in range(4)],
                "used": used[part],
                "value": value,
                "error": error,
                "slope": 0.01,
                "slope_error": 0.02,
                "chi2": 1.1,
                "ndf": 2,
            }
            for part, (value, error) in parts.items()
        }
        union = region == "VR1"
        advice = {
            "treatment": "cells" if union else "as-published",
            "why": "the union is off 1" if union else "a product",
        }
        regions[region] = {
            "kind": "union" if union else "product",
            "why": "",
            "cells": ["both", "leading", "subleading"] if union else [],
            **entries,
            "constant": parts["structural"][0] * parts["correlation"][0],
            "constant_error": 0.06,
            "verdict": "closes",
            "advice": advice,
        }
    source = "simulation of 'qcd'"
    return {
        "efficiencies": efficiencies,
        "thresholds": [0.95, 0.9, 0.8, 0.7],
        "working_point": 0.01,
        "observable": "mass",
        "sources": {"structural": source, "correlation": source},
        "notes": [],
        "regions": regions,
    }


def _manifests(out: Path, asked: Analysis) -> None:
    cutflow = json.loads((out / "cutflow.json").read_text())
    read = {n: {**d, "entries": d["raw"][0], "generator": ""} for n, d in cutflow["datasets"].items()}
    (out / "manifests").mkdir(parents=True, exist_ok=True)
    needs = {
        "process": [],
        "histogram": ["process"],
        "closure": ["histogram"],
        "workspace": ["histogram"],
        "fit": ["workspace"],
    }
    for stage, inputs in needs.items():
        manifest = {
            "stage": stage,
            "key": stage.encode().hex().ljust(64, "0"),
            "inputs": inputs,
            "versions": {"oddjets": __version__, "numpy": np.__version__},
            "time_s": 1.5,
            "finished": "2026-01-02T03:04:05+00:00",
            "extra": {"datasets": read} if stage == "process" else {},
        }
        if stage == "histogram":
            manifest["depends"] = {
                "config": digests({"threshold": asked.threshold.model_dump(mode="json")}),
                "upstream": digests({"process": upstream_state(read_manifest(out, "process"))}, 1),
            }
        (out / "manifests" / f"{stage}.json").write_text(json.dumps(manifest))
