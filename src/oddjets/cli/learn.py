"""The verb `learn`: a score from the data of an analysis."""

from __future__ import annotations

import json as json_module
import math
import warnings
from typing import Annotated

import typer

from oddjets.cli.options import AnalysisFile, Force, Out, Unblind, make_run
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import Workers

__all__ = ["LearntColumns", "learn", "mass_range"]


LearntColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="EXPRESSION",
        help="Column of a jet to learn from, or an expression such as 'tau3 / tau2'; repeatable (default: the shares of the"
        " seed score's class groups).",
    ),
]


def learn(
    analysis: AnalysisFile,
    seed_score: Annotated[
        str,
        typer.Option(
            "--seed-score",
            metavar="NAME",
            help="Score that labels jets, and is multiplied with the new one (default: the threshold's).",
        ),
    ] = "",
    column: LearntColumns = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="tag-n-train: jets are labelled by the seed score of the other jet; mass-window: by a mass. autoencoder (extra"
            " train), mixture: without labels, by how odd a jet is among all; outliers: an autoencoder where PyTorch is"
            " installed, else a mixture.",
            autocompletion=lambda: ["tag-n-train", "mass-window", "autoencoder", "mixture", "outliers"],
        ),
    ] = "tag-n-train",
    folds: Annotated[int, typer.Option("--folds", min=2, max=20, metavar="N", help="Number of folds of events.")] = 5,
    members: Annotated[
        int, typer.Option("--members", min=1, metavar="N", help="Trainings of each fold, whose scores are averaged.")
    ] = 4,
    window: Annotated[
        str, typer.Option("--window", metavar="LOW:HIGH", help="Of a mass window: the masses of signal-like jets, GeV.")
    ] = "",
    sideband: Annotated[
        list[str] | None,
        typer.Option(
            "--sideband", metavar="LOW:HIGH", help="Of a mass window: masses of background-like jets, GeV; repeatable."
        ),
    ] = None,
    own_mass: Annotated[
        bool, typer.Option("--own-mass", help="Label a jet by its own mass instead of the other jet's; it sculpts.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="Name of the score.")] = "learnt",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 1,
    workers: Workers = None,
    out: Out = None,
    json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained, and write nothing.")
    ] = False,
    force: Force = False,
    unblind: Unblind = False,
) -> None:
    """Learn a score from the data, fold by fold, and write an analysis with it beside the score it grew from."""
    from oddjets.learning.labels import MassLabelWarning  # heavy imports only where it runs
    from oddjets.workflow.learning import learn as learn_score
    from oddjets.workflow.learning import show
    from oddjets.workflow.stages.learn import LearnOptions
    from oddjets.workflow.stages.learn_methods import chosen_method

    chosen, why = chosen_method(method)
    if why and not json:
        console.print(f"learn: {why}")
    run = make_run(analysis, out, unblind=unblind, workers=workers)
    options = LearnOptions(
        method=chosen,
        seed_score=seed_score,
        columns=tuple(column or ()),
        folds=folds,
        members=members,
        window=mass_range(window, "--window") if window else None,
        sidebands=tuple(mass_range(text, "--sideband") for text in sideband or ()),
        own_mass=own_mass,
        name=name,
        seed=seed,
        workers=run.analysis.execution.processes,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MassLabelWarning)
        found = learn_score(run, options, force=force, dry_run=dry_run)
    if json or dry_run:
        typer.echo(json_module.dumps(found, indent=1))
    else:
        show(found, str(run.out))
    for warning in caught:
        console.print(f"[bold red]warning[/bold red]: {warning.message}")


def mass_range(text: str, option: str) -> tuple[float, float]:
    """Return the ends of a range LOW:HIGH.

    Args:
        text: two numbers with a colon between them.
        option: named in the message.

    Raises:
        OddjetsError: it is none, or does not rise.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(text)
    except ValueError:
        raise OddjetsError(
            f"{option} {text}: give two numbers in GeV with a colon between them, such as 150:200"
        ) from None
    if not low < high:
        raise OddjetsError(f"{option} {text}: the first mass has to be the smaller one")
    return low, high
