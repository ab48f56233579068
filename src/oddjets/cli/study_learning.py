"""The verb `study learning`: scores that are learnt anew in every pseudo-experiment."""

from __future__ import annotations

from typing import Annotated

import typer

from oddjets.cli.learn import LearntColumns, mass_range
from oddjets.cli.study_options import (
    BankFile,
    Luminosity,
    OutputFolder,
    Seed,
    SharedSourceOption,
    Target,
    Workers,
    run_of,
)

__all__ = ["learning"]


def learning(
    target: Target,
    source: SharedSourceOption = "simulation",
    experiments: Annotated[
        int,
        typer.Option(
            "--experiments", min=2, metavar="N", help="Number of experiments for each strength, each with its training."
        ),
    ] = 60,
    strength: Annotated[
        list[float] | None,
        typer.Option(
            "--strength",
            metavar="MU",
            help="Strength to inject; repeatable, 0 is added (default: 0, 1/4, 1/2, 1, 2, 5 times that of --share).",
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(
            "--share", metavar="PART", help="Events of the signal over all others, at one times the strength."
        ),
    ] = 0.02,
    column: LearntColumns = None,
    folds: Annotated[int, typer.Option("--folds", min=2, max=20, metavar="N", help="Number of folds.")] = 5,
    members: Annotated[
        int, typer.Option("--members", min=1, metavar="N", help="Number of trainings in each fold.")
    ] = 1,
    high: Annotated[
        float,
        typer.Option("--high", metavar="Q", help="At or above this quantile of the other jet's score: signal-like."),
    ] = 0.95,
    low: Annotated[
        float, typer.Option("--low", metavar="Q", help="At or below this quantile: background-like.")
    ] = 0.80,
    window: Annotated[
        str,
        typer.Option("--window", metavar="LOW:HIGH", help="Label by the other jet's mass, GeV, and not by the score."),
    ] = "",
    sideband: Annotated[
        list[str] | None,
        typer.Option("--sideband", metavar="LOW:HIGH", help="A side band of the window, GeV; repeatable."),
    ] = None,
    seed: Seed = 1,
    workers: Workers = None,
    bank: BankFile = None,
    luminosity: Luminosity = None,
    out: OutputFolder = None,
) -> None:
    """Learn a score from each of many experiments with a signal: what does it gain, what does it cost without one?"""
    from oddjets.study.learning import LearningPlan
    from oddjets.workflow.learning_study import LearningOptions, study_learning
    from oddjets.workflow.study_events import require_shared_source

    require_shared_source(source)
    run = run_of(target, out)
    bands = tuple(mass_range(text, "--sideband") for text in sideband or ())
    plan = LearningPlan(seed, folds, members, high, low, mass_range(window, "--window") if window else (), bands)
    study_learning(
        run,
        LearningOptions(
            source,  # type: ignore[arg-type]
            experiments,
            tuple(strength or ()),
            share,
            tuple(column or ()),
            plan,
            workers or run.analysis.execution.processes,
            bank,
            luminosity,
        ),
    )
