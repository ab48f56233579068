"""The templates of a rescored signal in A: events at the stated cross section, with their uncertainties."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite, ratio

__all__ = ["data", "draw"]

#: so many systematics are drawn apart, those that change the template most
SHOWN = 4
COLORS = ("#bd1f01", "#3f90da", "#ffa90e", "#832db6")
LINES = ("-", "--", "-.", ":")


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return a figure for each fitted region, or product cell, in whose A the signal has events."""
    if not artifacts.has("rescoring"):
        return {}
    found = artifacts.json("rescoring.json", "templates", "signal", "edges")
    label, fit = found["signal"]["label"], artifacts.analysis.fit
    observable = fit.observable if fit is not None else ""
    made = {}
    for channel, template in found["templates"].items():
        place = channel.removesuffix("_A")
        edges = found["edges"].get(place)
        nominal = np.asarray(template["nominal"], float)
        if place == channel or edges is None or len(edges) != len(nominal) + 1:
            continue
        varied = {name: (np.asarray(v["up"]), np.asarray(v["down"])) for name, v in template["variations"].items()}
        size = {
            name: float(max(np.abs(up - nominal).sum(), np.abs(down - nominal).sum()))
            for name, (up, down) in varied.items()
        }
        largest = sorted(varied, key=lambda name: -size[name])[:SHOWN]
        stat = np.asarray(template["errors"], float)
        total = np.sqrt(stat**2 + sum((0.5 * (up - down)) ** 2 for up, down in varied.values()))
        made[f"signal_templates_{place}"] = {
            "kind": "signal_templates",
            "name": f"signal_templates_{place}",
            "title": f"Template of {label} in {place}, A",
            "header": artifacts.header,
            "text": [f"{place}, A", f"at {found['signal']['cross_section_pb']:.4g} pb"],
            "x": {
                "label": artifacts.axis_label(observable) if observable else "Bin",
                "edges": [float(e) for e in edges],
            },
            "unit": artifacts.analysis.observables[observable].unit if observable else "",
            "label": label,
            "color": artifacts.process(found["signal"]["name"])["color"],
            "values": finite(nominal),
            "stat": finite(stat),
            "total": finite(total),
            "variations": [
                {
                    "name": name,
                    **{
                        key: finite(ratio(side, nominal))
                        for key, side in zip(("up", "down"), varied[name], strict=True)
                    },
                }
                for name in largest
            ],
            "forced": list(found["forced"]),
            "alt": (
                f"Template of {label} in A of {place}: {nominal.sum():.4g} events in {len(nominal)} bins, with statistical and"
                f" total uncertainty; below, the largest of {len(varied)} systematic variations."
            ),
            "caption": (
                f"Events of {label} in A of {place} at the stated cross section. Bars: statistical errors of the sample; band:"
                f" with the {len(varied)} systematic variations in quadrature. Below: the {len(largest)} largest of them, up"
                " and down over nominal."
            ),
            "sources": [{"file": "rescoring.json", "key": f"templates.{channel}"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the template with its uncertainties, and below the largest variations over nominal."""
    made = style.figure()
    main, below = style.ratio_axes(made, ratio=bool(drawn["variations"]))
    edges = np.asarray(drawn["x"]["edges"], float)
    values, stat, total = (np.nan_to_num(np.asarray(drawn[key], float)) for key in ("values", "stat", "total"))
    color = drawn["color"]
    band = main.stairs(
        values + total, edges, baseline=np.maximum(values - total, 0), fill=True, facecolor="0.85", edgecolor="0.5",
        hatch="xxxx", linewidth=0, label="Stat. and syst.",
    )  # fmt: skip
    line = main.stairs(values, edges, baseline=None, color=color, linewidth=2.2, label=drawn["label"])
    bars = main.errorbar(
        (edges[1:] + edges[:-1]) / 2, values, yerr=stat, fmt="none", color=color, linewidth=1.6, label="Stat. only"
    )
    main.set_ylabel(style.count_label(drawn["x"]["edges"], drawn["unit"]))
    main.set_xlim(edges[0], edges[-1])
    words = [*drawn["text"], *(["sample of other conditions"] if drawn["forced"] else [])]
    taken = style.words(main, words, [line, bars, band])
    style.headroom(main, float((values + total).max(initial=0.0)), taken, log=False)
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    if below is None:
        main.set_xlabel(drawn["x"]["label"])
        return made
    reach = 0.05
    for variation, shade, dashes in zip(drawn["variations"], COLORS, LINES, strict=False):
        for key in ("up", "down"):
            y = np.array([1.0 if v is None else v for v in variation[key]])
            below.stairs(
                y, edges, baseline=None, color=shade, linestyle=dashes, linewidth=1.6,
                label=variation["name"] if key == "up" else None,
            )  # fmt: skip
            reach = max(reach, float(np.abs(y - 1)[values > 0.01 * values.max(initial=0.0)].max(initial=0.0)))
    below.axhline(1.0, color="black", linewidth=1)
    span = min(1.15 * reach, 1.0)
    below.set_ylim(1 - span, 1 + 1.9 * span)
    below.legend(loc="upper left", ncols=4, fontsize=11.5, columnspacing=1.0, handlelength=1.6)
    below.set_ylabel("Varied / nom.", loc="center")
    below.set_xlabel(drawn["x"]["label"])
    return made
