"""A signal's events through a published analysis: from the files to the limit on its cross section."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.io.histograms import LETTERS, HistogramSet
from oddjets.io.rescoring import RESCORING
from oddjets.report.rescoring import write_page
from oddjets.selection.normalisation import cutflow_line, total_luminosity
from oddjets.stats.cell_bins import channels_of
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.signal_exchange import contamination, exchange_signal, highest_strength
from oddjets.stats.summary import fit_workspace
from oddjets.stats.templates import Template, read_templates
from oddjets.stats.workspace import sample_of
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.rescoring.analysis import new_analysis, parameter_of
from oddjets.workflow.rescoring.measure import acceptance, score_distribution, template_entry
from oddjets.workflow.rescoring.options import RescoreOptions
from oddjets.workflow.rescoring.published import Published, published
from oddjets.workflow.rescoring.sample import SignalSample, prepare_sample
from oddjets.workflow.run import RunContext

__all__ = ["rescore"]

STAGE = "rescore"
#: events of an envelope or of a shower's variation that the counts of unusual input name
_WITHOUT = "without_{}"
#: a sample with fewer effective events in A says little: its own statistical error decides the limit
FEW_IN_A = 20.0
_REPORTED = ("negative", "left_out", "mirrored", "one_sided", "large", "smoothed", "capped")


def rescore(run: RunContext, options: RescoreOptions, out: Path | None = None) -> Path:
    """Send a signal's events through a published analysis, and write a folder with what comes out.

    Args:
        run: the published analysis and its folder; no event of it is read.
        options: the signal, and what is asked.
        out: the folder of the results; None: ``rescored/NAME`` in the analysis's.

    Returns:
        The page with the results.

    Raises:
        OddjetsError: the analysis is not finished or not as it was, the sample does not fit or has no normalisation, or none
            of its events is selected.
    """
    options.check()
    known = published(run)
    folder = run.out / "rescored" / options.name if out is None else out
    if folder.is_file():
        raise OddjetsError(f"{folder}: is a file, and results need a folder; give another one with --out")
    if folder.resolve() == run.out.resolve():
        raise OddjetsError(f"--out: {folder} holds the analysis itself; give another folder")
    sample = prepare_sample(run.analysis, run.resolved.eras, options, folder)
    for line in (*(f"--force: {text}" for text in sample.forced), *sample.notes):
        console.print(f"[bold yellow]{escape(line)}[/bold yellow]")
    work, absent = _through_stages(known, options, sample, folder)
    with work.lock():
        provenance.remove_manifest(folder, STAGE)
        found = _measured(known, options, sample, work, absent)
        write_json(folder / RESCORING, found)
        page = write_page(work.analysis, folder)
        provenance.write_manifest(folder, STAGE, _manifest(known, options, sample, work))
    for line in _lines(found):
        console.print(escape(line))
    console.print(escape(f"rescore: {page}"))
    return page


def _through_stages(
    known: Published, options: RescoreOptions, sample: SignalSample, folder: Path
) -> tuple[RunContext, dict[str, str]]:
    """Run `process` and `histogram` of the signal; return its analysis, and the systematics that it cannot have."""
    # what the files have decides which systematics are asked of them
    first = new_analysis(known, options, sample.fileset, _EveryBranch(), ())
    files = [
        info
        for _, infos in RunContext(first.analysis, folder, combined_from=known.run.out).fileset.values()
        for info in infos
    ]
    branches = frozenset.intersection(*(info.branches for info in files))
    made = new_analysis(known, options, sample.fileset, branches, [info.layout for info in files if info.entries])
    work = RunContext(made.analysis, folder, combined_from=known.run.out)
    with work.lock():
        run_stage(work, stage_of(work, "process"))
        _require_selected(work, options)
        run_stage(work, stage_of(work, "histogram"))
    return work, made.absent


class _EveryBranch(frozenset[str]):
    """All branches that there could be."""

    def __contains__(self, name: object) -> bool:
        return True


def _require_selected(work: RunContext, options: RescoreOptions) -> None:
    processed = work.extra("process")
    datasets = processed["datasets"].values()
    if any(d["raw"][-1] for d in datasets):
        return
    flows = "\n".join(
        f"  {name}: {cutflow_line(processed['cuts'], d['raw'])}" for name, d in processed["datasets"].items()
    )
    raise OddjetsError(
        f"{options.source}: no event is selected, so that there is nothing to rescore; events left after each"
        f" cut:\n{flows}"
    )


def _templates(
    known: Published, work: RunContext, process: str, absent: dict[str, str]
) -> tuple[dict[tuple[str, str], Template], HistogramSet, dict[str, Any]]:
    """Return the signal's template by channel (without its letter) and letter, and what was done to them."""
    analysis = work.analysis
    assert analysis.fit is not None
    histograms = HistogramSet.load(work.out / "histograms")
    groups = {cell: found for of_region in known.report.get("cells", {}).values() for cell, found in of_region.items()}
    binned = histograms.with_merged_bins(analysis.fit.observable, groups) if groups else histograms
    report: dict[str, Any] = {key: [] for key in _REPORTED}
    lacking = _without_weights(work)
    absent |= dict.fromkeys(lacking, "the sample's events have no such weights")
    found: dict[tuple[str, str], Template] = {}
    for region in analysis.fit.regions:
        for channel in channels_of(analysis, region):
            for letter in LETTERS:
                for template in read_templates(analysis, binned, channel, letter, [process], report):
                    shapes = {n: v for n, v in template.shapes.items() if n.removesuffix(f"_{process}") not in lacking}
                    found[channel, letter] = template._replace(shapes=shapes)
    return found, histograms, report


