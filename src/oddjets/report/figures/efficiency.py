"""The trigger efficiency against pT, soft-drop mass and HT, measured in events of a reference trigger."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import binomial, finite

__all__ = ["FULL", "data", "draw", "full_from"]

#: full efficiency, relative to the plateau
FULL = 0.99

#: upper end of lines and of the axis: above are the words
_TOP, _FRAME = 1.05, 1.35

#: column: (label, edges in GeV)
VARIABLES: dict[str, tuple[str, npt.NDArray[np.float64]]] = {
    "pt_1": (r"Leading-jet $p_T$ [GeV]", np.array([*range(200, 600, 25), *range(600, 1001, 100)], dtype=float)),
    "mass_1": ("Leading-jet soft-drop mass [GeV]", np.array([*range(0, 100, 10), *range(100, 261, 20)], dtype=float)),
    "ht": ("$H_T$ [GeV]", np.array([*range(400, 1200, 50), *range(1200, 2001, 200)], dtype=float)),
}


def full_from(edges: npt.ArrayLike, efficiency: npt.ArrayLike, up: npt.ArrayLike, plateau: float) -> float | None:
    """Return the edge from which on every bin's efficiency agrees with 99 % of the plateau.

    A bin agrees if the upper end of its interval reaches it; bins without events say nothing.

    Args:
        edges: shape (n + 1,).
        efficiency: shape (n,), NaN where a bin has no event.
        up: the error bars above.
        plateau: of the efficiency.

    Returns:
        A lower edge, or None if the last bin with events is below, or none has events.
    """
    values, above = np.asarray(efficiency, dtype=float), np.asarray(up, dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    below = known[(values + above)[known] < FULL * plateau]
    after = known[known > below[-1]] if len(below) else known
    return float(np.asarray(edges, dtype=float)[after[0]]) if len(after) else None


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the efficiency of the OR of the triggers, one figure a variable.

    Against pT both jets pass the analysis's mass cut, against mass its pT cut, against HT neither is asked. The plateau is the
    efficiency of the quarter of the events with the highest values. Events are counted, not weighted.
    """
    selection = artifacts.analysis.selection
    if "reference_trigger" not in selection.cuts:
        return {}  # another kind of analysis: its triggers are among its cuts
    paths = [f"trigger_{path}" for path in selection.triggers]
    columns = ["pt_1", "pt_2", "mass_1", "mass_2", "ht", *paths]
    pieces = list(artifacts.table(columns).values())
    table = {name: np.concatenate([p[name] for p in pieces]) for name in columns} if pieces else {}
    if not table or not len(table["ht"]):
        return {}
    fired = np.any([table[path] for path in paths], axis=0)
    hard = np.minimum(table["pt_1"], table["pt_2"]) > selection.jets.pt_min
    heavy = np.minimum(table["mass_1"], table["mass_2"]) > selection.jets.mass_min
    asked = {"pt_1": heavy, "mass_1": hard, "ht": np.ones(len(fired), dtype=bool)}
    words = {
        "pt_1": f"both soft-drop masses above {selection.jets.mass_min:g} GeV",
        "mass_1": rf"both $p_T$ above {selection.jets.pt_min:g} GeV",
        "ht": "no cut on $p_T$ or mass",
    }
    both = int((hard & heavy).sum())
    efficiency, down, up = (float(a[0]) for a in binomial([(fired & hard & heavy).sum()], [both]))
    after = (
        f"after both cuts {efficiency:.4f} -{down:.4f} +{up:.4f} of {both} events"
        if both
        else "no event passes both cuts"
    )
    source = "simulated events" if artifacts.simulated else "data"
    reference = " or ".join(str(path) for path in selection.parameters["reference"])
    figures = {}
    for name, (label, edges) in VARIABLES.items():
        total = np.histogram(table[name][asked[name]], edges)[0]
        passed = np.histogram(table[name][asked[name] & fired], edges)[0]
        values, below, above = binomial(passed, total)
        highest = table[name] >= np.quantile(table[name][asked[name]], 0.75) if asked[name].any() else asked[name]
        plateau = float(binomial([(fired & asked[name] & highest).sum()], [(asked[name] & highest).sum()])[0][0])
        full = full_from(edges, values, above, plateau) if np.isfinite(plateau) else None
        short = name.removesuffix("_1")
        where = f"full from {full:g} GeV" if full is not None else "not full anywhere"
        figures[f"efficiency_{short}"] = {
            "kind": "efficiency",
            "name": f"efficiency_{short}",
            "title": f"Trigger efficiency against {short}",
            # an efficiency has no luminosity
            "header": {**artifacts.header, "right": style.luminosity_text(None, 13.0)},
            "text": ["Dijet triggers", words[name]],
            "x": {"label": label, "edges": [float(e) for e in edges]},
            "passed": [int(k) for k in passed],
            "total": [int(n) for n in total],
            "values": finite(values),
            "down": finite(below),
            "up": finite(above),
            "plateau": plateau if np.isfinite(plateau) else None,
            "full_from": full,
            "cut": {"pt_1": selection.jets.pt_min, "mass_1": selection.jets.mass_min}.get(name),
            "alt": f"Efficiency of the dijet triggers against {short}: {where}; {after}.",
            "caption": (
                f"Efficiency of the OR of {len(paths)} dijet triggers in {source} with an isolated muon and {reference}; "
                f"{words[name]}. Bars are 68.3 % Clopper-Pearson intervals. {where[0].upper()}{where[1:]} "
                f"({FULL:.0%} of the plateau within the interval); {after}."
            ),
            "sources": [{"file": "events/", "key": "trigger_PATH"}],
        }
    return figures


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the efficiency with its intervals, the plateau, and where it is reached."""
    made = style.figure()
    axes = made.subplots()
    edges = np.asarray(drawn["x"]["edges"], dtype=float)
    values, down, up = (np.asarray(drawn[key], dtype=float) for key in ("values", "down", "up"))
    centres, known = (edges[:-1] + edges[1:]) / 2, np.isfinite(values)
    axes.errorbar(
        centres[known],
        values[known],
        xerr=np.diff(edges)[known] / 2,
        # rounding can leave -1e-17
        yerr=np.maximum([down[known], up[known]], 0.0),
        fmt="o",
        color="black",
        markersize=5,
        linewidth=1.4,
    )
    if drawn["plateau"] is not None:
        axes.axhline(
            FULL * drawn["plateau"],
            color=style.PALETTE[0],
            linestyle="--",
            linewidth=1.4,
            label=f"{FULL:.0%} of the plateau",
        )
    if drawn["full_from"] is not None:
        text = f"full from {drawn['full_from']:g} GeV"
        axes.axvline(drawn["full_from"], ymax=_TOP / _FRAME, color=style.PALETTE[2], linewidth=1.8, label=text)
    if drawn["cut"] is not None:
        text = f"the analysis's cut, {drawn['cut']:g} GeV"
        axes.axvline(drawn["cut"], ymax=_TOP / _FRAME, color="0.4", linestyle=":", linewidth=1.8, label=text)
    style.words(axes, drawn["text"], axes.get_legend_handles_labels()[0])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, _FRAME)
    axes.set_xlabel(drawn["x"]["label"])
    axes.set_ylabel("Efficiency")
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
