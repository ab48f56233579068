"""Measurements of a signal that went through the analysis: efficiencies, scores, templates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.io.fileset import FileInfo
from oddjets.io.histograms import LETTERS, HistogramSet
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import binomial, finite
from oddjets.stats.templates import Template
from oddjets.workflow.rescoring.published import Published
from oddjets.workflow.run import RunContext

__all__ = ["acceptance", "score_distribution", "template_entry"]

Floats = npt.NDArray[np.float64]
#: bins of the score, where the published figure does not say them
BINS = 50


def effective_events(files: Sequence[FileInfo], total: float, events: int) -> float:
    """Return how many equal weights have the relative error of a sample's sum of weights, (sum w)^2 / sum w^2.

    Args:
        files: of the sample.
        total: its sum of weights.
        events: generated; where the files do not store the squares, weights are taken to be equal.
    """
    rows = [row for info in files for row in info.runs]
    squares = [row.squares for row in rows if row.squares is not None]
    if not rows or len(squares) < len(rows) or not sum(squares) > 0:
        return float(events)
    return total**2 / sum(squares)


def _interval(share: float, generated: float) -> dict[str, float | None]:
    """Return a share with its Clopper-Pearson 68.3 % interval for so many generated events; a share may be negative."""
    # weighted shares can be a little outside of what counts can be
    passed = float(np.clip(share, 0.0, 1.0)) * generated
    value, down, up = binomial([passed], [generated])
    return {"value": share, "down": finite(down)[0], "up": finite(up)[0]} if np.isfinite(value[0]) else {
        "value": share, "down": None, "up": None
    }  # fmt: skip


def acceptance(run: RunContext, histograms: HistogramSet, process: str, cross_section_pb: float) -> dict[str, Any]:
    """Return acceptance times efficiency after each cut, and of each region and letter.

    Both are shares of the weights of all generated events. After the cuts weights are the generator's; of the regions they
    are complete, with pileup and other corrections.

    Args:
        run: the signal's analysis, processed.
        histograms: of the signal.
        process: its name.
        cross_section_pb: with K factor; what the histograms were normalised to.
    """
    processed = run.extra("process")
    datasets = [d for d in processed["datasets"].values() if d["process"] == process]
    files = [info for _, infos in run.fileset.values() for info in infos]
    total = sum(float(d["sum_of_weights"]) for d in datasets)
    stored = sum(info.entries for info in files)
    counts = [row.count for info in files for row in info.runs]
    generated = sum(c for c in counts if c is not None) if counts and None not in counts else stored
    effective = effective_events(files, total, generated)
    # several datasets count by their cross sections
    shares = _shares(datasets)
    cuts = []
    for i, cut in enumerate(processed["cuts"]):
        share = sum(s * d["weighted"][i] / d["sum_of_weights"] for s, d in zip(shares, datasets, strict=True))
        cuts.append({"cut": cut, "events": sum(d["raw"][i] for d in datasets), **_interval(share, effective)})
    expected = cross_section_pb * histograms.luminosity_pb
    observable = run.analysis.fit.observable if run.analysis.fit is not None else next(iter(run.analysis.observables))
    regions: dict[str, Any] = {}
    for region in run.analysis.regions:
        of_region: dict[str, Any] = {}
        values, variances = _with_flow(histograms, region, observable, process)
        for name, rows in [("all", slice(None)), *((letter, slice(i, i + 1)) for i, letter in enumerate(LETTERS))]:
            events, variance = float(values[rows].sum()), float(variances[rows].sum())
            share = events / expected
            # as many equal weights as have this relative error
            equal = events**2 / variance / share if variance > 0 and share > 0 else effective
            of_region[name] = {"events": events, "error": float(np.sqrt(variance)), **_interval(share, equal)}
        regions[region] = of_region
    return {
        "generated": generated,
        "stored": stored,
        "sum_of_weights": total,
        "effective_events": effective,
        "negative_share": _negative_share(generated, effective, total, files),
        "selected": sum(d["raw"][-1] for d in datasets),
        "cuts": cuts,
        "regions": regions,
    }


def _negative_share(generated: int, effective: float, total: float, files: Sequence[FileInfo]) -> float | None:
    """Return which share of events has negative weights, where all weights are +w or -w; None where they differ."""
    rows = [row for info in files for row in info.runs]
    if not rows or any(row.squares is None for row in rows) or not generated:
        return None
    squares = sum(row.squares or 0.0 for row in rows)
    size = (squares / generated) ** 0.5
    share = 0.5 * (1 - total / (generated * size))
    # of weights of one size the number of negative ones is a whole number
    number = share * generated
    return share if abs(number - round(number)) < 1e-3 else None


def _shares(datasets: Sequence[Mapping[str, Any]]) -> list[float]:
    sections = [float(d["cross_section_pb"]) * float(d["k_factor"]) for d in datasets]
    return [section / sum(sections) for section in sections]


def _with_flow(histograms: HistogramSet, region: str, observable: str, process: str) -> tuple[Floats, Floats]:
    """Return the events of a region by letter, also those outside of the observable's range, and their variances, (4,)."""
    found = histograms.histograms[region, observable]
    if process not in found.axes["process"]:
        return np.zeros(len(LETTERS)), np.zeros(len(LETTERS))
    view: Any = found.view(flow=True)
    cells = view[
        list(found.axes["process"]).index(process), : len(LETTERS), list(found.axes["variation"]).index("nominal")
    ]
    return np.asarray(cells["value"]).sum(axis=-1), np.asarray(cells["variance"]).sum(axis=-1)


