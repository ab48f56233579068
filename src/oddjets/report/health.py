"""Checks of the result: inputs, losses, weights, closure and quality of the fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oddjets.core.blinding_history import format_time, open_periods
from oddjets.core.provenance import read_failure
from oddjets.core.redaction import redacted
from oddjets.report.artifacts import ARTIFACTS, EXPOSED, Artifacts
from oddjets.report.combination_health import combination_checks
from oddjets.report.eras import era_checks
from oddjets.report.health_line import HealthCheck, Status
from oddjets.report.input_health import input_checks
from oddjets.report.jet_inspection import outdated_jets
from oddjets.report.learnt_scores import learnt_checks
from oddjets.report.text import count, name_some, p_of_toys
from oddjets.selection.event_weights import ALL_LETTERS
from oddjets.stats.closure_state import known_parts, region_verdicts
from oddjets.stats.templates import LARGE

__all__ = ["VARIATIONS", "WEIGHTS", "health_checks", "missing"]

#: anchors of the tables behind some lines
VARIATIONS, WEIGHTS = "table-variations", "table-weights"

#: below this a goodness of fit is doubtful, and below the second it is bad (two and three standard deviations,
#: one-sided)
WATCH_P, BAD_P = 0.023, 0.00135
#: a larger share of failed toys makes the p-value doubtful
FAILED_TOYS = 0.05
#: those whose failure a report tells of
STAGES = ("simulate", "process", "histogram", "closure", "workspace", "fit", "plot")


def health_checks(artifacts: Artifacts) -> list[HealthCheck]:
    """Return the health of an output directory, as far as it has got, and of what the analysis has."""
    made = [
        *_events(artifacts),
        *input_checks(artifacts),
        *era_checks(artifacts),
        *combination_checks(artifacts),
        *learnt_checks(artifacts),
        *([_threshold(artifacts)] if artifacts.expected("histograms") or artifacts.has("histograms") else []),
        *_blinding(artifacts),
        *_weights(artifacts),
    ]
    if artifacts.expected("closure") or artifacts.has("closure"):
        made.append(_closure(artifacts))
    if artifacts.expected("results") or artifacts.has("results"):
        made += [*_variations(artifacts), *_fit(artifacts)]
    return made


def missing(artifacts: Artifacts, stale: Mapping[str, str]) -> list[str]:
    """Return sentences about what is absent or out of date, with the verb that mends it.

    Args:
        artifacts: of the output directory.
        stale: stage to why its results no longer stand.
    """
    said = []
    for name, (place, verb) in ARTIFACTS.items():
        if name == "results" and artifacts.exposed:
            said.append(f"{place} is {EXPOSED}.")
        elif not artifacts.has(name) and artifacts.expected(name):
            said.append(f"{place} is absent: run `oddjets {verb}`.")
    if (
        artifacts.analysis.inspect is not None
        and artifacts.has("inspection")
        and artifacts.inspection("events") is None
    ):
        said.append(_without_inspection(artifacts))
    said += outdated_jets(artifacts)
    for stage in STAGES:
        failure = read_failure(artifacts.out, stage)
        if failure is not None:
            said.append(redacted(f"The stage {stage} failed when it last ran: {failure}"))
    for stage, why in stale.items():
        said.append(redacted(f"The stage {stage} no longer stands ({why}): run `oddjets {stage}` again."))
    return said


def _without_inspection(artifacts: Artifacts) -> str:
    asked = artifacts.analysis.inspect
    if artifacts.blinded and asked is not None and asked.letter == "A" and not (asked.process or asked.dataset):
        return "The events that 'inspect' asks for are not shown: the data in A are blinded."
    return "The events that 'inspect' asks for were not looked at with the histograms that are there: run `oddjets inspect`."


def _absent(name: str, verb: str) -> HealthCheck:
    return HealthCheck(name, "absent", "not yet", f"run `oddjets {verb}`")


def _events(artifacts: Artifacts) -> list[HealthCheck]:
    if not artifacts.has("cutflow"):
        return [_absent("Events counted", "process")]
    datasets = artifacts.cutflow["datasets"].values()
    if not datasets and artifacts.processed("jets"):
        # no events were asked for
        return []
    read = {kind: sum(d["raw"][0] for d in datasets if d["is_data"] is kind) for kind in (True, False)}
    kept = {kind: sum(d["raw"][-1] for d in datasets if d["is_data"] is kind) for kind in (True, False)}
    counted = HealthCheck(
        "Events counted",
        "good" if kept[True] and kept[False] else "watch",
        f"{count(read[True])} data, {count(read[False])} simulated",
        f"{count(kept[True])} and {count(kept[False])} pass the base selection",
        "cutflow.json",
        "datasets.*.raw",
    )
    if not artifacts.datasets:
        return [counted, HealthCheck("Events lost", "absent", "not recorded", "", "cutflow.json", "datasets")]
    return [counted, _lost(artifacts, read[True] + read[False])]


def _lost(artifacts: Artifacts, read: int) -> HealthCheck:
    """Say which events were planned and are not counted: the ledger of the stage `process`."""
    extra = artifacts.manifests["process"]["extra"]
    ledger = extra.get("ledger") or {}
    place = ("manifests/process.json", "extra.ledger")
    if not ledger:  # imported files have none
        place = ("manifests/process.json", "extra.datasets")
        lost = sum(d["entries"] for d in artifacts.datasets.values()) - read
        note = f"all {count(read)} events of the files were processed" if lost == 0 else "run `oddjets process` again"
        return HealthCheck("Events lost", "bad" if lost else "good", count(lost) if lost else "none", note, *place)
    planned = sum(d["planned"] for d in ledger.values())
    if planned != read + sum(d["lost"] for d in ledger.values()):
        return HealthCheck("Events lost", "bad", count(planned - read), "run `oddjets process` again", *place)
    files = [file for d in ledger.values() for file in d["files"]]
    if not files:
        return HealthCheck(
            "Events lost", "good", "none", f"all {count(planned)} events of the files were processed", *place
        )
    unknown = sum(file["events"] is None for file in files)
    value = (
        f"{count(planned - read)} of {count(planned)} events, {count(len(files))} file{'s' if len(files) > 1 else ''}"
    )
    if unknown:
        value += f", {count(unknown)} of unknown size"
    name, cause = Path(files[0]["file"]).name, files[0]["lost"][0]["cause"]
    others = " and others" if len(files) > 1 else ""
    note = f"{name}{others} could not be read ({cause}); luminosity and sums of weights are of the rest"
    return HealthCheck("Events lost", "bad", value, note, "lost.json", "datasets.*.files")


def _threshold(artifacts: Artifacts) -> HealthCheck:
    if not artifacts.has("histograms"):
        return _absent("Threshold", "histogram")
    found = artifacts.histograms.threshold
    if found.n_above is None or found.efficiency_found is None:
        if found.n_data and artifacts.blinded:
            asked_for = (
                "given" if found.efficiency_asked is None else f"{100 * found.efficiency_asked:.3g} % of data asked"
            )
            note = f"{asked_for}; how many of {count(found.n_data)} data events pass is blinded"
            return HealthCheck("Threshold", "good", f"{found.value:.5g}", note, "histograms/index.json", "threshold")
        return HealthCheck(
            "Threshold", "good", f"{found.value:.5g}", "given, not from data", "histograms/index.json", "threshold"
        )
    asked = found.efficiency_asked
    # one event more or less is the best a quantile can do
    close = asked is None or abs(found.n_above - asked * found.n_data) <= 1 + 1e-3 * asked * found.n_data
    note = f"{count(found.n_above)} of {count(found.n_data)} data events pass: {100 * found.efficiency_found:.3g} %"
    if asked is not None:
        note += f" ({100 * asked:.3g} % asked)"
    return HealthCheck(
        "Threshold", "good" if close else "watch", f"{found.value:.5g}", note, "histograms/index.json", "threshold"
    )


def _blinding(artifacts: Artifacts) -> list[HealthCheck]:
    """Return a line about the blinding of data in A; none for an analysis that never blinded them."""
    place = ("blinding.json", "history")
    periods = open_periods(artifacts.blinding)
    were = "".join(f"; was open from {format_time(p['from'])} to {format_time(p['to'])} (`{p['by']}`)" for p in periods)
    if artifacts.blinded:
        stand_in = "the expected background stands in for them"
        if not periods:
            return [HealthCheck("Data in A", "good", "blinded", stand_in)]
        since = f"blinded since {format_time(periods[-1]['to'])}{were}"
        return [HealthCheck("Data in A", "watch", "blinded, was open", f"{since}; {stand_in}", *place)]
    if (act := artifacts.unblinded) is None:
        return []
    return [
        HealthCheck("Data in A", "watch", "unblinded", f"on {format_time(act['on'])} by `{act['by']}`{were}", *place)
    ]


def _weights(artifacts: Artifacts) -> list[HealthCheck]:
    """Return lines about templates dominated by few events, and about events with very large varied weights."""
    found = artifacts.event_weights
    if found is None:
        return []
    file, made = "event_weights.json", []
    heavy = [t for t in found["templates"] if t["heavy"]]
    led = [t for t in heavy if t["largest_share"] > found["limits"]["share"]]
    if heavy:
        worst = max(led, key=lambda t: t["largest_share"]) if led else min(heavy, key=_effective_share)
        worth = f"{count(worst['events'])} events count as {worst['effective'] if led else worst['worth']:.2g} of equal weight"
        note = (
            f"one event has {100 * worst['largest_share']:.3g} % of {_place(worst)}, so that {worth}"
            if led
            else f"few events have most of {_place(worst)}: {worth}"
        )
        leaders = "one event dominates" if len(led) == len(heavy) else "few events dominate"
        many = f"{leaders} {count(len(heavy))} template{'s' if len(heavy) > 1 else ''}"
        made.append(HealthCheck("Event weights", "watch", many, note, file, "templates", WEIGHTS))
    out = [v for v in found["variations"] if v["outliers"]]
    if out:
        worst = max(out, key=lambda v: v["largest_ratio"])
        most = max(out, key=lambda v: v["outliers"])
        note = (
            f"beyond {found['limits']['ratio']:.3g} times nominal; {worst['variation']} of {worst['process']} reaches"
            f" {_times(worst['largest_ratio'])} times in {worst['region']} {worst['letter']}"
        )
        many = f"{count(most['outliers'])} event{'s' if most['outliers'] > 1 else ''}"
        if len(out) > 1:
            many = f"up to {many} in {count(len(out))} variations"
        made.append(HealthCheck("Varied weights", "watch", many, note, file, "variations", WEIGHTS))
    if found["templates"] and not made:
        least = min(found["templates"], key=_effective_share)
        note = "no event has most of the weight of a template"
        even = _effective_share(least) >= found["limits"]["even"]
        if not even:
            worth = _effective_share(least) * least["events"]
            note = f"the {count(least['events'])} events of {_place(least)} count as {worth:.2g} of equal weight"
        made.append(HealthCheck("Event weights", "good", "even" if even else "uneven", note, file, "templates"))
    return made


def _effective_share(template: Mapping[str, Any]) -> float:
    """Return which part of a template's events as many of one size would be that say as much."""
    return float(template.get("worth", template["effective"]) / template["events"])


