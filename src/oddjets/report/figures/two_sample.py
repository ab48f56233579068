"""The two-sample test: t of the data among its toys, and where data and reference differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi2

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.finished_studies import current_study

__all__ = ["data", "draw"]

#: maps that are drawn: the score, the mass, and a further column
MOST_MAPS = 3
#: columns in words
_NAMES = {"mass": "soft-drop mass [GeV]", "pt": "pT [GeV]", "btag": "b tag"}
#: the colours end at so many standard deviations
REACH = 5.0


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the toys and the maps of a study of the current event tables; nothing without one."""
    found = current_study(artifacts, "two_sample")
    if found is None:
        return {}
    best = found["test"]["widths"][found["test"]["best"]]
    shared = {"kind": "two_sample", "header": artifacts.header}
    source = {"file": "study/two_sample.json"}
    toys = {
        **shared,
        "name": "two_sample_toys",
        "title": "Two-sample test: data among the toys",
        "edges": best["edges"],
        "counts": best["counts"],
        "t": best["t"],
        "dof": best["dof"],
        "data_label": artifacts.data_name,
        "text": [
            _against(found["against"]),
            f"{found['events']} events, {found['test']['toys']} toys",
            f"width {best['width']:.2f}",
        ],
        "alt": (
            f"Test statistic of {found['test']['toys']} toys at the best width, {best['dof']:.1f} on average, and of"
            f" the data: {best['t']:.1f}."
        ),
        "caption": (
            f"The statistic t of toys in which {found['hypothesis']}, at the width with the smallest p, a chi2 with their"
            f" median, and t of the data. That the width was chosen is in the p of the table, and not in this figure."
        ),
        "sources": [{**source, "key": "test.widths"}],
    }
    maps = list(found["maps"].items())[:MOST_MAPS]
    where = {
        **shared,
        "name": "two_sample_where",
        "title": "Two-sample test: where data and reference differ",
        "panels": [
            {
                "column": _words(artifacts, stem),
                "edges": one["edges"],
                "data": one["data"],
                "reference": one["reference"],
                "sigma": one["sigma"],
            }
            for stem, one in maps
        ],
        "alt": (
            f"Data over reference in cells of {' and of '.join(stem for stem, _ in maps)} of both jets; the largest excess is "
            f"{max((max(map(max, one['sigma'])) for _, one in maps), default=0.0):.1f} standard deviations."
        ),
        "caption": (
            f"Data ({found['part']}) over what is expected where {found['hypothesis']}, in cells of the leading and of the"
            " subleading jet. Ends of the cells are quantiles. Colour: the difference over the root of what is expected,"
            " without the error of the reference."
        ),
        "sources": [{**source, "key": "maps"}],
    }
    return {"two_sample_toys": toys, **({"two_sample_where": where} if maps else {})}


def _against(against: str) -> str:
    return {"own-pairs": "data against their own pairs", "simulation": "data against simulation"}.get(
        against, "data against other events"
    )


def _words(artifacts: Artifacts, stem: str) -> str:
    """Return a column in words: the label of a score, else its name."""
    name = stem.removeprefix("score_")
    score = artifacts.analysis.scores.get(name) if stem.startswith("score_") else None
    if score is None:
        return _NAMES.get(stem, stem.replace("_", " "))
    return score.label or name


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the toys, or the maps side by side."""
    return _draw_maps(drawn) if "panels" in drawn else _draw_toys(drawn)


def _draw_toys(drawn: dict[str, Any]) -> Figure:
    made = style.figure()
    axes = made.subplots()
    edges, counts = (np.asarray(drawn[name], dtype=float) for name in ("edges", "counts"))
    expected = counts.sum() * np.diff(chi2.cdf(edges, drawn["dof"]))
    axes.stairs(counts, edges, fill=True, color=style.PALETTE[9], label="Toys")
    axes.stairs(counts, edges, color="0.2", linewidth=1.2)
    middle = (edges[:-1] + edges[1:]) / 2
    axes.plot(middle, expected, color="black", linestyle="--", linewidth=1.6, label=f"chi2 of {drawn['dof']:.1f}")
    axes.axvline(drawn["t"], 0, 0.7, color=style.PALETTE[2], linewidth=3, label=drawn["data_label"])
    axes.set_xlim(min(edges[0], drawn["t"]), max(edges[-1], 1.05 * drawn["t"]))
    taken = style.words(axes, drawn["text"], axes.get_legend_handles_labels()[0])
    style.headroom(axes, float(max(counts.max(), expected.max(), 1.0)), max(taken, 0.3), log=False)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Test statistic t")
    axes.set_ylabel("Toys / bin")
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made


def _draw_maps(drawn: dict[str, Any]) -> Figure:
    panels = drawn["panels"]
    made = style.figure(7.2 * len(panels), 7.6)
    places = np.atleast_1d(made.subplots(1, len(panels)))
    images = [_draw_map(axes, panel) for axes, panel in zip(places, panels, strict=True)]
    style.header(places[0], drawn["header"]["label"], drawn["header"]["right"] if len(panels) == 1 else "")
    if len(panels) > 1:
        style.header(places[-1], [""], drawn["header"]["right"])
    bar = made.colorbar(images[0], ax=list(places), shrink=0.85, pad=0.02)
    bar.set_label("(data - reference) / sqrt(reference)")
    return made


def _draw_map(axes: Axes, panel: dict[str, Any]) -> Any:
    sigma = np.asarray(panel["sigma"], dtype=float)
    image = axes.imshow(sigma.T, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-REACH, vmax=REACH)
    for i, line in enumerate(panel["data"]):
        for j, number in enumerate(line):
            ink = "white" if abs(sigma[i, j]) > 0.6 * REACH else "black"
            said = f"{number:.0f}\n{panel['reference'][i][j]:.1f}"
            axes.text(i, j, said, ha="center", va="center", color=ink, fontsize=13)
    for axis, edges, which in (
        (axes.xaxis, panel["edges"][0], "leading"),
        (axes.yaxis, panel["edges"][1], "subleading"),
    ):
        axis.set_ticks(
            np.arange(len(edges)) - 0.5, [f"{edge:.3g}" if abs(edge) > 0.01 else f"{edge:.0e}" for edge in edges]
        )
        axis.set_label_text(f"{which} jet: {panel['column']}")
    axes.minorticks_off()
    axes.tick_params(which="both", top=False, right=False, length=4, labelsize=14)
    return image