def score_distribution(published: Published, run: RunContext, process: str) -> dict[str, Any]:
    """Return the distribution of the smaller score of the two jets, of the signal and beside it of the published figure.

    Args:
        published: the published analysis; of it ``figures/score.json`` is read, where it is.
        run: the signal's analysis, with its histograms.
        process: the signal.

    Returns:
        ``edges``, ``threshold`` and ``signal``, with ``values`` and ``errors`` in events; ``background`` and ``data``, None
        where the published folder has no figure of the score.
    """
    shown = _published_figure(published.run.out / "figures" / "score.json")
    edges = np.asarray(shown["x"]["edges"], float) if shown else np.linspace(0, 1, BINS + 1)
    name = published.threshold["score"]
    table = Artifacts(run.analysis, run.out).table([f"score_{name}_1", f"score_{name}_2"]).get(process)
    signal = [np.zeros(len(edges) - 1)] * 2
    if table is not None:
        smaller = np.minimum(table[f"score_{name}_1"], table[f"score_{name}_2"])
        signal = [
            np.histogram(smaller, edges, weights=table["weight"])[0],
            np.sqrt(np.histogram(smaller, edges, weights=table["weight"] ** 2)[0]),
        ]
    made: dict[str, Any] = {
        "score": name,
        "label": run.analysis.score_label(name, in_text=True),
        "edges": edges.tolist(),
        "threshold": published.threshold["value"],
        "signal": {"values": signal[0].tolist(), "errors": signal[1].tolist()},
        "background": None,
        "data": None,
    }
    if shown:
        layers = [layer for layer in shown["stack"] if layer["process"] != published.signal.process]
        made["background"] = {
            "values": np.sum([np.asarray(layer["values"], float) for layer in layers], axis=0).tolist(),
            "errors": np.sqrt(np.sum([np.asarray(layer["errors"], float) ** 2 for layer in layers], axis=0)).tolist(),
            "processes": [layer["label"] for layer in layers],
        }
        if shown["data"] is not None:
            made["data"] = {key: shown["data"][key] for key in ("label", "values", "down", "up")}
    return made


def _published_figure(file: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if {"x", "stack", "data"} <= found.keys():
            return found
    return None


def template_entry(template: Template) -> dict[str, Any]:
    """Return a template for JSON: nominal, statistical errors, and up and down of each nuisance parameter."""
    return {
        "nominal": template.nominal.tolist(),
        "errors": np.sqrt(template.variance).tolist(),
        "variations": {
            name: {"up": up.tolist(), "down": down.tolist()} for name, (up, down) in template.shapes.items()
        },
        "scales": {name: list(both) for name, both in template.scales.items()},
    }
