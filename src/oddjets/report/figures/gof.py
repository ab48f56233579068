"""The goodness of fit: the saturated statistic of the data and its distribution in toys."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite, garwood
from oddjets.stats.shown_numbers import p_from_toys

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the toys' distribution, binned, and the observed statistic."""
    found = artifacts.results.get("gof") or {}
    toys = np.asarray([t for t in found.get("distribution") or [] if t is not None], dtype=float)
    if found.get("statistic") is None or not len(toys):
        return {}
    observed = float(found["statistic"])
    everything = np.append(toys, observed)
    width = float(np.ptp(everything)) or 1.0
    edges = np.linspace(
        everything.min() - 0.03 * width, everything.max() + 0.05 * width, int(np.clip(len(toys) / 8, 8, 40)) + 1
    )
    letters = ", ".join(found.get("letters") or []) or "all letters"
    return {
        "gof": {
            "kind": "gof",
            "name": "gof",
            "title": "Goodness of fit",
            "header": artifacts.header,
            "edges": finite(edges),
            "counts": [int(c) for c in np.histogram(toys, edges)[0]],
            "statistic": observed,
            "data_label": artifacts.data_name,
            "p_value": found.get("p_value"),
            "toys": len(toys),
            "failed": found.get("failed", 0),
            "letters": letters,
            "alt": (
                f"Saturated goodness of fit in {letters}: observed {observed:.1f}, {len(toys)} toys between "
                f"{toys.min():.1f} and "
                f"{toys.max():.1f}, {_p(found.get('p_value'), len(toys))}."
            ),
            "caption": (
                f"Saturated goodness-of-fit statistic of {len(toys)} toys (histogram) and of the "
                f"{artifacts.data_name.lower()} (line), "
                "evaluated in "
                f"{letters}."
            ),
            "sources": [{"file": "results.json", "key": "gof"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the toys, and the observed statistic as a line."""
    made = style.figure()
    axes = made.subplots()
    edges = np.asarray(drawn["edges"], dtype=float)
    counts = np.asarray(drawn["counts"], dtype=float)
    axes.stairs(counts, edges, fill=True, color=style.PALETTE[9], label=f"{drawn['toys']} toys")
    axes.stairs(counts, edges, color="0.2", linewidth=1.2)
    down, up = garwood(counts)
    axes.errorbar((edges[:-1] + edges[1:]) / 2, counts, yerr=[down, up], fmt="none", ecolor="0.35", linewidth=1)
    axes.axvline(
        drawn["statistic"],
        0,
        0.78,
        color=style.PALETTE[2],
        linewidth=3,
        label=f"{drawn['data_label']}: {drawn['statistic']:.1f}",
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("Saturated goodness-of-fit statistic")
    axes.set_ylabel("Toys / bin")
    text = [_p(drawn["p_value"], drawn["toys"]), f"evaluated in {drawn['letters']}"]
    taken = style.words(axes, text, axes.get_legend_handles_labels()[0])
    style.headroom(axes, float((counts + up).max()), max(taken, 0.2), log=False)
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made


def _p(value: float | None, toys: int) -> str:
    return "p = unknown" if value is None else p_from_toys(value, toys)
