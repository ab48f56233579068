"""The yields of all regions and letters: fitted stack and data."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from oddjets.report import layout, panels, style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw"]

#: inches of a bin, and of a region's name at least
BIN, NAME = 0.62, 1.7


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the summed yields of every region and letter, with the fit's errors of the sums (bins are correlated)."""
    labels: list[str] = []
    summed: dict[str, dict[str, list[float]]] = {}
    counts: list[float | None] = []
    cells = [
        (region, letter, entry)
        for region, letters in artifacts.results.get("yields", {}).items()
        for letter, entry in letters.items()
        if "signal_plus_background" in entry
    ]
    for index, (region, letter, entry) in enumerate(cells):
        labels.append(f"{region} {letter}")
        counts.append(None if entry.get("data") is None else float(np.sum(entry["data"])))
        for process, numbers in entry["signal_plus_background"].items():
            one = summed.setdefault(process, {"values": [0.0] * len(cells), "errors": [0.0] * len(cells)})
            one["values"][index], one["errors"][index] = numbers["sum"]["value"], numbers["sum"]["error"]
    if not cells:
        return {}
    observed = None if any(c is None for c in counts) else counts
    expected = [artifacts.blinded and letter == "A" for _, letter, _ in cells]
    stack = panels.stack_data(artifacts, summed, observed, expected=expected)
    totals = ", ".join(f"{label} {value:.4g}" for label, value in zip(labels, stack["total"]["values"], strict=True))
    return {
        "yields": {
            "kind": "yields",
            "name": "yields",
            "title": "Yields",
            "header": artifacts.header,
            "labels": labels,
            **stack,
            "alt": f"Fitted yields of {len(labels)} regions and letters against {artifacts.data_name.lower()}: {totals}.",
            "caption": (
                "All regions and letters, summed over the observable, signal + background fit. "
                "The band is the error of the sum, with the bins' covariance." + artifacts.blinded_points
            ),
            "sources": [{"file": "results.json", "key": "yields"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the yields with their ratio: a tick a letter, and the regions' names below."""
    number = len(drawn["labels"])
    regions = [label.rpartition(" ")[0] for label in drawn["labels"]]
    starts = [k for k in range(number) if k == 0 or regions[k] != regions[k - 1]]
    spans = list(zip(starts, [*starts[1:], number], strict=True))
    # room for a region's name, however few its letters
    unit = max(BIN, NAME / min(end - start for start, end in spans))
    made = style.figure(width=float(np.clip(3 + unit * number, 8, 24)))
    main, below = style.ratio_axes(made, ratio=drawn["data"] is not None)
    edges = [i - 0.5 for i in range(number + 1)]
    highest = panels.draw_stack(main, drawn, edges=edges, log=True)
    main.set_ylabel("Events")
    main.set_xlim(edges[0], edges[-1])
    taken = style.words(main, ["Signal + background fit"], panels.handles([drawn], log=True))
    totals = [t for t in drawn["total"]["values"] if t and t > 0]
    low = min([0.02 * t for t in totals] + [0.3 * highest])
    style.headroom(main, highest, taken, log=True, lowest=max(low, highest * 1e-7))
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    bottom = main
    if below is not None:
        panels.draw_ratio(below, drawn, edges=edges)
        bottom = below
    size = matplotlib.rcParams["xtick.labelsize"]
    width = float(main.bbox.width) * 72 / matplotlib.rcParams["figure.dpi"] / number
    names = [layout.wrapped(regions[a], 0.94 * width * (b - a), size) for a, b in spans]
    for (first, end), lines in zip(spans, names, strict=True):
        for k, line in enumerate(lines):
            bottom.annotate(
                line,
                ((first + end - 1) / 2, 0),
                (0, -(1.9 + 1.15 * k) * size),
                xycoords=bottom.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=size,
                annotation_clip=False,
            )
        for axes in (main, below):
            if axes is not None and first:
                axes.axvline(first - 0.5, color="0.5", linewidth=1, linestyle=":", zorder=0)
    bottom.set_xticks(range(number), [label.rpartition(" ")[2] for label in drawn["labels"]])
    for axes in (main, bottom):
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    return made
