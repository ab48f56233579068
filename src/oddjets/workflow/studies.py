"""Studies of an analysis: their events, from its output folder or a bank, and where their results are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of, write_json
from oddjets.corrections.systematics import directions_of, kind_of
from oddjets.io.studies import FOLDER
from oddjets.stats.model import Model
from oddjets.study import null, single_jets
from oddjets.study.independence import classes_of
from oddjets.study.mixed import mixed_events
from oddjets.study.rates import LEAST_RATIO, require_bank
from oddjets.workflow.jet_studies import study_jets
from oddjets.workflow.pipeline import stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_states
from oddjets.workflow.stages.workspace import measured_closure
from oddjets.workflow.study_events import StudyEvents, is_processed, require_current_tables
from oddjets.workflow.study_options import Options, find_bank, recorded, refuse_odd, replaced

__all__ = ["Options", "results_of", "study_null"]

#: a closure with a larger error says nothing
MOST_CLOSURE_ERROR = 0.3
#: how many nuisance parameters, those with the largest impact, are one width off
NUISANCES = 2
#: of nuisance parameters that are not varied, so many are named a reason
NAMED = 3


def _read(file: Path, verb: str = "run") -> dict[str, Any]:
    """Return the content of a result; nothing where there is none.

    Raises:
        InputFileError: it is damaged; the message names the verb that makes it again.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputFileError(f"{file}: is damaged ({error}); run `oddjets {verb}` again") from None
    if not isinstance(content, dict):
        raise InputFileError(f"{file}: is damaged (no mapping); run `oddjets {verb}` again")
    return content


def _current(run: RunContext, name: str, file: Path) -> dict[str, Any]:
    """Return a stage's result, of this analysis as it is now; nothing where there is none.

    Raises:
        OddjetsError: it is of another state of the analysis, such as before it was blinded, or damaged.
    """
    content = _read(file)
    if content:
        state, why = stage_states(run, stages_up_to(run, name))[name]
        if state != "done":
            raise OddjetsError(
                f"{file}: is out of date ({why}), and experiments would be compared with another analysis's data: run"
                " `oddjets run` again, which also runs the stages before, or give another folder with --out"
            )
    return content


def results_of(run: RunContext) -> dict[str, Any]:
    """Return the results of the fit, with numbers where a study reads numbers; nothing where there are none.

    Raises:
        OddjetsError: they are of another state of the analysis, or damaged.
    """
    file = run.out / "results.json"
    results = _current(run, "fit", file)
    z = (results.get("significance") or {}).get("z")
    impacts = results.get("impacts") or []
    sound = (
        isinstance(z, int | float | None) and isinstance(impacts, list) and all("name" in impact for impact in impacts)
    )
    if not sound:
        raise InputFileError(f"{file}: is damaged (significance or impacts); run `oddjets fit` again")
    return results


def study_null(run: RunContext, options: Options) -> dict[str, Any]:
    """Study an analysis without signal, and write ``study/null_SOURCE.json``, or of single jets ``study/jets_SOURCE.json``.

    Args:
        run: the analysis and its folder.
        options: what is asked.

    Returns:
        What was written.

    Raises:
        OddjetsError: the source does not fit the analysis, a bank is too small or another's, results are missing.
    """
    refuse_odd(options)
    if options.source in single_jets.SOURCES:
        return study_jets(run, options)
    source = options.source
    with run.lock():
        if not run.has_stage("fit"):
            of_jets = (
                f"; of its single jets, give --source {' or '.join(single_jets.SOURCES)}"
                if run.analysis.jet_bump
                else ""
            )
            raise OddjetsError(
                f"{run.analysis.name}: a study needs a 'fit' section, which says what is fitted{of_jets}"
            )
        results = results_of(run)
        closed = _current(run, "closure", run.out / "closure.json")
        tail = options.experiments if options.tail is None else options.tail
        plan = null.NullPlan(
            options.experiments,
            0 if source == "toys" else tail,
            _largest_impacts(run.analysis, results) if options.truths and source != "toys" else (),
            _constants(closed) if options.truths and source != "toys" else {},
            options.seed,
            options.limit,
            toys=options.toys,
            bootstrap=options.bootstrap,
        )
        study = _of_toys(run, plan) if source == "toys" else _of_events(run, options, plan)
        folder = run.out / FOLDER
        found = null.run(
            study,
            folder / f"null_{source}",
            workers=options.workers,
            # an experiment of another size is another one
            observed=results if options.luminosity is None and source != "control" else None,
            say=lambda line: console.print(escape(line)),
        )
        file = run.out / "workspace.json"
        found["workspace_sha256"] = sha256_of(file) if file.is_file() else None
        if options.bank is not None:
            found["bank"] = {
                "file": options.bank.name,
                "sha256": sha256_of(find_bank(options.bank)),
            }
        found["options"] = recorded(options)
        made = folder / f"null_{source}.json"
        if said := replaced(_read(made, "study null"), options):
            console.print(escape(f"study: {said}"))
        write_json(made, found)
        console.print(escape(f"study: {made}"))
    return found


