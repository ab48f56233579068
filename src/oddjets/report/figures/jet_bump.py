"""The mass of the oddest single jets of data at several efficiencies, scores side by side: the paper's figure 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.config.aspen import JetBump
from oddjets.io import event_table
from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import bump
from oddjets.report.intervals import finite, points
from oddjets.report.jet_studies import global_text, studies_of
from oddjets.report.text import with_error
from oddjets.selection.oddest_jets import OddestJets, bins_of, find_oddest
from oddjets.stats import dijet_function
from oddjets.stats.shown_numbers import p_from_toys

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the spectra of the oddest jets, the fits outside the window and their p-values, one figure an efficiency."""
    asked = artifacts.analysis.jet_bump
    # jets are chosen one by one, and those of events in A among them
    if asked is None or artifacts.blinded:
        return {}
    total = (artifacts.processed("jets").get("raw") or [0])[-1]
    if total < dijet_function.LEAST_JETS:
        return {}
    names = asked.scores or (artifacts.analysis.threshold.score,)
    columns = ["mass", *(f"score_{name}" for name in names)]
    tables = event_table.stream(artifacts.path("jets"), "aspen", columns)
    oddest = find_oddest(tables, names, total, max(asked.efficiencies))
    figures = {}
    for efficiency in asked.efficiencies:
        panels = list(_panels(artifacts, asked, oddest, efficiency))
        if panels:
            name = f"jet_bump_{100 * efficiency:g}".replace(".", "p")
            figures[name] = _figure(artifacts, name, asked, efficiency, panels)
    return figures


def _panels(
    artifacts: Artifacts, asked: JetBump, oddest: Mapping[str, OddestJets], efficiency: float
) -> Iterator[dict[str, Any]]:
    """Yield what is drawn of each score; nothing of one with too few jets."""
    edges, window = bins_of(asked)
    for name, jets in oddest.items():
        cut, masses = jets.above(efficiency)
        counts = np.histogram(masses, edges)[0].astype(float)
        if not dijet_function.is_spectrum(counts, window):
            continue
        made = dijet_function.search(counts, edges, window, toys=asked.toys)
        yield {
            "score": name,
            "header": artifacts.header,
            "text": [
                artifacts.analysis.score_label(name),
                f"Oddest {100 * efficiency:.3g} % of jets",
                f"score > {cut:.4g}",
            ],
            "edges": finite(edges),
            "data": {"label": artifacts.data_name, **points(counts)},
            "cut": cut,
            **bump.search_content(made, edges, window, toys=asked.toys),
        }


def _figure(
    artifacts: Artifacts, name: str, asked: JetBump, efficiency: float, panels: list[dict[str, Any]]
) -> dict[str, Any]:
    said = "; ".join(
        f"{panel['text'][0]}: {panel['in_window']['observed']:.0f} jets between {panel['window'][0]:g} and"
        f" {panel['window'][1]:g} GeV against {with_error(panel['in_window']['expected'], panel['in_window']['error'])},"
        f" local p-value {panel['p_value']['local']:.2g}, global"
        f" {p_from_toys(panel['p_value']['global'], asked.toys, digits=2)}"
        for panel in panels
    )
    return {
        "kind": "jet_bump",
        "name": name,
        "title": f"Mass of the oddest {100 * efficiency:.3g} % of single jets",
        "header": artifacts.header,
        "efficiency": efficiency,
        "panels": panels,
        "alt": f"Soft-drop mass of the oddest {100 * efficiency:.3g} % of single jets, with a smooth fit. {said}.",
        "caption": (
            f"Single jets, one by one. Dijet-type functions whose number of parameters F-tests at"
            f" {100 * dijet_function.F_TEST_LEVEL:g} % chose, fitted outside the grey window, which the YAML"
            f" {_stated(asked, panels[0]['window'])}; global p-values from {asked.toys} toys, any window of this width, for"
            f" each panel alone: they do not know of the other scores and efficiencies.{_together(artifacts)} {said}. Below:"
            f" ({artifacts.data_name.lower()} − fit) / error."
        ),
        "sources": [
            {"file": "jets/", "key": ", ".join(["mass", *(f"score_{panel['score']}" for panel in panels)])},
        ],
    }


def _stated(asked: JetBump, window: list[float]) -> str:
    """Return how the window of whole bins came about."""
    if np.allclose(window, asked.window):
        return "states"
    return f"states as {asked.window[0]:g} to {asked.window[1]:g} GeV, moved to the edges of bins"


def _together(artifacts: Artifacts) -> str:
    """Return what all figures and panels are worth together, where a study says it."""
    return "".join(
        f" All scores, efficiencies and masses together: global {global_text(found['together']['anywhere'])} ({source})."
        for source, found in studies_of(artifacts).items()
    )


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the scores side by side."""
    panels = drawn["panels"]
    made = style.figure(8.0 * len(panels))
    parts = made.subfigures(1, len(panels), squeeze=False)[0]
    for part, panel in zip(parts, panels, strict=True):
        bump.draw_panel(part, panel)
    return made