def _times(ratio: float) -> str:
    return count(round(ratio)) if ratio >= 100 else f"{ratio:.3g}"


def _place(entry: Mapping[str, Any]) -> str:
    """Return a process, region and letter in words."""
    letter = "" if entry["letter"] == ALL_LETTERS else f" {entry['letter']}"
    return f"{entry['process']} in {entry['region']}{letter}"


def _percent(change: float) -> str:
    return f"{100 * change:+.3g} %".replace("-", "−")


def _variations(artifacts: Artifacts) -> list[HealthCheck]:
    """Return lines about large and one-sided variations of templates; none where there are no such variations."""
    report, file, made = artifacts.workspace_report, "workspace_report.json", []
    tamed = " and ".join(done for done in ("smoothed", "capped") if report.get(done))
    after = f"; {tamed} where asked" if tamed else ""
    if large := report.get("large"):
        worst = max(large, key=lambda v: v["largest_change"])
        note = (
            f"some bin changes by more than {100 * LARGE:.0f} %; {worst['variation']} changes one of {_place(worst)} by "
            f"{100 * worst['largest_change']:.3g} %{after}"
        )
        made.append(HealthCheck("Large variations", "watch", count(len(large)), note, file, "large", VARIATIONS))
    if one_sided := report.get("one_sided"):
        worst = max(one_sided, key=lambda v: min(abs(v["up"]), abs(v["down"])))
        note = (
            f"up and down go the same way; {worst['variation']} moves {_place(worst)} by {_percent(worst['up'])} and "
            f"{_percent(worst['down'])}{after}"
        )
        made.append(
            HealthCheck("One-sided variations", "watch", count(len(one_sided)), note, file, "one_sided", VARIATIONS)
        )
    return made