def _without_weights(work: RunContext) -> set[str]:
    """Return the systematics of the generator of whose weights no selected event has any: their variations are nominal."""
    datasets = work.extra("process")["datasets"].values()
    return {
        systematic.name
        for systematic in work.analysis.systematics
        if all(
            d["input_anomalies"].get(_WITHOUT.format(systematic.name), 0) >= d["rows"] for d in datasets if d["rows"]
        )
    }


def _measured(
    known: Published, options: RescoreOptions, sample: SignalSample, work: RunContext, absent: dict[str, str]
) -> dict[str, Any]:
    """Return the content of ``rescoring.json``, and write ``workspace.json`` and ``results.json``."""
    name, analysis = options.name, work.analysis
    assert analysis.fit is not None
    absent = dict(absent)
    templates, histograms, report = _templates(known, work, name, absent)
    poi = parameter_of(known, name)
    signals = {name: analysis.fit.pois[0]}
    samples = {
        f"{channel}_{letter}": sample_of(template, channel, letter, analysis, signals)
        for (channel, letter), template in templates.items()
    }
    scale = analysis.processes[name].template_scale
    unit = scale * sample.cross_section_pb
    accepted = acceptance(work, histograms, name, unit)
    found: dict[str, Any] = {
        "analysis": known.run.analysis.name,
        "title": known.run.analysis.title,
        "signal": {"name": name, "label": analysis.processes[name].label, **sample.as_dict()},
        "forced": list(sample.forced),
        "published": known.digests(),
        "blinded": known.blinded,
        "luminosity_pb": total_luminosity(known.luminosities),
        "threshold": {"score": known.threshold["score"], "value": known.threshold["value"]},
        "options": options.recorded(),
        "acceptance": accepted,
        "score": score_distribution(known, work, name),
        "systematics": {
            "present": sorted({n for t in templates.values() for n in (*t.shapes, *t.scales)}),
            "absent": absent,
        },
        "templates": {f"{c}_{letter}": template_entry(template) for (c, letter), template in templates.items()},
        "template_changes": {key: entries for key, entries in report.items() if entries},
        "edges": known.report["edges"],
        "warnings": _few_events(templates),
        "own_signal": {"process": known.signal.process, "kept": _fate(known, options)},
        "limit": None,
        "no_limit": "",
        "contamination": {},
    }
    high = highest_strength(known.workspace, samples)
    if high is None:
        found["no_limit"] = (
            f"no event of the signal is in A of {', '.join(analysis.fit.regions)}, so that the search says nothing of it"
        )
        for file in ("workspace.json", "results.json"):
            (work.out / file).unlink(missing_ok=True)
        return found
    workspace = exchange_signal(
        known.workspace,
        samples,
        poi,
        high,
        (known.signal.process, known.signal.name),
        options.own_signal,
        own_scale=known.run.analysis.processes[known.signal.process].template_scale,
    )
    write_json(work.out / "workspace.json", workspace)
    found |= _fitted(known, options, work, workspace, poi, unit, sample.forced)
    channels = {region: tuple(channels_of(analysis, region)) for region in analysis.fit.regions}
    strengths = {"stated": 1.0, **{key: found["limit"][key] for key in ("observed", "expected") if found["limit"]}}
    for key, strength in strengths.items():
        at = strength[2] if isinstance(strength, list) else strength
        if at is not None:
            found["contamination"][key] = contamination(workspace, name, str(analysis.data_driven), channels, at)
    return found


def _few_events(templates: Mapping[tuple[str, str], Template]) -> list[str]:
    """Return what is said of a sample that has few effective events, (sum w)^2 / sum w^2, in A of all regions together."""
    in_a = [template for (_, letter), template in templates.items() if letter == "A"]
    total, squares = (sum(float(getattr(t, name).sum()) for t in in_a) for name in ("nominal", "variance"))
    effective = total**2 / squares if squares > 0 else 0.0
    if effective >= FEW_IN_A:
        return []
    return [
        f"the sample has only {effective:.2g} effective events in A: its own statistical error decides the limit; use more"
    ]


