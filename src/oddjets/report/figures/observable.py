"""Every observable in every region before the fit: data and simulation, in A and in the other letters."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import distribution
from oddjets.report.modelled import normalisation_text

__all__ = ["data", "draw"]

#: panel: its letters
LETTERS = {"at most one jet passes": "BCD", "A: both jets pass": "A"}


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return stack and data of all letters of every region and observable that was filled."""
    made = {}
    analysis, histograms = artifacts.analysis, artifacts.histograms
    for region, observable in histograms.histograms:
        # product cells of a region are no regions of the analysis, and an index may be older than the analysis
        if region not in analysis.regions or observable not in analysis.observables:
            continue
        if analysis.regions[region].part_of is not None:
            continue
        edges = [float(e) for e in histograms.edges(region, observable)]
        label = artifacts.axis_label(observable)
        shown = [_panel(artifacts, region, observable, what, letters) for what, letters in LETTERS.items()]
        missing = analysis.data_driven if analysis.data_driven not in histograms.variations else None
        bare = not any(one["stack"] for one in shown)
        lacks = f" {artifacts.process(missing)['label']} is not simulated." if missing and not bare else ""
        sums = [float(np.nansum(np.array(one["total"]["values"], dtype=float))) for one in shown]
        name = f"observable_{region}_{observable}"
        made[name] = {
            "kind": "observable",
            "name": name,
            "title": f"{label.partition(' [')[0]} in {region}",
            "header": artifacts.header,
            "x": {"label": label, "edges": edges},
            "y": {"label": style.count_label(edges, analysis.observables[observable].unit)},
            "panels": shown,
            "alt": (
                f"Histograms of {label} in region {region}, {len(edges) - 1} bins, before any fit: {sums[1]:.4g} simulated "
                f"events in A ({_seen(shown[1])}), {sums[0]:.4g} in B, C and D ({_seen(shown[0])})."
            ),
            "caption": (
                f"{artifacts.data_name}{'' if bare else ' and simulation'} before any fit."
                f" {normalisation_text(artifacts)}{lacks}"
                + (f" {artifacts.data_name} in A are blinded." if artifacts.blinded else "")
            ),
            "sources": [{"file": f"histograms/{region}.{observable}.json", "key": "nominal"}],
        }
    return made


def _panel(artifacts: Artifacts, region: str, observable: str, what: str, letters: str) -> dict[str, Any]:
    """Return one panel: the sums over letters."""
    histograms = artifacts.histograms
    hidden = artifacts.blinded and "A" in letters
    bins = np.zeros(len(histograms.edges(region, observable)) - 1)
    fitted = {
        process: {
            "values": sum((histograms.values(region, observable, process, a) for a in letters), start=bins),
            "errors": np.sqrt(sum((histograms.variances(region, observable, process, a) for a in letters), start=bins)),
        }
        for process in histograms.processes
        if process in artifacts.analysis.processes
    }
    fitted["total"] = {
        "values": sum((one["values"] for one in fitted.values()), start=bins),
        "errors": np.sqrt(sum((one["errors"] ** 2 for one in fitted.values()), start=bins)),
    }
    counts = None
    if "data" in histograms.variations and not hidden:
        counts = sum((histograms.values(region, observable, "data", a) for a in letters), start=bins)
    text = [artifacts.region_label(region), what, *(["blinded"] if hidden else [])]
    return {"text": text, "log": "A" not in letters, **panels.stack_data(artifacts, fitted, counts)}


def _seen(panel: dict[str, Any]) -> str:
    if panel["data"] is None:
        return "alone"
    return f"{sum(panel['data']['values']):.0f} {panel['data']['label'].lower()} events"


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw A beside the other letters."""
    made = style.figure(width=11.4, height=6.4)
    edges, shown = drawn["x"]["edges"], drawn["panels"]
    with_ratio = any(panel["ratio"] is not None for panel in shown)
    with style.context(0.85):
        axes = made.subplots(
            2 if with_ratio else 1, 2, squeeze=False, height_ratios=[1.0, 0.32] if with_ratio else [1.0]
        )
        for column, panel in enumerate(shown):
            main, below = axes[0, column], axes[1, column] if with_ratio else None
            highest = panels.draw_stack(main, panel, edges=edges, log=panel["log"])
            main.set_ylabel(drawn["y"]["label"])
            main.set_xlim(edges[0], edges[-1])
            # one legend below both: in a panel of half the width it would push the content of a logarithmic one down
            taken = style.words(main, panel["text"], [])
            style.headroom(main, highest, taken, log=panel["log"], lowest=_lowest(panel))
            if below is not None and panel["ratio"] is not None:
                panels.draw_ratio(below, panel, edges=edges, label="Ratio to sim.")
                main.tick_params(axis="x", labelbottom=False)
            elif below is not None:
                below.set_axis_off()
            bottom = below if below is not None and panel["ratio"] is not None else main
            bottom.set_xlabel(drawn["x"]["label"])
        panels.shared_legend(made, shown, band=distribution.BAND, log=any(panel["log"] for panel in shown))
        style.header(axes[0, 0], drawn["header"]["label"])
        style.header(axes[0, -1], [""], drawn["header"]["right"])
    return made


def _lowest(panel: dict[str, Any]) -> float:
    """Return where a logarithmic axis starts: below the smallest bin, at most seven decades down."""
    totals = np.array(panel["total"]["values"], dtype=float)
    positive = totals[np.isfinite(totals) & (totals > 0)]
    return float(max(min(0.3, 0.3 * positive.min()), 1e-7 * positive.max())) if len(positive) else 0.3
