"""The ABCD closure at several thresholds and in data: the fitted constants side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import layout, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.text import with_error

__all__ = ["data", "draw"]

#: what the verdicts look like: face colour ("none": open) and marker, readable in grey
LOOKS = {"closes": ("#3f90da", "o"), "does not close": ("#bd1f01", "s"), "inconclusive": ("none", "o")}
#: the axis ends here at the latest; points beyond are shown at the edge
LONGEST = 2.5
#: inches
WIDTH = 9.5


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the constants of all regions at the fit's threshold and in every scan."""
    closure = artifacts.closure
    threshold = {"label": "at the threshold", "regions": closure.get("regions", {})}
    sources = (threshold, *closure.get("scans", []))
    rows = [
        {
            "region": region,
            "label": artifacts.naming_data(scan["label"]),
            "value": found["constant"],
            "error": found["constant_error"],
            "verdict": found["verdict"],
        }
        for region in dict.fromkeys(region for source in sources for region in source["regions"])
        for scan in sources
        if (found := scan["regions"].get(region)) is not None and found["constant"] is not None
    ]
    if not rows or not closure.get("scans"):
        return {}
    process = closure.get("process") or artifacts.analysis.data_driven or "background"
    measured = bool(closure.get("regions")) or any(scan["process"] == process for scan in closure["scans"])
    of_simulation = (
        f"of simulated {process} at the threshold of the fit and at looser ones, where there are more events, and "
        if measured
        else ""
    )
    said = "; ".join(
        f"{r['region']}, {r['label']}: {with_error(r['value'], r['error'])} ({r['verdict']})" for r in rows
    )
    return {
        "closures": {
            "kind": "closures",
            "name": "closures",
            "title": "ABCD closure at other thresholds",
            "header": artifacts.header,
            "rows": rows,
            "alt": f"Constant fitted to A over B C / D: {said}.",
            "caption": (
                f"The constant fitted to A / (B C / D) {of_simulation}in {artifacts.data_name.lower()} whose scores are both"
                " below the threshold. Filled blue: closes; red square: does not close, 3 errors off 1; open: inconclusive."
            ),
            "sources": [{"file": "closure.json", "key": "regions, scans"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one row a constant, region after region."""
    rows = drawn["rows"]
    made = style.figure(width=WIDTH, height=3.0 + 0.48 * max(len(rows), 4))
    axes = made.subplots()
    y = np.arange(len(rows))[::-1]
    values, errors = (np.array([row[k] for row in rows], dtype=float) for k in ("value", "error"))
    reach = float(np.clip(np.max(np.abs(values - 1) + errors, initial=0.2) * 1.1, 0.3, LONGEST))
    axes.axvspan(0.9, 1.1, color="0.9", zorder=0, linewidth=0, label="one within 10 %")
    axes.axvline(1, color="black", linewidth=1)
    shown: set[str] = set()
    for k, row in enumerate(rows):
        face, marker = LOOKS[row["verdict"]]
        axes.errorbar(
            np.clip(values[k], 1 - reach, 1 + reach),
            y[k],
            xerr=errors[k],
            fmt=marker,
            markerfacecolor=face,
            markeredgecolor="black" if face == "none" else face,
            ecolor="black",
            markersize=7,
            linewidth=1.5,
            label=row["verdict"] if row["verdict"] not in shown else None,
        )
        shown.add(row["verdict"])
        if k and row["region"] != rows[k - 1]["region"]:
            axes.axhline(y[k] + 0.5, color="0.6", linewidth=0.8)
    axes.set_xlim(1 - reach, 1 + reach)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    names = [layout.wrapped(f"{row['region']}: {row['label']}", 0.4 * 72 * WIDTH, 13, lines=2) for row in rows]
    axes.set_yticks(y, ["\n".join(name) for name in names], fontsize=13)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_xlabel("A / (B C / D), fitted constant")
    made.legend(loc="outside lower left", ncols=4, columnspacing=1.2, handletextpad=0.4)
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
