"""The leading jet's mass at rising thresholds, as a picture and an animation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import distribution
from oddjets.report.modelled import normalisation_text

__all__ = ["animate", "data", "draw"]

#: fractions of the events kept, each about 0.63 of the one before
FRAMES = 16
LOOSEST, TIGHTEST = 0.99, 0.001
#: of the frames, those in the picture
SHOWN = 6
MILLISECONDS = 350


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the mass of the leading jet in the events with both scores above a rising threshold."""
    name = artifacts.histograms.threshold.score
    table = artifacts.table(["mass_1", *(f"score_{name}_{j}" for j in (1, 2))])
    smaller = {p: np.minimum(c[f"score_{name}_1"], c[f"score_{name}_2"]) for p, c in table.items()}
    reference = "data" if "data" in table else artifacts.analysis.data_driven
    if artifacts.blinded or reference not in smaller or not len(smaller[reference]):
        return {}
    edges = np.linspace(60, 240, 19)
    frames = []
    for efficiency in np.geomspace(LOOSEST, TIGHTEST, FRAMES):
        cut = float(np.quantile(smaller[reference], 1 - efficiency))
        kept = {p: s >= cut for p, s in smaller.items()}
        stack = distribution.stack(
            artifacts,
            {p: table[p]["mass_1"][k] for p, k in kept.items()},
            {p: table[p]["weight"][k] for p, k in kept.items()},
            edges,
        )
        frames.append({"efficiency": float(efficiency), "threshold": cut, **stack})
    return {
        "threshold_scan": {
            "kind": "threshold_scan",
            "name": "threshold_scan",
            "title": "Mass at rising thresholds",
            "header": artifacts.header,
            "x": {"label": "Leading-jet soft-drop mass [GeV]", "edges": [float(e) for e in edges]},
            "frames": frames,
            "alt": (
                f"Leading jet's soft-drop mass in {SHOWN} panels, for events with both scores above a threshold "
                "that keeps from "
                f"{LOOSEST:.0%} down to {TIGHTEST:.1%} of the events. {normalisation_text(artifacts)}"
            ),
            "caption": (
                "Events with both scores above a threshold that keeps ever fewer of them. "
                f"{normalisation_text(artifacts)}"
            ),
            "sources": [{"file": "events/", "key": f"mass_1, min(score_{name}_1, score_{name}_2)"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a few of the frames side by side."""
    frames = drawn["frames"]
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)]
    with style.context(0.75):
        made = style.figure(13, 8)
        axes = made.subplots(2, SHOWN // 2)
        for panel, frame in zip(axes.flat, chosen, strict=True):
            _frame(panel, frame, drawn)
        panels.shared_legend(made, chosen, band=distribution.BAND)
        style.header(axes[0, 0], drawn["header"]["label"])
        style.header(axes[0, -1], [""], drawn["header"]["right"])
    return made


def animate(drawn: dict[str, Any], path: Path) -> None:
    """Write the frames as an animation that stops at the tightest for a while.

    Args:
        drawn: the figure's data.
        path: ends in ``.gif``.
    """
    images = []
    for frame in drawn["frames"]:
        with style.context(0.85):
            made = style.figure(6.4, 5.4)
            axes = made.subplots()
            _frame(axes, frame, drawn)
            panels.shared_legend(made, [frame], band=distribution.BAND)
            style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
            made.canvas.draw()
        pixels = np.asarray(made.canvas.buffer_rgba())  # type: ignore[attr-defined]
        images.append(Image.fromarray(pixels).convert("RGB").quantize(64))
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=[MILLISECONDS] * (len(images) - 1) + [2500], loop=0
    )


def _frame(axes: Any, frame: dict[str, Any], drawn: dict[str, Any]) -> None:
    edges = drawn["x"]["edges"]
    highest = panels.draw_stack(axes, frame, edges=edges, log=False)
    axes.set_ylabel("Events / 10 GeV")
    axes.set_xlabel(drawn["x"]["label"])
    axes.set_xlim(edges[0], edges[-1])
    style.headroom(axes, highest, 0.26, log=False)
    percent = 100 * frame["efficiency"]
    style.text_block(axes, [f"{percent:.2g} % of events", f"threshold {frame['threshold']:.3g}"])
