"""Normalisation factors: cross section x K x luminosity / sum of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import variations_of

__all__ = ["cutflow_of", "factor_of", "factors", "own_factors", "own_normalisations"]


def factor_of(d: Mapping[str, Any], luminosity_pb: float) -> float:
    """Return what multiplies a dataset's weights: 1 for data and for weights that are complete."""
    if d["is_data"] or d.get("complete_weights"):
        return 1.0
    return float(d["cross_section_pb"] * d["k_factor"] * luminosity_pb / (d["sum_of_weights"] or 1.0))


def factors(
    analysis: Analysis, processed: Mapping[str, Any], luminosity_pb: float
) -> dict[str, tuple[str, bool, float]]:
    """Return dataset to (process, is_data, factor): cross section x K x luminosity / sum of weights; 1 for data.

    Args:
        analysis: may scale a process's template.
        processed: what the stage `process` left in its manifest.
        luminosity_pb: of the data, /pb.

    Raises:
        OddjetsError: simulation whose weights sum to zero, or to less.
    """
    out = {}
    for name, d in processed["datasets"].items():
        if not d["is_data"] and d["entries"] and not d.get("complete_weights") and not d["sum_of_weights"] > 0:
            raise OddjetsError(
                f"dataset '{name}': the sum of generator weights is {d['sum_of_weights']:g}, so it has no normalisation"
            )
        factor = factor_of(d, luminosity_pb)
        if not d["is_data"] and d["process"] in analysis.processes:
            factor *= analysis.processes[d["process"]].template_scale
        out[name] = (d["process"], bool(d["is_data"]), factor)
    return out


def cutflow_of(processed: Mapping[str, Any], luminosity_pb: float | None) -> dict[str, Any]:
    """Return the content of ``cutflow.json``: the cutflow and the n-1 table of every dataset, normalised.

    Args:
        processed: what the stage `process` left in its manifest.
        luminosity_pb: of the data, /pb; None: nobody knows, and it is the expectation for 1 /pb.
    """
    content: dict[str, Any] = {
        "cuts": processed["cuts"],
        "luminosity_pb": luminosity_pb,
        "datasets": {},
        "n_minus_1": {},
    }
    for name, d in processed["datasets"].items():
        factor = factor_of(d, luminosity_pb or 1.0)
        content["datasets"][name] = {
            "process": d["process"],
            "is_data": d["is_data"],
            "raw": d["raw"],
            "weighted": [factor * w for w in d["weighted"]],
        }
        content["n_minus_1"][name] = {
            cut: [raw, factor * weighted]
            for cut, (raw, weighted) in zip(processed["cuts"][1:], d["n_minus_1"], strict=True)
        }
    return content


def own_factors(analysis: Analysis, processed: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return dataset and variation to nominal over own sum of weights, for systematics with ``own_normalisation``.

    Args:
        analysis: its systematics.
        processed: what the stage `process` left in its manifest.

    Raises:
        OddjetsError: a sample has the weights of a variation, and its tree Runs does not have their sum, or one of which
            nothing can be made (zero, NaN).
    """
    found: dict[str, dict[str, float]] = {}
    for name, d in processed["datasets"].items():
        own = [
            v
            for v in variations_of(analysis, d["process"], is_data=d["is_data"])
            if v.systematic in own_normalisations(analysis)
        ]
        # a sample without weights has none to normalise
        for variation in own if d["rows"] else ():
            if d.get("input_anomalies", {}).get(f"without_{variation.systematic}") == d["rows"]:
                continue
            total = d["sums_of_variations"].get(variation.name)
            if total is None or not math.isfinite(total) or not total * d["sum_of_weights"] > 0:
                raise OddjetsError(
                    f"dataset '{name}': its tree Runs has no usable sum of weights of '{variation.name}', which"
                    f" 'own_normalisation' of '{variation.systematic}' needs; remove that key, or leave the dataset out"
                )
            found.setdefault(name, {})[variation.name] = d["sum_of_weights"] / total
    return found


def own_normalisations(analysis: Analysis) -> list[str]:
    """Return the systematics that are normalised with their own sums of weights."""
    return [s.name for s in analysis.systematics if s.own_normalisation]
