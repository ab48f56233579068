"""Pulls of the nuisance parameters and their impacts on the parameter of interest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.text import with_error

__all__ = ["data", "draw", "impacts_data"]

#: rows in one figure; the rest is in the table of results.json
ROWS = 24
UP, DOWN = "#bd1f01", "#3f90da"


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the pulls: the fitted value in units of the prior's width, and the fitted error over it."""
    found = artifacts.results.get("pulls") or []
    rows = []
    for pull in found:
        before = pull.get("prefit_error") or 1.0
        off = pull["value"] - pull.get("centre", 0.0)
        rows.append({"name": pull["name"], "pull": off / before, "error": (pull["error"] or 0.0) / before})
    # parameters of single bins are many and mean little; they are in the report's table
    rows = [row for row in rows if "[" not in row["name"]] or rows
    rows.sort(key=lambda row: -abs(row["pull"]))
    if not rows:
        return {}
    worst = ", ".join(f"{row['name']} {with_error(row['pull'], row['error'])}" for row in rows[:3])
    return {
        "pulls": {
            **_common(artifacts, "pulls", rows[:ROWS], len(rows)),
            "title": "Pulls",
            "alt": f"Pulls of {min(len(rows), ROWS)} of {len(rows)} nuisance parameters; the largest: {worst}.",
            "caption": f"Fitted nuisance parameters in units of their prior uncertainty, the largest {ROWS} "
            "pulls at most.",
            "sources": [{"file": "results.json", "key": "pulls"}],
        }
    }


def impacts_data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the impacts: the change of the POI when a nuisance parameter moves by its fitted error."""
    found = artifacts.results.get("impacts") or []
    if not found:
        return {}
    ranked = sorted(found, key=lambda i: -max(abs(i["up"] or 0), abs(i["down"] or 0)))
    rows = [
        {"name": i["name"], "up": i["up"], "down": i["down"], "pull": i.get("pull"), "error": i.get("error")}
        for i in ranked
    ]
    poi = (artifacts.results.get("poi") or {}).get("name", "mu")
    worst = ", ".join(f"{r['name']} {r['up'] or 0:+.3g}/{r['down'] or 0:+.3g}" for r in rows[:3])
    return {
        "impacts": {
            **_common(artifacts, "impacts", rows[:ROWS], len(rows)),
            "poi": poi,
            "title": "Impacts",
            "alt": f"Impacts on {poi} of {min(len(rows), ROWS)} of {len(rows)} nuisance parameters; the "
            f"largest: {worst}.",
            "caption": (
                f"Left: pulls. Right: change of {poi} when a parameter is fixed one fitted error up (red) or "
                "down (blue), "
                "ranked."
            ),
            "sources": [{"file": "results.json", "key": "impacts"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the pulls, with the impacts beside them where there are any."""
    rows = drawn["rows"]
    number = len(rows)
    made = style.figure(width=10.5 if "poi" in drawn else 8.0, height=2.4 + 0.36 * max(number, 4))
    y = np.arange(number)[::-1]
    with_impacts = "poi" in drawn
    left, right = made.subplots(1, 2, sharey=True, width_ratios=[1, 1.1]) if with_impacts else (made.subplots(), None)
    left.axvspan(-2, 2, color="0.93", zorder=0)
    left.axvspan(-1, 1, color="0.85", zorder=0)
    left.axvline(0, color="black", linewidth=0.8)
    pulls = np.array([row["pull"] for row in rows], dtype=float)
    errors = np.nan_to_num(np.array([row["error"] for row in rows], dtype=float))
    left.errorbar(pulls, y, xerr=errors, fmt="o", color="black", markersize=5, linewidth=1.5)
    span = max(2.3, float(np.nanmax(np.abs(pulls) + errors, initial=0.0)) * 1.08)
    left.set_xlim(-span, span)
    # room for the legend below the last row
    left.set_ylim(-1.9 if with_impacts else -0.8, number - 0.2)
    left.set_yticks(y, [_short(row["name"]) for row in rows], fontsize=13.5)
    left.tick_params(axis="y", which="minor", left=False, right=False)
    left.tick_params(axis="y", which="major", length=0)
    left.set_xlabel(r"$(\hat\theta - \theta_0)\,/\,\Delta\theta$")
    style.header(left, drawn["header"]["label"], "" if with_impacts else drawn["header"]["right"])
    if right is not None:
        for key, color, hatch in (("up", UP, None), ("down", DOWN, style.HATCH)):
            widths = np.nan_to_num(np.array([row[key] for row in rows], dtype=float))
            right.barh(
                y,
                widths,
                height=0.62,
                color=color,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                label=f"{key} by one error",
            )
        right.axvline(0, color="black", linewidth=0.8)
        widest = max((max(abs(r["up"] or 0), abs(r["down"] or 0)) for r in rows), default=1.0) or 1.0
        right.set_xlim(-1.25 * widest, 1.25 * widest)
        right.tick_params(axis="y", which="both", length=0)
        right.set_xlabel(rf"Change of {_poi(drawn['poi'])}")
        right.legend(loc="lower right", fontsize=12, frameon=True, framealpha=0.9, edgecolor="none")
        style.header(right, [""], drawn["header"]["right"])
    return made


def _common(artifacts: Artifacts, name: str, rows: list[dict[str, Any]], total: int) -> dict[str, Any]:
    return {"kind": name, "name": name, "header": artifacts.header, "rows": rows, "of": total}


def _poi(name: str) -> str:
    return r"$\mu$" if name == "mu" else name


def _short(name: str, length: int = 34) -> str:
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 + 1 :]}"
