"""Mean shares of a model's class groups against the jets' mass."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oddjets.io.histograms import DATA
from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw", "figure_data"]

SCALE = 0.72
#: simulated processes that are drawn, those with the most events; more lines cannot be told apart
_MOST_PROCESSES = 4
_JETS = {1: "Leading jet", 2: "Subleading jet"}
#: markers of processes in turn
_MARKERS = "sD^vP"


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return one figure of all signal classes and both jets, of the window that the YAML asks for."""
    found = artifacts.inspection("shares")
    made = None if found is None else figure_data(artifacts, found)
    return {} if made is None else {made["name"]: made}


def figure_data(artifacts: Artifacts, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the data of the figure; None where there are no events, or no signal classes.

    Args:
        artifacts: for labels and colours.
        found: the content of ``shares.json``.
    """
    shown = [name for name in found["signal"] if name in found["classes"]]
    series = _series(artifacts, found)
    if not shown or not series:
        return None
    return {
        "kind": "class_shares",
        "name": "class_shares",
        "title": "Mean shares of the class groups",
        "header": artifacts.header,
        "edges": found["edges"],
        "classes": shown,
        "series": series,
        "alt": (
            f"Mean shares of {', '.join(shown)} against the soft-drop mass of the leading and of the subleading jet, for"
            f" {', '.join(dict.fromkeys(one['label'] for one in series))}. " + " ".join(_in_words(found, shown))
        ),
        "caption": (
            f"{found['window']['region']}: mean share of each signal class of {found['model']} in bins of the jet's own"
            f" soft-drop mass, with the error of the mean. {found['caveat']}"
        ),
        "sources": [{"file": f"inspection/{found['window']['name']}/shares.json", "key": "means"}],
    }


def _series(artifacts: Artifacts, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines: of the sample itself the letter and the others, of simulated processes the letter."""
    own = found["sample"]
    others = sorted(
        {
            (-one["events"], one["sample"])
            for one in found["means"]
            if one["sample"] != own and one["jet"] == 1 and _whole(one)
        }
    )
    largest = list(dict.fromkeys(sample for _, sample in others))[:_MOST_PROCESSES]
    made = []
    for one in found["means"]:
        of_letter = one["selection"] == found["letter"]
        if not _whole(one) or not (one["sample"] == own or (of_letter and one["sample"] in largest)):
            continue
        known = one["sample"] == DATA
        label = artifacts.data_name if known else artifacts.process(one["sample"])["label"]
        made.append(
            {
                "label": f"{label}, {one['selection']}",
                "jet": one["jet"],
                "own": one["sample"] == own,
                "filled": of_letter,
                "color": "black" if one["sample"] == own else artifacts.process(one["sample"])["color"],
                "binned": one["binned"],
            }
        )
    return made


def _whole(one: dict[str, Any]) -> bool:
    """Tell whether these are all events of a letter or of the others, and not those of a window."""
    return all(part in "ABCD" for part in one["selection"].split(", "))


def _in_words(found: dict[str, Any], shown: list[str]) -> list[str]:
    said = []
    for one in found["means"]:
        if one["sample"] == found["sample"] and one["selection"] == found["letter"]:
            largest = max(
                ((one["means"][name][0], name) for name in shown if one["means"][name] is not None), default=None
            )
            if largest:
                said.append(
                    f"{_JETS[one['jet']]}: the largest mean in {found['letter']} is {largest[1]}, {largest[0]:.1%}."
                )
    return said


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a row of panels for each jet, a column for each class."""
    classes, edges = drawn["classes"], np.asarray(drawn["edges"], float)
    jets = sorted({one["jet"] for one in drawn["series"]})
    with style.context(SCALE):
        made = style.figure(1.0 + 2.7 * max(len(classes), 2), 1.2 + 2.9 * len(jets))
        axes = made.subplots(len(jets), len(classes), squeeze=False, sharex=True, sharey="row")
        handles: dict[str, Any] = {}
        for row, jet in enumerate(jets):
            for column, name in enumerate(classes):
                one = axes[row, column]
                _draw_panel(one, [series for series in drawn["series"] if series["jet"] == jet], name, edges, handles)
                style.text_block(one, [name])
                if row == len(jets) - 1:
                    one.set_xlabel("Mass [GeV]")
            axes[row, 0].set_ylabel(f"{_JETS[jet]}: mean share")
            top = max(one.dataLim.y1 for one in axes[row])
            axes[row, 0].set_ylim(0, 1.3 * top if np.isfinite(top) and top > 0 else 1)
        style.header(axes[0, 0], drawn["header"]["label"], scale=1.2)
        style.header(axes[0, -1], [""], drawn["header"]["right"], scale=1.2)
        made.legend(
            handles=list(handles.values()), labels=list(handles), loc="outside lower center", ncols=3, frameon=False
        )
    return made


def _draw_panel(axes: Axes, series: list[dict[str, Any]], name: str, edges: Any, handles: dict[str, Any]) -> None:
    centre, half = (edges[:-1] + edges[1:]) / 2, np.diff(edges) / 2
    shift = np.linspace(-0.5, 0.5, len(series) + 2)[1:-1]
    number = 0
    for place, one in enumerate(series):
        values, errors = (
            np.array([np.nan if bin_ is None else bin_[which] for bin_ in one["binned"][name]], float)
            for which in (0, 1)
        )
        marker = "o"
        if not one["own"]:
            marker, number = _MARKERS[number % len(_MARKERS)], number + 1
        if not np.isfinite(values).any():
            continue
        handles[one["label"]] = axes.errorbar(
            # beside each other, so that errors can be told apart
            centre + shift[place] * half,
            values,
            yerr=errors,
            fmt=marker,
            color=one["color"],
            markerfacecolor=one["color"] if one["filled"] else "white",
            markersize=5,
            linewidth=1.3,
        )
    axes.set_xlim(edges[0], edges[-1])
