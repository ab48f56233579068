"""The study of an analysis with a family of trainings: how far its result depends on which training scored the jets.

Every member of the family is given the analysis as it is: a threshold of its own from data, templates, workspace and fit. What
differs is the stochastic uncertainty of the training: first weights, order of the jets and dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.histograms import DATA
from oddjets.selection.histogramming import threshold_from
from oddjets.stats import workspace
from oddjets.stats.agreement import rank_correlation
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.stats.summary import fit_workspace
from oddjets.study.events import EventArrays, Patterns
from oddjets.study.null import tested
from oddjets.study.thresholds import ThresholdGrid, letter_sums, templates_at

__all__ = ["EventsOf", "compare_trainings", "lines_of", "require_family", "study_training"]

Floats = npt.NDArray[np.float64]

#: a score's name to simulated events of all processes, and the events of data
EventsOf = Callable[[str], tuple[Sequence[EventArrays], Sequence[EventArrays]]]


def study_training(
    analysis: Analysis,
    simulated: Sequence[EventArrays],
    data: Sequence[EventArrays],
    closure: Mapping[str, ClosureUncertainty] | None,
    structural: Mapping[str, StructuralFactor] | None,
) -> dict[str, Any]:
    """Give one training's scores the analysis: threshold, yields in A, closure and fit.

    Args:
        analysis: the analysis; if it is blinded, nothing of the data in A is returned, and nothing is fitted.
        simulated: events of all simulated processes with these scores.
        data: nominal events of data with these scores, of weight 1.
        closure: as for `workspace.build`.
        structural: as for `workspace.build`.

    Returns:
        ``threshold``; by region ``in_A`` (process, and data unless blinded, to its yield) and ``closure`` of the simulated
        data-driven process; ``z``, ``strength`` and ``strength_error`` unless blinded.

    Raises:
        OddjetsError: no threshold, no workspace, or a fit that fails.
    """
    assert analysis.fit is not None
    poi, _, _ = tested(analysis)
    lower = np.concatenate([e.scores.min(axis=0) for e in data]) if data else None
    found = threshold_from(analysis, lower)
    grid = ThresholdGrid(np.array([found.value]), analysis.threshold.strict, analysis.threshold.efficiency)
    patterns = Patterns.from_analysis(analysis)
    strengths = {p.process: float(np.clip(p.init, *p.bounds)) for p in analysis.fit.pois}
    (yields,) = templates_at(analysis.unblinded(), simulated, grid, strengths)
    seen = np.sum([letter_sums(e, patterns, grid)[NOMINAL][0] for e in data], axis=0)
    for region, start in patterns.starts.items():
        part = slice(start, start + len(patterns.edges[region]) - 1)
        yields.contents[region, DATA, NOMINAL] = seen[:, :, part]  # type: ignore[index]
    blind = analysis.blind
    rows: dict[str, Any] = {}
    for region in patterns.edges:
        of_process = {
            p: float(yields.contents[region, p, NOMINAL][0, 0].sum())
            for p in yields.variations
            if (region, p, NOMINAL) in yields.contents and not (blind and p == DATA)
        }
        rows[region] = {
            "in_A": of_process,
            "closure": _closure(yields.contents.get((region, str(analysis.data_driven), NOMINAL))),
        }
    result: dict[str, Any] = {"threshold": found.value, "regions": rows}
    if blind:
        return result
    built, report = workspace.build(analysis, yields, closure, structural)
    fitted = fit_workspace(built, poi=poi, limit=False, impacts=False, scan=False, progress=False, report=report)
    strength = next(p for p in fitted["pois"] if p["name"] == poi)
    z = (fitted.get("significance") or {}).get("z")
    return result | {"z": z, "strength": strength["value"], "strength_error": strength["error"]}


def _closure(sums: Floats | None) -> dict[str, float] | None:
    """Return A D / (B C) of a region as a whole, and its statistical error; None where a letter is empty.

    Args:
        sums: of weights and of squared weights, shape (2, letters, bins).
    """
    if sums is None:
        return None
    values, squares = sums.sum(axis=2)
    if (values <= 0).any():
        return None
    a, b, c, d = values
    constant = float(a * d / (b * c))
    return {"constant": constant, "error": constant * float(np.sqrt((squares / values**2).sum()))}


def compare_trainings(
    analysis: Analysis,
    members: Sequence[str],
    events_of: EventsOf,
    closure: Mapping[str, ClosureUncertainty] | None,
    structural: Mapping[str, StructuralFactor] | None,
) -> dict[str, Any]:
    """Study all members of the family whose mean is the threshold's score, and how far two of them agree.

    Args:
        analysis: the analysis.
        members: the names of the members' scores.
        events_of: reads events with a score.
        closure: as for `workspace.build`.
        structural: as for `workspace.build`.

    Returns:
        ``members``: score to the result of `study_training`, the mean's first; ``spread``: the standard deviation over
        members (n - 1) of each number; ``agreement``: by process and in data, for two members each, the rank correlation
        of the smaller score of the two jets and the share of events with both scores above the threshold that is common.
    """
    results: dict[str, Any] = {}
    smaller: dict[str, dict[str, Floats]] = {}
    weights: dict[str, Floats] = {}
    for name in (analysis.threshold.score, *members):
        simulated, data = events_of(name)
        results[name] = study_training(analysis, simulated, data, closure, structural)
        for process, parts in _nominal(simulated, data).items():
            smaller.setdefault(process, {})[name] = np.concatenate([e.scores.min(axis=0) for e in parts])
            weights[process] = np.concatenate([e.nominal for e in parts])
    thresholds = {name: found["threshold"] for name, found in results.items()}
    return {
        "analysis": analysis.name,
        "family": analysis.threshold.score,
        "blinded": analysis.blind,
        "efficiency": analysis.threshold.efficiency,
        "members": results,
        "spread": _spread([results[name] for name in members]),
        "agreement": {
            process: _agreement(analysis, members, scores, thresholds, weights[process], is_data=process == DATA)
            for process, scores in smaller.items()
        },
    }


def _nominal(simulated: Sequence[EventArrays], data: Sequence[EventArrays]) -> dict[str, list[EventArrays]]:
    parts: dict[str, list[EventArrays]] = {}
    for process, events in [*((e.process, e) for e in simulated), *((DATA, e) for e in data)]:
        if NOMINAL in events.variations:
            parts.setdefault(process, []).append(events)
    return parts


def _agreement(
    analysis: Analysis,
    members: Sequence[str],
    scores: Mapping[str, Floats],
    thresholds: Mapping[str, float],
    weights: Floats,
    *,
    is_data: bool,
) -> dict[str, Any]:
    """Compare members two at a time; of blinded data without what any member or the mean puts into A, and without overlaps."""
    passes = np.greater if analysis.threshold.strict else np.greater_equal
    # the mean too: its A is that of the analysis, and has events that no member has in its own
    chosen = {name: passes(scores[name], thresholds[name]) for name in (*members, analysis.threshold.score)}
    hidden = is_data and analysis.blind
    kept = ~np.any(list(chosen.values()), axis=0) if hidden else np.ones(len(weights), bool)
    found = {}
    for first, second in combinations(members, 2):
        rank = rank_correlation(scores[first][kept], scores[second][kept])._asdict()
        # JSON has no NaN
        pair: dict[str, Any] = {
            "rank_correlation": {key: value if np.isfinite(value) else None for key, value in rank.items()}
        }
        if not hidden:
            pair["overlap"] = _shared(chosen[first], chosen[second], weights)
        found[f"{first}, {second}"] = pair
    return found


def _shared(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], weights: Floats) -> dict[str, Any]:
    """Return the weight of common events over the mean of both selections' weights; None where both select nothing.

    The error is binomial, of the number of events in the mean selection; at least one over that number.
    """
    mean = 0.5 * float(weights[first].sum() + weights[second].sum())
    number = 0.5 * float(first.sum() + second.sum())
    if mean <= 0 or number == 0:
        return {"value": None, "error": None, "n": 0.0}
    value = float(weights[first & second].sum()) / mean
    inside = float(np.clip(value, 0.0, 1.0))
    return {"value": value, "error": max(1 / number, float(np.sqrt(inside * (1 - inside) / number))), "n": number}


def _spread(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the standard deviation over members (n - 1) of each number; None where a member has none."""

    def sd(values: Sequence[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return float(np.std(known, ddof=1)) if len(known) == len(values) and len(known) > 1 else None

    regions = {
        region: {
            "in_A": {p: sd([r["regions"][region]["in_A"][p] for r in results]) for p in first["in_A"]},
            "closure": sd([(r["regions"][region]["closure"] or {}).get("constant") for r in results]),
        }
        for region, first in results[0]["regions"].items()
    }
    numbers = [key for key in ("threshold", "z", "strength") if key in results[0]]
    return {key: sd([r[key] for r in results]) for key in numbers} | {"regions": regions}


def lines_of(result: Mapping[str, Any]) -> list[str]:
    """Return the result of `compare_trainings` in lines."""
    family = result["family"]
    lines = []
    for name, found in result["members"].items():
        parts = [f"threshold {found['threshold']:.5g}"]
        parts += [] if found.get("z") is None else [f"z = {found['z']:.2f}"]
        if found.get("strength") is not None:
            parts.append(f"strength {found['strength']:.3g} +- {found['strength_error']:.2g}")
        for region, row in found["regions"].items():
            yields = ", ".join(f"{p} {v:.4g}" for p, v in row["in_A"].items())
            closed = row["closure"]
            c = "" if closed is None else f"; closure {closed['constant']:.3f} +- {closed['error']:.3f}"
            parts.append(f"{region} in A: {yields}{c}")
        lines.append(f"{name}{' (mean)' if name == family else ''}: {'; '.join(parts)}")
    spread = result["spread"]
    shown = [f"{key} {spread[key]:.3g}" for key in ("threshold", "z", "strength") if spread.get(key) is not None]
    for region, row in spread["regions"].items():
        shown += [f"{p} in A of {region} {v:.3g}" for p, v in row["in_A"].items() if v is not None]
        shown += [] if row["closure"] is None else [f"closure of {region} {row['closure']:.3g}"]
    lines.append(f"standard deviation over members: {', '.join(shown)}")
    if result["blinded"]:
        lines.append("the data in A are blinded: no yields of data there, no fit, no overlap in data")
    for process, pairs in result["agreement"].items():
        ranks = [r for pair in pairs.values() if (r := pair["rank_correlation"]["value"]) is not None]
        overlaps = [pair["overlap"]["value"] for pair in pairs.values() if pair.get("overlap")]
        known = [value for value in overlaps if value is not None]
        line = f"two members, {process}: rank correlation "
        line += f"{min(ranks):.3f} to {max(ranks):.3f}" if ranks else "not measured"
        lines.append(
            line + (f", common events above the threshold {min(known):.0%} to {max(known):.0%}" if known else "")
        )
    return lines


def require_family(analysis: Analysis) -> list[str]:
    """Return the names of the members of the family whose mean is the threshold's score.

    Raises:
        OddjetsError: it is no family.
    """
    name = analysis.threshold.score
    members = list(analysis.scores[name].members(name))
    if not members:
        raise OddjetsError(
            f"threshold.score: '{name}' is no family of trainings, so that there is nothing to compare; give it"
            f" 'scores: {{{name}: {{family: [CARD, CARD, ...]}}}}' (`oddjets model train --seeds` makes such cards)"
        )
    return members
