"""Acceptance times efficiency of a rescored signal, after each cut and in each region."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw"]

#: inches of a row, and of all that is not rows
ROW, REST = 0.36, 2.0


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the share of the signal's generated events that is left after each cut, in each region and in its A."""
    if not artifacts.has("rescoring"):
        return {}
    found = artifacts.json("rescoring.json", "acceptance", "signal")
    accepted, label = found["acceptance"], found["signal"]["label"]
    rows = [{"name": row["cut"], "group": "cut", **_point(row)} for row in accepted["cuts"]]
    for region, of_region in accepted["regions"].items():
        rows.append({"name": region, "group": "region", **_point(of_region["all"])})
        rows.append({"name": f"{region}, A", "group": "A", **_point(of_region["A"])})
    last, forced = accepted["cuts"][-1], list(found["forced"])
    return {
        "acceptance": {
            "kind": "acceptance",
            "name": "acceptance",
            "title": f"What is left of {label}",
            "header": artifacts.header,
            "rows": rows,
            "forced": forced,
            "alt": (
                f"Share of the generated events of {label} that is left: {100 * last['value']:.3g} % after the base selection,"
                f" and in {len(accepted['regions'])} regions and their A."
            ),
            "caption": (
                f"Acceptance times efficiency of {label}: the share of the weights of all generated events after each cut, in"
                " each region, and in its A, where both jets pass the threshold. Bars: Clopper-Pearson 68 % intervals."
                f"{_forced(forced)}"
            ),
            "sources": [{"file": "rescoring.json", "key": "acceptance"}],
        }
    }


def _point(row: dict[str, Any]) -> dict[str, Any]:
    return {"value": row["value"], "down": row["down"], "up": row["up"]}


def _forced(forced: list[str]) -> str:
    return f" Forced: {'; '.join(forced)}." if forced else ""


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a point with its interval in each row, on a logarithmic axis."""
    rows = drawn["rows"]
    made = style.figure(height=REST + ROW * len(rows))
    axes = made.subplots()
    marks = {"cut": ("o", "black"), "region": ("s", "#3f90da"), "A": ("D", "#bd1f01")}
    words = {"cut": "After the cut", "region": "Region", "A": "Region, A"}
    positive = [row["value"] for row in rows if row["value"] > 0]
    low = 0.3 * min(positive, default=0.1)
    for group, (marker, color) in marks.items():
        chosen = [(i, row) for i, row in enumerate(rows) if row["group"] == group and row["value"] > 0]
        if not chosen:
            continue
        x = np.array([row["value"] for _, row in chosen])
        bars = np.array([[min(row["down"] or 0.0, 0.999 * row["value"]), row["up"] or 0.0] for _, row in chosen]).T
        axes.errorbar(
            x,
            [i for i, _ in chosen],
            xerr=bars,
            fmt=marker,
            color=color,
            markersize=7,
            linewidth=1.6,
            label=words[group],
        )
    for i, row in enumerate(rows):
        if row["value"] <= 0:
            axes.annotate("none", (low * 1.1, i), va="center", fontsize=13, color="0.35")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=13)
    axes.tick_params(axis="y", which="both", length=0)
    axes.minorticks_on()
    axes.yaxis.set_tick_params(which="minor", left=False, right=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlim(low, 1.3)
    axes.grid(axis="x", color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("Acceptance x efficiency")
    axes.legend(loc="upper left", fontsize=13, frameon=True, framealpha=0.9, edgecolor="none")
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
