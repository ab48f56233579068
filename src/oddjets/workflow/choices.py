"""The study of several choices: their events, their fits of the data, and where the result is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.config.choices import Choices
from oddjets.config.yaml import ConfigError
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.io.studies import CHOICES, FOLDER, SCULPTING, few_experiments, made_of
from oddjets.study.choices import (
    ChoiceEvents,
    absent_signals,
    describe_choices,
    run_choices,
    say_choices,
    share,
    source_warnings,
)
from oddjets.study.null import NullPlan
from oddjets.workflow.keys import fitted_values
from oddjets.workflow.output_folder import saved_analysis
from oddjets.workflow.paper import share_events
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_states
from oddjets.workflow.stages.workspace import measured_closure
from oddjets.workflow.study_events import SharedSource, StudyEvents, is_processed
from oddjets.workflow.study_options import require_luminosity

__all__ = ["ChoiceOptions", "study_choices"]


@dataclass(frozen=True)
class ChoiceOptions:
    """The options of a study of choices.

    Attributes:
        events: the output folder whose event tables are used.
        out: the folder of the study.
        source: what experiments are drawn from: pairs of jets of different simulated events, or these events.
        experiments: how many.
        seed: of all random numbers.
        workers: processes.
        bank: a file of `make_bank`; None: the events of the folder.
        luminosity: of an experiment, /pb; None: the analysis's.
        observed: whether each choice is fitted to the data.
    """

    events: Path
    out: Path
    source: SharedSource = "mixed"
    experiments: int = 1000
    seed: int = 1
    workers: int = 1
    bank: Path | None = None
    luminosity: float | None = None
    observed: bool = True


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", name).strip("_") or "choice"


def _folders(names: Mapping[str, Any]) -> dict[str, str]:
    """Return a folder's name for each choice; no two are alike."""
    found: dict[str, str] = {}
    for name in names:
        slug = taken = _slug(name)
        number = 1
        while taken.casefold() in (other.casefold() for other in found.values()):
            number += 1
            taken = f"{slug}_{number}"
        found[name] = taken
    return found


def _require_tables(run: RunContext, name: str) -> None:
    """Refuse a choice for which the events would have to be processed again.

    Raises:
        OddjetsError: there are no event tables, or other ones than this choice would have.
    """
    if not (run.out / "manifests" / "process.json").is_file():
        raise InputFileError(
            f"{run.out}: there are no event tables; run '{run.analysis.name}' first, or name another output folder with"
            " --events"
        )
    state, why = stage_states(run, stages_up_to(run, "process"))["process"]
    if state != "done":
        raise OddjetsError(
            f"choice '{name}': the event tables in {run.out} are not its own ({why}); choices of one list differ in what comes"
            " after `process`: score, threshold, regions, observable, signal, fit"
        )


def study_choices(choices: Choices, analyses: Mapping[str, Analysis], options: ChoiceOptions) -> dict[str, Any]:
    """Make the same experiments for all choices, and write ``study/choices.json``.

    Args:
        choices: the list.
        analyses: the analysis of each choice, by its name.
        options: what is asked.

    Returns:
        What was written.

    Raises:
        OddjetsError: choices that do not share events, no event tables, too few events, a fit that cannot be made.
    """
    if options.out.is_file():
        raise OddjetsError(f"{options.out}: is a file, and results need a folder; give another folder with --out")
    require_luminosity(options.luminosity)
    absent_signals(analyses)
    if options.observed:
        _refuse_blinded(analyses)
    _require_sculpting(analyses, options)
    analyses = _of_folder(analyses, options.events)
    runs = {}
    for name, analysis in analyses.items():
        try:
            runs[name] = RunContext(analysis, options.events)
        except ConfigError as error:
            raise ConfigError(f"choice '{name}': {error}") from None
    there = is_processed(next(iter(runs.values())))
    # a bank stands in for the folder, as far as there are no data to be fitted
    for name, run in runs.items() if there or options.bank is None else ():
        _require_tables(run, name)
    plan = NullPlan(options.experiments, seed=options.seed)
    for line in few_experiments(options.experiments):
        console.print(escape(line))
    folders = _folders(analyses)
    own = {name: RunContext(analysis, options.out / folders[name]) for name, analysis in analyses.items()}
    prepared, notes = share({name: _events(run, own[name], options) for name, run in runs.items()}, plan)
    for line in source_warnings(notes["closure_of_source"]) if options.source == "mixed" else ():
        console.print(escape(line))
    observed = _observed(own, options) if options.observed and there else {}
    if options.observed and not there:
        console.print(escape(f"choices: {options.events} has no event tables, so that no choice is fitted to data"))
    made = run_choices(
        {folders[name]: one for name, one in prepared.items()},
        options.experiments,
        options.out / FOLDER / "choices",
        workers=options.workers,
    )
    z = {name: made[folders[name]]["z"] for name in prepared}
    found = {
        "name": choices.name,
        "title": choices.title,
        "events_of": choices.of,
        "source": options.source,
        "seed": options.seed,
        "luminosity_pb": options.luminosity,
        "bank": None if options.bank is None else options.bank.name,
        **notes,
        **describe_choices(z, observed, options.seed),
    }
    for name, analysis in analyses.items():
        found["choices"][name] |= _described(analysis)
    found |= (
        _of_the_folder(runs, options.events) if there else {"of": made_of(options.events, CHOICES), "of_folder": None}
    )
    say_choices(found, lambda line: console.print(escape(line)))
    # the report of the analysis whose events are used shows it, too
    for folder in dict.fromkeys([options.out, *([options.events] if there else [])]):
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json(folder / FOLDER / CHOICES, found)
        console.print(escape(f"study: {folder / FOLDER / CHOICES}"))
    return found


