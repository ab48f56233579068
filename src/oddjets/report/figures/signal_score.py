"""The score of a rescored signal beside that of the published background and data, as shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distributions, each divided by its sum; data of which A is blinded by that of the bins that are shown."""
    if not artifacts.has("rescoring"):
        return {}
    found = artifacts.json("rescoring.json", "score", "signal")
    score, label = found["score"], found["signal"]["label"]
    shown = {"signal": score["signal"], "background": score["background"], "data": score["data"]}
    shapes: dict[str, Any] = {name: None if entry is None else _shape(entry) for name, entry in shown.items()}
    if shapes["data"] is not None:
        shapes["data"]["label"] = score["data"]["label"]
    others = ["background"] if shapes["background"] is not None else []
    others += [shapes["data"]["label"].lower()] if shapes["data"] is not None else []
    beside = f", beside {' and '.join(others)} of the published analysis" if others else ""
    return {
        "signal_score": {
            "kind": "signal_score",
            "name": "signal_score",
            "title": f"Score of {label}",
            "header": artifacts.header,
            "x": {"label": f"Smaller {score['label']} of the two jets", "edges": score["edges"]},
            "label": label,
            "color": artifacts.process(found["signal"]["name"])["color"],
            **shapes,
            "threshold": score["threshold"],
            "forced": list(found["forced"]),
            "alt": (
                f"Distribution of the smaller {score['label']} of the two jets for {label}{beside}, each with the sum 1, and"
                f" the threshold at {score['threshold']:.5g}."
            ),
            "caption": (
                f"The smaller {score['label']} of the two jets after the base selection, for {label}{beside}; each adds up to"
                f" 1. Dashed: the recorded threshold {score['threshold']:.5g}."
            ),
            "sources": [{"file": "rescoring.json", "key": "score"}],
        }
    }


def _shape(entry: dict[str, Any]) -> dict[str, Any]:
    total = float(np.nansum(np.asarray(entry["values"], float)))
    return {
        key: finite(np.asarray(entry[key], float) / (total if total > 0 else 1.0))
        for key in ("values", "errors", "down", "up")
        if key in entry
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw steps with statistical bands, data as points, and the threshold."""
    made = style.figure()
    axes = made.subplots()
    edges = np.asarray(drawn["x"]["edges"], float)
    highest = 0.0
    for name, label, color in (
        ("background", "Background", "#717581"),
        ("signal", drawn["label"], drawn["color"]),
    ):
        if drawn[name] is None:
            continue
        values, errors = (np.nan_to_num(np.asarray(drawn[name][key], float)) for key in ("values", "errors"))
        low, high = np.maximum(values - errors, 1e-9), np.maximum(values + errors, 1e-9)
        axes.stairs(high, edges, baseline=low, fill=True, facecolor=color, alpha=0.25, linewidth=0)
        style_of = "--" if name == "signal" else "-"
        axes.stairs(values, edges, baseline=None, color=color, linewidth=2.2, linestyle=style_of, label=label)
        highest = max(highest, float(high.max()))
    if drawn["data"] is not None:
        values, down, up = (
            np.asarray([np.nan if v is None else v for v in drawn["data"][k]]) for k in ("values", "down", "up")
        )
        good = np.isfinite(values) & (values > 0)
        centres = (edges[1:] + edges[:-1]) / 2
        bars = [np.nan_to_num(down[good]), np.nan_to_num(up[good])]
        axes.errorbar(
            centres[good], values[good], yerr=bars, fmt="o", color="black", markersize=4, linewidth=1.2,
            label=drawn["data"]["label"],
        )  # fmt: skip
        highest = max(highest, float((values + np.nan_to_num(up))[good].max(initial=0.0)))
    axes.axvline(drawn["threshold"], 0, 0.72, color="black", linestyle=(0, (5, 3)), linewidth=1.6)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(drawn["x"]["label"])
    axes.set_ylabel("Share of events / bin")
    axes.set_yscale("log")
    handles, _ = axes.get_legend_handles_labels()
    words = [
        "Base selection",
        f"threshold {drawn['threshold']:.4g}",
        *(["sample of other conditions"] if drawn["forced"] else []),
    ]
    taken = style.words(axes, words, handles)
    style.headroom(axes, highest, taken, log=True, lowest=max(1e-5, highest * 1e-4))
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
