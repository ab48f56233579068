"""The panel of most figures: stack with data, and their ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from oddjets.report import layout
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite, points, ratio

__all__ = ["MAX_PROCESSES", "draw_ratio", "draw_stack", "handles", "shared_legend", "stack_data"]

#: more processes than this are drawn as one, the smallest first: more colours cannot be told apart
MAX_PROCESSES = 9
#: what the hatched band of a fit is called
BAND = "Uncertainty"
#: the line of a signal that is drawn alone, as well as on top of the stack
_ALONE: dict[str, Any] = {"linewidth": 2.2, "linestyle": "--"}


def stack_data(
    artifacts: Artifacts,
    fitted: Mapping[str, Mapping[str, Any]],
    data: Any | None,
    *,
    expected: Sequence[bool] | None = None,
) -> dict[str, Any]:
    """Return stack, total, data and ratio of one panel, as JSON can hold them.

    Args:
        artifacts: for labels and colours.
        fitted: process to ``values`` and ``errors``, each of shape (bins,), with ``total`` among them.
        data: counts, shape (bins,); None without data.
        expected: whether the counts of each bin are not data but the expected background, since these are blinded; None: none
            of them.

    Returns:
        ``stack`` (from bottom to top: backgrounds by rising yield, then signals), ``total``, ``data`` and ``ratio``
        (both null without data; no ratio without simulation).
    """
    processes = [name for name in fitted if name != "total"]
    layers = [{**artifacts.process(name), **_numbers(fitted[name])} for name in processes]
    background = sorted(
        (layer for layer in layers if not layer["signal"]), key=lambda layer: np.nansum(_array(layer["values"]))
    )
    signal = [layer for layer in layers if layer["signal"]]
    few = max(MAX_PROCESSES - len(signal), 1)
    if len(background) > few:
        rest, background = background[: -few + 1], background[-few + 1 :]
        background.insert(0, _merged(rest))
    total = _numbers(fitted["total"]) if "total" in fitted else _merged(layers)
    values, errors = _array(total["values"]), _array(total["errors"])
    made: dict[str, Any] = {
        "stack": background + signal,
        "total": {"values": finite(values), "errors": finite(errors)},
        "data": None,
        "ratio": None,
    }
    if data is not None:
        blind = [bool(one) for one in expected] if expected is not None else [False] * len(values)
        made["data"] = {"label": artifacts.data_name, "expected": blind, **points(data)}
        if layers:
            made["ratio"] = {
                "values": finite(ratio(data, values)),
                "down": finite(ratio(_array(made["data"]["down"]), values)),
                "up": finite(ratio(_array(made["data"]["up"]), values)),
                "band": finite(ratio(errors, values)),
            }
    return made


def draw_stack(axes: Axes, drawn: Mapping[str, Any], *, edges: Sequence[float], log: bool) -> float:
    """Draw the stack, its uncertainty and the data.

    Args:
        axes: the panel.
        drawn: what `stack_data` returned.
        edges: bin edges, shape (bins + 1,).
        log: whether the y axis will be logarithmic.

    Returns:
        The largest value drawn.
    """
    x = np.asarray(edges, dtype=float)
    base = np.zeros(len(x) - 1)
    for layer in drawn["stack"]:
        top = base + np.nan_to_num(_array(layer["values"]))
        axes.stairs(
            top,
            x,
            baseline=base,
            fill=True,
            facecolor=layer["color"],
            edgecolor=(0, 0, 0, 0.55) if layer["hatch"] else "none",
            hatch=layer["hatch"],
            linewidth=0,
        )
        axes.stairs(top, x, baseline=base, color="black", linewidth=0.5, alpha=0.6)
        base = top
    total, errors = _array(drawn["total"]["values"]), np.nan_to_num(_array(drawn["total"]["errors"]))
    floor = 1e-9 if log else 0.0
    band = (np.maximum(total - errors, floor), total + errors)
    if drawn["stack"]:
        axes.stairs(
            band[1], x, baseline=band[0], fill=True, facecolor="none", edgecolor="0.25", hatch="xxxx", linewidth=0
        )
        axes.stairs(total, x, baseline=None, color="black", linewidth=1.2)
    highest = float(np.nanmax(band[1], initial=0.0))
    if log:
        for layer in drawn["stack"]:
            if layer["signal"]:
                axes.stairs(_array(layer["values"]), x, baseline=None, color=layer["color"], **_ALONE)
    if drawn["data"] is not None:
        counts, up = _array(drawn["data"]["values"]), _array(drawn["data"]["up"])
        # in a logarithmic panel an empty bin would be an arrow from nowhere; its ratio shows it
        shown = counts > 0 if log else np.isfinite(counts)
        _points(axes, x, counts, _array(drawn["data"]["down"]), up, shown, drawn["data"]["expected"])
        highest = max(highest, float(np.nanmax((counts + up)[shown], initial=0.0)))
    return highest


def draw_ratio(axes: Axes, drawn: Mapping[str, Any], *, edges: Sequence[float], label: str = "Ratio to fit") -> None:
    """Draw the ratio of the data to the stack, with the stack's relative uncertainty as a band around one.

    Args:
        axes: the panel.
        drawn: what `stack_data` returned.
        edges: bin edges, shape (bins + 1,).
        label: of the y axis.
    """
    x = np.asarray(edges, dtype=float)
    values, down, up, band = (_array(drawn["ratio"][key]) for key in ("values", "down", "up", "band"))
    band = np.nan_to_num(band)
    axes.axhline(1.0, color="black", linewidth=1, zorder=1)
    axes.stairs(1 + band, x, baseline=1 - band, fill=True, facecolor="0.8", edgecolor="0.45", hatch="xxxx", linewidth=0)
    good = np.isfinite(values)
    _points(axes, x, values, down, up, good, drawn["data"]["expected"])
    reach = np.concatenate([np.abs(values - 1)[good] + 0.5 * up[good], 1.2 * band])
    span = float(np.clip(np.max(reach, initial=0.1) * 1.15, 0.15, 1.0))
    _arrows(axes, x, values, good, span)
    axes.set_ylim(1 - span, 1 + span)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylabel(label, loc="center")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=4, steps=[1, 2, 5, 10], prune="both"))


def shared_legend(made: Figure, drawn: Sequence[Mapping[str, Any]], *, band: str = BAND, log: bool = False) -> None:
    """Draw one legend for all panels, below them.

    Args:
        made: the figure, in constrained layout.
        drawn: the panels' data.
        band: what the hatched band is called.
        log: as for `handles`.
    """
    size = 1.2 * layout.legend_points()
    entries = handles(drawn, band=band, log=log)
    if not entries:
        return
    longest = max(layout.text_width(str(entry.get_label()), size) for entry in entries) + 3.8 * size
    made.legend(
        handles=entries,
        loc="outside lower left",
        ncols=max(int(made.get_figwidth() * 72 / longest), 1),
        columnspacing=1.2,
        handlelength=1.3,
        fontsize=size,
    )


def handles(drawn: Sequence[Mapping[str, Any]], *, band: str = BAND, log: bool = False) -> list[Any]:
    """Return a legend's entries: data, every process in any of the panels, the signal's line, and the band.

    Args:
        drawn: the panels' data, from `stack_data`.
        band: what the hatched band is called.
        log: whether any of the panels is logarithmic: a signal is there drawn alone, too.
    """
    made: list[Any] = []
    point: dict[str, Any] = {"color": "black", "marker": "o", "linewidth": 1.4, "markersize": 5}
    data = [one["data"] for one in drawn if one["data"] is not None]
    if any(not all(one["expected"]) for one in data):
        made.append(Line2D([], [], label=data[0]["label"], **point))
    if any(any(one["expected"]) for one in data):
        made.append(Line2D([], [], label="Expected background", markerfacecolor="white", **point))
    layers = {layer["process"]: layer for one in drawn for layer in reversed(one["stack"])}
    for layer in layers.values():
        made.append(
            Patch(facecolor=layer["color"], edgecolor="0.2", linewidth=0.6, hatch=layer["hatch"], label=layer["label"])
        )
    for layer in layers.values():
        if log and layer["signal"]:
            made.append(Line2D([], [], color=layer["color"], label=f"{layer['label']}, not stacked", **_ALONE))
    if layers:
        made.append(Patch(facecolor="none", edgecolor="0.25", hatch="xxxx", linewidth=0, label=band))
    return made


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _numbers(entry: Mapping[str, Any]) -> dict[str, list[float | None]]:
    values = _array(entry["values"])
    errors = _array(entry["errors"]) if entry.get("errors") is not None else np.zeros_like(values)
    return {"values": finite(values), "errors": finite(errors)}


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge processes that are drawn as one; their errors are added in quadrature."""
    return {
        "process": "other",
        "label": f"Other ({len(layers)} processes)",
        "color": "#e6e6e6",
        "hatch": None,
        "signal": False,
        "values": finite(np.sum([_array(layer["values"]) for layer in layers], axis=0)),
        "errors": finite(np.sqrt(np.sum([_array(layer["errors"]) ** 2 for layer in layers], axis=0))),
    }