def _fate(known: Published, options: RescoreOptions) -> str:
    return "removed" if options.name == known.signal.process else options.own_signal


def _fitted(
    known: Published,
    options: RescoreOptions,
    work: RunContext,
    workspace: Mapping[str, Any],
    poi: str,
    unit: float,
    forced: tuple[str, ...],
) -> dict[str, Any]:
    """Fit the workspace with the signal, write ``results.json``, and return the limit on the cross section."""
    fit = known.run.analysis.fit
    assert fit is not None
    report = {"edges": known.report["edges"], "cells": known.report.get("cells", {})}
    try:
        results = fit_workspace(
            workspace,
            poi=poi,
            impacts=False,
            scan=False,
            toys=fit.toys if options.toys is None else options.toys,
            seed=options.seed,
            report=report,
        )
    except FitError as error:
        (work.out / "results.json").unlink(missing_ok=True)
        return {"no_limit": f"the fit with this signal did not converge: {error}"}
    named = {"analysis": work.analysis.name, "title": work.analysis.title, "forced": list(forced)}
    blinded = {"blinded": known.report["blinded"]} if known.blinded else {}
    write_json(
        work.out / "results.json",
        {**named, **blinded, **results, "closure": None},
    )
    limit = results.get("limit")
    if limit is None:
        failed = [f["reason"] for f in results["failed"] if f["question"] == "limit"]
        return {"no_limit": "; ".join(failed) or "no limit was found", "fit_warnings": results["warnings"]}
    if known.blinded:
        # that of the expected background is none
        limit = limit | {"observed": None}
    of_toys = limit.get("toys")
    if of_toys and known.blinded:
        of_toys = of_toys | {"observed": None}
    return {
        "limit": {
            "level": limit["level"],
            "method": limit["method"],
            "unit_pb": unit,
            "observed": limit["observed"],
            "expected": limit["expected"],
            "observed_pb": _times(limit["observed"], unit),
            "expected_pb": [_times(value, unit) for value in limit["expected"]],
            "notes": limit["notes"],
            **({"toys": of_toys | {"observed_pb": _times(of_toys["observed"], unit)}} if of_toys else {}),
        },
        "strength": None if known.blinded else {key: results["poi"].get(key) for key in ("value", "error")},
        "fit_warnings": results["warnings"],
    }


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


def _manifest(known: Published, options: RescoreOptions, sample: SignalSample, work: RunContext) -> dict[str, Any]:
    inputs = {
        "published": known.digests(),
        "signal": sample.as_dict(),
        "options": options.recorded(),
        "histogram": (provenance.read_manifest(work.out, "histogram") or {}).get("key"),
        "code": code_sha256(__name__),
    }
    return {
        "stage": STAGE,
        "key": provenance.content_key(inputs),
        "inputs": ["histogram"],
        "outputs": [RESCORING, "rescoring.html"],
        "versions": provenance.versions(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "extra": {"forced": list(sample.forced), "published": inputs["published"]},
    }


def _lines(found: Mapping[str, Any]) -> list[str]:
    """Return the numbers in a few lines."""
    fit_regions = list(found["acceptance"]["regions"])
    last = found["acceptance"]["cuts"][-1]
    lines = [f"acceptance x efficiency after the base selection: {_percent(last)} ({last['events']} events)"]
    for region in fit_regions:
        lines.append(f"  {region}, A: {_percent(found['acceptance']['regions'][region]['A'])}")
    if found["systematics"]["absent"]:
        lines.append("systematics that the templates do not have:")
        lines += [f"  {name}: {why}" for name, why in found["systematics"]["absent"].items()]
    lines += [f"warning: {text}" for text in found["warnings"]]
    limit = found["limit"]
    of_fit = [f"warning: {text}" for text in found.get("fit_warnings", [])]
    if limit is None:
        return [*lines, f"no limit: {found['no_limit']}", *of_fit]
    seen = (
        "blinded" if found["blinded"] else "none" if limit["observed_pb"] is None else f"{limit['observed_pb']:.4g} pb"
    )
    expected = "none" if limit["expected_pb"][2] is None else f"{limit['expected_pb'][2]:.4g} pb"
    lines.append(f"{limit['level']:.0%} CL upper limit on the cross section: observed {seen}, expected {expected}")
    lines += of_fit
    for region, taken in found["contamination"].get("stated", {}).items():
        if taken["share_of_signal"] is not None:
            lines.append(
                f"  {region}: without the signal in the model, B C / D would take {100 * taken['share_of_signal']:.3g} % of the"
                " signal in A for background"
            )
    return lines


def _percent(found: Mapping[str, Any]) -> str:
    if found["down"] is None:
        return f"{100 * found['value']:.3g} %"
    error = 0.5 * float(np.add(found["down"], found["up"]))
    return f"{100 * found['value']:.3g} +- {100 * error:.2g} %"
