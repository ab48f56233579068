"""The cutflow: the events of each process that are left after each cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite
from oddjets.report.modelled import normalisation_text

__all__ = ["by_process", "data", "draw"]


def by_process(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the cutflow summed over the datasets of each process.

    Returns:
        Process (``data`` for data) to ``raw`` and ``weighted``, each one number a cut.
    """
    cuts = artifacts.cutflow["cuts"]
    summed: dict[str, dict[str, Any]] = {}
    for entry in artifacts.cutflow["datasets"].values():
        name = "data" if entry["is_data"] else entry["process"]
        one = summed.setdefault(name, {"raw": [0] * len(cuts), "weighted": [0.0] * len(cuts)})
        for key in ("raw", "weighted"):
            one[key] = [a + b for a, b in zip(one[key], entry[key], strict=True)]
    order = [p for p in artifacts.analysis.processes if p in summed]
    order += [p for p in summed if p not in order and p != "data"]
    return {name: summed[name] for name in (*order, *(["data"] if "data" in summed else []))}


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the events left after each cut, per process."""
    summed = by_process(artifacts)
    if not summed:  # of single jets alone
        return {}
    simulated = sorted((p for p in summed if p != "data"), key=lambda p: -summed[p]["weighted"][-1])
    shown = simulated[: panels.MAX_PROCESSES]
    cuts = artifacts.cutflow["cuts"]
    lines = [{**artifacts.process(p), "values": finite(summed[p]["weighted"])} for p in shown]
    counted = summed["data"]["raw"] if "data" in summed else None
    left_out = (
        f" The {len(simulated) - len(shown)} smallest processes are in the table only."
        if len(simulated) > len(shown)
        else ""
    )
    seen = f"{artifacts.data_name.lower()} fall from {counted[0]} to {counted[-1]} events; " if counted else ""
    simulation = ", ".join(f"{line['process']} to {line['values'][-1] or 0:.4g}" for line in lines[:3])
    return {
        "cutflow": {
            "kind": "cutflow",
            "name": "cutflow",
            "title": "Cutflow",
            "header": artifacts.header,
            "cuts": list(cuts),
            "lines": lines,
            "data": counted,
            "data_label": artifacts.data_name,
            "alt": f"Events after each of {len(cuts)} cuts, from '{cuts[0]}' to '{cuts[-1]}': {seen}simulation: "
            f"{simulation or 'none'}.",
            "caption": f"Events left after each cut. {normalisation_text(artifacts)}{left_out}",
            "sources": [{"file": "cutflow.json", "key": "datasets.*.weighted"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one step line a process, and the data as points."""
    made = style.figure()
    axes = made.subplots()
    number = len(drawn["cuts"])
    edges = np.arange(number + 1) - 0.5
    highest, lowest = 1.0, 1.0
    for index, line in enumerate(drawn["lines"]):
        values = np.nan_to_num(np.asarray(line["values"], dtype=float))
        width = 3.2 if line["signal"] else 2.2
        axes.stairs(
            values,
            edges,
            baseline=None,
            color=line["color"],
            linewidth=width,
            linestyle=style.DASHES[index % len(style.DASHES)],
            label=line["label"],
        )
        highest = max(highest, float(values.max(initial=0)))
        lowest = min(lowest, float(values[values > 0].min(initial=1.0)))
    if drawn["data"] is not None:
        counts = np.asarray(drawn["data"], dtype=float)
        axes.plot(
            np.arange(number)[counts > 0],
            counts[counts > 0],
            "o",
            color="black",
            markersize=7,
            label=drawn["data_label"],
        )
        highest = max(highest, float(counts.max(initial=0)))
    axes.set_ylabel("Events")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xticks(
        np.arange(number), [c.replace("_", " ") for c in drawn["cuts"]], rotation=35, ha="right", rotation_mode="anchor"
    )
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    taken = 0.1
    if drawn["lines"] or drawn["data"] is not None:
        taken = style.words(axes, [], axes.get_legend_handles_labels()[0])
    style.headroom(axes, highest, taken, log=True, lowest=max(0.5 * lowest, highest * 1e-9))
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
