"""The data of one figure of every kind; what the made-up directory has nothing of is made here."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from helpers import made_rescoring, made_studies
from helpers.additive_model import CARD, Additive, by_species, random_jets

from oddjets.config.analysis import Analysis
from oddjets.inspection.constituent_groups import RemovalPlan
from oddjets.inspection.removal import removal_effects
from oddjets.inspection.removal_report import jet_content, removal_content
from oddjets.inspection.share_profiles import ShareMeans
from oddjets.inspection.share_report import share_content
from oddjets.report import registry
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import bump, class_shares, display, neighbours, removal
from oddjets.report.intervals import binomial, finite, points
from oddjets.stats import dijet_function

#: one figure of every kind, by the kind's name where it is not the figure's
SHOWN = {kind: kind for kind in registry.KINDS} | {
    "postfit": "postfit_SR_A",
    "residual": "residual_SR",
    "overlap": "overlap_xbb",
    "kde": "kde_masses",
    "closure": "closure_SR",
    "systematics": "systematics_top",
    "observable": "observable_SR_mass",
}


def efficiency_data(artifacts: Artifacts) -> dict[str, Any]:
    """A turn-on: the made-up directory is of an analysis that has none."""
    edges = np.arange(200.0, 700.0, 25.0)
    total = np.full(len(edges) - 1, 400)
    values, down, up = binomial((total / (1 + np.exp(-(edges[:-1] - 380) / 25))).astype(int), total)
    return {
        "kind": "efficiency",
        "header": artifacts.header,
        "text": ["Dijet triggers", "both soft-drop masses above 60 GeV"],
        "x": {"label": "Leading-jet $p_T$ [GeV]", "edges": edges.tolist()},
        "values": finite(values),
        "down": finite(down),
        "up": finite(up),
        "plateau": 1.0,
        "full_from": 475.0,
        "cut": 450.0,
    }


def null_data(artifacts: Artifacts) -> dict[str, Any]:
    """A normal distribution: the made-up directory has no study."""
    edges = np.linspace(-4, 4, 33)
    middle = (edges[1:] + edges[:-1]) / 2
    return {
        "kind": "null",
        "header": artifacts.header,
        "text": ["independent: 1000 experiments", "mean +0.00, sd 1.00", "KS p = 0.9"],
        "edges": edges.tolist(),
        "counts": np.round(100 * np.exp(-(middle**2) / 2)).astype(int).tolist(),
        "experiments": 1000,
        "observed": 2.5,
        "data_label": "Data",
    }


def display_data(artifacts: Artifacts) -> dict[str, Any]:
    """An event of two jets of three and of two prongs, and a third jet: the made-up directory has no events of files."""
    rng = np.random.default_rng(4)
    species = ["charged hadron", "photon", "neutral hadron", "charged hadron", "muon", "electron"]

    def jet(number: int, prongs: list[tuple[float, float, float]]) -> dict[str, Any]:
        x, y = (
            np.concatenate([rng.normal(prong[k], 0.04, 12) for prong in prongs] + [rng.uniform(-0.6, 0.6, 5)])
            for k in (0, 1)
        )
        pt = np.concatenate([rng.dirichlet(np.ones(12)) * prong[2] for prong in prongs] + [rng.uniform(0.5, 3, 5)])
        return {
            "pt": sum(prong[2] for prong in prongs),
            "eta": 0.4 - number,
            "phi": -0.6 + 3 * number,
            "mass": 172.3 - 90 * number,
            "tau21": 0.31,
            "tau32": 0.42 if number == 0 else None,
            "btag": 0.97,
            "scores": {"odd": 0.99321 if number == 0 else 0.999999},
            "shares": {
                "odd": {"QCD": 0.02, "heavy flavour": 0.11, "2 prongs": 0.004, "3 prongs": 0.8, "4 prongs": 0.06}
            },
            "constituents": {
                "d_eta": finite(x),
                "d_phi": finite(y),
                "pt": finite(pt),
                "species": [species[k % 6 if k % 12 == 4 else k % 4] for k in range(len(pt))],
                "displacement": [7.0 if k % 12 == 3 else 1.0 for k in range(len(pt))],
                "prong": [k // 12 if k < 12 * len(prongs) else -1 for k in range(len(pt))],
            },
            "prongs": [{"d_eta": a, "d_phi": b, "pt": c, "radius": 0.09} for a, b, c in prongs],
        }

    jets = [
        jet(0, [(0.1, 0.3, 310.0), (-0.3, 0.0, 180.0), (0.2, -0.3, 90.0)]),
        jet(1, [(-0.1, 0.1, 400.0), (0.2, -0.1, 120.0)]),
    ]
    found = {
        "window": {"name": "SR_A", "text": "SR, letter A, mass 140 to 170 GeV"},
        "score": "odd",
        "displaced": 4.0,
        "displays": [],
    }
    seen = {"eta": finite(rng.uniform(-2.5, 2.5, 60)), "phi": finite(rng.uniform(-3.1, 3.1, 60)), "pt": [2.0] * 60}
    fat = [("eta", "phi", "pt", "jet"), (0.4, -0.6, 580.0, 1), (-0.6, 2.4, 520.0, 2), (1.6, 2.9, 210.0, None)]
    return display.figure_data(
        artifacts,
        found,
        {
            "rank": 1,
            "id": "281613:12:987654321",
            "dataset": "JetHT",
            "process": None,
            "truth": None,
            "file": "data.root",
            "entry": 17,
            "value": 172.3,
            "mjj": 1234.0,
            "layout": "PFNano with allPF",
            "jets": jets,
            "event": {
                "candidates": {**seen, "species": [species[k % 3] for k in range(60)]},
                "all_stored": True,
                "fat_jets": [dict(zip(fat[0], values, strict=True)) for values in fat[1:]],
            },
        },
    )


def why_data(artifacts: Artifacts) -> dict[str, Any]:
    """Two jets whose score is a sum over species: the made-up directory has no constituents."""
    plan = RemovalPlan(draws=8)
    effects = removal_effects(random_jets([40, 25], seed=2), Additive(by_species), [(1,), (2,)], plan)
    event = {"id": "1:2:3", "problem": "", "jets": [jet_content(j, found) for j, found in enumerate(effects, 1)]}
    content = removal_content([event], CARD, "odd", plan)
    data = removal.figure_data(artifacts, content | {"window": {"name": "SR_A"}}, 0)
    assert data is not None
    return data


def class_shares_data(artifacts: Artifacts) -> dict[str, Any]:
    """Shares that rise and fall with the mass: the made-up directory has none."""
    edges = [60.0, 100.0, 140.0, 180.0, 220.0]
    rising = ((0.1, 0.03), (0.2, 0.03), None, (0.4, 0.05))
    falling = ((0.5, 0.05), (0.3, 0.04), (0.2, 0.1), (0.1, 0.02))
    means = [
        ShareMeans(sample, selection, jet, 50, {"X_bb": one[0], "X_3q": other[1]}, (12, 14, 1, 9), {"X_bb": one, "X_3q": other})
        for jet, (one, other) in ((1, (rising, falling)), (2, (falling, rising)))
        for sample, selection in (("data", "A"), ("data", "B, C, D"), ("qcd", "A"), ("top", "A"))
    ]  # fmt: skip
    content = share_content(
        means, sample="data", letter="A", score="odd", model="mine", edges=edges, signal=["X_bb", "X_3q"]
    )
    content = json.loads(json.dumps(content)) | {"window": {"name": "SR_A", "region": "SR"}}
    data = class_shares.figure_data(artifacts, content)
    assert data is not None
    return data


def neighbours_data(artifacts: Artifacts) -> dict[str, Any]:
    """A window of thirty events with a heavier b tag and a hot spot, against 300 others."""
    rng = np.random.default_rng(3)
    columns: list[dict[str, Any]] = []
    drawn = []
    for name, corrected, low, high in (
        ("btag_1", 0.003, 0.0, 1.0),
        ("delta_eta", 0.2, -2.0, 2.0),
        ("pt_balance", 0.9, 0, 0.4),
    ):
        edges = np.linspace(low, high, 9)
        power = 4 if corrected < 0.01 else 1
        window, others = (
            np.histogram(low + (high - low) * rng.random(n) ** (1 / q), edges)[0] for n, q in ((30, power), (300, 1))
        )
        drawn.append({"name": name, "edges": edges.tolist(), "window": window.tolist(), "others": others.tolist()})
        columns.append({"name": name, "corrected": corrected, "window": [0.1, 0.5, 0.9]})
    columns += [
        {"name": "hot spot", "corrected": 0.01, "window": None},
        {"name": "dead region", "corrected": 0.7, "window": None},
    ]
    jets = {
        which: [rng.uniform(-2, 2, n).tolist(), rng.uniform(-3, 3, n).tolist(), [1.1] * n, [0.6] * n]
        for which, n in (("window", 30), ("others", 300))
    }
    one = {"title": "side bands", "events": 30, "reference": 300, "columns": columns, "drawn": drawn, "jets": jets}
    one |= {"hot": {"eta": 1.1, "phi": 0.6, "size": 0.4}, "dead": {"eta": -1.0, "phi": 3.0, "size": 0.8}}
    found = {"window": {"name": "SR_A", "text": "region SR, letter A"}, "against": {"side_bands": one}}
    return next(iter(neighbours.figures_of(artifacts, found).values()))


def study_data(name: str, artifacts: Artifacts) -> dict[str, Any]:
    """Of a made-up study, in a folder of its own: the made-up directory has none."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        made_studies.write(out, **{name: getattr(made_studies, name)(out)})
        figures = registry.KINDS[name].data(Artifacts(artifacts.analysis, out))
    return next(iter(figures.values())) | {"header": artifacts.header}


