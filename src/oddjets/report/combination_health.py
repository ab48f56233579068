"""Checks of scores that are combinations of others: b tags inside, jets without a number, bins with few data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.config.combinations import scores_with_b_tags
from oddjets.core.rounding import rounded
from oddjets.io.combined_scores import FEW_JETS
from oddjets.report.artifacts import Artifacts
from oddjets.report.health_line import HealthCheck, Status
from oddjets.report.text import count, name_some
from oddjets.stats.closure_parts import Verdict, verdict

__all__ = ["combination_checks", "read_by_models"]

#: the pair of flavours that one gluon makes, as `closure` calls it
_PAIR = "b b"


def combination_checks(artifacts: Artifacts) -> list[HealthCheck]:
    """Return what is to be known of combinations of scores; no line where there are none, or nothing is odd.

    Args:
        artifacts: of the output directory.
    """
    extra = (artifacts.manifests.get("process") or {}).get("extra") or {}
    return [*_b_tags(artifacts), *_missing(extra), *_few_jets(extra)]


def _b_tags(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about b tags in combinations, with the closure of events with two b jets where it was measured."""
    tagged = scores_with_b_tags(artifacts.analysis, read_by_models(artifacts))
    if not tagged:
        return []
    inside = "; ".join(
        f"{name}, which has the threshold, knows b quarks"
        if tags == (name,)
        else f"in {name}, {' and '.join(tags)} {'knows' if len(tags) == 1 else 'know'} b quarks"
        for name, tags in tagged.items()
    )
    many = f"{count(len(tagged))} score{'s' if len(tagged) > 1 else ''}"
    closure = artifacts.closure if artifacts.has("closure") else {}
    regions = (closure.get("parts") or {}).get("regions") or {}
    pairs = {region: one["flavours"][_PAIR] for region, one in regions.items() if _PAIR in (one.get("flavours") or {})}
    if artifacts.analysis.threshold.score not in tagged or not pairs:
        why = "no closure by pair of flavours"
        note = f"{inside}: it couples the jets of events with b quarks of one gluon, and {why} says how much"
        return [HealthCheck("b tags in scores", "watch", f"{many}, {why}", note, "closure.json", "parts")]
    couplings = {region: one["flavour_coupling"] for region, one in regions.items() if one.get("flavour_coupling")}
    status, said = _status({region: verdict(one["value"], one["error"]) for region, one in couplings.items()}, pairs)
    known = {
        region: " ± ".join(rounded(one["value"], one["error"]))
        for region, one in couplings.items()
        if None not in (one["value"], one["error"])
    }
    value = ", ".join(f"{region} {known.get(region, said[region])}" for region in said)
    parts = [
        f"{region} c = {one['constant']:.2f} ± {one.get('constant_error') or 0:.2f}, {100 * one['share']:.2g} % of the events"
        for region, one in pairs.items()
        if one["constant"] is not None
    ]
    note = (
        f"the factor by which flavours alone make A larger than B C / D; within events with two b jets:"
        f" {'; '.join(parts) if parts else 'too few for a constant'} ({inside})"
    )
    return [HealthCheck("b tags in scores", status, value, note, "closure.json", "parts.regions.*.flavour_coupling")]


def read_by_models(artifacts: Artifacts) -> dict[str, list[str]]:
    """Return score to the columns that its model reads, of models of jet columns.

    Args:
        artifacts: of the output directory; without the manifest of `process` none are known.
    """
    datasets = ((artifacts.manifests.get("process") or {}).get("extra") or {}).get("datasets") or {}
    return {
        score: list(how["columns"])
        for one in datasets.values()
        for score, how in (one.get("inference") or {}).items()
        if how.get("columns")
    }


def _status(couplings: Mapping[str, Verdict], pairs: Mapping[str, Any]) -> tuple[Status, dict[str, Verdict]]:
    """Return the status, and by region the verdict on flavours as a whole, or on events with two b jets if it is worse."""
    said: dict[str, Verdict] = {}
    for region, one in pairs.items():
        alone = one["verdict"]
        said[region] = "does not close" if alone == "does not close" else couplings.get(region, alone)
    if "does not close" in said.values():
        return "bad", said
    return ("good" if set(said.values()) == {"closes"} else "watch"), said


def _missing(extra: dict[str, Any]) -> list[HealthCheck]:
    """Return a line about jets without a number as a component's value; none where all have one."""
    found: dict[str, dict[str, int]] = extra.get("missing_scores") or {}
    if not found:
        return []
    jets = sum(n for counts in found.values() for n in counts.values())
    parts = (f"{dataset}: {count(n)} of {score}" for dataset, counts in found.items() for score, n in counts.items())
    note = f"they count as less odd than all others: {'; '.join(parts)}"
    place = ("manifests/process.json", "extra.missing_scores")
    return [HealthCheck("Scores missing", "watch", f"{count(jets)} values", note, *place)]


def _few_jets(extra: dict[str, Any]) -> list[HealthCheck]:
    """Return a line about bins of flat scores with few jets of data; none where all have many."""
    few = {name: made["few_jets"] for name, made in (extra.get("combinations") or {}).items() if made.get("few_jets")}
    if not few:
        return []
    note = "; ".join(f"{name}: {name_some(bins)}" for name, bins in few.items())
    value = f"{count(sum(map(len, few.values())))} bins with fewer than {count(FEW_JETS)} jets of data"
    note += ": none of their jets can be odder than the oddest of so few"
    return [HealthCheck("Flat scores", "watch", value, note, "manifests/process.json", "extra.combinations.*.few_jets")]
