"""The mass of the oddest single jets of data at several efficiencies, scores side by side: the paper's figure 1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.config.aspen import JetBump
from oddjets.io import event_table
from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import bump
from oddjets.report.intervals import finite, points
from oddjets.report.text import with_error
from oddjets.stats import dijet_function
from oddjets.stats.shown_numbers import p_from_toys

__all__ = ["OddestJets", "data", "draw"]

#: fewer jets make no spectrum
_LEAST = 100


class OddestJets:
    """The jets with the highest scores of a stream, in memory that does not depend on its length.

    Args:
        total: jets of the whole stream.
        efficiency: the largest fraction that is asked for.
    """

    def __init__(self, total: int, efficiency: float) -> None:
        self._total = total
        self._size = self._place(efficiency)[0] + 2
        self._kept = np.empty((0, 2))

    def _place(self, efficiency: float) -> tuple[int, float]:
        """Return where the quantile lies: a place from the top, and how far from there to the next higher score."""
        exact = (self._total - 1) * (1 - efficiency)
        below = math.floor(exact)
        return self._total - 1 - below, exact - below

    def add(self, score: np.ndarray, mass: np.ndarray) -> None:
        """Add jets, shapes (n,)."""
        kept = np.concatenate([self._kept, np.stack([score, mass], axis=1)])
        if len(kept) > self._size:
            # a stable order: of equal scores the first jets stay, however the stream is cut
            kept = kept[np.argsort(-kept[:, 0], kind="stable")[: self._size]]
        self._kept = kept

    def above(self, efficiency: float) -> tuple[float, np.ndarray]:
        """Return the cut that a fraction of all jets passes (NumPy's linear quantile), and the masses of these jets, GeV."""
        ordered = self._kept[np.argsort(-self._kept[:, 0], kind="stable")]
        place, part = self._place(efficiency)
        lower, upper = ordered[place, 0], ordered[max(place - 1, 0), 0]
        cut = float(lower + part * (upper - lower))
        return cut, ordered[ordered[:, 0] >= cut, 1]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the spectra of the oddest jets, the fits outside the window and their p-values, one figure an efficiency."""
    asked = artifacts.analysis.jet_bump
    # jets are chosen one by one, and those of events in A among them
    if asked is None or artifacts.blinded:
        return {}
    total = (artifacts.processed("jets").get("raw") or [0])[-1]
    if total < _LEAST:
        return {}
    names = asked.scores or (artifacts.analysis.threshold.score,)
    oddest = _oddest(artifacts, names, total, max(asked.efficiencies))
    edges = np.linspace(*asked.range, asked.bins + 1)
    figures = {}
    for efficiency in asked.efficiencies:
        panels = list(_panels(artifacts, asked, oddest, efficiency, edges))
        if panels:
            name = f"jet_bump_{100 * efficiency:g}".replace(".", "p")
            figures[name] = _figure(artifacts, name, asked, efficiency, panels)
    return figures


def _oddest(artifacts: Artifacts, names: Sequence[str], total: int, efficiency: float) -> dict[str, OddestJets]:
    found = {name: OddestJets(total, efficiency) for name in names}
    columns = ["mass", *(f"score_{name}" for name in names)]
    for table in event_table.stream(artifacts.path("jets"), "aspen", columns):
        for name, jets in found.items():
            jets.add(table[f"score_{name}"], table["mass"])
    return found


def _panels(
    artifacts: Artifacts, asked: JetBump, oddest: Mapping[str, OddestJets], efficiency: float, edges: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield what is drawn of each score; nothing of one with too few jets."""
    # bins that lie in the window with their centre
    centres = (edges[:-1] + edges[1:]) / 2
    window = (centres > asked.window[0]) & (centres < asked.window[1])
    for name, jets in oddest.items():
        cut, masses = jets.above(efficiency)
        counts = np.histogram(masses, edges)[0].astype(float)
        if counts.sum() < _LEAST or not window.any() or (~window).sum() < 6 or (counts > 0).sum() < len(counts) // 2:
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
            f" {100 * dijet_function.F_TEST_LEVEL:g} % chose, fitted outside the grey window, which the YAML states; global"
            f" p-values from {asked.toys} toys, any window of this width, for each panel alone: they do not know of the other"
            f" scores and efficiencies. {said}. Below: ({artifacts.data_name.lower()} − fit) / error."
        ),
        "sources": [
            {"file": "jets/", "key": ", ".join(["mass", *(f"score_{panel['score']}" for panel in panels)])},
        ],
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the scores side by side."""
    panels = drawn["panels"]
    made = style.figure(8.0 * len(panels))
    parts = made.subfigures(1, len(panels), squeeze=False)[0]
    for part, panel in zip(parts, panels, strict=True):
        bump.draw_panel(part, panel)
    return made
