"""Data minus the fitted background, with the fitted signal."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import postfit
from oddjets.report.intervals import finite, garwood

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return data minus background in letter A of every region, from the signal + background fit."""
    made = {}
    for region, letters in artifacts.results.get("yields", {}).items():
        entry = letters.get("A", {})
        fitted = entry.get("signal_plus_background")
        if fitted is None or entry.get("data") is None:
            continue
        signals = [p for p in fitted if p != "total" and artifacts.process(p)["signal"]]
        if not signals:
            continue
        signal = np.sum([np.asarray(fitted[p]["values"], dtype=float) for p in signals], axis=0)
        background = np.asarray(fitted["total"]["values"], dtype=float) - signal
        counts = np.asarray(entry["data"], dtype=float)
        down, up = garwood(counts)
        panel = postfit.panel(artifacts, region, "A", "signal_plus_background")
        excess = counts - background
        made[f"residual_{region}"] = {
            "kind": "residual",
            "name": f"residual_{region}",
            "title": f"{artifacts.data_name} minus background, {region}",
            "header": artifacts.header,
            "text": panel["text"],
            "x": panel["x"],
            "y": {"label": panel["y"]["label"].replace("Events", "Events − background")},
            "signal": {
                **artifacts.process(signals[0]),
                "label": " + ".join(artifacts.process(p)["label"] for p in signals),
                "values": finite(signal),
            },
            # the total's error belongs to signal and background together: it is what the points are compared with
            "band": finite(fitted["total"]["errors"]),
            "points": {
                "label": artifacts.data_name,
                "expected": artifacts.blinded,
                "values": finite(excess),
                "down": finite(down),
                "up": finite(up),
            },
            "alt": (
                f"{artifacts.data_name} minus fitted background in {region}, letter A, {len(counts)} bins: "
                f"{excess.sum():.1f} events in all, "
                f"{signal.sum():.1f} of fitted signal."
            ),
            "caption": f"Points: {artifacts.data_name.lower()} minus the fitted background; histogram: the fitted signal; "
            "hatched: the fit's uncertainty." + artifacts.blinded_points,
            "sources": [{"file": "results.json", "key": f"yields.{region}.A.signal_plus_background"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the difference."""
    made = style.figure(height=6.4)
    axes = made.subplots()
    x = np.asarray(drawn["x"]["edges"], dtype=float)
    signal, band = (np.nan_to_num(np.asarray(v, dtype=float)) for v in (drawn["signal"]["values"], drawn["band"]))
    values, down, up = (np.nan_to_num(np.asarray(drawn["points"][k], dtype=float)) for k in ("values", "down", "up"))
    axes.stairs(
        signal,
        x,
        baseline=0,
        fill=True,
        facecolor=drawn["signal"]["color"],
        edgecolor=(0, 0, 0, 0.5),
        hatch=style.HATCH,
        linewidth=0,
        label=f"{drawn['signal']['label']} (fitted)",
    )
    axes.stairs(
        signal + band,
        x,
        baseline=signal - band,
        fill=True,
        facecolor="none",
        edgecolor="0.25",
        hatch="xxxx",
        linewidth=0,
        label="Fit uncertainty",
    )
    axes.errorbar(
        (x[:-1] + x[1:]) / 2,
        values,
        yerr=[down, up],
        fmt="o",
        color="black",
        linewidth=1.4,
        markersize=5,
        markerfacecolor="white" if drawn["points"]["expected"] else "black",
        label="Expected background" if drawn["points"]["expected"] else drawn["points"]["label"],
    )
    axes.axhline(0, color="black", linewidth=1)
    low = min(float(np.min(values - down)), float(np.min(signal - band)), 0.0)
    high = max(float(np.max(values + up)), float(np.max(signal + band)), 1.0)
    taken = min(style.words(axes, drawn["text"], axes.get_legend_handles_labels()[0]), 0.7)
    axes.set_ylim(low - 0.08 * (high - low), high + (0.05 + 1.08 * taken / (1 - taken)) * (high - low))
    axes.set_xlim(x[0], x[-1])
    axes.set_xlabel(drawn["x"]["label"])
    axes.set_ylabel(drawn["y"]["label"])
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
