"""The study of a score that is learnt from data: experiments with an injected signal, each with a training of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.expressions import names_in
from oddjets.core.files import write_json
from oddjets.corrections.systematics import kind_of
from oddjets.io.event_table import JETS
from oddjets.io.studies import FOLDER, LEARNING, LEARNING_MIXED, made_of
from oddjets.study.learning import LearningExperiments, LearningPlan, run_learning
from oddjets.study.learning_events import MOST_DRAWN, ORIGIN, JetCollector, LearningSource
from oddjets.study.learning_summary import describe_learning, learning_lines
from oddjets.study.null import tested
from oddjets.study.rates import LEAST_RATIO, bank_ratio
from oddjets.study.supervised import feature_stems
from oddjets.workflow.hold_out import with_signal
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages.learn import learnt_columns
from oddjets.workflow.stages.workspace import measured_closure
from oddjets.workflow.study_events import SharedSource, StudyEvents, is_processed, require_current_tables

__all__ = ["FACTORS", "LearningOptions", "study_learning"]

#: strengths that are injected, in units of the one at which the signal is a stated part of all other events
FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
#: simulated events that are drawn from as they are, over those of an experiment, at least
LEAST_FOR_TRAINING = 1.5


@dataclass(frozen=True)
class LearningOptions:
    """The options of a study of a learnt score.

    Attributes:
        source: what QCD of the experiments is drawn from, as for choices: simulated events, whose jets are related as those of
            data are, or pairs of their jets, for which ABCD holds.
        experiments: for each strength.
        strengths: to inject, and 0; empty: `FACTORS`.
        share: the signal over all other events at one unit of these factors.
        columns: what is trained on, columns of a jet or expressions; empty: the shares of class groups.
        plan: how scores are learnt.
        workers: processes.
        bank: a file of `make_bank`; None: the events of the folder.
        luminosity: of an experiment, /pb; None: the analysis's.
    """

    source: SharedSource = "simulation"
    experiments: int = 60
    strengths: tuple[float, ...] = ()
    share: float = 0.02
    columns: tuple[str, ...] = ()
    plan: LearningPlan = field(default_factory=LearningPlan)
    workers: int = 1
    bank: Path | None = None
    luminosity: float | None = None


def study_learning(run: RunContext, options: LearningOptions) -> dict[str, Any]:
    """Learn scores in experiments of an analysis, and write ``study/learning.json``, or ``study/learning_mixed.json``.

    Simulation alone is looked at, so that blinded data stay so.

    Args:
        run: the analysis and its folder.
        options: what is asked.

    Returns:
        What was written.

    Raises:
        OddjetsError: no fit, no columns to learn from, too few events, strengths that cannot be injected.
    """
    _, signal, _ = tested(run.analysis)
    _refuse_odd(options)
    if options.bank is None and not is_processed(run):
        raise InputFileError(f"{run.out}: there are no event tables; run the analysis first, or give a --bank")
    require_current_tables(run)
    if options.plan.window:
        console.print(
            "warning: labels are made from a mass: a score that can guess it makes a bump of background in the window; look at"
            " the divergence of the mass in the result, and at `oddjets study sculpting` before any use"
        )
    with run.lock():
        return _study(run, options, signal)


def _refuse_odd(options: LearningOptions) -> None:
    plan = options.plan
    if not 0 < options.share < 1:
        raise OddjetsError(f"--share: a part of the events is between 0 and 1 (got {options.share:g})")
    if any(not (s >= 0 and np.isfinite(s)) for s in options.strengths):
        raise OddjetsError("--strength: a strength to inject is a number of at least 0")
    if not 0 < plan.low <= plan.high < 1:
        raise OddjetsError(
            f"--low {plan.low:g} --high {plan.high:g}: quantiles of a score have to be 0 < low <= high < 1"
        )
    if bool(plan.window) != bool(plan.sidebands):
        raise OddjetsError("--window and --sideband: labels by mass need both")


def _study(run: RunContext, options: LearningOptions, signal: str) -> dict[str, Any]:
    names = (signal, *run.analysis.hold_out)
    # each is prepared before any is trained, so that a mistake is said at once
    prepared = {name: _prepare(RunContext(with_signal(run.analysis, name), run.out), options) for name in names}
    studied: dict[str, dict[str, Any]] = {}
    for of, one in prepared.items():
        folder = run.out / FOLDER / "learning"
        results = run_learning(
            one.experiments,
            one.strengths,
            options.experiments,
            folder,
            workers=options.workers,
            label=f"learning, with {of}",
            say=lambda line: console.print(escape(f"study: {line}")),
        )
        studied[of] = describe_learning(results)
    this, name = prepared[signal], LEARNING if options.source == "simulation" else LEARNING_MIXED
    plan = options.plan
    found: dict[str, Any] = {
        "analysis": run.analysis.name,
        "of": made_of(run.out, name),
        "signal": signal,
        "seed_score": run.analysis.threshold.score,
        "trained_on": list(this.inputs),
        "labels": {"window": list(plan.window), "sidebands": [list(band) for band in plan.sidebands]}
        if plan.window
        else {"high": plan.high, "low": plan.low},
        "folds": plan.folds,
        "members": plan.members,
        "source": options.source,
        "bank": None if options.bank is None else options.bank.name,
        "seed": plan.seed,
        "luminosity_pb": this.luminosity,
        "efficiency": run.analysis.threshold.efficiency,
        "experiments": options.experiments,
        "share": options.share,
        "bank_over_experiment": this.ratio,
        "fitted": this.experiments.fitted,
        "left_out": this.left_out,
        **studied[signal],
        "hold_out": {of: one for of, one in studied.items() if of != signal},
    }
    file = run.out / FOLDER / name
    write_json(file, found)
    for line in learning_lines(found):
        console.print(escape(line))
    console.print(escape(f"study: {file}"))
    return found


@dataclass(frozen=True)
class _Prepared:
    experiments: LearningExperiments
    strengths: list[float]
    inputs: tuple[str, ...]
    luminosity: float
    ratio: float
    left_out: list[str]


def _prepare(run: RunContext, options: LearningOptions) -> _Prepared:
    """Read the events of a signal and of all other processes.

    Raises:
        OddjetsError: no column to learn from, no events of a process, no strength that can be injected.
    """
    poi, signal, others = tested(run.analysis)
    analysis, left_out = _without_varied_scores(run.analysis)
    events = StudyEvents(RunContext(analysis, run.out), options.bank, options.luminosity)
    qcd = str(analysis.data_driven)
    inputs = _inputs(run, events, options.columns, (qcd, signal))
    collector = JetCollector(analysis.threshold.score, inputs)
    # the places of jets take the place of scores, and so are paired, weighted and varied as these are
    placed = analysis.threshold.model_copy(update={"score": ORIGIN})
    seen = events.seen_by(analysis.model_copy(update={"threshold": placed}), collector.add)
    templates, truth = seen.drawn(options.source, options.plan.seed, LEAST_FOR_TRAINING)
    source = LearningSource.of(collector.pool(), truth, templates, qcd, signal, others)
    ratio = next(bank_ratio(e) for e in source.truth if e.process == qcd)
    fitted = ratio >= LEAST_RATIO * (1 - 1e-9)
    if not fitted:
        console.print(
            escape(
                f"learning: the simulated events of '{qcd}' are {ratio:.3g} times an experiment, so that experiments have"
                " events in common: errors lack those of the simulation, and nothing is fitted, which needs"
                f" {LEAST_RATIO:g} times (or --source mixed)"
            )
        )
    experiments = LearningExperiments(analysis, source, options.plan, poi, fitted, *measured_closure(run))
    strengths = _strengths(analysis, source, poi, options)
    return _Prepared(experiments, strengths, inputs, events.luminosity, ratio, left_out)


def _without_varied_scores(analysis: Analysis) -> tuple[Analysis, list[str]]:
    """Return the analysis without variations of scores, which would need the columns of varied jets, and their names."""
    varied = [s.name for s in analysis.systematics if kind_of(s) == "scores"]
    if not varied:
        return analysis, []
    console.print(escape(f"learning: without the variations of scores: {', '.join(varied)}"))
    kept = tuple(s for s in analysis.systematics if s.name not in varied)
    return analysis.model_copy(update={"systematics": kept}), varied


def _inputs(run: RunContext, events: StudyEvents, asked: tuple[str, ...], processes: Sequence[str]) -> tuple[str, ...]:
    """Return what is trained on, as `oddjets learn` does: what was asked for, or the shares of class groups.

    Raises:
        OddjetsError: there are no events, or they lack a column.
    """
    inputs = learnt_columns(run, run.analysis.threshold.score, asked)
    tables = [table for process in processes for table in events.tables_of(process) if len(table["event"])]
    if not tables:
        raise OddjetsError(f"there are no simulated events of {' or '.join(processes)}")
    for name in sorted({name for text in inputs for name in names_in(text)}):
        if any(f"{name}_{j}" not in table for table in tables for j in JETS):
            there = ", ".join(feature_stems(tables)) or "no columns that scores are learnt from"
            raise OddjetsError(
                f"the simulated events have no column '{name}' of the jets, which a score would be learnt from; there are"
                f" {there}. Take others with --column; a bank has all of them if made with `oddjets study bank --features`"
            )
    return inputs


def _strengths(analysis: Analysis, source: LearningSource, poi: str, options: LearningOptions) -> list[float]:
    """Return the strengths to inject, ascending, 0 among them.

    Raises:
        OddjetsError: a strength that was asked for is above the bound of the fit, or injects too many of the events.
    """
    assert analysis.fit is not None
    high = next(p.bounds[1] for p in analysis.fit.pois if p.name == poi)
    unit, given = source.strength_of(options.share), options.strengths
    # three digits, so that a strength can be asked for again
    strengths = sorted({0.0, *(given or (float(f"{factor * unit:.3g}") for factor in FACTORS))})
    why = {strength: reason for strength in strengths if (reason := _why_not(source, strength, high))}
    for strength, reason in why.items():
        if given:
            raise OddjetsError(f"--strength {strength:g}: {reason}")
        console.print(escape(f"learning: the strength {strength:g} is left out: {reason}"))
    kept = [strength for strength in strengths if strength not in why]
    if len(kept) < 2:
        raise OddjetsError("no strength is left to inject; simulate more of the signal, or raise fit.poi.bounds")
    return kept


def _why_not(source: LearningSource, strength: float, high: float) -> str:
    if strength > high:
        return f"above the upper bound of the fit, {high:g}; raise fit.poi.bounds"
    if (share := source.drawn_share(strength)) > MOST_DRAWN:
        return (
            f"it would inject {100 * share:.0f} % of the simulated events of '{source.signal}', and half of them are needed to"
            " test the separation; simulate more"
        )
    return ""
