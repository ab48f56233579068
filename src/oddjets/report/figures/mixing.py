"""The ABCD constant by efficiency: jets of one event, and jets of different events, which are independent."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.text import with_error

__all__ = ["data", "draw"]

#: part of closure.json: label, colour and marker, readable in grey
PARTS = {
    "structural": ("jets of different events", "#3f90da", "s"),
    "unmixed": ("jets of one event", "#bd1f01", "o"),
}
#: the axis is at least and at most this far from 1
REACH = (0.2, 1.5)


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the constants of all regions that have enough events at some efficiency."""
    found = artifacts.closure.get("parts", {})
    efficiencies = found.get("efficiencies", [])
    panels = []
    for region, one in found.get("regions", {}).items():
        points = {
            part: [
                {"efficiency": e, "value": value, "error": error}
                for e, value, error, use in zip(
                    efficiencies, one[part]["values"], one[part]["errors"], one[part]["used"], strict=True
                )
                if use and value is not None and error is not None
            ]
            for part in PARTS
            if part in one
        }
        if any(points.values()):
            at = {part: {key: one[part][key] for key in ("value", "error")} for part in points}
            panels.append({"region": region, "kind": one["kind"], "points": points, "at": at})
    if not panels:
        return {}
    said = "; ".join(f"{panel['region']} ({panel['kind']}) {_said(panel['at'].get('structural'))}" for panel in panels)
    return {
        "mixing": {
            "kind": "mixing",
            "name": "mixing",
            "title": "What ABCD assumes",
            "header": artifacts.header,
            "working_point": found["working_point"],
            "panels": panels,
            "alt": f"A over B C / D by efficiency. At the working point, for jets of different events: {said}.",
            "caption": (
                "The constant A / (B C / D) for jets of one event and for jets paired with those of other events, which are "
                "independent. Where these are off 1, the region is no product of cuts on each jet; where the two differ, jets "
                "of one event have something in common. Dashed: the working point, with what is measured or extrapolated "
                "there (open)."
            ),
            "sources": [{"file": "closure.json", "key": "parts"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one panel a region."""
    panels = drawn["panels"]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with style.context(0.8):
        made = style.figure(max(4.4 * columns, 6.0), 3.7 * rows + 0.8)
        axes = made.subplots(rows, columns, squeeze=False, sharex=True)
        for index, panel in enumerate(axes.flat):
            if index >= len(panels):
                panel.set_axis_off()
                continue
            _panel(panel, panels[index], drawn["working_point"])
            if index % columns == 0:
                panel.set_ylabel("A / (B C / D)", loc="center")
            if index >= len(panels) - columns:
                panel.set_xlabel("Efficiency [%]", loc="center")
                panel.tick_params(labelbottom=True)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower left", ncols=2, columnspacing=1.2, handletextpad=0.4)
        style.header(axes[0, 0], drawn["header"]["label"], drawn["header"]["right"] if columns == 1 else "")
        if columns > 1:
            style.header(axes[0, -1], [""], drawn["header"]["right"])
    return made


def _panel(axes: Any, one: dict[str, Any], at: float) -> None:
    reach = REACH[0]
    axes.axhline(1, color="black", linewidth=1)
    axes.axvline(100 * at, color="0.4", linewidth=1, linestyle="--")
    for number, (part, (label, color, marker)) in enumerate(PARTS.items()):
        points = one["points"].get(part, [])
        if part not in one["points"]:
            # nothing was measured of the events as they are: no entry in the legend
            continue
        # beside each other, so that none hides the other
        x, y, errors = (np.array([p[key] for p in points], float) for key in ("efficiency", "value", "error"))
        look = {"fmt": marker, "color": color, "ecolor": "black", "markersize": 5, "linewidth": 1.3}
        axes.errorbar(100 * x * (1 + 0.08 * number), y, yerr=errors, label=label, **look)
        found = one["at"].get(part, {})
        if found.get("value") is not None and found.get("error") is not None:
            open_look = {**look, "markerfacecolor": "none", "markersize": 9}
            axes.errorbar([100 * at * (0.88 + 0.02 * number)], [found["value"]], yerr=[found["error"]], **open_look)
        reach = max([reach, *(np.abs(y - 1) + errors)])
    reach = min(1.1 * reach, REACH[1])
    axes.set_xscale("log")
    axes.set_ylim(1 - reach, 1 + reach)
    style.text_block(axes, [one["region"], one["kind"]], scale=0.9)


def _said(part: dict[str, Any] | None) -> str:
    if part is None or part["value"] is None or part["error"] is None:
        return "not known"
    return with_error(part["value"], part["error"])
