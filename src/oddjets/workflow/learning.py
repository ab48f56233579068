"""The command `learn`: a stage beside those of the pipeline, since its result is another analysis."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError
from oddjets.learning.card import CARD, EVENTS, MODEL
from oddjets.workflow.pipeline import run_stage
from oddjets.workflow.run import RunContext, Stage
from oddjets.workflow.stage_states import is_done
from oddjets.workflow.stages import learn as stage_module
from oddjets.workflow.stages.learn import NUMBERS, LearnOptions, learnt_columns, refuse_impossible
from oddjets.workflow.stages.learn_checks import refuse_unknown_columns
from oddjets.workflow.stages.learn_methods import trained_with
from oddjets.workflow.stages.learnt_product import evidence_line, nothing_learnt
from oddjets.workflow.stages.learnt_yaml import FOLDER, LEARNT_YAML, folder_of
from oddjets.workflow.study_events import is_processed, require_current_tables

__all__ = ["learn", "learn_stage", "lines_of", "show"]


def learn_stage(options: LearnOptions) -> Stage:
    """Return the stage with its options, which are part of its key.

    Args:
        options: what is asked.
    """
    folder = folder_of(options.name)
    return Stage(
        # a manifest of each score
        "learn" if folder == FOLDER else f"learn_{options.name}",
        ("process",),
        (stage_module.__name__,),
        tuple(f"{folder}/{name}" for name in (CARD, MODEL, EVENTS, LEARNT_YAML, NUMBERS)),
        lambda run: stage_module.work(run, options),
        lambda run: refuse_impossible(run, options),
        lambda run, extra: True,
        lambda run: None,
        (),
        lambda run: options.recorded() | {"trained_with": trained_with(options.method)},
    )


def learn(run: RunContext, options: LearnOptions, *, force: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Learn a score from the data of an analysis, unless that is done.

    Args:
        run: the analysis and its folder.
        options: what is asked.
        force: train again.
        dry_run: only say what would be done.

    Returns:
        The numbers of the training, those of `learnt.json`; of a dry run the options, and whether there is anything to do.

    Raises:
        BlindedError: the data in A are blinded.
        OddjetsError: what is asked cannot be learnt; see `oddjets.workflow.stages.learn`.
    """
    refuse_impossible(run, options)
    if not is_processed(run):
        raise InputFileError(f"{run.out}: there are no event tables; run `oddjets process` first")
    require_current_tables(run)
    refuse_unknown_columns(run, options.columns)
    stage = learn_stage(options)
    if dry_run:
        seed = options.seed_score or run.analysis.threshold.score
        columns = list(learnt_columns(run, seed, options.columns))
        asked = options.recorded() | {"seed_score": seed, "columns": columns}
        return {"options": asked, "up_to_date": is_done(run, stage), "writes": list(stage.outputs)}
    run_stage(run, stage, force=force)
    found: dict[str, Any] = json.loads((run.out / folder_of(options.name) / NUMBERS).read_text(encoding="utf-8"))
    return found


def lines_of(found: dict[str, Any]) -> list[str]:
    """Return what a training found, in lines.

    Args:
        found: from `learn`, not of a dry run.
    """
    jets, options = found["jets"], found["options"]
    counts = " and ".join(f"{number} {kind.replace('without-label', 'unlabelled')}" for kind, number in jets.items())
    head = f"{counts} jets of {found['events']} events"
    lines = [
        f"{head}; {options['folds']} folds, {options['members']} members, of rank correlation {found['agreement']:.2f}"
    ]
    lines.append(evidence_line(found))
    for process, signal in found["signals"].items():
        if signal["efficiency"] is not None:
            lines.append(
                f"{process}: {signal['efficiency']:.3f} pass with the product, {signal['seed_efficiency']:.3f} with the seed"
                f" alone; other trainings: +-{signal['stochastic']:.1%}"
            )
    for name, closures in found["closure"].items():
        parts = [
            f"{c['ratio']:.2f} +- {c['spread']:.2f} at {c['share']:.0%} of jets"
            for c in closures
            if c["ratio"] is not None and c["spread"] is not None
        ]
        if parts:
            lines.append(f"A D / (B C) in data over that of permuted jets, {name}: {', '.join(parts)}")
    return lines


def show(found: dict[str, Any], out: str) -> None:
    """Print what a training found, and how to go on.

    Args:
        found: from `learn`, not of a dry run.
        out: the output folder.
    """
    for line in lines_of(found):
        console.print(escape(line))
    if warning := nothing_learnt(found):
        console.print(f"[bold yellow]warning[/bold yellow]: {escape(warning)}")
    console.print(escape(f"learn: {out}/{found['analysis']}; `oddjets run` goes on with it"))
