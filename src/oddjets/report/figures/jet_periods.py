"""Single jets by period of running: how many are odd, and their mass; and where in the detector they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oddjets.io.inspections import read_inspection_of_jets
from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures.neighbours import MOST_JETS, OTHERS, WINDOW, draw_square

__all__ = ["MOST_JETS", "data", "draw", "figures_of"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the figure of the inspection of single jets, if it is of the jets that are there now."""
    found = None if artifacts.blinded else read_inspection_of_jets(artifacts.out, artifacts.analysis.jet_bump)
    return figures_of(artifacts, found[0]) if found is not None and found[1] else {}


def figures_of(artifacts: Artifacts, found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the data of the figure.

    Args:
        artifacts: for the line above it.
        found: the content of ``inspection/jets/jets.json``.
    """
    periods = found["periods"]
    label = artifacts.analysis.score_label(found["score"])
    spots = {
        key: {which: one[which] for which in ("hot", "dead")} | {"p": one["smallest_corrected_p"]}
        for key in ("all", "odd")
        if (one := found["against"].get(f"{key}_azimuth")) is not None
    }
    several = len(periods) > 1
    known = several and all(period["luminosity_pb"] for period in periods)
    said = [
        f"{found['odd']} of {found['jets']} jets are the oddest {100 * found['efficiency']:g} % by {label}",
        *(
            f"their rate by run against {found['rates_against']} has p = {rate['p']:.2g}"
            for which, rate in found["rates"].items()
            if which == "odd"
        ),
        *(f"the azimuths of {key} jets have p = {one['p']:.2g}" for key, one in spots.items() if one["p"] is not None),
    ]
    upper = (
        "Above: odd jets and those of them in the window, for each "
        + ("1/pb of the sections that were read" if known else "1000 jets of the period")
        + ", and the mean mass of odd and of all jets, by period. "
        if several
        else "All jets are of one run, so that there is nothing by period. "
    )
    return {
        "jet_periods": {
            "kind": "jet_periods",
            "name": "jet_periods",
            "title": "Single jets by period and place",
            "header": artifacts.header,
            "periods": periods if several else [],
            "per_luminosity": known,
            "window": found["window"],
            "label": label,
            "efficiency": found["efficiency"],
            "places": found["places"],
            "spots": spots,
            "alt": f"Single jets by period and by place. {'; '.join(said)}.",
            "caption": (
                f"{'; '.join(said)}. {upper}Places of all and of odd jets, at random {MOST_JETS} at most; squares: the largest"
                " excess (full) and deficit (dashed) against other azimuths of the same eta, with p corrected for both; events"
                " are turned about the beam."
            ),
            "sources": [{"file": "inspection/jets/jets.json", "key": "periods, rates, against, places"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the periods above, and the places below."""
    several = bool(drawn["periods"])
    with style.context(0.8):
        made = style.figure(12.0, 10.4 if several else 5.6)
        axes = made.subplots(2 if several else 1, 2, squeeze=False)
        if several:
            _rate(axes[0, 0], drawn)
            _mass(axes[0, 1], drawn)
        for panel, key, words in zip(axes[-1], ("all", "odd"), ("all jets", "odd jets"), strict=True):
            _places(panel, drawn, key, words)
        style.header(axes[0, 0], drawn["header"]["label"])
        style.header(axes[0, -1], ("",), drawn["header"]["right"])
    return made


def _names(axes: Axes, periods: Sequence[Mapping[str, Any]]) -> None:
    names = [str(p["first"]) if p["first"] == p["last"] else f"{p['first']}–\n{p['last']}" for p in periods]
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 3 else 0, fontsize="small")
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel("Runs")


def _rate(axes: Axes, drawn: Mapping[str, Any]) -> None:
    periods = drawn["periods"]
    per = np.array([p["luminosity_pb"] if drawn["per_luminosity"] else p["jets"] / 1000 for p in periods], float)
    x, highest = np.arange(len(periods)), 0.0
    low, high = drawn["window"]
    for key, color, shift, label in (
        ("odd", "black", -0.08, f"Oddest {100 * drawn['efficiency']:g} %"),
        ("inside", WINDOW, 0.08, f"{low:g} to {high:g} GeV"),
    ):
        counts = np.array([p[key] for p in periods], float)
        axes.errorbar(x + shift, counts / per, np.sqrt(counts) / per, fmt="o", color=color, markersize=6, label=label)
        axes.axhline(counts.sum() / per.sum(), color=color, linestyle="--", linewidth=1.2)
        highest = max(highest, float(((counts + np.sqrt(counts)) / per).max()))
    _names(axes, periods)
    axes.set_ylabel("Jets per 1/pb" if drawn["per_luminosity"] else "Per 1000 jets")
    taken = style.words(axes, [drawn["label"]], axes.get_legend_handles_labels()[0])
    style.headroom(axes, highest, taken, log=False)


def _mass(axes: Axes, drawn: Mapping[str, Any]) -> None:
    periods = drawn["periods"]
    x = np.arange(len(periods))
    mean, error = (
        np.array([np.nan if p[key] is None else p[key] for p in periods], float)
        for key in ("mean_mass_odd", "error_odd")
    )
    axes.errorbar(x, mean, error, fmt="o", color="black", markersize=6, label="Odd jets")
    everything = np.array([p["mean_mass"] for p in periods], float)
    axes.plot(x, everything, "s", color=OTHERS, markersize=6, label="All jets")
    _names(axes, periods)
    axes.set_ylabel("Mean soft-drop mass [GeV]")
    values = np.concatenate([mean - np.nan_to_num(error), mean + np.nan_to_num(error), everything])
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    span = max(most - least, 1.0)
    axes.set_ylim(least - 0.3 * span, most + 0.8 * span)
    axes.legend(loc="upper right", ncols=2)


def _places(axes: Axes, drawn: Mapping[str, Any], key: str, words: str) -> None:
    places = drawn["places"][key]
    many = len(places["eta"]) > MOST_JETS / 3
    axes.scatter(
        places["eta"], places["phi"], s=4 if many else 14, c=WINDOW if key == "odd" else OTHERS, alpha=0.7, linewidths=0
    )
    spot = drawn["spots"].get(key)
    if spot is not None:
        for which, line in (("hot", "-"), ("dead", "--")):
            if spot[which]:
                draw_square(axes, spot[which], line)
    p = "" if spot is None or spot["p"] is None else f": p = {spot['p']:.2g}"
    axes.set_ylim(-np.pi, np.pi * 1.3)
    axes.set_yticks(range(-3, 4))
    axes.set_xlabel(rf"$\eta$ of {words}")
    axes.set_ylabel(r"$\phi$")
    axes.text(0.03, 0.97, f"{words[0].upper()}{words[1:]}, azimuths{p}", transform=axes.transAxes, va="top")
