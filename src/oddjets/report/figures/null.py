"""The signed significance of experiments without signal, beside the normal distribution that asymptotic formulas assume."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distribution of each study."""
    made = {}
    for source, found in artifacts.studies.items():
        z, test = found["z"], found["z"]["kolmogorov_smirnov"]
        number = found["experiments"] - found["failed"]
        observed = (found.get("calibration") or {}).get("observed_z")
        seen = "" if observed is None else f" The line is the observed z = {observed:.2f}."
        made[f"null_{source}"] = {
            "kind": "null",
            "name": f"null_{source}",
            "title": f"Experiments without signal ({source})",
            "header": artifacts.header,
            "edges": z["edges"],
            "counts": z["counts"],
            "experiments": number,
            "observed": observed,
            "data_label": artifacts.data_name,
            "text": [
                f"{source}: {number} experiments",
                f"mean {z['mean']:+.2f}, sd {z['sd']:.2f}",
                f"KS p = {test['p_value']:.2g}",
            ],
            "alt": (
                f"Signed significance of {number} experiments without signal, source {source}: mean {z['mean']:.2f}, standard"
                f" deviation {z['sd']:.2f}."
            ),
            "caption": (
                f"Signed significance of {number} experiments without signal ({source}), and the standard normal distribution."
                f" The Kolmogorov-Smirnov test of both gives p = {test['p_value']:.2g}.{seen}"
            ),
            "sources": [{"file": f"study/null_{source}.json", "key": "z"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the histogram and the normal distribution."""
    made = style.figure()
    axes = made.subplots()
    edges, counts = (np.asarray(drawn[name], dtype=float) for name in ("edges", "counts"))
    expected = drawn["experiments"] * np.diff(norm.cdf(edges))
    axes.stairs(counts, edges, fill=True, color=style.PALETTE[9], label="Experiments")
    axes.stairs(counts, edges, color="0.2", linewidth=1.2)
    axes.plot((edges[:-1] + edges[1:]) / 2, expected, color="black", linestyle="--", linewidth=1.6, label="Normal")
    if drawn["observed"] is not None:
        axes.axvline(drawn["observed"], 0, 0.7, color=style.PALETTE[2], linewidth=3, label=drawn["data_label"])
    axes.set_yscale("log")
    axes.set_xlim(edges[0], edges[-1])
    taken = style.words(axes, drawn["text"], axes.get_legend_handles_labels()[0])
    style.headroom(axes, float(max(counts.max(), expected.max(), 1.0)), max(taken, 0.3), log=True)
    axes.set_ylim(bottom=0.5)
    axes.set_xlabel("Signed significance z")
    axes.set_ylabel("Experiments / bin")
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