def jet_bump_data(artifacts: Artifacts) -> dict[str, Any]:
    """Two scores of single jets, one with a bump in its window: only imported jets have such a figure."""
    edges = np.linspace(100.0, 300.0, 41)
    middle = (edges[1:] + edges[:-1]) / 2
    window = (middle > 155) & (middle < 195)
    made = []
    for name, signal in (("one score", 60.0), ("another", 0.0)):
        counts = np.round(400 * np.exp(-middle / 70) + signal * np.exp(-(((middle - 173) / 10) ** 2) / 2))
        content = bump.search_content(dijet_function.search(counts, edges, window, toys=50), edges, window, toys=50)
        shown = {"label": "Data", **points(counts)}
        text = [name, "Oddest 1 % of jets", "score > 0.5"]
        made.append(
            {"score": name, "header": artifacts.header, "text": text, "edges": edges.tolist(), "data": shown} | content
        )
    return {"kind": "jet_bump", "header": artifacts.header, "panels": made}


def jet_null_data(artifacts: Artifacts) -> dict[str, Any]:
    """Two choices that are right and one that is not, and the smallest of them."""
    p = np.logspace(-6, 0, 61)
    seen = {"one score, 1 %": (1e-4, p), "one score, 5 %": (0.03, p), "another, 1 %": (1e-9, p**0.8)}
    choices = [{"label": k, "seen": at, "fraction": (f * (f > 1e-3)).tolist()} for k, (at, f) in seen.items()]
    smallest = {"in the window": 1 - (1 - p) ** 3, "at 13 masses": 1 - (1 - p) ** 20}
    together = [{"label": k, "seen": 1e-4, "fraction": (f * (f > 1e-3)).tolist()} for k, f in smallest.items()]
    content = {"experiments": 1000, "p": p.tolist(), "choices": choices, "together": together}
    text = ["1000 experiments", "p if score and mass are independent at the same pT"]
    return {"kind": "jet_null", "header": artifacts.header, "text": text, "data_label": "Data", **content}