def _of_toys(run: RunContext, plan: null.NullPlan) -> null.NullStudy:
    file = run.out / "workspace.json"
    if not file.is_file():
        raise InputFileError(f"{file}: not there, and toys are of the fitted model; run `oddjets fit` first")
    built = _current(run, "workspace", file)
    poi, _, _ = null.tested(run.analysis)
    model = Model(built, poi=poi)
    background = model.fits.background
    if background is None:
        raise OddjetsError(f"there are no toys without signal: {model.fits.no_background}")
    truth = dict(zip(background.names, background.values.tolist(), strict=True))
    value = float(_read(run.out / "threshold.json").get("value", np.nan))
    return null.of_model(run.analysis, plan, built, truth, value)


def _of_events(run: RunContext, options: Options, plan: null.NullPlan) -> null.NullStudy:
    source, analysis = cast(null.Source, options.source), run.analysis
    require_current_tables(run)
    events = StudyEvents(run, options.bank, options.luminosity)
    classes = classes_of(analysis, events.processor) if source == "independent" else None
    qcd = str(analysis.data_driven)
    closure, structural = measured_closure(run)
    if source == "control":
        value = _read(run.out / "threshold.json").get("value")
        if value is None:
            raise InputFileError(f"{run.out}: no threshold; run `oddjets histogram` first")
        # an experiment is a tenth of the data, so that the data are ten times an experiment
        data = events.of_folder(None, data=True, below=value, scale=1 / LEAST_RATIO)
        simulated = [e for e in events.of_folder(None, below=value, scale=1 / LEAST_RATIO) if e.process != qcd]
        if not data:
            raise OddjetsError(f"{run.out}: no event of data has both scores below the threshold")
        # all processes are in the data
        signal = null.tested(analysis)[1]
        truth = [*data, *(e for e in simulated if e.process == signal)]
        return null.of_events(
            analysis, source, plan, simulated, truth, closure=closure, structural=structural, complete=True
        )
    if options.bank is not None:
        truth = events.of_bank(classes)
        folder = is_processed(run) and not options.luminosity
        templates = events.of_folder(None) if folder else [replace(e) for e in truth]
    else:
        truth = templates = events.of_folder(classes)
    if source == "simulation":
        require_bank(truth, qcd)
    if source == "mixed":
        mixed = mixed_events(analysis, events.processor, events.tables_of(qcd), qcd, seed=plan.seed)
        truth = [*(e for e in truth if e.process != qcd), mixed]
    return null.of_events(analysis, source, plan, templates, truth, closure=closure, structural=structural)


def _constants(closed: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return region -> (c, its error) as the closure has measured it, by its parts or on simulation alone, where it has."""
    known = {}
    parts = closed.get("parts", {}).get("regions", {})
    for region, alone in closed.get("regions", {}).items():
        found = parts.get(region, {})
        found = found if found.get("constant") is not None else alone
        c, error = found.get("constant"), found.get("constant_error")
        if c is None or error is None or error > MOST_CLOSURE_ERROR:
            console.print(
                f"study: c of unmixed events in {escape(region)} is not measured to"
                f" {100 * MOST_CLOSURE_ERROR:g} %, so that no range of it is tried"
            )
        else:
            known[region] = (c, error)
    return known


def _largest_impacts(analysis: Analysis, results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the systematics with the largest impacts that background has events of, and say which others are skipped."""
    signal = null.tested(analysis)[1]
    background = set(analysis.processes) - {signal, analysis.data_driven}
    found: dict[str, None] = {}
    skipped: dict[str, list[str]] = {}
    for name in (impact["name"] for impact in results.get("impacts") or []):
        if len(found) == NUISANCES:
            break
        of = next(
            (s for s in analysis.systematics if name == s.name or re.fullmatch(f"{re.escape(s.name)}_.*", name)), None
        )
        if of is None:
            skipped.setdefault("no systematic with events one width off", []).append(name)
        elif kind_of(of) == "envelope":
            skipped.setdefault("an envelope, without events one width off", []).append(name)
        elif len(directions_of(of)) == 1:
            skipped.setdefault("one-sided, without events on the other side", []).append(name)
        elif name == f"{of.name}_{signal}" or not background & set(of.processes or analysis.processes):
            skipped.setdefault("on the signal alone, of which the experiments have none", []).append(name)
        else:
            found[of.name] = None
    for reason, names in skipped.items():
        shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        console.print(escape(f"study: not varied, though of large impact: {shown} ({reason})"))
    return tuple(found)
