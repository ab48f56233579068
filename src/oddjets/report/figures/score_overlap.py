"""The fraction of events above the threshold of one score that also pass another, against the leading jet's mass."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import binomial, finite

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the overlap of the threshold's score with every other score, in data (simulation without any).

    The other score's threshold keeps the same fraction of the events, so that an overlap of one means the same events.
    """
    threshold = artifacts.histograms.threshold
    others = [s for s in artifacts.analysis.scores if s != threshold.score]
    if not others:
        return {}
    names = [threshold.score, *others]
    table = artifacts.table(["mass_1", *(f"score_{s}_{j}" for s in names for j in (1, 2))])
    source = "data" if "data" in table else artifacts.analysis.data_driven
    if source not in table or not len(table[source]["mass_1"]):
        return {}
    events = table[source]
    smaller = {s: np.minimum(events[f"score_{s}_1"], events[f"score_{s}_2"]) for s in names}
    odd = smaller[threshold.score] >= threshold.value
    if not odd.any():
        return {}
    fit = artifacts.analysis.fit
    edges = np.asarray(
        artifacts.analysis.binning(fit.observable, fit.regions[0]) if fit and "mass" in fit.observable else []
    )
    edges = edges if len(edges) else np.linspace(60, 240, 10)
    made = {}
    for other in others:
        value = float(np.quantile(smaller[other], 1 - odd.mean()))
        both = odd & (smaller[other] >= value)
        counted = np.histogram(events["mass_1"][odd], edges)[0]
        shared = np.histogram(events["mass_1"][both], edges)[0]
        fraction, down, up = binomial(shared, counted)
        labels = [artifacts.analysis.score_label(s) for s in (threshold.score, other)]
        share = both.sum() / odd.sum()
        where = artifacts.data_name.lower() if source == "data" else "simulated"
        made[f"overlap_{other}"] = {
            "kind": "overlap",
            "name": f"overlap_{other}",
            "title": f"Overlap of {labels[0]} and {labels[1]}",
            "header": artifacts.header,
            "labels": labels,
            "edges": finite(edges),
            "counts": [int(c) for c in counted],
            "fraction": {"values": finite(fraction), "down": finite(down), "up": finite(up)},
            "share": float(share),
            "alt": (
                f"Fraction of the {int(odd.sum())} events above the threshold of {labels[0]} that are also above that of "
                f"{labels[1]}, against the leading jet's mass in {len(edges) - 1} bins; overall {share:.1%}."
            ),
            "caption": (
                f"Points (left axis): fraction of the {where} events anomalous by {labels[0]} that {labels[1]} finds "
                "anomalous, too, at the same efficiency, with Clopper-Pearson 68 % intervals. Grey (right axis): the "
                "events anomalous by the "
                "first."
            ),
            "sources": [{"file": "events/", "key": f"min(score_*_1, score_*_2) of {source}"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the fraction over the histogram of the events it is a fraction of."""
    made = style.figure()
    axes = made.subplots()
    behind = axes.twinx()
    x = np.asarray(drawn["edges"], dtype=float)
    counts = np.asarray(drawn["counts"], dtype=float)
    behind.stairs(counts, x, fill=True, color="0.87")
    behind.stairs(counts, x, color="0.55", linewidth=1.2)
    behind.set_ylim(0, 1.6 * max(counts.max(initial=0), 1))
    behind.set_ylabel("Events / bin", color="0.35")
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.tick_params(which="both", right=False)
    values, down, up = (np.asarray(drawn["fraction"][k], dtype=float) for k in ("values", "down", "up"))
    good = np.isfinite(values)
    axes.errorbar(
        ((x[:-1] + x[1:]) / 2)[good],
        values[good],
        yerr=[down[good], up[good]],
        fmt="o",
        color=style.PALETTE[2],
        markersize=7,
        linewidth=2,
    )
    axes.axhline(drawn["share"], color=style.PALETTE[2], linestyle="--", linewidth=1.4)
    axes.set_ylim(0, 1.25)
    axes.set_xlim(x[0], x[-1])
    axes.set_xlabel("Leading-jet soft-drop mass [GeV]")
    axes.set_ylabel("Overlap fraction")
    style.text_block(
        axes, [f"{drawn['labels'][0]} and {drawn['labels'][1]}", f"overall {drawn['share']:.1%}".replace("%", " %")]
    )
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