def jet_periods_data(artifacts: Artifacts) -> dict[str, Any]:
    """Seven periods of one rate, one of them without odd jets, and a hot spot that reaches over phi = pi."""
    rng = np.random.default_rng(3)
    odd = [40, 52, 0, 45, 61, 48, 39]
    periods = [
        {
            "first": 278820 + 100 * k,
            "last": 278870 + 100 * k,
            "jets": 5000,
            "odd": n,
            "inside": n // 3,
            "luminosity_pb": 90.0,
        }
        | {"mean_mass": 92.0 + k % 3, "mean_mass_odd": 110.0 + k if n else None, "error_odd": 4.0 if n else None}
        for k, n in enumerate(odd)
    ]
    places = {
        key: {"eta": rng.normal(0, 1, number).tolist(), "phi": rng.uniform(-np.pi, np.pi, number).tolist()}
        for key, number in (("all", 2000), ("odd", 280))
    }
    hot, dead = {"eta": 0.8, "phi": 3.1, "size": 0.4}, {"eta": -1.2, "phi": 0.5, "size": 0.8}
    spots = {"all": {"hot": hot, "dead": dead, "p": 0.0005}, "odd": {"hot": hot, "dead": None, "p": 0.3}}
    content = {"periods": periods, "per_luminosity": True, "places": places, "spots": spots, "window": [142.5, 202.5]}
    return {"kind": "jet_periods", "header": artifacts.header, "label": "one score", "efficiency": 0.01, **content}


def rescored_data(name: str, artifacts: Artifacts) -> dict[str, Any]:
    """Of a made-up signal, in a folder of its own."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        made_rescoring.write(out)
        figures = registry.KINDS[name].data(Artifacts(artifacts.analysis, out))
    return next(iter(figures.values())) | {"header": artifacts.header}


#: figures of rescored signals
RESCORED = ("acceptance", "signal_limit", "signal_score", "signal_templates", "efficiency_map")
#: what the made-up directory has nothing of
MADE_HERE = {
    "efficiency": efficiency_data,
    "null": null_data,
    "display": display_data,
    "why": why_data,
    "class_shares": class_shares_data,
    "neighbours": neighbours_data,
    "jet_bump": jet_bump_data,
    "jet_null": jet_null_data,
    "jet_periods": jet_periods_data,
    **{name: partial(study_data, name) for name in ("choices", "injection", "learning", "sculpting", "two_sample")},
    **{name: partial(rescored_data, name) for name in RESCORED},
}


def data_of(finished: tuple[Analysis, Path], name: str) -> dict[str, Any]:
    artifacts = Artifacts(*finished)
    if name in MADE_HERE:
        return MADE_HERE[name](artifacts)
    figures = registry.KINDS[name].data(artifacts)
    return figures.get(SHOWN[name]) or next(iter(figures.values()))