def _points(
    axes: Axes,
    edges: np.ndarray,
    y: np.ndarray,
    down: np.ndarray,
    up: np.ndarray,
    shown: np.ndarray,
    expected: Sequence[bool],
) -> None:
    """Draw points with their bars: data filled, and the expected background in their place open."""
    centres = (edges[:-1] + edges[1:]) / 2
    for chosen, face in ((shown & ~np.array(expected), "black"), (shown & np.array(expected), "white")):
        axes.errorbar(
            centres[chosen],
            y[chosen],
            yerr=[np.maximum(np.nan_to_num(down[chosen]), 0), np.maximum(np.nan_to_num(up[chosen]), 0)],
            fmt="o",
            color="black",
            markerfacecolor=face,
            markersize=5 if len(y) <= 40 else 3,
            linewidth=1.4,
            capsize=0,
            zorder=5,
        )


def _arrows(axes: Axes, edges: np.ndarray, values: np.ndarray, good: np.ndarray, span: float) -> None:
    """Mark points beyond the panel at its edge, so that none goes unseen."""
    centres = (edges[:-1] + edges[1:]) / 2
    for beyond, marker, place in ((values > 1 + span, "^", 1 + 0.93 * span), (values < 1 - span, "v", 1 - 0.93 * span)):
        chosen = good & beyond
        axes.plot(centres[chosen], np.full(chosen.sum(), place), marker, color="black", markersize=6, zorder=6)
