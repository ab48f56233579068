"""The effect of each systematic variation on a process: up and down over nominal, in letter A."""

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
from oddjets.report.intervals import finite, ratio

__all__ = ["data", "draw"]

#: figures: the largest processes
MAX_PROCESSES = 12
#: panels side by side, and their size in inches: more are too small to be read on a page
COLUMNS = 4
PANEL = (3.6, 2.7)
#: inches at least: with less, the figure has one column of the page, and its text is too small there
WIDTH = 8.6
UP, DOWN, BAND = "#bd1f01", "#3f90da", "0.85"


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the ratios for every process that has variations, the largest first."""
    fit = artifacts.analysis.fit
    histograms = artifacts.histograms
    if fit is None:
        return {}
    regions = [r for r in fit.regions if (r, fit.observable) in histograms.histograms]
    sizes = {
        p: sum(histograms.values(r, fit.observable, p, "A").sum() for r in regions)
        for p, names in histograms.variations.items()
        if p != "data" and len(names) > 1 and p != artifacts.analysis.data_driven
    }
    made = {}
    for process in sorted(sizes, key=lambda p: -sizes[p])[:MAX_PROCESSES]:
        rows = [_row(artifacts, region, fit.observable, process) for region in regions]
        rows = [row for row in rows if row["panels"]]
        if not rows:
            continue
        changes = [
            (abs(v - 1), p["name"])
            for row in rows
            for p in row["panels"]
            for k in ("up", "down")
            for v in p[k] or [1.0]
            if v is not None
        ]
        # a process without an event in A has ratios nowhere
        if not changes:
            continue
        largest = max(changes)
        made[f"systematics_{process}"] = {
            "kind": "systematics",
            "name": f"systematics_{process}",
            "title": f"Systematic variations of {artifacts.process(process)['label']}",
            "header": artifacts.header,
            "label": artifacts.process(process)["label"],
            "x": {"label": artifacts.axis_label(fit.observable)},
            "rows": rows,
            "alt": (
                f"Up and down variations over nominal of {process} in letter A of {', '.join(r['region'] for r in rows)} for "
                f"{', '.join(p['name'] for p in rows[0]['panels'])}; the largest change of a bin is {largest[0]:.1%}, "
                f"from {largest[1]}."
            ),
            "caption": "Up (solid) and down (dashed) over nominal, letter A; grey: statistical error of the "
            "nominal simulation.",
            "sources": [{"file": "histograms/", "key": f"*.{fit.observable}: {process}, A"}],
        }
    return made


def _row(artifacts: Artifacts, region: str, observable: str, process: str) -> dict[str, Any]:
    histograms = artifacts.histograms
    names = histograms.variations[process]
    nominal = histograms.values(region, observable, process, "A")
    error = np.sqrt(histograms.variances(region, observable, process, "A"))
    bases = list(dict.fromkeys(n.removesuffix("Up").removesuffix("Down") for n in names if n != "nominal"))
    drawn = []
    for base in bases:
        sides = {
            side: finite(ratio(histograms.values(region, observable, process, "A", base + suffix), nominal))
            if base + suffix in names
            else None
            for side, suffix in (("up", "Up"), ("down", "Down"))
        }
        drawn.append({"name": base, **sides})
    edges = [float(e) for e in histograms.edges(region, observable)]
    return {"region": region, "edges": edges, "band": finite(ratio(error, nominal)), "panels": drawn}


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one panel a systematic, region after region, all on one scale."""
    panels = [(line, one) for line in drawn["rows"] for one in line["panels"]]
    columns = min(max(len(line["panels"]) for line in drawn["rows"]), COLUMNS)
    # every region starts a row
    starts = np.cumsum([0, *(-(-len(line["panels"]) // columns) for line in drawn["rows"])])
    places = [
        (start + k // columns, k % columns)
        for start, line in zip(starts, drawn["rows"], strict=False)
        for k in range(len(line["panels"]))
    ]
    with style.context(0.75):
        made = style.figure(max(PANEL[0] * columns + 0.6, WIDTH), PANEL[1] * starts[-1] + 1.2)
        axes = made.subplots(starts[-1], columns, squeeze=False, sharey=True)
        for panel in axes.flat:
            panel.set_axis_off()
        reach, taken = 0.02, 0.0
        for (line, one), place in zip(panels, places, strict=True):
            axes[place].set_axis_on()
            largest, words = _panel(axes[place], line, one)
            reach, taken = max(reach, largest), max(taken, words)
        for panel in axes[:, 0]:
            panel.set_ylabel("Varied / nominal", loc="center")
        axes[places[-1]].set_xlabel(drawn["x"]["label"])
        low, high = min(1.2 * reach, 1.0), min(1.2 * reach, 1.2)
        taken = min(taken, 0.6)
        # the words are above the lines
        axes[0, 0].set_ylim(1 - low, 1 - low + (low + high) / (1 - taken))
        made.legend(
            handles=[
                Line2D([], [], color=UP, linewidth=2, label="up"),
                Line2D([], [], color=DOWN, linewidth=2, linestyle="--", label="down"),
                Patch(color=BAND, label="statistical error of the nominal"),
            ],
            loc="outside lower left",
            ncols=3,
        )
        right = f"{drawn['label']}   {drawn['header']['right']}"
        style.header(axes[0, 0], drawn["header"]["label"], "" if columns > 1 else right, scale=1.1)
        if columns > 1:
            style.header(axes[0, -1], [""], right, scale=1.1)
    return made


def _panel(panel: Axes, line: dict[str, Any], one: dict[str, Any]) -> tuple[float, float]:
    """Draw one systematic in one region; return its largest change, and the fraction of the panel that its words take."""
    x = np.asarray(line["edges"], dtype=float)
    band = np.nan_to_num(np.asarray(line["band"], dtype=float))
    panel.stairs(1 + band, x, baseline=1 - band, fill=True, color=BAND, linewidth=0)
    panel.axhline(1, color="black", linewidth=0.8)
    reach = 0.0
    for key, color, dash in (("up", UP, "-"), ("down", DOWN, "--")):
        if one[key] is not None:
            values = np.asarray(one[key], dtype=float)
            panel.stairs(values, x, baseline=None, color=color, linestyle=dash, linewidth=2)
            reach = max(reach, float(np.nanmax(np.abs(values - 1), initial=0.0)))
    panel.set_xlim(x[0], x[-1])
    taken = style.text_block(panel, [one["name"], line["region"]], scale=0.9)
    return reach, taken / (panel.bbox.height * 72 / matplotlib.rcParams["figure.dpi"])
