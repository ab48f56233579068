"""The profile likelihood against the parameter of interest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite
from oddjets.report.text import strength
from oddjets.stats.shown_numbers import is_asymmetric

__all__ = ["data", "draw"]

#: four standard deviations are enough
HIGHEST = 16.0
#: upper part of the panel without the curve
FREE = 0.12


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the scan and the fitted value."""
    found = artifacts.results.get("scan") or {}
    if not found.get("poi"):
        return {}
    poi = artifacts.results.get("poi") or {}
    name = found.get("name") or poi.get("name", "mu")
    if name != poi.get("name"):
        poi = next((p for p in artifacts.results.get("pois") or [] if p["name"] == name), {})
    low, high = min(found["poi"]), max(found["poi"])
    return {
        "scan": {
            "kind": "scan",
            "name": "scan",
            "title": "Likelihood scan",
            "header": artifacts.header,
            "poi": {
                "name": name,
                "value": poi.get("value"),
                "error": poi.get("error"),
                **_sides(poi),
                "shown": strength(poi),
            },
            "x": finite(found["poi"]),
            "values": finite(found["twice_delta_nll"]),
            "alt": (
                f"Twice the difference of the negative log-likelihood against {name} from {low:.3g} to "
                f"{high:.3g}: the minimum is "
                f"at {strength(poi)}."
            ),
            "caption": f"Profile likelihood against {name}; the lines mark one and two standard deviations.",
            "sources": [{"file": "results.json", "key": "scan"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the scan with the levels of one and two standard deviations."""
    made = style.figure()
    axes = made.subplots()
    x, y = np.asarray(drawn["x"], dtype=float), np.asarray(drawn["values"], dtype=float)
    for level, name in ((1.0, r"$1\sigma$"), (4.0, r"$2\sigma$")):
        axes.axhline(level, color="0.45", linestyle="--", linewidth=1.2)
        axes.annotate(
            name,
            (0.985, level),
            (0, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=14,
        )
    top = max(min(1.1 * float(np.nanmax(y, initial=0.0)), HIGHEST), 5.0)
    # the curve ends where the words begin
    (curve,) = axes.plot(x, y, color=style.PALETTE[0], linewidth=2.6, marker="o" if len(x) < 15 else None, markersize=5)
    curve.set_clip_path(Rectangle((0, 0), 1, 1 - FREE, transform=axes.transAxes))
    value = drawn["poi"]["value"]
    if value is not None:
        axes.axvline(value, 0, 1 - FREE, color="black", linewidth=1.2)
        label = r"$\mu$" if drawn["poi"]["name"] == "mu" else drawn["poi"]["name"]
        words = f"{label} = {drawn['poi']['shown']}"
        # where the curve begins at 0, it may be above the panel
        if x[0] == 0 < value:
            words += f";  {float(y[0]):.3g} at {label} = 0"
        style.text_block(axes, [words])
    axes.set_xlim(float(np.nanmin(x)), float(np.nanmax(x)) if len(x) > 1 else float(np.nanmax(x)) + 1)
    axes.set_ylim(0, top / (1 - FREE))
    axes.set_xlabel(r"$\mu$" if drawn["poi"]["name"] == "mu" else drawn["poi"]["name"])
    axes.set_ylabel(r"$-2\,\Delta\,\ln L$")
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made


def _sides(poi: dict[str, Any]) -> dict[str, float]:
    """Return the two-sided errors where they differ from the symmetric one."""
    return {side: poi[side] for side in ("error_up", "error_down")} if is_asymmetric(poi) else {}
