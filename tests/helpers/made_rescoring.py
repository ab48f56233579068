"""A made-up rescored signal and efficiency map, for the figures and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from oddjets.core.files import write_json
from oddjets.io.rescoring import EFFICIENCY_MAP, RESCORING

EDGES = [60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0]
SCORE_EDGES = np.linspace(0, 1, 21)


def _share(value: float) -> dict[str, Any]:
    return {"events": round(2000 * value), "value": value, "down": 0.05 * value, "up": 0.06 * value}


def _template(size: float) -> dict[str, Any]:
    nominal = size * np.exp(-0.5 * ((np.array(EDGES[:-1]) + 15 - 125) / 25) ** 2)
    variations = {}
    for name, change in (("jms", 0.12), ("jes", 0.06), ("fsr_signal", -0.09), ("pu", 0.01), ("photon_scale", 0.2)):
        tilt = 1 + change * np.linspace(-1, 1, len(nominal))
        variations[name] = {"up": (nominal * tilt).tolist(), "down": (nominal / tilt).tolist()}
    return {"nominal": nominal.tolist(), "errors": (0.1 * nominal).tolist(), "variations": variations, "scales": {}}


def rescoring(**changes: Any) -> dict[str, Any]:
    """Return the content of ``rescoring.json``."""
    rng = np.random.default_rng(2)
    middle = (SCORE_EDGES[1:] + SCORE_EDGES[:-1]) / 2
    background = 4000 * np.exp(-7 * middle)
    data = rng.poisson(background).astype(float)
    regions = {r: {"all": _share(x), **{a: _share(f * x) for a, f in zip("ABCD", (0.6, 0.2, 0.15, 0.05), strict=True)}}
               for r, x in (("SR", 0.1), ("VR1", 0.04))}  # fmt: skip
    taken = {
        "strength": 1.0, "signal": {"A": 60.0, "B": 8.0, "C": 7.0, "D": 1.0}, "estimate": 103.0, "estimate_without": 97.0,
        "taken": 6.0, "relative_change": 6 / 97, "share_of_signal": 0.1,
    }  # fmt: skip
    content = {
        "analysis": "synthetic",
        "signal": {
            "name": "signal", "label": "X to YY", "kind": "LHE and Pythia", "cross_section_pb": 0.5,
            "cross_section_from": "the file", "notes": ["no file says the energy of its beams"],
        },
        "forced": [],
        "blinded": False,
        "luminosity_pb": 10_000.0,
        "threshold": {"score": "odd", "value": 0.6},
        "acceptance": {
            "generated": 2000, "effective_events": 1800.0, "negative_share": 0.025,
            "cuts": [{"cut": c, **_share(x)} for c, x in (("all", 0.7), ("trigger", 0.6), ("jet_pt", 0.2), ("jet_mass", 0.1))],
            "regions": regions,
        },
        "score": {
            "score": "odd", "label": "anomaly score", "edges": SCORE_EDGES.tolist(), "threshold": 0.6,
            "signal": {"values": (200 * middle).tolist(), "errors": (20 * np.sqrt(middle)).tolist()},
            "background": {"values": background.tolist(), "errors": (0.1 * background).tolist(), "processes": ["QCD"]},
            "data": {
                "label": "Data", "values": data.tolist(), "down": np.sqrt(data).tolist(), "up": np.sqrt(data + 1).tolist(),
            },
        },
        "systematics": {"present": ["fsr_signal", "jes", "jms", "photon_scale", "pu"], "absent": {"scale": "no such weights"}},
        "templates": {"SR_A": _template(20.0), "SR_B": _template(3.0), "VR1_A": _template(8.0)},
        "template_changes": {},
        "edges": {"SR": EDGES, "VR1": EDGES},
        "own_signal": {"process": "top", "kept": "background"},
        "limit": {
            "level": 0.95, "method": "asymptotic", "unit_pb": 0.5, "observed": 1.0, "expected": [0.4, 0.55, 0.8, 1.2, 1.7],
            "observed_pb": 0.5, "expected_pb": [0.2, 0.275, 0.4, 0.6, 0.85], "notes": [],
        },
        "no_limit": "",
        "warnings": ["the sample has only 3 effective events in A"],
        "contamination": {"stated": {"SR": taken, "VR1": taken}},
        "fit_warnings": [],
    }  # fmt: skip
    return content | changes


def efficiency_map() -> dict[str, Any]:
    """Return the content of ``efficiency_map.json``."""
    shape = (4, 3, 5)
    values = np.clip(np.linspace(0.02, 0.97, 60).reshape(shape), 0, 1)
    jets = np.full(shape, 50.0)
    jets[2, 0, 0] = 0.0
    jets[3] = 0.0
    hidden = np.where(jets > 0, values, None)
    errors = np.where(jets > 0, 0.06, None)
    return {
        "map": {
            "prongs": [1, 2, 3, 4], "pt_edges_GeV": [450.0, 600.0, 900.0, 2000.0],
            "mass_edges_GeV": [60.0, 80.0, 100.0, 140.0, 180.0, 240.0],
            "jets": jets.tolist(), "efficiency": hidden.tolist(), "down": errors.tolist(), "up": errors.tolist(),
        },
        "threshold": {"score": "odd", "value": 0.6},
        "check": {
            "qcd": {"events": 10.0, "error": 1.0, "predicted": 11.0},
            "top": {"events": 5.0, "error": 1.0, "predicted": 5.0},
        },
    }  # fmt: skip


def write(out: Path, **changes: Any) -> None:
    """Write both files."""
    write_json(out / RESCORING, rescoring(**changes))
    write_json(out / EFFICIENCY_MAP, efficiency_map())