def _require_sculpting(analyses: Mapping[str, Analysis], options: ChoiceOptions) -> None:
    """Refuse a closure uncertainty by bin that is measured nowhere: that of one choice says nothing of another one.

    Raises:
        OddjetsError: the folder of a choice has no study of sculpting; the message has the ways out.
    """
    folders = _folders(analyses)
    for name, analysis in analyses.items():
        file = options.out / folders[name] / FOLDER / SCULPTING
        if analysis.fit is not None and analysis.fit.closure_uncertainty == "by-bin" and not file.is_file():
            raise OddjetsError(
                f"choice '{name}': fit.closure_uncertainty: by-bin needs a study of sculpting of this choice ({file} is not"
                " there), and that of another score, threshold, observable or region is no substitute. Give the choice"
                " `changes: {fit: {closure_uncertainty: true}}`, which is measured for each choice, or save the choice as an"
                f" analysis of its own and run `oddjets study sculpting ANALYSIS.yaml --bank BANK --out"
                f" {options.out / folders[name]}` first"
            )


def _refuse_blinded(analyses: Mapping[str, Analysis]) -> None:
    """Refuse to fit data that are hidden.

    Raises:
        OddjetsError: a choice is blinded; the message has the option that leaves the data alone.
    """
    if hidden := [f"'{name}'" for name, analysis in analyses.items() if analysis.blind]:
        raise OddjetsError(
            f"{', '.join(hidden)}: the data in A are blinded (fit.blind), and a study of choices compares its experiments with"
            " the data; give --no-observed, which makes the experiments alone, or unblind the analysis first"
        )


def _of_the_folder(runs: Mapping[str, RunContext], events: Path) -> dict[str, Any]:
    """Return of which state of the folder the study is, and which choice is the folder's own analysis, None for none."""
    made = saved_analysis(events)
    own = fitted_values(RunContext(made, events))
    same = (name for name, run in runs.items() if run.analysis.fit is not None and fitted_values(run) == own)
    return {"of": made_of(events, CHOICES), "of_folder": next(same, None)}


def _of_folder(analyses: Mapping[str, Analysis], events: Path) -> Mapping[str, Analysis]:
    """Return the choices with the simulation that the folder was made with, which may have had options of its own."""
    if not (events / "manifests" / "process.json").is_file():
        return analyses
    made = saved_analysis(events).simulate
    own = {name: made if analysis.simulate is not None else None for name, analysis in analyses.items()}
    return {name: analysis.model_copy(update={"simulate": own[name]}) for name, analysis in analyses.items()}


def _described(analysis: Analysis) -> dict[str, Any]:
    """Return what a choice is."""
    assert analysis.fit is not None
    return {
        "analysis": analysis.name,
        "score": analysis.threshold.score,
        "efficiency": analysis.threshold.efficiency,
        "threshold": analysis.threshold.value,
        "regions": list(analysis.fit.regions),
        "observable": analysis.fit.observable,
        "signal": next(
            p.process for p in analysis.fit.pois if p.name == (analysis.fit.tested or analysis.fit.pois[0].name)
        ),
    }


def _events(run: RunContext, closed: RunContext, options: ChoiceOptions) -> ChoiceEvents:
    """Return the events of a choice, and the closure that its fit asks for, which is measured in its own folder."""
    fit = run.analysis.fit
    if fit is not None and (fit.closure_uncertainty or fit.abcd == "structural") and is_processed(run):
        share_events(run.out, closed.out)
        run_stages(closed, stages_up_to(closed, "closure"))
    closure, structural = measured_closure(closed)
    templates, truth = StudyEvents(run, options.bank, options.luminosity).drawn(options.source, options.seed)
    return ChoiceEvents(run.analysis, templates, truth, closure, structural)


def _observed(runs: Mapping[str, RunContext], options: ChoiceOptions) -> dict[str, float]:
    """Fit the data by every choice, and return its z; nothing for experiments of another luminosity.

    Raises:
        OddjetsError: a stage of a choice failed; the message names it.
    """
    if options.luminosity is not None:
        console.print("choices: experiments of another luminosity than the data's; the data are not compared with them")
        return {}
    found: dict[str, float] = {}
    for name, run in runs.items():
        share_events(options.events, run.out)
        try:
            run_stages(run, stages_up_to(run, "fit"))
        except OddjetsError as error:
            raise OddjetsError(f"choice '{name}': {error}") from None
        results = json.loads((run.out / "results.json").read_text(encoding="utf-8"))
        z = (results.get("significance") or {}).get("z")
        if z is None:
            console.print(escape(f"choices: '{name}' has no significance in the data ({run.out / 'results.json'})"))
        else:
            found[name] = float(z)
    return found
