"""The CLs upper limit with its expected bands."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure

from oddjets.report import layout, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite

__all__ = ["data", "draw"]

#: the bands that the LHC experiments draw, in tones whose lightness differs
ONE, TWO = "#607641", "#f5bb54"


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the observed and the expected limit."""
    found = artifacts.results.get("limit") or {}
    expected = found.get("expected")
    if not expected or len(expected) != 5 or None in expected:
        return {}
    name = (artifacts.results.get("poi") or {}).get("name", "mu")
    observed = found.get("observed")
    level = found.get("level", 0.95)
    confidence = 1 - level if level < 0.5 else level
    seen = "none" if observed is None else f"{observed:.3g}"
    fit = artifacts.analysis.fit
    process = next((p.process for p in (fit.pois if fit is not None else ()) if p.name == name), None)
    # any parameter can be asked about
    label, without = (artifacts.process(process)["label"], "without signal") if process else ("", f"if {name} = 0")
    return {
        "limit": {
            "kind": "limit",
            "name": "limit",
            "title": "Upper limit",
            "header": artifacts.header,
            "poi": name,
            "process": label,
            "observed": observed,
            "expected": finite(expected),
            "confidence": confidence,
            "alt": (
                f"Asymptotic upper limit on {name} at {confidence:.0%} confidence level: observed {seen}, median expected "
                f"{expected[2]:.3g}, 68 % band {expected[1]:.3g} to {expected[3]:.3g}."
            ),
            "caption": (
                f"Asymptotic CLs upper limit on {name} at {confidence:.0%} confidence level, with the expected bands {without}."
            ).replace("%", " %"),
            "sources": [{"file": "results.json", "key": "limit"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one row: bands, median and observed limit."""
    made = style.figure(height=4.2)
    axes = made.subplots()
    two_low, one_low, median, one_high, two_high = drawn["expected"]
    axes.fill_betweenx([-0.3, 0.3], two_low, two_high, color=TWO, linewidth=0, label="95 % expected")
    axes.fill_betweenx([-0.3, 0.3], one_low, one_high, color=ONE, linewidth=0, label="68 % expected")
    axes.plot([median, median], [-0.3, 0.3], color="black", linestyle="--", linewidth=2, label="Median expected")
    if drawn["observed"] is not None:
        axes.plot([drawn["observed"]] * 2, [-0.3, 0.3], color="black", linewidth=2.5)
        axes.plot([drawn["observed"]], [0], "o", color="black", markersize=9, label="Observed")
    axes.set_ylim(-0.7, 1.5)
    size = matplotlib.rcParams["ytick.labelsize"]
    axes.set_yticks([0], ["\n".join(layout.wrapped(drawn["process"], 10 * size, size))])
    axes.tick_params(axis="y", which="both", length=0)
    top = max(v for v in (two_high, drawn["observed"]) if v is not None)
    axes.set_xlim(0, 1.15 * top)
    # a name is no formula: underscores in it are no indices
    poi = r"$\mu$" if drawn["poi"] == "mu" else drawn["poi"].replace("$", r"\$")
    axes.set_xlabel(f"{drawn['confidence']:.0%} CL upper limit on {poi}".replace("%", r" %"))
    axes.legend(loc="upper right", ncols=2)
    style.text_block(axes, ["asymptotic"])
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
