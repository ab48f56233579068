"""The verbs `study`: pseudo-experiments that tell whether the result of an analysis can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from oddjets.cli import completion
from oddjets.cli.options import Unblind, rerun_blinded_stages
from oddjets.cli.study_learning import learning
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
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import with_execution

__all__ = ["app"]

app = typer.Typer(
    help="Make pseudo-experiments of an analysis: false alarms, calibrated p values.", no_args_is_help=True
)


@app.command()
def null(
    target: Target,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="What experiments are drawn from: simulation, independent, mixed, control or toys; of single jets sidebands or"
            " mixed-masses (default: independent, or sidebands where there are single jets alone).",
        ),
    ] = None,
    experiments: Annotated[
        int, typer.Option("--experiments", min=1, metavar="N", help="Number of experiments.")
    ] = 1000,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail",
            min=0,
            metavar="N",
            help="Number of experiments with a signal that is weighted back, for large z (default: as many).",
        ),
    ] = None,
    seed: Seed = 1,
    workers: Workers = None,
    bank: BankFile = None,
    luminosity: Luminosity = None,
    toys: Annotated[
        int,
        typer.Option(
            "--toys",
            min=0,
            metavar="N",
            help="Give each experiment also a p by N toys of its own fit: about as many fits as N studies without it; 100"
            " see 2 sigma, 750 see 3.",
        ),
    ] = 0,
    bootstrap: Annotated[
        bool,
        typer.Option(
            "--bootstrap",
            help="Draw the simulated templates again in each experiment, instead of the auxiliary data of their statistical"
            " errors: a workspace and a model for each, some 40 times slower.",
        ),
    ] = False,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Find no upper limits.")] = False,
    nominal_only: Annotated[
        bool, typer.Option("--nominal-only", help="Try no other values of nuisance parameters and of the closure.")
    ] = False,
    out: OutputFolder = None,
) -> None:
    """Study an analysis where there is no signal: how often is there a false alarm, and which p is right?"""
    from oddjets.workflow.studies import study_null
    from oddjets.workflow.study_options import Options

    run = run_of(target, out)
    of_jets = run.analysis.jet_bump is not None and not run.has_stage("fit")
    found: Options = Options(
        source or ("sidebands" if of_jets else "independent"),  # type: ignore[arg-type]
        experiments,
        tail,
        seed,
        workers or run.analysis.execution.processes,
        bank,
        luminosity,
        not no_limit,
        not nominal_only,
        toys,
        bootstrap,
    )
    study_null(run, found)


@app.command()
def trainings(
    target: Target,
    out: OutputFolder = None,
) -> None:
    """Compare the trainings of a family: threshold, yields, closure and fit of each, and how far two of them agree."""
    from oddjets.workflow.training_study import study_trainings

    study_trainings(run_of(target, out))


@app.command()
def bank(
    target: Target,
    file: Annotated[Path, typer.Option("--file", help="The bank to write, such as bank.parquet.")],
    generate: Annotated[
        list[str] | None,
        typer.Option(
            "--generate",
            metavar="PROCESS=N",
            help="Simulate first, with so many hard events of a process (repeatable; default: the YAML's).",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Random seed of the simulation; without it nothing is simulated."),
    ] = None,
    pseudo_data: Annotated[
        bool,
        typer.Option(
            "--pseudo-data", help="Take the data-driven process also from the folder's simulated pseudo-data, by truth."
        ),
    ] = False,
    features: Annotated[
        bool,
        typer.Option(
            "--features", help="Also keep the columns that scores are learnt from, for `oddjets study learning`."
        ),
    ] = False,
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for simulation and event tables.")] = None,
) -> None:
    """Pack selected events of all processes into a bank, a small file for studies; with --seed, simulate them first."""
    from oddjets.workflow.banks import bank_analysis, make_bank, require_file
    from oddjets.workflow.pipeline import run_stage, stage_of

    if generate and seed is None:
        raise OddjetsError("--generate: nothing is simulated without --seed")
    require_file(file)
    if seed is None:
        run = run_of(target, out)
    else:
        from oddjets.config.analysis import find_analysis, load_analysis
        from oddjets.workflow.output_folder import saved_analysis
        from oddjets.workflow.run import RunContext

        if out is None:
            raise OddjetsError("--seed: a bank's own simulation needs a folder of its own; give it with --out")
        # not what that folder was made with, so that the same command goes on with a bank that was stopped
        of = saved_analysis(target) if target.is_dir() else load_analysis(find_analysis(target))
        run = RunContext(with_execution(bank_analysis(of, seed, generate or []), workers=workers), out)
        for name in ("simulate", "process"):
            run_stage(run, stage_of(run, name))
    counts = make_bank(run, file, pseudo_data=pseudo_data, features=features)
    for process, events in counts.items():
        console.print(f"{escape(process)}: {events} events")
    console.print(f"bank: {escape(str(file))}, {file.stat().st_size / 1e6:.2f} MB")


@app.command()
def choices(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CHOICES.yaml",
            help="A list of choices, such as paper_choices.yaml.",
            autocompletion=completion.analyses,
        ),
    ],
    events: Annotated[
        Path | None,
        typer.Option(
            "--events",
            metavar="DIR",
            help="Output folder whose event tables are used (default: that of the analysis in 'of').",
        ),
    ] = None,
    source: SharedSourceOption = "mixed",
    experiments: Annotated[
        int, typer.Option("--experiments", min=1, metavar="N", help="Number of experiments.")
    ] = 1000,
    seed: Seed = 1,
    workers: Workers = None,
    bank: BankFile = None,
    luminosity: Luminosity = None,
    no_observed: Annotated[bool, typer.Option("--no-observed", help="Fit no choice to the data.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the study (default: output/NAME).")] = None,
) -> None:
    """Make the same experiments for several choices: how often is one of them as large as what was seen?"""
    from oddjets.config.analysis import find_analysis
    from oddjets.config.choices import load_choices
    from oddjets.workflow.choices import ChoiceOptions, study_choices
    from oddjets.workflow.study_events import require_shared_source

    require_shared_source(source)
    found, of, analyses = load_choices(find_analysis(file))
    study_choices(
        found,
        analyses,
        ChoiceOptions(
            events if events is not None else Path("output") / of.name,
            out if out is not None else Path("output") / found.name,
            source,  # type: ignore[arg-type]
            experiments,
            seed,
            workers or of.execution.processes,
            bank,
            luminosity,
            not no_observed,
        ),
    )


@app.command()
def injection(
    target: Target,
    source: SharedSourceOption = "mixed",
    experiments: Annotated[
        int, typer.Option("--experiments", min=1, metavar="N", help="Number of experiments for each strength.")
    ] = 256,
    strength: Annotated[
        list[float] | None,
        typer.Option(
            "--strength",
            metavar="MU",
            help="Strength to inject; repeatable, 0 is added (default: up to five times that with an expected 3 sigma).",
        ),
    ] = None,
    seed: Seed = 1,
    workers: Workers = None,
    bank: BankFile = None,
    luminosity: Luminosity = None,
    alone: Annotated[bool, typer.Option("--alone", help="Make no other searches on the same experiments.")] = False,
    out: OutputFolder = None,
) -> None:
    """Put a signal into experiments: how large is its significance, is its strength right, and what do other searches see?"""
    from oddjets.workflow.injection import InjectionOptions, study_injection
    from oddjets.workflow.study_events import require_shared_source

    require_shared_source(source)
    run = run_of(target, out)
    study_injection(
        run,
        InjectionOptions(
            source,  # type: ignore[arg-type]
            experiments,
            tuple(strength or ()),
            seed,
            workers or run.analysis.execution.processes,
            bank,
            luminosity,
            not alone,
        ),
    )


app.command()(learning)


@app.command()
def sculpting(
    target: Target,
    seed: Seed = 1,
    bank: BankFile = None,
    luminosity: Luminosity = None,
    out: OutputFolder = None,
) -> None:
    """Ask whether the score changes the mass of QCD: what passes against what fails, and bumps that it would make."""
    from oddjets.workflow.sculpting import SculptingOptions, study_sculpting

    study_sculpting(run_of(target, out), SculptingOptions(seed, bank, luminosity))


@app.command(name="two-sample")
def two_sample(
    target: Target,
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="own-pairs|simulation|PATH",
            help="What data are compared with: own-pairs (their own jets, paired anew), simulation, or the events of a Parquet"
            " file or of another output folder.",
        ),
    ] = "own-pairs",
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="EXPRESSION",
            help="Compare this, repeatable; an expression over table columns (default: score and mass of both jets).",
        ),
    ] = None,
    alike: Annotated[
        list[str] | None,
        typer.Option(
            "--alike",
            metavar="COLUMN",
            help="Pair jets of events that are alike in this, repeatable (default: pt_1 and pt_2).",
        ),
    ] = None,
    toys: Annotated[
        int, typer.Option("--toys", min=20, metavar="N", help="Number of toys; 1000 are needed for p below 1/1000.")
    ] = 300,
    most: Annotated[
        int, typer.Option("--most", min=200, metavar="N", help="Take so many events of data at most, at random.")
    ] = 20_000,
    no_known: Annotated[
        bool, typer.Option("--no-known", help="Add no known processes, as simulated, to the pairs.")
    ] = False,
    no_residual: Annotated[
        bool,
        typer.Option("--no-residual", help="Take no correlation of the jets of simulated events as an uncertainty."),
    ] = False,
    seed: Seed = 1,
    workers: Workers = None,
    bank: BankFile = None,
    out: OutputFolder = None,
    unblind: Unblind = False,
) -> None:
    """Compare data with their own mixed pairs, simulation or other events, in several columns, without a threshold."""
    from oddjets.workflow.two_sample import TwoSampleOptions, study_two_sample

    run = run_of(target, out, unblind=unblind)
    rerun_blinded_stages(run, "workspace")
    study_two_sample(
        run,
        TwoSampleOptions(
            against,
            tuple(column or ()),
            None if alike is None else tuple(alike),
            toys,
            most,
            seed,
            workers or run.analysis.execution.processes,
            bank,
            not no_known,
            not no_residual,
        ),
    )
