"""The columns in which the events of a window differ most from others, and where their jets are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["MOST_JETS", "OTHERS", "WINDOW", "data", "draw", "draw_square", "figures_of"]

WINDOW, OTHERS = "#bd1f01", "0.55"
#: of all jets that a window is compared with, so many are drawn
MOST_JETS = 3000
#: where there are so many events, the points are smaller
MANY = 500


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the figures of the window that the YAML asks for."""
    found = artifacts.inspection("neighbours")
    return {} if found is None else figures_of(artifacts, found)


def figures_of(artifacts: Artifacts, found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the data of the figures of a window: one for each sample that it is compared with.

    Args:
        artifacts: for the line above them.
        found: the content of ``neighbours.json``.
    """
    made = {}
    for key, one in found["against"].items():
        if not one["columns"]:
            continue
        name = f"neighbours_{key}"
        by_name = {c["name"]: c for c in one["columns"]}
        panels = [{**drawn, "corrected": by_name[drawn["name"]]["corrected"]} for drawn in one["drawn"]]
        window = one.get("of") or found["window"]["text"]
        # of the azimuth nothing but places is compared
        shown = panels or [c for c in one["columns"] if c["corrected"] is not None]
        said = ", ".join(f"{p['name']} (p {p['corrected']:.2g})" for p in shown)
        places = "both jets in (eta, phi); squares: the largest excess (full) and deficit (dashed)."
        made[name] = {
            "kind": "neighbours",
            "name": name,
            "title": f"Against {one['title']}",
            "header": artifacts.header,
            "window": window,
            "of": one.get("of", ""),
            "against": one["title"],
            "events": one["events"],
            "reference": one["reference"],
            "panels": panels,
            "jets": {which: [values[:MOST_JETS] for values in columns] for which, columns in one["jets"].items()},
            "hot": one["hot"],
            "dead": one["dead"],
            "places": {c["name"]: c["corrected"] for c in one["columns"] if c["window"] is None},
            "alt": f"{one['events']} events in {window} against {one['title']}. Most different: {said}.",
            "caption": f"{one['events']} events of {window} against {one['title']}: {places}"
            if not panels
            else (
                f"The {len(panels)} columns in which the {one['events']} events in {window} differ most from {one['title']}"
                f" ({one['reference']} events, scaled), with p corrected for the number of columns; outer bins hold what is"
                f" beyond. Last panel: {places}"
            ),
            "sources": [{"file": f"inspection/{found['window']['name']}/neighbours.json", "key": f"against.{key}"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one panel a column, and one of the jets in (eta, phi)."""
    has_jets = bool(drawn["jets"])
    number = len(drawn["panels"]) + has_jets
    columns = min(3, max(number, 1))
    rows = -(-max(number, 1) // columns)
    with style.context(0.75):
        made = style.figure(4.6 * columns, 4.0 * rows + 0.5)
        axes = made.subplots(rows, columns, squeeze=False)
        for index, panel in enumerate(axes.flat):
            if index < len(drawn["panels"]):
                _column(panel, drawn, drawn["panels"][index])
            elif has_jets and index == len(drawn["panels"]):
                _jets(panel, drawn)
            else:
                panel.set_axis_off()
        style.header(axes[0, 0], drawn["header"]["label"])
        style.header(axes[0, -1], ("",), drawn["header"].get("right", ""))
    return made


def _column(panel: Axes, drawn: Mapping[str, Any], one: Mapping[str, Any]) -> None:
    edges, counts = np.asarray(one["edges"]), np.asarray(one["window"], float)
    scale = drawn["events"] / drawn["reference"]
    others = np.asarray(one["others"], float)
    panel.stairs(others * scale, edges, color=OTHERS, fill=True, alpha=0.5, label=drawn["against"])
    error = np.sqrt(others) * scale
    panel.stairs(
        others * scale + error, edges, baseline=np.maximum(others * scale - error, 0), fill=True, color="none",
        hatch="////", edgecolor="0.4", linewidth=0,
    )  # fmt: skip
    centres = (edges[1:] + edges[:-1]) / 2
    panel.errorbar(
        centres,
        counts,
        np.sqrt(counts),
        fmt="o",
        color=WINDOW,
        markersize=5,
        label="window" if not drawn.get("of") else drawn["of"],
    )
    highest = max(float((counts + np.sqrt(counts)).max()), float((others * scale + error).max()), 1.0)
    panel.set_ylim(0, 1.5 * highest)
    panel.set_xlim(edges[0], edges[-1])
    panel.set_xlabel(one["name"])
    panel.set_ylabel("events")
    panel.legend(loc="upper left", frameon=False, title=f"p = {one['corrected']:.2g}, corrected")


def _jets(panel: Axes, drawn: Mapping[str, Any]) -> None:
    for which, color, size in (("others", OTHERS, 3), ("window", WINDOW, 14 if drawn["events"] < MANY else 4)):
        eta_1, phi_1, eta_2, phi_2 = (np.array(values, float) for values in drawn["jets"][which])
        panel.scatter(
            np.concatenate([eta_1, eta_2]), np.concatenate([phi_1, phi_2]), s=size, c=color, alpha=0.7, linewidths=0,
            zorder=2 if which == "window" else 1,
        )  # fmt: skip
    for key, line in (("hot", "-"), ("dead", "--")):
        if spot := drawn[key]:
            draw_square(panel, spot, line)
    panel.set_ylim(-np.pi, np.pi * 1.5)
    panel.set_xlabel(r"$\eta$ of both jets")
    panel.set_ylabel(r"$\phi$")
    p = ", ".join(
        f"{name.rpartition(' ')[2]} {value:.2g}" for name, value in drawn["places"].items() if value is not None
    )
    panel.text(0.03, 0.97, f"p, corrected: {p}", transform=panel.transAxes, va="top")


def draw_square(panel: Axes, spot: Mapping[str, Any], line: str) -> None:
    """Draw a square of (eta, phi), in two parts where it reaches over phi = pi."""
    half = spot["size"] / 2
    for turn in (-2 * np.pi, 0.0, 2 * np.pi):
        low, high = max(spot["phi"] + turn - half, -np.pi), min(spot["phi"] + turn + half, np.pi)
        if low < high:
            panel.add_patch(
                Rectangle(
                    (spot["eta"] - half, low), 2 * half, high - low, fill=False, edgecolor="black", linestyle=line,
                    linewidth=1.4, zorder=4,
                )
            )  # fmt: skip
