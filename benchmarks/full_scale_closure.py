"""Closure and sculpting of full_scale.py: what QCD alone does to the background estimate and to the mass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from full_scale_sample import EFFICIENCY, Sample, Settings, each

from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.selection.mixing import PairedEvents, abcd_yields_of_events, abcd_yields_of_pairs, select_nominal
from oddjets.stats.closure_parts import LEAST_EVENTS, StructuralFactor, abcd_constant, effective_events, spread
from oddjets.study.events import Patterns
from oddjets.study.sculpting import divergence_of, spurious_signal
from oddjets.study.thresholds import ThresholdGrid, letter_sums

Floats = npt.NDArray[np.float64]

#: the mass near which the paper sees a structure, GeV
PAPERS_MASS = 150.0
REGIONS = ("SR", "VR1", "SR1", "SR2", "SR3", "SR4")
#: regions that are unions of products, which need a structural constant
UNIONS = ("VR1", "SR3", "SR4")
#: thresholds of the closure: the paper's, and a looser one with more events
EFFICIENCIES = (EFFICIENCY, 0.01)
#: of jets of different events
PAIRS = 300_000


def closure(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return score -> region -> efficiency -> the constant A D / (B C) of QCD: of pairs of jets, whole, and their ratio."""
    made = each(_closure_of, [(score,) for score in sample.scores], sample, settings, result)
    return dict(zip(sample.scores, made, strict=True))


def _closure_of(sample: Sample, settings: Settings, result: Mapping[str, Any], score: str) -> dict[str, Any]:
    analysis = sample.analysis("SR + VR1", score)
    processor = sample.processor(analysis)
    columns = select_nominal(processor, sample.tables["qcd"])
    weights = columns["weight"].astype(np.float64) * sample.luminosity
    lower = sample.smaller(sample.pseudo_data(), score)
    thresholds = [float(np.quantile(lower, 1 - e)) for e in EFFICIENCIES]
    source = PairedEvents.from_columns(columns, weights, settings.replicas, settings.seed)
    observable = "leading_mass"
    events = abcd_yields_of_events(analysis, processor, source, thresholds, observable)
    pairs = abcd_yields_of_pairs(analysis, processor, source, thresholds, observable, seed=settings.seed, pairs=PAIRS)
    found: dict[str, Any] = {"thresholds": dict(zip(map(str, EFFICIENCIES), thresholds, strict=True))}
    for region in REGIONS:
        edges = analysis.binning(observable, region)
        found[region] = {
            str(e): _parts_of(events[region][i], pairs[region][i], edges) for i, e in enumerate(EFFICIENCIES)
        }
    return found


def _parts_of(events: Floats, pairs: Floats, edges: Any) -> dict[str, Any]:
    """Return the constants of a region, from yields of all replicas, (replicas + 1, letters, bins) each."""
    structural, whole = abcd_constant(pairs), abcd_constant(events)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = whole / structural
    a, b, c, d = events[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = np.where(d > 0, b * c / d, 0.0)
    control, expected = (float(x) for x in effective_events(events[0], events[0]))
    return {
        "in_A": float(a.sum()),
        "structural": _number(structural),
        "whole": _number(whole),
        "correlation": _number(correlation),
        "few": bool(min(control, expected) < LEAST_EVENTS),
        "edges": np.asarray(edges, np.float64).tolist(),
        "A": a.tolist(),
        "predicted": predicted.tolist(),
    }


def _number(replicas: Floats) -> dict[str, float | None]:
    value, error = float(replicas[0]), float(spread(replicas))
    return {"value": value if np.isfinite(value) else None, "error": error if np.isfinite(error) else None}


def structural_of(result: Mapping[str, Any], score: str, regions: Any) -> dict[str, StructuralFactor]:
    """Return the structural constants of unions at the paper's efficiency, as the fit takes them."""
    found = {}
    for region in regions:
        if region in UNIONS:
            one = result["closure"][score][region][str(EFFICIENCY)]["structural"]
            if not one["value"] or one["error"] is None:
                raise OddjetsError(f"'{region}' has no structural constant for '{score}': too few events")
            found[region] = StructuralFactor(one["value"], one["error"])
    return found


def sculpting(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return score -> region -> efficiency -> whether it changes QCD's mass, and the narrow signal that QCD seems to have.

    The spurious signal is that of A - B C / D in QCD alone, in errors of an experiment of this luminosity.
    """
    made = each(_sculpting_of, [(score,) for score in sample.scores], sample, settings, result)
    return dict(zip(sample.scores, made, strict=True))


def _sculpting_of(sample: Sample, settings: Settings, result: Mapping[str, Any], score: str) -> dict[str, Any]:
    analysis = sample.analysis("split, b tag", score)
    assert analysis.fit is not None
    analysis = analysis.model_copy(update={"fit": analysis.fit.model_copy(update={"regions": REGIONS})})
    (qcd,) = sample.qcd(analysis)
    patterns = Patterns.from_analysis(analysis)
    others = [e for e in sample.templates(analysis) if NOMINAL in e.variations and e.process != "hh"]
    lower = sample.smaller(sample.pseudo_data(), score)
    codes, place = np.unique(qcd.codes, return_inverse=True)
    cells = patterns.cells_of(codes)
    found: dict[str, Any] = {}
    for efficiency in EFFICIENCIES:
        threshold = float(np.quantile(lower, 1 - efficiency))
        grid = ThresholdGrid(np.array([threshold]), analysis.threshold.strict, None)
        letters = letter_sums(qcd, patterns, grid)[NOMINAL][0]
        beside = np.sum([letter_sums(e, patterns, grid)[NOMINAL][0, 0, 0] for e in others], axis=0)
        passing = qcd.scores.min(axis=0) >= threshold
        for region, start in patterns.starts.items():
            edges = patterns.edges[region]
            here = slice(start, start + len(edges) - 1)
            inside = np.asarray(cells[here].any(axis=0))[place.ravel()]
            value = cells[here].argmax(axis=0)[place.ravel()][inside] + 0.5
            spurious = spurious_signal(letters[0][:, here], letters[1][:, here], edges, beside[here])
            near = min(spurious["masses"], key=lambda row: abs(row["mass"] - PAPERS_MASS), default=None)
            bins = np.arange(len(edges), dtype=np.float64)
            found.setdefault(region, {})[str(efficiency)] = {
                "threshold": threshold,
                "divergence": divergence_of(value, passing[inside], qcd.nominal[inside], bins, seed=settings.seed),
                "near_150": near,
                **{key: spurious[key] for key in ("masses", "largest", "bins_left_out")},
            }
    return found
