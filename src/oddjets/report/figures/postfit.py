"""Fitted regions with the data and their ratio, one figure per region, letter and hypothesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts

__all__ = ["HYPOTHESES", "LETTER_TEXT", "data", "draw", "panel"]

#: what each letter asks of the two jets' scores
LETTER_TEXT = {
    "A": "A: both jets pass",
    "B": "B: only the subleading jet passes",
    "C": "C: only the leading jet passes",
    "D": "D: neither jet passes",
}

#: key in results.json: (suffix of the figure's name, text)
HYPOTHESES = {
    "signal_plus_background": ("", "signal + background fit"),
    "background_only": ("_background", "background-only fit"),
}


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the panels of every region: every letter with signal, letter A background-only as well."""
    made = {}
    for region, letters in artifacts.results.get("yields", {}).items():
        for letter, entry in letters.items():
            for hypothesis in HYPOTHESES:
                if hypothesis in entry and (letter == "A" or hypothesis == "signal_plus_background"):
                    one = panel(artifacts, region, letter, hypothesis)
                    made[one["name"]] = one
    return made


def panel(artifacts: Artifacts, region: str, letter: str, hypothesis: str) -> dict[str, Any]:
    """Return the data of one fitted region and letter.

    Args:
        artifacts: with results.json.
        region: its name.
        letter: A, B, C or D.
        hypothesis: ``signal_plus_background`` or ``background_only``.
    """
    entry = artifacts.results["yields"][region][letter]
    fit = artifacts.analysis.fit
    edges = artifacts.edges(region, entry["edges"])
    observable = fit.observable if fit is not None else ""
    suffix, what = HYPOTHESES[hypothesis]
    poi = (artifacts.results.get("poi") or {}).get("name")
    if fit is not None and poi not in {None, *(p.name for p in fit.pois)}:
        # another parameter than a strength was asked about, and the signal is in both fits
        what = f"fit with {poi} = 0" if suffix else "best fit"
    hidden = artifacts.blinded and letter == "A"
    blind = ["blinded"] if hidden else []
    stack = panels.stack_data(artifacts, entry[hypothesis], entry.get("data"), expected=[hidden] * (len(edges) - 1))
    empty = [] if any(stack["total"]["values"]) or any((stack["data"] or {}).get("values", [])) else ["no events"]
    label = artifacts.axis_label(observable) if observable in artifacts.analysis.observables else "Observable"
    unit = artifacts.analysis.observables[observable].unit if observable in artifacts.analysis.observables else ""
    return {
        "kind": "postfit",
        "name": f"postfit_{region}_{letter}{suffix}",
        "title": f"{region}, letter {letter}, {what}",
        "header": artifacts.header,
        "text": [artifacts.region_label(region), LETTER_TEXT.get(letter, letter), what, *blind, *empty],
        "x": {"label": label, "edges": edges},
        "y": {"label": style.count_label(edges, unit), "log": letter != "A"},
        **stack,
        "alt": _alt(artifacts, region, letter, what, stack, edges, label),
        "caption": f"{LETTER_TEXT.get(letter, letter)}. Hatched: the fit's uncertainty; bars: Garwood 68 % intervals."
        + (artifacts.blinded_points if letter == "A" else ""),
        "sources": [{"file": "results.json", "key": f"yields.{region}.{letter}.{hypothesis}"}],
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one region and letter."""
    made = style.figure()
    with_data = drawn["data"] is not None
    main, below = style.ratio_axes(made, ratio=with_data)
    edges, log = drawn["x"]["edges"], drawn["y"]["log"]
    highest = panels.draw_stack(main, drawn, edges=edges, log=log)
    main.set_ylabel(drawn["y"]["label"])
    main.set_xlim(edges[0], edges[-1])
    text = drawn["text"] if with_data else [*drawn["text"], "no data"]
    taken = style.words(main, text, panels.handles([drawn], log=log))
    style.headroom(main, highest, taken, log=log, lowest=lowest(drawn) if log else 0.0)
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    if below is not None:
        panels.draw_ratio(below, drawn, edges=edges)
    (below if below is not None else main).set_xlabel(drawn["x"]["label"])
    return made


def lowest(drawn: dict[str, Any]) -> float:
    """Return where a logarithmic axis starts: below the smallest signal or data bin, at most five decades down."""
    totals = np.asarray(drawn["total"]["values"], dtype=float)
    top = float(np.nanmax(totals, initial=1.0))
    signals = [np.asarray(s["values"], dtype=float) for s in drawn["stack"] if s["signal"]] or [totals]
    positive = np.concatenate([s[np.isfinite(s) & (s > 0)] for s in signals])
    low = 0.3 * float(np.max(positive)) / 10 if len(positive) else 0.3
    return max(min(low, 0.3 * max(float(np.nanmin(totals, initial=top)), 1e-3)), top * 1e-5)


def _alt(
    artifacts: Artifacts, region: str, letter: str, what: str, stack: dict[str, Any], edges: list[float], label: str
) -> str:
    total = float(np.nansum(np.asarray(stack["total"]["values"], dtype=float)))
    shares = sorted(_shares(stack, total), reverse=True)[:3]
    parts = ", ".join(f"{name} {share:.0%}" for share, name in shares)
    counted = stack["data"]
    number = sum(v for v in counted["values"] if v is not None) if counted else 0
    hidden = counted is not None and all(counted["expected"])
    what_seen = "events of expected background" if hidden else f"{artifacts.data_name.lower()} events"
    seen = f"{number:.0f} {what_seen}" if counted else "no data"
    return (
        f"Histogram of {label} from {edges[0]:g} to {edges[-1]:g} in {len(edges) - 1} bins, region {region}, "
        f"letter {letter}, "
        f"{what}: {seen} against {total:.1f} fitted ({parts})."
    )


def _shares(stack: dict[str, Any], total: float) -> Iterator[tuple[float, str]]:
    for layer in stack["stack"]:
        amount = float(np.nansum(np.asarray(layer["values"], dtype=float)))
        yield (amount / total if total > 0 else 0.0), layer["process"]
