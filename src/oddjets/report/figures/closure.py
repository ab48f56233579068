"""The ABCD closure: simulated background in A against B C / D, and the constant fitted to their ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite, ratio
from oddjets.report.text import with_error

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the closure of every region."""
    made = {}
    process = artifacts.closure.get("process") or artifacts.analysis.data_driven or "background"
    name, _ = artifacts.analysis.abcd_bins
    observable = artifacts.analysis.observables.get(name)
    for region, found in artifacts.closure.get("regions", {}).items():
        edges = [float(e) for e in found["edges"]]
        predicted, predicted_error = (_array(found[k]) for k in ("predicted", "predicted_error"))
        observed, observed_error = (_array(found[k]) for k in ("observed", "observed_error"))
        relative = np.hypot(ratio(observed_error, predicted), ratio(observed * predicted_error, predicted**2))
        constant = _describe(found)
        made[f"closure_{region}"] = {
            "kind": "closure",
            "name": f"closure_{region}",
            "title": f"ABCD closure, {region}",
            "header": {**artifacts.header, "label": [artifacts.header["label"][0], "simulation"]},
            "text": [artifacts.region_label(region), f"{artifacts.process(process)['label']} simulation", constant],
            "x": {
                "label": artifacts.axis_label(name) if observable else "Observable",
                "edges": edges,
            },
            "y": {"label": style.count_label(edges, observable.unit if observable else ""), "log": False},
            "color": artifacts.process(process)["color"],
            "observed": {"values": finite(observed), "errors": finite(observed_error)},
            "predicted": {"values": finite(predicted), "errors": finite(predicted_error)},
            "ratio": {"values": finite(ratio(observed, predicted)), "errors": finite(relative)},
            "constant": {"value": found.get("constant"), "error": found.get("constant_error")},
            "alt": (
                f"Region {region}: simulated {process} in A against B C / D in {len(edges) - 1} bins: "
                f"{np.nansum(observed):.1f} observed, {np.nansum(predicted):.1f} predicted. Constant fitted to "
                "the ratio: "
                f"{constant}. Verdict: {found.get('verdict', 'none')}."
            ),
            "caption": (
                f"Closure in {region} on simulated {process}: points, events in A; histogram, the prediction B "
                "C / D with its "
                "statistical error. Below, their ratio and the fitted constant."
            ),
            "sources": [{"file": "closure.json", "key": f"regions.{region}"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the closure of one region; where it has no events, say so."""
    if not any((drawn["predicted"]["values"] or []) + (drawn["observed"]["values"] or [])):
        return _without_events(drawn)
    made = style.figure()
    main, below = style.ratio_axes(made)
    assert below is not None
    x = np.asarray(drawn["x"]["edges"], dtype=float)
    centres = (x[:-1] + x[1:]) / 2
    predicted, predicted_error = (np.nan_to_num(_array(drawn["predicted"][k])) for k in ("values", "errors"))
    observed, observed_error = (np.nan_to_num(_array(drawn["observed"][k])) for k in ("values", "errors"))
    main.stairs(predicted, x, baseline=0, fill=True, color=drawn["color"], alpha=0.45)
    main.stairs(predicted, x, baseline=0, color=drawn["color"], linewidth=2, label="Prediction $N_B N_C / N_D$")
    main.stairs(
        predicted + predicted_error,
        x,
        baseline=np.maximum(predicted - predicted_error, 0),
        fill=True,
        facecolor="none",
        edgecolor="0.25",
        hatch="xxxx",
        linewidth=0,
        label="Its stat. uncertainty",
    )
    main.errorbar(
        centres,
        observed,
        yerr=observed_error,
        fmt="o",
        color="black",
        markersize=5,
        linewidth=1.4,
        label="Simulation in A",
    )
    main.set_ylabel(drawn["y"]["label"])
    main.set_xlim(x[0], x[-1])
    highest = max(np.max(predicted + predicted_error, initial=0.0), np.max(observed + observed_error, initial=0.0))
    taken = style.words(main, drawn["text"], main.get_legend_handles_labels()[0])
    style.headroom(main, float(highest), taken, log=False)
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    values, errors = (_array(drawn["ratio"][k]) for k in ("values", "errors"))
    good = np.isfinite(values) & np.isfinite(errors)
    constant, error = drawn["constant"]["value"], drawn["constant"]["error"]
    below.axhline(1, color="black", linewidth=1)
    if constant is not None:
        error = error or 0.0
        below.axhspan(constant - error, constant + error, color=drawn["color"], alpha=0.35, linewidth=0)
        below.axhline(constant, color="black", linestyle="--", linewidth=1.4)
    if not good.any():
        below.text(0.5, 0.8, "no bin has a prediction", transform=below.transAxes, ha="center", va="center")
    below.errorbar(centres[good], values[good], yerr=errors[good], fmt="o", color="black", markersize=5, linewidth=1.4)
    reach = np.max((np.abs(values - 1) + 0.6 * errors)[good], initial=0.2)
    span = float(np.clip(1.1 * reach, 0.2, 2.0))
    below.set_ylim(max(1 - span, -0.2), 1 + span)
    below.set_ylabel("A / pred.", loc="center")
    below.set_xlabel(drawn["x"]["label"])
    return made


def _without_events(drawn: dict[str, Any]) -> Figure:
    """Say that there is nothing to compare, in place of empty axes."""
    made = style.figure(height=3.2)
    axes = made.subplots()
    axes.set_xticks([])
    axes.set_yticks([])
    style.text_block(axes, [drawn["text"][0], f"{drawn['text'][1]}: no events, neither in A nor in $B C / D$"])
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made


def _describe(found: dict[str, Any]) -> str:
    if found.get("constant") is None:
        return "no constant fitted"
    quality = f", $\\chi^2$/ndf = {found['chi2']:.1f}/{found['ndf']}" if found.get("ndf") else ""
    return f"c = {with_error(found['constant'], found.get('constant_error'))}{quality}"


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=float)
