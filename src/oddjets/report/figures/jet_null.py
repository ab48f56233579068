"""Local p-values of the mass of the oddest single jets in experiments without signal, and the smallest of all choices."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.jet_studies import global_text, studies_of

__all__ = ["data", "draw"]

#: of smaller local p nothing is drawn
LEAST = 1e-6


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distributions of each study of single jets."""
    made = {}
    for source, found in studies_of(artifacts).items():
        name = f"jet_null_{source.replace('-', '_')}"
        number = found["experiments"]
        choices = [
            {
                "label": f"{artifacts.analysis.score_label(one['score'])}, {100 * one['efficiency']:.3g} %",
                "seen": one["local"]["seen"],
                "fraction": curve,
            }
            for one, curve in zip(found["choices"], found["curve"]["choices"], strict=True)
        ]
        together = found["together"]
        curves = [
            {"label": label, "seen": together[key]["seen"], "fraction": found["curve"][key]}
            for key, label in (("window", "in the window"), ("anywhere", f"at {found['positions']} masses"))
        ]
        said = "; ".join(
            f"{words}, {together[key]['seen']:.2g} is the smallest local p, global {global_text(together[key])}"
            for key, words in (
                ("window", "of all scores and efficiencies in the window"),
                ("anywhere", f"of all scores, efficiencies and {found['positions']} masses"),
            )
        )
        made[name] = {
            "kind": "jet_null",
            "name": name,
            "title": f"Single jets without signal ({source})",
            "header": artifacts.header,
            "experiments": number,
            "p": found["curve"]["p"],
            "choices": choices,
            "together": curves,
            "text": [f"{number} experiments", found["name"]],
            "data_label": artifacts.data_name,
            "alt": f"Local p-values of {number} experiments without signal against how often they are as small. {said}.",
            "caption": (
                f"How often {number} experiments without signal ({source}) have a local p-value as small. Left: each score and"
                " efficiency in the window; where local p-values are right, the lines are on the diagonal. Right: the smallest"
                f" of all scores and efficiencies, which see the same jets. Points: {artifacts.data_name.lower()}; at the left"
                f" edge where the local p is below {LEAST:g}, and at half of one experiment where none has one as small."
                f" {said[0].upper()}{said[1:]}."
            ),
            "sources": [{"file": f"study/jets_{source.replace('-', '_')}.json", "key": "curve"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the choices, and beside them the smallest of all."""
    with style.context(0.85):
        made = style.figure(13.0, 6.4)
        left, right = made.subplots(1, 2)
        _panel(left, drawn, drawn["choices"], [*drawn["text"]])
        _panel(right, drawn, drawn["together"], ["Smallest of all scores", "and efficiencies"])
        left.set_xlabel("Local p-value in the window")
        right.set_xlabel("Smallest local p-value")
        style.header(left, drawn["header"]["label"])
        style.header(right, ("",), drawn["header"]["right"])
    return made


def _panel(axes: Axes, drawn: dict[str, Any], curves: list[dict[str, Any]], text: list[str]) -> None:
    p = np.asarray(drawn["p"], float)
    lowest = 0.5 / drawn["experiments"]
    axes.plot(p, p, color="0.5", linestyle="--", linewidth=1.4)
    for k, curve in enumerate(curves):
        color = style.PALETTE[k % len(style.PALETTE)]
        fraction = np.asarray(curve["fraction"], float)
        axes.plot(p, np.where(fraction > 0, fraction, np.nan), color=color, linewidth=2, label=curve["label"])
        seen = max(curve["seen"], LEAST)
        reached = float(np.interp(np.log(seen), np.log(p), fraction))
        axes.plot(
            [seen], [max(reached, lowest)], "o", color=color, markersize=9, markeredgecolor="black", clip_on=False
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(LEAST, 1)
    axes.set_ylabel("Fraction of experiments")
    axes.set_ylim(lowest, 1.0)
    taken = style.words(axes, text, axes.get_legend_handles_labels()[0])
    # nothing is above 1 but words
    axes.set_ylim(top=lowest ** -(min(taken, 0.6) / (1 - min(taken, 0.6))))
    axes.set_yticks([10.0**k for k in range(-6, 1) if 10.0**k >= lowest])
    axes.yaxis.set_minor_locator(NullLocator())
