"""The significance improvement of every score by how much background its threshold keeps, for each signal."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.score_comparison import comparison, estimate_text, sample_label, score_labels, shown_signals

__all__ = ["MAX_SCORES", "data", "draw"]

#: scores that are drawn, the first of the analysis: more lines cannot be told apart
MAX_SCORES = len(style.DASHES)
MARKERS = "osD^vP*X<"


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the significance improvements; nothing of an analysis with one score, or without signals."""
    if len(artifacts.analysis.scores) < 2:
        return {}
    compared = comparison(artifacts)
    if compared is None or not compared["signals"]:
        return {}
    labels = score_labels(artifacts.analysis)
    signals, left_out = shown_signals(compared)
    names = compared["scores"][:MAX_SCORES]
    panels = [
        {
            "signal": signal,
            "label": sample_label(artifacts, signal),
            "scores": [
                {"score": name, "label": labels[name], **compared["separation"][signal][name]} for name in names
            ],
        }
        for signal in signals
    ]
    place = compared["fractions"].index(0.01) if 0.01 in compared["fractions"] else 0
    said = "; ".join(
        f"{signal}: "
        + ", ".join(
            f"{name} {estimate_text(compared['separation'][signal][name]['improvement'][place])}" for name in names
        )
        for signal in signals
    )
    background = sample_label(artifacts, compared["background"])
    few = len(compared["scores"]) - len(names)
    omitted = [
        *([f"{left_out} processes"] if left_out else []),
        *([f"{few} scores"] if few else []),
    ]
    return {
        "sic": {
            "kind": "sic",
            "name": "sic",
            "title": "Significance improvement of the scores",
            "header": artifacts.header,
            "background_label": background,
            "panels": panels,
            "alt": (
                f"Efficiency of the signal over the root of that of {background}, against the share of {background} that is"
                f" kept, for {len(names)} scores. At {100 * compared['fractions'][place]:g} %: {said}."
            ),
            "caption": (
                "Both jets' scores above a threshold that keeps this share of the background: efficiency of the signal over"
                " the root of what is kept. 1: the significance of a count is as without a cut. Errors are of the"
                " statistics of both samples, and common to all scores in part. Thresholds with fewer than 10 effective"
                " events of background above them are left out."
                + (f" Not shown: {' and '.join(omitted)}." if omitted else "")
            ),
            "sources": [{"file": "events/", "key": "min(score_*_1, score_*_2)"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one panel a signal."""
    panels = drawn["panels"]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with style.context(0.8):
        made = style.figure(max(4.4 * columns, 6.0), 4.0 * rows + 0.9)
        axes = made.subplots(rows, columns, squeeze=False)
        for index, panel in enumerate(axes.flat):
            if index >= len(panels):
                panel.set_axis_off()
                continue
            _panel(panel, panels[index])
            if index % columns == 0:
                panel.set_ylabel("Significance improvement", loc="center")
            if index >= len(panels) - columns:
                panel.set_xlabel("Background kept [%]", loc="center")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        made.legend(
            handles,
            labels,
            loc="outside lower left",
            ncols=2 if columns == 1 else 3,
            columnspacing=1.2,
            handletextpad=0.5,
        )
        style.header(axes[0, 0], drawn["header"]["label"], drawn["header"]["right"] if columns == 1 else "")
        if columns > 1:
            style.header(axes[0, -1], [""], drawn["header"]["right"])
    return made


def _panel(axes: Axes, panel: dict[str, Any]) -> None:
    highest = 1.0
    for number, one in enumerate(panel["scores"]):
        points = [p for p in one["improvement"] if not p["few"] and p["value"] is not None]
        x, y, down, up = (np.array([p[k] for p in points], float) for k in ("kept", "value", "down", "up"))
        # beside each other, so that none hides the other
        axes.errorbar(
            100 * x * (1 + 0.03 * (number - len(panel["scores"]) / 2)),
            y,
            yerr=[down, up],
            label=one["label"],
            color=style.PALETTE[number % len(style.PALETTE)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle=style.DASHES[number % len(style.DASHES)],
            markersize=5,
            linewidth=1.4,
        )
        highest = max([highest, *(y + up)])
    axes.axhline(1, color="0.5", linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(0.14, 7)
    ticks = [0.2, 0.5, 1, 2, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    taken = style.text_block(axes, [panel["label"]], scale=0.9)
    style.headroom(axes, highest, taken / (axes.bbox.height * 72 / axes.figure.dpi), log=False)
