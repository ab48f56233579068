"""Displays of single events: the constituents of both jets about their axes, with the prongs, and the whole event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from oddjets.report import style
from oddjets.report.artifacts import Artifacts

__all__ = ["data", "draw", "figure_data"]

#: species -> colour and marker; shapes tell them apart where colours cannot
LOOKS: dict[str, tuple[str, str]] = {
    "charged hadron": (style.PALETTE[0], "o"),
    "neutral hadron": (style.PALETTE[3], "s"),
    "photon": (style.PALETTE[1], "D"),
    "electron": (style.PALETTE[4], "^"),
    "muon": (style.PALETTE[2], "v"),
}
#: a track of a larger significance is marked; the inspection says so too
RING = "black"
#: points squared of a marker's area, per GeV, in the jets and in the whole event; and no smaller than this
AREA, AREA_OF_EVENT, LEAST_AREA = 6.0, 2.0, 4.0
#: GeV; where a jet has more pT, all areas are smaller, so that markers do not cover all that is beside them
USUAL_PT = 700.0
#: of AK8 jets
RADIUS = 0.8
#: half the width of a jet's panel, and its upper end, which leaves room for words
HALF, TOP = 0.95, 1.62
#: half the width and half the height of a prong's pT in a jet's panel
LABEL = (0.12, 0.03)
#: half the width of the event's panel: where trackers and where calorimeters end
NEAR, FAR = 3.0, 5.2
#: height for words above the event, radians
WORDS = 2.2

_NAMES = ("Leading jet", "Subleading jet")


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the displays of the window that the YAML asks for."""
    found = artifacts.inspection("displays")
    if found is None:
        return {}
    made = [figure_data(artifacts, found, display) for display in found["displays"]]
    return {one["name"]: one for one in made}


