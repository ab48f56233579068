"""The agreement of scores: rank correlations, and the overlap of the events that they select."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oddjets.io.histograms import DATA
from oddjets.report import layout, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.score_comparison import (
    comparison,
    nearest_fraction,
    percent,
    sample_label,
    score_labels,
    shown_signals,
)

__all__ = ["MAX_SCORES", "data", "draw"]

#: scores that are shown, the first of the analysis: the numbers of more cannot be read
MAX_SCORES = 10
#: inches of a cell, so that its number can be read
CELL = 0.62
#: of a tick's label; its middle is left out where it is longer
LONGEST = 28
#: points
LABELS = 12


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return rank correlations and overlaps in each sample; nothing of an analysis with one score."""
    if len(artifacts.analysis.scores) < 2:
        return {}
    compared = comparison(artifacts)
    if compared is None:
        return {}
    names = compared["scores"][:MAX_SCORES]
    labels = score_labels(artifacts.analysis)
    place = nearest_fraction(artifacts, compared)
    signals, left_out = shown_signals(compared)
    samples = [name for name in compared["samples"] if name not in compared["signals"] or name in signals]
    panels = []
    for sample in samples:
        ranks: list[list[float | None]] = [[None] * len(names) for _ in names]
        overlaps: list[list[float | None]] = [[None] * len(names) for _ in names]
        for pair in compared["pairs"]:
            if not set(pair["scores"]) <= set(names):
                continue
            i, j = sorted(names.index(name) for name in pair["scores"])
            rank, common = pair["rank"][sample], pair["overlap"].get(sample)
            ranks[j][i] = None if rank["few"] else rank["value"]
            overlaps[i][j] = None if common is None or common[place]["few"] else common[place]["value"]
        panels.append({"process": sample, "label": sample_label(artifacts, sample), "rank": ranks, "overlap": overlaps})
    fraction = percent(compared["fractions"][place])
    hidden = DATA in samples and not compared["samples"][DATA]["selected"]
    few = len(compared["scores"]) - len(names)
    omitted = [*([f"{left_out} processes"] if left_out else []), *([f"{few} scores"] if few else [])]
    said = "; ".join(f"{artifacts.naming_data(panel['process'])} {_range(panel['rank'])}" for panel in panels)
    return {
        "agreement": {
            "kind": "agreement",
            "name": "agreement",
            "title": "Agreement of the scores",
            "header": artifacts.header,
            "scores": names,
            "labels": [labels[name] for name in names],
            "fraction": compared["fractions"][place],
            "panels": panels,
            "pairs": [{key: pair[key] for key in ("scores", "rank", "overlap", "union")} for pair in compared["pairs"]],
            "alt": f"Matrices of rank correlations of {len(names)} scores and of the overlap of their selections."
            f" Rank correlations: {said}.",
            "caption": (
                "Below the diagonal: Spearman's rank correlation of the smaller scores of both jets. Above it, in bold: the"
                f" share of the selected events that both scores select, at thresholds that keep {fraction} of the"
                " background; empty where these are fewer than 10."
                + (artifacts.naming_data(" The data have thresholds of their own.") if DATA in samples else "")
                + (artifacts.blinded_events if hidden else "")
                + (f" Not shown: {' and '.join(omitted)}." if omitted else "")
            ),
            "sources": [{"file": "events/", "key": "min(score_*_1, score_*_2)"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a matrix for each sample."""
    panels, number = drawn["panels"], len(drawn["labels"])
    labels = [x if len(x) <= LONGEST else f"{x[: LONGEST // 2]}…{x[-LONGEST // 2 + 1 :]}" for x in drawn["labels"]]
    columns = min(len(panels), 3 if number <= 6 else 2)
    rows = -(-len(panels) // columns)
    side = max(CELL * number, 2.4)
    with style.context(0.8):
        words = max(layout.text_width(label, LABELS) for label in labels) / 72 + 0.2
        # the last panels of the columns have labels below them, whichever row they are in
        written = words * (1 if len(panels) % columns == 0 else 2)
        made = style.figure(max(columns * (side + 0.2) + words + 1.6, 8.6), rows * (side + 0.6) + written + 0.7)
        axes = made.subplots(rows, columns, squeeze=False)
        image: Any = None
        for index, panel in enumerate(axes.flat):
            if index >= len(panels):
                panel.set_axis_off()
                continue
            image = _panel(panel, panels[index])
            below = index >= len(panels) - columns
            panel.set_xticks(range(number), labels if below else [""] * number, rotation=90, fontsize=LABELS)
            panel.set_yticks(range(number), labels if index % columns == 0 else [""] * number, fontsize=LABELS)
            panel.tick_params(which="both", length=0)
            panel.minorticks_off()
            label = "\n".join(layout.wrapped(panels[index]["label"], 72 * side, 13, bold=True))
            panel.set_xlabel(label, loc="center", fontsize=13, fontweight="bold")
        bar = made.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=LABELS)
        bar.set_label("Rank correlation, overlap", fontsize=13)
        style.header(axes[0, 0], drawn["header"]["label"], drawn["header"]["right"] if columns == 1 else "")
        if columns > 1:
            style.header(axes[0, -1], [""], drawn["header"]["right"])
    return made


def _panel(axes: Axes, panel: dict[str, Any]) -> Any:
    ranks, overlaps = (np.array(panel[key], dtype=float) for key in ("rank", "overlap"))
    matrix = np.where(np.isfinite(ranks), ranks, overlaps)
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for i, j in np.argwhere(np.isfinite(matrix)):
        value = matrix[i, j]
        text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
        color = "white" if abs(value) > 0.6 else "black"
        weight = "bold" if j > i else "normal"
        axes.text(j, i, text, ha="center", va="center", fontsize=11, color=color, fontweight=weight)
    return image


def _range(matrix: list[list[float | None]]) -> str:
    values = [value for row in matrix for value in row if value is not None]
    return f"{min(values):.2f} to {max(values):.2f}" if values else "not known"