def _closure(artifacts: Artifacts) -> HealthCheck:
    if not artifacts.has("closure"):
        return _absent("ABCD closure", "closure")
    regions: dict[str, Any] = artifacts.closure.get("regions", {})
    parts = artifacts.closure.get("parts", {}).get("regions", {})
    known, verdicts = known_parts(artifacts.closure), region_verdicts(artifacts.closure)
    status: Status = "good"
    if any(v == "does not close" for v in verdicts.values()):
        status = "bad"
    elif any(v != "closes" for v in verdicts.values()) or not verdicts:
        status = "watch"
    constants = "; ".join(
        f"{region} c = {found['constant']:.2f} ± {found.get('constant_error') or 0:.2f}"
        for region, found in ((region, known.get(region, found)) for region, found in regions.items())
        if found.get("constant") is not None
    )
    fit = artifacts.analysis.fit
    advised = [
        f"{region}: abcd '{one['advice']['treatment']}' is advised, as {one['advice']['why']}"
        for region, one in parts.items()
        if fit is not None
        and region in fit.regions
        and fit.abcd == "as-published"
        and one["advice"]["treatment"] not in (None, "as-published")
    ]
    if advised:
        constants = "; ".join([*([constants] if constants else []), *advised])
        status = "watch" if status == "good" else status
    if constants and (source := artifacts.closure.get("simulation")):
        constants += f"; {source}"
    if note := artifacts.closure.get("note"):
        return HealthCheck("ABCD closure", status, "not tested on simulation", note, "closure.json", "note")
    value = ", ".join(f"{region} {verdict}" for region, verdict in verdicts.items()) or "no region"
    return HealthCheck("ABCD closure", status, value, constants, "closure.json", "regions.*.verdict")


