"""The map of the regions: their cuts, and the yields of their four letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.config.regions import Region, is_expression, split_cut
from oddjets.report import layout, style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw"]

#: letter: column (leading jet fails, passes) and row (subleading jet fails, passes)
PLACES = {"A": (1, 1), "B": (0, 1), "C": (1, 0), "D": (0, 0)}
#: inches of a region's square; points of its words, and of the fonts of its name and its cuts
PANEL, WORDS, NAME, CUTS = 3.9, 200.0, 15.0, 11.5
TINTS = {"A": "#f6d3b3", "B": "#dbe7f3", "C": "#dbe7f3", "D": "#eeeeee"}


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return every region's cuts and the events in its letters: data, or simulation where there are none."""
    histograms = artifacts.histograms
    fit = artifacts.analysis.fit
    with_data = "data" in histograms.variations
    processes = ["data"] if with_data else list(histograms.processes)
    maps: list[dict[str, Any]] = []
    for region, asked in artifacts.analysis.regions.items():
        observable = next((o for r, o in histograms.histograms if r == region), None)
        if observable is None or asked.part_of is not None:
            continue
        if fit is not None and (region, fit.observable) in histograms.histograms:
            observable = fit.observable
        hidden = "A" if artifacts.blinded and with_data else None
        sums: dict[str, float | None] = {
            a: None if a == hidden else float(sum(histograms.values(region, observable, p, a).sum() for p in processes))
            for a in PLACES
        }
        b, c, d = (sums[a] or 0.0 for a in "BCD")
        predicted = b * c / d if d > 0 else None
        maps.append(
            {
                "region": region,
                "label": asked.label,
                "cuts": _asked(asked),
                "fitted": artifacts.expected("results") and fit is not None and region in fit.regions,
                "letters": sums,
                "predicted": predicted,
            }
        )
    if not maps:
        return {}
    what = artifacts.data_name.lower() if with_data else "simulated"
    in_a = ", ".join(f"{m['region']} {_count(m['letters']['A'])}" for m in maps)
    return {
        "regions": {
            "kind": "regions",
            "name": "regions",
            "title": "Region map",
            "header": artifacts.header,
            "threshold": histograms.threshold.value,
            "what": what,
            "maps": maps,
            "alt": f"Map of {len(maps)} regions, each split into four letters by the two jets' scores. Events "
            f"({what}) in A: {in_a}.",
            "caption": (
                f"Every region, split by the two jets' scores at the threshold; numbers: {what} events inside the "
                "histogram's range, and B C / D in A, which assumes that all of it is background."
                + (" Bold frames: regions of the fit." if any(m["fitted"] for m in maps) else "")
            ),
            "sources": [{"file": "histograms/", "key": "*: letters A, B, C, D"}],
        }
    }


def _asked(region: Region) -> list[str]:
    """Return what a region asks: ``any low tau21``, ``mass_1 > mass_2``."""
    of_jets = [f"{quantifier} {' & '.join(map(_words, cuts))}" for quantifier, cuts in region.of_jets.items()]
    return [*of_jets, *map(_words, region.of_events)]


def _words(cut: str) -> str:
    """Return a name without underscores; an expression as it is, in parentheses where 'or' would be read as of more."""
    if not is_expression(split_cut(cut)[0]):
        return cut.replace("_", " ")
    return f"({cut})" if re.search(r"\bor\b|\|", cut) else cut


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one square a region."""
    maps = drawn["maps"]
    columns = min(len(maps), 4)
    rows = -(-len(maps) // columns)
    names = [layout.wrapped(one["region"], WORDS, NAME, bold=True, lines=3) for one in maps]
    cuts = [layout.wrapped(" and ".join(one["cuts"]) or "all events", WORDS, CUTS, lines=5) for one in maps]
    # of a square's unit, which is some 1.45 inches
    tall = max(len(n) * 1.2 * NAME + len(c) * 1.25 * CUTS for n, c in zip(names, cuts, strict=True)) / 72 / 1.45 + 0.12
    with style.context(0.8):
        made = style.figure(
            columns * PANEL if columns > 2 else 8.6 if columns == 2 else 5.4, (3.6 + 1.45 * tall) * rows + 0.3
        )
        axes = made.subplots(rows, columns, squeeze=False)
        for index, panel in enumerate(axes.flat):
            if index >= len(maps):
                panel.set_axis_off()
                continue
            _map(panel, maps[index], names[index], cuts[index], tall)
            panel.set_xlabel("Leading jet's score", loc="center")
            if index % columns == 0:
                panel.set_ylabel("Subleading jet's score", loc="center")
        style.header(axes[0, 0], drawn["header"]["label"], "" if columns > 1 else drawn["header"]["right"])
        if columns > 1:
            style.header(axes[0, -1], [""], drawn["header"]["right"])
    return made


def _map(panel: Any, one: dict[str, Any], name: Sequence[str], cuts: Sequence[str], tall: float) -> None:
    panel.set_xlim(0, 2)
    panel.set_ylim(0, 2 + tall)
    for letter, (x, y) in PLACES.items():
        panel.fill_between([x, x + 1], y, y + 1, color=TINTS[letter], linewidth=0)
        panel.text(x + 0.07, y + 0.93, letter, va="top", fontweight="bold", fontsize=17)
        panel.text(x + 0.5, y + 0.47, _count(one["letters"][letter]), ha="center", va="center", fontsize=17)
        if letter == "A" and one["predicted"] is not None:
            panel.text(x + 0.5, y + 0.2, f"B C / D = {_count(one['predicted'])}", ha="center", va="center", fontsize=11)
    panel.plot([1, 1], [0, 2], color="black", linewidth=1.5)
    panel.plot([0, 2], [1, 1], color="black", linewidth=1.5)
    panel.plot([0, 2], [2, 2], color="black", linewidth=1.0)
    top = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "linespacing": 1.15}
    panel.annotate("\n".join(name), (0, 1), (6, -5), fontweight="bold", fontsize=NAME, **top)
    panel.annotate("\n".join(cuts), (0, 1), (6, -6 - 1.2 * NAME * len(name)), fontsize=CUTS, **top)
    panel.set_xticks([0.5, 1.5], ["fails", "passes"])
    panel.set_yticks([0.5, 1.5], ["fails", "passes"], rotation=90, va="center")
    panel.tick_params(which="both", length=0)
    panel.minorticks_off()
    for spine in panel.spines.values():
        spine.set_linewidth(3.2 if one["fitted"] else 1.0)


def _count(value: float | None) -> str:
    if value is None:
        return "blinded"
    if value >= 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return rf"${mantissa} \times 10^{{{int(exponent)}}}$"
    return (
        f"{value:,.0f}".replace(",", "\N{THIN SPACE}") if value >= 100 or value == np.floor(value) else f"{value:.1f}"
    )
