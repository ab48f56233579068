"""The change of the scores of the oddest events without groups of constituents, beside that without random ones."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw", "figure_data"]

#: kind of group -> its colour
COLORS = {
    "prong": style.PALETTE[0],
    "species": style.PALETTE[1],
    "displacement": style.PALETTE[2],
    "softest": style.PALETTE[3],
}
#: factor on font sizes, and inches a bar
SCALE, ROW = 0.8, 0.34
_JET = {1: "Leading jet", 2: "Subleading jet"}


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return one figure an event, of the window that the YAML asks for."""
    found = artifacts.inspection("why")
    made = [] if found is None else [figure_data(artifacts, found, number) for number in range(len(found["events"]))]
    return {one["name"]: one for one in made if one is not None}


def figure_data(artifacts: Artifacts, found: dict[str, Any], number: int) -> dict[str, Any] | None:
    """Return the data of one event's figure; None where there is no number to draw.

    Args:
        artifacts: for the line above it.
        found: the content of ``why.json``.
        number: of the event, from 0.
    """
    event = found["events"][number]
    jets = [jet for jet in event["jets"] if any(group["change"] is not None for group in jet["groups"])]
    if not jets:
        return None
    return {
        "kind": "why",
        "name": f"why_{number + 1:02d}",
        "title": f"What the scores of event {event['id']} rest on",
        "header": artifacts.header,
        "panels": [_panel(jet) for jet in jets],
        "alt": " ".join(_in_words(jet) for jet in jets),
        "caption": (
            f"Event {event['id']}: change of the score's logit when a group of constituents is removed (full bars), or its d0"
            " and dz are set to 0 (hatched). Grey: mean, standard deviation and range of up to"
            f" {found['plan']['draws']} sets of random constituents, as many and with about the same pT."
            f" {found['axis'].capitalize()}. {found['caveat']}"
        ),
        "sources": [{"file": f"inspection/{found['window']['name']}/why.json", "key": f"events.{number}"}],
    }


def _panel(jet: dict[str, Any]) -> dict[str, Any]:
    bars = [
        {
            "label": group["name"],
            "number": group["constituents"],
            "kind": group["kind"],
            "reset": group["action"] == "reset",
            "change": group["change"],
            "note": group["note"],
            "random": group["random"],
        }
        for group in jet["groups"]
        if group["shown"]
    ]
    return {"title": _JET[jet["jet"]], "score": jet["score"], "bars": bars}


def _in_words(jet: dict[str, Any]) -> str:
    known = [group for group in jet["groups"] if group["shown"] and group["change"] is not None]
    lowest = min(known, key=lambda group: group["change"])
    what = f"d0 and dz of {lowest['name']} set to 0" if lowest["action"] == "reset" else f"{lowest['name']} removed"
    return (
        f"{_JET[jet['jet']]}, score {jet['score']:.4f}: changes of the logit for {len(known)} groups of constituents; the"
        f" lowest is {lowest['change']:+.2f} with {what}."
    )


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a panel of bars for each jet."""
    panels = drawn["panels"]
    with style.context(SCALE):
        made = style.figure(11.5, 2.3 + ROW * max(len(panel["bars"]) for panel in panels))
        axes = made.subplots(1, len(panels), squeeze=False)[0]
        reach = 1.08 * max(_reach(panel) for panel in panels)
        for one, panel in zip(axes, panels, strict=True):
            _draw_panel(one, panel)
            one.set_xlim(-reach, reach)
        style.header(axes[0], drawn["header"]["label"])
        style.header(axes[-1], [""], drawn["header"]["right"])
        made.legend(handles=_handles(panels), loc="outside lower center", ncols=4, handlelength=1.5, frameon=False)
    return made


def _handles(panels: list[dict[str, Any]]) -> list[Any]:
    """Return what the legend explains, of what is there."""
    bars = [bar for panel in panels for bar in panel["bars"]]
    handles: list[Any] = [Patch(facecolor="0.45", label="removed")]
    if any(bar["reset"] for bar in bars):
        handles.append(Patch(facecolor="white", edgecolor="0.45", hatch=style.HATCH, label="d0 and dz set to 0"))
    if any(bar["random"] for bar in bars):
        handles.append(Patch(facecolor="0.82", label="random constituents: mean, sd"))
        handles.append(Line2D([], [], color="0.45", linewidth=1.0, label="their range"))
    return handles


def _reach(panel: dict[str, Any]) -> float:
    found = [abs(bar["change"]) for bar in panel["bars"] if bar["change"] is not None]
    for bar in panel["bars"]:
        if bar["random"]:
            found += [abs(bar["random"]["lowest"]), abs(bar["random"]["highest"])]
    return max(found, default=1.0) or 1.0


def _draw_panel(axes: Axes, panel: dict[str, Any]) -> None:
    bars = panel["bars"]
    rows = np.arange(len(bars))[::-1]
    for y, bar in zip(rows, bars, strict=True):
        if (random := bar["random"]) is not None:
            low, high = random["mean"] - random["spread"], random["mean"] + random["spread"]
            axes.barh(y, high - low, left=low, height=0.86, color="0.82", linewidth=0, zorder=1)
            axes.plot([random["mean"]] * 2, [y - 0.43, y + 0.43], color="0.45", linewidth=1.4, zorder=1.5)
            axes.plot([random["lowest"], random["highest"]], [y, y], color="0.45", linewidth=1.0, zorder=3)
        if bar["change"] is None:
            axes.annotate(bar["note"], (0, y), (4, 0), textcoords="offset points", va="center", color="0.35")
            continue
        axes.barh(
            y,
            bar["change"],
            height=0.44,
            color="white" if bar["reset"] else COLORS[bar["kind"]],
            edgecolor=COLORS[bar["kind"]],
            hatch=style.HATCH if bar["reset"] else None,
            linewidth=1.2,
            zorder=2,
        )
    # not up to the words
    axes.plot([0, 0], [-0.7, len(bars) - 0.45], color="black", linewidth=0.8, zorder=4)
    size = 0.8 * float(matplotlib.rcParams["ytick.labelsize"])
    labels = [f"{'d0, dz: ' if bar['reset'] else ''}{bar['label']} ({bar['number']})" for bar in bars]
    axes.set_yticks(rows, labels, fontsize=size)
    # room for the words above the first bar
    axes.set_ylim(-0.7, len(bars) + 0.5)
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="y", which="minor", left=False, right=False)
    axes.set_xlabel("Change of the score's logit")
    style.text_block(axes, [f"{panel['title']}, score {panel['score']:.4f}"])