def figure_data(artifacts: Artifacts, found: Mapping[str, Any], display: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of one display's figure.

    Args:
        artifacts: for the line above it.
        found: the content of ``displays.json``.
        display: one of its events.
    """
    name = f"display_{display['rank']:02d}"
    simulated = display["process"] or display["truth"]
    what = f"simulated as {simulated}" if simulated else artifacts.data_name.lower()
    constituents = [jet["constituents"] for jet in display["jets"]]
    has_jets = all(one is not None for one in constituents)
    return {
        "kind": "display",
        "name": name,
        "title": f"Event {display['id']}",
        "header": artifacts.header,
        "window": found["window"]["text"],
        "score": found["score"],
        "score_label": artifacts.analysis.score_label(found["score"]),
        "displaced": found["displaced"],
        "of": len(found["displays"]),
        **display,
        "alt": _alt(display, found, has_jets, what),
        "caption": _caption(display, found, has_jets, what),
        "sources": [
            {"file": f"inspection/{found['window']['name']}/displays.json", "key": f"displays.{display['rank'] - 1}"}
        ],
    }


def _alt(display: Mapping[str, Any], found: Mapping[str, Any], has_jets: bool, what: str) -> str:
    said = []
    for name, jet in zip(_NAMES, display["jets"], strict=True):
        words = f"{name}: pT {_text(jet['pt'], 0)} GeV, mass {_text(jet['mass'], 0)} GeV"
        if has_jets:
            prongs = len(jet["prongs"])
            words += f", {len(jet['constituents']['pt'])} constituents in {prongs} prong{'s' if prongs != 1 else ''}"
            words += f", {_displaced(jet, found['displaced'])} displaced tracks"
        said.append(words)
    return f"Display of event {display['id']} ({what}), number {display['rank']} of the oddest. {'. '.join(said)}."


def _caption(display: Mapping[str, Any], found: Mapping[str, Any], has_jets: bool, what: str) -> str:
    place = (
        f" Entry {display['entry']} of {display['file']}." if display["file"] and display["entry"] is not None else ""
    )
    first = (
        f"Event {display['id']} ({what}; run:section:event), number {display['rank']} by the lower score of its two jets in"
        f" {found['window']['text']}."
    )
    if not has_jets:
        return f"{first} All AK8 jets of the event; the file has no PF candidates.{place}"
    whole = (
        "all PF candidates"
        if display["event"]["all_stored"]
        else "the constituents of all jets, as far as they are stored"
    )
    return (
        f"{first} Left and middle: constituents of the jets about their axes, area by pT (weighted by PUPPI). Rings: tracks"
        f" that miss the primary vertex by more than {found['displaced']:g} standard deviations. Dashed circles: prongs, with"
        f" 90 % of their pT; crosses: what soft drop removes. Right: {whole}, and the AK8 jets.{place}"
    )


def _displaced(jet: Mapping[str, Any], least: float) -> int:
    return sum(one is not None and one > least for one in jet["constituents"]["displacement"])


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the panels: two jets and the event, or the event alone where the file has no constituents."""
    has_jets = all(jet["constituents"] is not None for jet in drawn["jets"])
    half = _half_width(drawn)
    tall = 2 * math.pi + WORDS
    with style.context(0.8):
        if has_jets:
            ratio = (2 * half / tall) * (HALF + TOP) / (2 * HALF)
            made = style.figure(5.2 * (2 + ratio) + 1.2, 8.2)
            panels = made.subplots(1, 3, width_ratios=[1, 1, ratio])
            for number, panel in enumerate(panels[:2]):
                _jet(panel, drawn, number)
        else:
            made = style.figure(8.0, 8.6)
            panels = [made.subplots()]
        _event(panels[-1], drawn, half, tall)
        style.header(panels[0], drawn["header"]["label"], "" if has_jets else drawn["header"]["right"])
        if has_jets:
            style.header(panels[-1], [""], drawn["header"]["right"])
        handles = _legend(drawn, has_jets)
        made.legend(
            handles=handles, loc="outside lower center", ncols=len(handles) if has_jets else 3, frameon=False,
            handletextpad=0.3, columnspacing=1.2, borderpad=0.2,
        )  # fmt: skip
    return made


def _jet(panel: Axes, drawn: Mapping[str, Any], number: int) -> None:
    jet = drawn["jets"][number]
    parts = jet["constituents"]
    x, y, pt, prong = (
        np.array([np.nan if v is None else v for v in parts[n]], float) for n in ("d_eta", "d_phi", "pt", "prong")
    )
    significance = np.array([np.nan if v is None else v for v in parts["displacement"]], float)
    panel.add_patch(Circle((0, 0), RADIUS, fill=False, color="0.75", linewidth=1.2))
    _scatter(panel, x, y, pt, parts["species"], AREA * _scale(drawn), removed=prong < 0)
    marked = significance > drawn["displaced"]
    if marked.any():
        panel.scatter(
            x[marked],
            y[marked],
            s=_area(pt[marked], AREA * _scale(drawn)) + 60,
            facecolors="none",
            edgecolors=RING,
            linewidths=1.6,
            zorder=5,
        )
    sides = _label_sides(jet["prongs"])
    for circle, side in zip(jet["prongs"], sides, strict=True):
        at, radius = (circle["d_eta"], circle["d_phi"]), circle["radius"]
        panel.add_patch(
            Circle(at, radius, fill=False, color="0.15", linestyle=style.DASHES[1], linewidth=1.6, zorder=6)
        )
        panel.annotate(
            f"{circle['pt']:.0f} GeV",
            (at[0], at[1] + side * radius),
            (0, 3 * side),
            textcoords="offset points",
            ha="center",
            va="bottom" if side > 0 else "top",
            fontsize=10.5,
            zorder=7,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )
    panel.set_xlim(-HALF, HALF)
    panel.set_ylim(-HALF, TOP)
    panel.set_aspect("equal")
    panel.set_yticks([-0.8, -0.4, 0.0, 0.4, 0.8])
    panel.set_xticks([-0.8, -0.4, 0.0, 0.4, 0.8])
    panel.minorticks_off()
    panel.set_xlabel(r"$\Delta\eta$ to the axis")
    panel.set_ylabel(r"$\Delta\phi$ to the axis" if number == 0 else "")
    style.text_block(panel, _jet_lines(drawn, number))


def _label_sides(circles: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return on which side of each prong's circle its pT is written: 1 above it, -1 below.

    Away from the others, unless another circle or the words of an earlier one are there and the other side is freer.
    """
    middle = np.mean([circle["d_phi"] for circle in circles]) if circles else 0.0
    places: list[tuple[float, float]] = []
    sides = []
    for circle in circles:
        x, y = circle["d_eta"], circle["d_phi"]
        away = 1 if y >= middle else -1
        found = []
        for side in (away, -away):
            at = (x, y + side * (circle["radius"] + 1.3 * LABEL[1]))
            crossed = sum(_covers(other, at) for other in circles if other is not circle)
            words = sum(abs(at[0] - p[0]) < 2 * LABEL[0] and abs(at[1] - p[1]) < 2 * LABEL[1] for p in places)
            found.append((crossed + words, side, at))
        # min takes the first of those that are alike
        _, side, at = min(found, key=lambda one: one[0])
        places.append(at)
        sides.append(side)
    return sides


def _covers(circle: Mapping[str, Any], at: tuple[float, float]) -> bool:
    """Return whether a circle reaches into words about a place."""
    beside = [max(abs(circle[name] - at[k]) - LABEL[k], 0.0) for k, name in enumerate(("d_eta", "d_phi"))]
    return bool(math.hypot(*beside) < circle["radius"])


def _jet_lines(drawn: Mapping[str, Any], number: int) -> list[str]:
    """Return the words about a jet: its kinematics, its score and what the model takes it for."""
    jet = drawn["jets"][number]
    lines = [
        _NAMES[number],
        rf"$p_T$ {_text(jet['pt'], 0)} GeV, mass {_text(jet['mass'], 1)} GeV",
        rf"$\eta$ {_text(jet['eta'], 2)}, $\phi$ {_text(jet['phi'], 2)}",
        rf"$\tau_{{21}}$ {_text(jet['tau21'], 2)}, $\tau_{{32}}$ {_text(jet['tau32'], 2)}, b tag {_text(jet['btag'], 2)}",
        f"{drawn['score_label']} {_score(jet['scores'].get(drawn['score']))}",
    ]
    shares = jet["shares"].get(drawn["score"]) or {}
    told = [f"{group} {100 * share:.0f} %" for group, share in shares.items() if share is not None and share >= 0.005]
    # three fit into a line
    return [*lines, *(", ".join(told[k : k + 3]) for k in range(0, len(told), 3))]


def _text(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _score(value: float | None) -> str:
    if value is None:
        return "–"
    return f"1 \N{MINUS SIGN} {1 - value:.1e}" if 0.9999 < value < 1 else f"{value:.4f}"


def _event(panel: Axes, drawn: Mapping[str, Any], half: float, tall: float) -> None:
    whole = drawn["event"]
    if (parts := whole["candidates"]) is not None:
        x, y, pt = (np.array([np.nan if v is None else v for v in parts[n]], float) for n in ("eta", "phi", "pt"))
        _scatter(panel, x, y, pt, parts["species"], AREA_OF_EVENT * _scale(drawn))
    # where azimuths are: the words above have no circles in them
    strip = Rectangle((-half, -math.pi), 2 * half, 2 * math.pi, transform=panel.transData)
    for jet in whole["fat_jets"]:
        ours = jet["jet"] is not None
        # once more where it goes on beyond the azimuth's ends
        for turn in (-2 * math.pi, 0.0, 2 * math.pi):
            circle = Circle(
                (jet["eta"], jet["phi"] + turn), RADIUS, fill=False, color="0.15" if ours else "0.55",
                linewidth=1.8 if ours else 1.2, linestyle="-" if ours else style.DASHES[2], zorder=6,
            )  # fmt: skip
            panel.add_patch(circle)
            circle.set_clip_path(strip)
        panel.annotate(
            f"{jet['jet']}" if ours else f"{jet['pt']:.0f} GeV",
            _beside(jet, half),
            fontsize=15 if ours else 10,
            fontweight="bold" if ours else "normal",
            ha="left" if jet["eta"] < 0.5 * half else "right",
            va="center",
            zorder=7,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )
    panel.set_xlim(-half, half)
    panel.set_ylim(-math.pi, tall - math.pi)
    panel.set_aspect("equal")
    panel.axhline(math.pi, color="0.6", linewidth=0.8)
    panel.set_yticks(
        [-math.pi, -math.pi / 2, 0, math.pi / 2, math.pi], [r"$-\pi$", r"$-\pi/2$", "0", r"$\pi/2$", r"$\pi$"]
    )
    panel.minorticks_off()
    panel.set_xlabel(r"$\eta$")
    panel.set_ylabel(r"$\phi$", labelpad=-8)
    style.text_block(panel, _event_lines(drawn))


def _beside(jet: Mapping[str, Any], half: float) -> tuple[float, float]:
    """Return where a jet's number is written: beside its circle, on the side where there is room."""
    return jet["eta"] + (1 if jet["eta"] < 0.5 * half else -1) * (RADIUS + 0.08), jet["phi"]


def _event_lines(drawn: Mapping[str, Any]) -> list[str]:
    process = drawn["truth"] or drawn["process"]
    simulated = f"{drawn['dataset']}, simulated as {process}" if process else drawn["dataset"]
    if process == drawn["dataset"]:
        simulated = f"{process}, simulated"
    mass = "" if drawn["mjj"] is None else rf"$m_{{jj}}$ {drawn['mjj']:.0f} GeV, "
    return [f"Event {drawn['id']}", simulated, f"{mass}number {drawn['rank']} in", drawn["window"]]


def _half_width(drawn: Mapping[str, Any]) -> float:
    parts = drawn["event"]["candidates"]
    places = [] if parts is None else [abs(eta) for eta in parts["eta"] if eta is not None]
    return FAR if max(places, default=0.0) > NEAR else NEAR


def _scale(drawn: Mapping[str, Any]) -> float:
    """Return what areas are multiplied by."""
    return min(1.0, USUAL_PT / max(jet["pt"] or USUAL_PT for jet in drawn["jets"]))


def _area(pt: np.ndarray, per_GeV: float) -> np.ndarray:
    return np.maximum(per_GeV * pt, LEAST_AREA)


def _scatter(
    panel: Axes,
    x: np.ndarray,
    y: np.ndarray,
    pt: np.ndarray,
    species: Sequence[str],
    per_GeV: float,
    *,
    removed: np.ndarray | None = None,
) -> None:
    """Draw candidates, the soft ones on top; those that soft drop removes as crosses."""
    names = np.array(species)
    gone = np.zeros(len(pt), bool) if removed is None else removed
    for name, (color, marker) in LOOKS.items():
        own = np.flatnonzero((names == name) & ~gone)
        panel.scatter(
            x[own], y[own], s=_area(pt[own], per_GeV), c=color, marker=marker, alpha=0.6, edgecolors="white", linewidths=0.4,
            zorder=3,
        )  # fmt: skip
        own = np.flatnonzero((names == name) & gone)
        panel.scatter(
            x[own], y[own], s=np.maximum(_area(pt[own], per_GeV), 16), c=color, marker="x", linewidths=1.0, zorder=3
        )


def _legend(drawn: Mapping[str, Any], has_jets: bool) -> list[Line2D]:
    seen = [name for jet in drawn["jets"] if jet["constituents"] for name in jet["constituents"]["species"]]
    if drawn["event"]["candidates"]:
        seen += drawn["event"]["candidates"]["species"]
    made = [
        Line2D([], [], color=color, marker=marker, linestyle="none", markersize=9, alpha=0.8, label=name)
        for name, (color, marker) in LOOKS.items()
        if name in seen
    ]
    constituents = [jet["constituents"] for jet in drawn["jets"] if has_jets]
    if any(_displaced(jet, drawn["displaced"]) for jet in drawn["jets"] if has_jets):
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": RING, "markeredgewidth": 1.6}
        made.append(Line2D([], [], marker="o", linestyle="none", markersize=11, label="displaced track", **ring))
    if any(prong is not None and prong < 0 for parts in constituents for prong in parts["prong"]):
        made.append(
            Line2D([], [], color="0.4", marker="x", linestyle="none", markersize=8, label="removed by soft drop")
        )
    if any(jet["prongs"] for jet in drawn["jets"] if has_jets):
        made.append(Line2D([], [], color="0.15", linestyle=style.DASHES[1], label="prong"))
    if has_jets:
        size = math.sqrt(AREA * _scale(drawn) * 50)
        made.append(
            Line2D(
                [], [], color="0.6", marker="o", linestyle="none", markersize=size, alpha=0.6, label="50 GeV in a jet"
            )
        )
    if drawn["event"]["fat_jets"]:
        circle: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none", "markersize": 14}
        made.append(Line2D([], [], color="0.4", label="AK8 jet", **circle))
    return made
