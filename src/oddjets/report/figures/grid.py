"""All letters of every fitted region in one grid."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import postfit

__all__ = ["data", "draw"]

LETTERS = ("A", "B", "C", "D")
SCALE = 0.72


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the panels of all letters, once per hypothesis."""
    made = {}
    found = artifacts.results.get("yields", {})
    for hypothesis, (suffix, what) in postfit.HYPOTHESES.items():
        rows = [
            [postfit.panel(artifacts, region, a, hypothesis) for a in LETTERS if hypothesis in letters.get(a, {})]
            for region, letters in found.items()
        ]
        rows = [row for row in rows if row]
        if rows:
            regions = ", ".join(found)
            made[f"grid{suffix}"] = {
                "kind": "grid",
                "name": f"grid{suffix}",
                "title": f"All letters, {what}",
                "header": artifacts.header,
                "rows": rows,
                "alt": f"Grid of {sum(map(len, rows))} histograms, {what}: rows are the regions {regions}, columns the letters "
                f"{', '.join(LETTERS)}. {' '.join(p['alt'] for p in rows[0][:1])}",
                "caption": f"Rows: regions {regions}; columns: letters. {what.capitalize()}."
                + artifacts.blinded_points,
                "sources": [{"file": "results.json", "key": f"yields.*.*.{hypothesis}"}],
            }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the grid."""
    rows = drawn["rows"]
    columns = max(len(row) for row in rows)
    with style.context(SCALE):
        made = style.figure(4.6 * columns, 4.6 * len(rows))
        with_data = any(panel["data"] is not None for row in rows for panel in row)
        heights = [1.0, 0.35] * len(rows) if with_data else [1.0] * len(rows)
        axes = made.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
        for row, line in enumerate(rows):
            for column in range(columns):
                main = axes[row * (2 if with_data else 1), column]
                below = axes[2 * row + 1, column] if with_data else None
                if column >= len(line):
                    main.set_axis_off()
                    if below is not None:
                        below.set_axis_off()
                    continue
                _panel(main, below, line[column])
        shown = [panel for line in rows for panel in line]
        panels.shared_legend(made, shown, log=any(panel["y"]["log"] for panel in shown))
        style.header(axes[0, 0], drawn["header"]["label"], scale=1.25)
        style.header(axes[0, -1], [""], drawn["header"]["right"], scale=1.25)
    return made


def _panel(main: Any, below: Any, panel: dict[str, Any]) -> None:
    edges, log = panel["x"]["edges"], panel["y"]["log"]
    for axes in (main, below) if below is not None else (main,):
        axes.minorticks_off()
    highest = panels.draw_stack(main, panel, edges=edges, log=log)
    main.set_ylabel(panel["y"]["label"])
    main.set_xlim(edges[0], edges[-1])
    taken = style.text_block(main, [panel["text"][0].split(":")[0], panel["text"][1]], scale=0.9)
    height = main.bbox.height * 72 / matplotlib.rcParams["figure.dpi"]
    style.headroom(main, highest, taken / height, log=log, lowest=postfit.lowest(panel) if log else 0.0)
    bottom = main
    if below is not None:
        if panel["ratio"] is not None:
            panels.draw_ratio(below, panel, edges=edges)
        main.tick_params(axis="x", labelbottom=False)
        bottom = below
    bottom.set_xlabel(panel["x"]["label"], fontsize=0.85 * matplotlib.rcParams["axes.labelsize"])