def _closure_uncertainty(results: dict[str, Any]) -> list[HealthCheck]:
    """Return a line about the closure that each region's uncertainty comes from; none where none was asked for."""
    used = results.get("closure_uncertainty") or {}
    if not used:
        return []
    status: Status = "watch" if any(one["fallback"] for one in used.values()) else "good"
    value = ", ".join(f"{region} {100 * one['size']:.3g} %" for region, one in used.items())
    note = "; ".join(
        f"{region}: {one['source']}" + (f" ({one['why']})" if one.get("why") else "") for region, one in used.items()
    )
    return [HealthCheck("Closure uncertainty", status, value, note, "results.json", "closure_uncertainty")]


def _fit(artifacts: Artifacts) -> list[HealthCheck]:
    if not artifacts.has("results"):
        return [
            _absent("Goodness of fit", "fit"),
            _absent("Fit quality", "fit"),
            _absent("Parameters at bounds", "fit"),
        ]
    results = artifacts.results
    found = results.get("gof") or {}
    p = found.get("p_value")
    if p is None:
        fit = HealthCheck("Goodness of fit", "absent", "not asked for", "", "results.json", "gof")
    else:
        status: Status = "good" if p >= WATCH_P else ("watch" if p >= BAD_P else "bad")
        if status == "good" and (found.get("failed") or 0) > FAILED_TOYS * (found.get("toys") or 1):
            status = "watch"
        note = f"{count(found.get('toys'))} toys, saturated, in {', '.join(found.get('letters') or ['all letters'])}"
        if found.get("failed"):
            note += f"; {count(found['failed'])} toys failed"
        fit = HealthCheck(
            "Goodness of fit",
            status,
            p_of_toys(p, found.get("toys") or 0, found.get("failed") or 0),
            note,
            "results.json",
            "gof.p_value",
        )
    return [fit, _convergence(results), _bounds(results), *_empty_bins(results), *_closure_uncertainty(results)]


def _empty_bins(results: dict[str, Any]) -> list[HealthCheck]:
    """Return a line about empty bins that a fit holds at zero; none where there are no such bins."""
    names = results.get("at_kinks") or []
    if not names:
        return []
    note = f"the errors have no part that moves them: {name_some(names)}"
    return [HealthCheck("Empty bins held at zero", "watch", count(len(names)), note, "results.json", "at_kinks")]


def _convergence(results: dict[str, Any]) -> HealthCheck:
    fits = results.get("convergence") or {}
    if not fits:
        return HealthCheck("Fit quality", "absent", "not recorded", "", "results.json", "convergence")
    converged = all(fit.get("converged") for fit in fits.values())
    steps = ", ".join(
        f"{name.replace('_', ' ')} in {fit['iterations']} steps" for name, fit in fits.items() if "iterations" in fit
    )
    warnings = results.get("warnings") or []
    status: Status = "bad" if not converged else ("watch" if warnings else "good")
    note = steps + (f"; {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else "")
    value = "both fits converged" if converged else "did not converge"
    return HealthCheck("Fit quality", status, value, note, "results.json", "convergence")


def _bounds(results: dict[str, Any]) -> HealthCheck:
    names = [b if isinstance(b, str) else str(b.get("name", b)) for b in results.get("at_bounds") or []]
    return HealthCheck(
        "Parameters at bounds",
        "watch" if names else "good",
        count(len(names)) if names else "none",
        name_some(names),
        "results.json",
        "at_bounds",
    )
