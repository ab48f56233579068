"""Normalisation factors: cross section x K x luminosity / sum of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import of_era
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import variations_of

__all__ = [
    "Luminosities",
    "Normalisation",
    "cutflow_line",
    "cutflow_of",
    "factor_of",
    "factors",
    "luminosities_read",
    "own_factors",
    "own_normalisations",
    "total_luminosity",
]


#: /pb; by era where an analysis has several
Luminosities = float | Mapping[str, float]


def luminosities_read(analysis: Analysis, processed: Mapping[str, Any]) -> Luminosities | None:
    """Return the luminosity of the data, /pb; of each era where the analysis has several; None: nobody knows.

    Args:
        analysis: may state it for all files; what was read of them counts.
        processed: what the stage `process` left in its manifest.
    """
    if isinstance(analysis.era, str):
        return _luminosity_read(analysis, processed, processed.get("fraction_of_data", 1.0), None)
    fractions = processed.get("fraction_of_data_by_era", {})
    found = {
        era: _luminosity_read(of_era(analysis, era), processed, fractions.get(era, 1.0), era) for era in analysis.era
    }
    return None if None in found.values() else {era: value for era, value in found.items() if value is not None}


def _luminosity_read(
    analysis: Analysis, processed: Mapping[str, Any], fraction: float, era: str | None
) -> float | None:
    if analysis.luminosity is not None:
        assert isinstance(analysis.luminosity, float)
        return analysis.luminosity * float(fraction)
    read = [
        d["luminosity_pb"] for d in processed["datasets"].values() if d["is_data"] and (era is None or d["era"] == era)
    ]
    if not read and "jets" in processed:
        # of single jets alone there is no dataset of events
        read = [processed["jets"]["luminosity_pb"]]
    return float(sum(read)) if read and None not in read else None


def total_luminosity(luminosities: Luminosities) -> float:
    """Return the luminosity of all eras together."""
    return float(sum(luminosities.values())) if isinstance(luminosities, Mapping) else luminosities


def _luminosity_of(d: Mapping[str, Any], luminosities: Luminosities) -> float:
    """Return the luminosity that a dataset is normalised to: that of its era."""
    return luminosities[d["era"]] if isinstance(luminosities, Mapping) else luminosities


def factor_of(d: Mapping[str, Any], luminosities: Luminosities) -> float:
    """Return what multiplies a dataset's weights: 1 for data and for weights that are complete."""
    if d["is_data"] or d.get("complete_weights"):
        return 1.0
    luminosity_pb = _luminosity_of(d, luminosities)
    return float(d["cross_section_pb"] * d["k_factor"] * luminosity_pb / (d["sum_of_weights"] or 1.0))


class Normalisation(NamedTuple):
    """The normalisation of a dataset: what multiplies its weights, and where they are added; an era if there are several."""

    process: str
    is_data: bool
    factor: float
    era: str = ""


def factors(analysis: Analysis, processed: Mapping[str, Any], luminosities: Luminosities) -> dict[str, Normalisation]:
    """Return dataset to its normalisation: cross section x K x luminosity / sum of weights; 1 for data.

    Signals that are held out (``hold_out``) are in no histogram, closure or fit, so that their datasets are left out.

    Args:
        analysis: may scale a process's template.
        processed: what the stage `process` left in its manifest.
        luminosities: of the data, /pb.

    Raises:
        OddjetsError: simulation whose weights sum to zero, or to less.
    """
    out = {}
    for name, d in processed["datasets"].items():
        if not d["is_data"] and d["process"] in analysis.hold_out:
            continue
        if not d["is_data"] and d["entries"] and not d.get("complete_weights") and not d["sum_of_weights"] > 0:
            raise OddjetsError(
                f"dataset '{name}': the sum of generator weights is {d['sum_of_weights']:g}, so it has no normalisation"
            )
        factor = factor_of(d, luminosities)
        if not d["is_data"] and d["process"] in analysis.processes:
            factor *= analysis.processes[d["process"]].template_scale
        era = analysis.era if isinstance(analysis.era, str) else d["era"]
        out[name] = Normalisation(d["process"], bool(d["is_data"]), factor, era)
    return out


def cutflow_line(cuts: Sequence[str], raw: Sequence[int]) -> str:
    """Return a cutflow in a line, ``all 100, trigger 80, jet_pt 0``: the cuts, the first of them ``all``, and events left."""
    return ", ".join(f"{cut} {events}" for cut, events in zip(cuts, raw, strict=True))


def cutflow_of(processed: Mapping[str, Any], luminosities: Luminosities | None) -> dict[str, Any]:
    """Return the content of ``cutflow.json``: the cutflow and the n-1 table of every dataset, normalised.

    Args:
        processed: what the stage `process` left in its manifest.
        luminosities: of the data, /pb; None: nobody knows, and it is the expectation for 1 /pb.
    """
    by_era = dict(luminosities) if isinstance(luminosities, Mapping) else None
    content: dict[str, Any] = {
        "cuts": processed["cuts"],
        "luminosity_pb": None if luminosities is None else total_luminosity(luminosities),
        **({} if by_era is None else {"luminosity_by_era_pb": by_era}),
        "datasets": {},
        "n_minus_1": {},
    }
    for name, d in processed["datasets"].items():
        factor = factor_of(d, luminosities or 1.0)
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
            for v in variations_of(of_era(analysis, d.get("era", "")), d["process"], is_data=d["is_data"])
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
