"""The verb `inspect`: the oddest events of a window, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddjets.cli import completion
from oddjets.cli.options import Unblind, rerun_blinded_stages
from oddjets.core.errors import OddjetsError

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["inspect"]


def inspect(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="ANALYSIS.yaml|FOLDER",
            help="An analysis, or its output folder.",
            autocompletion=completion.analyses,
        ),
    ],
    region: Annotated[
        str | None, typer.Option("--region", help="Region (default: the YAML's, or the first one of the fit).")
    ] = None,
    letter: Annotated[str | None, typer.Option("--letter", help="Letter: A, B, C or D (default: A).")] = None,
    observable: Annotated[
        str | None, typer.Option("--observable", help="Observable that --bins is of (default: that of the fit).")
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option("--bins", metavar="LOW:HIGH", help="Window of the observable, as 140:170 (default: all values)."),
    ] = None,
    process: Annotated[
        str | None, typer.Option("--process", metavar="NAME", help="Look at a simulated process instead of data.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Look at the events of one dataset.")
    ] = None,
    picks: Annotated[
        str | None,
        typer.Option(
            "--picks",
            metavar="FILE|two-sample",
            help="Look at the events of a list instead: run:section:event in each line, or those that `study two-sample` found"
            " most discrepant.",
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, metavar="N", help="Number of events in the table (default: 20).")
    ] = None,
    displays: Annotated[
        int | None, typer.Option("--displays", min=0, metavar="N", help="Number of events to draw (default: 10).")
    ] = None,
    truth: Annotated[
        bool, typer.Option("--truth", help="Say of simulated pseudo-data what each event was simulated as.")
    ] = False,
    neighbours: Annotated[
        bool | None,
        typer.Option("--neighbours/--no-neighbours", help="Compare the events of the window with those beside it."),
    ] = None,
    side_bands: Annotated[
        str | None,
        typer.Option(
            "--side-bands",
            metavar="LOW:HIGH",
            help="Compare with events of this range of the observable (default: half of the width of --bins to both sides, or"
            " as far as 50 events need).",
        ),
    ] = None,
    permutations: Annotated[
        int | None,
        typer.Option("--permutations", min=99, metavar="N", help="Permutations behind the p values (default: 2000)."),
    ] = None,
    why: Annotated[
        int | None,
        typer.Option(
            "--why",
            min=0,
            metavar="N",
            help="Number of events of which to find what their scores rest on (default: 10).",
        ),
    ] = None,
    shares: Annotated[
        bool | None,
        typer.Option("--shares/--no-shares", help="Average the shares of the model's class groups in the sample."),
    ] = None,
    jets: Annotated[
        bool | None,
        typer.Option(
            "--jets/--events",
            help="Look at single jets of Aspen Open Jets, not at events (default: where there are single jets alone).",
        ),
    ] = None,
    efficiency: Annotated[
        float | None,
        typer.Option(
            "--efficiency",
            metavar="F",
            help="Of single jets, look at this fraction with the highest scores (default: the largest of jet_bump).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder of the analysis (default: output/NAME).")
    ] = None,
    unblind: Unblind = False,
) -> None:
    """List and draw the oddest events of a region, letter and range of an observable; compare them with their neighbours."""
    from oddjets.workflow.inspected_run import asked_of
    from oddjets.workflow.inspection import inspect_events

    run = _run_of(target, out, unblind)
    asked = asked_of(
        run,
        {
            "region": region,
            "letter": letter,
            "observable": observable,
            "bins": None if bins is None else _range_of("--bins", bins),
            "side_bands": None if side_bands is None else _range_of("--side-bands", side_bands),
            "permutations": permutations,
            "process": process,
            "dataset": dataset,
            "picks": picks,
            "top": top,
            "displays": displays,
            "neighbours": neighbours,
            "truth": truth or None,
            "why": why,
            "shares": shares,
            "efficiency": efficiency,
        },
    )
    if jets if jets is not None else run.analysis.jet_bump is not None and not run.has_stage("histogram"):
        from oddjets.workflow.inspected_jets import inspect_jets

        typer.echo(inspect_jets(run, asked).text)
        return
    if efficiency is not None:
        raise OddjetsError("--efficiency: is of single jets (--jets); the threshold divides events into letters")
    rerun_blinded_stages(run, "workspace")
    found = inspect_events(run, asked)
    typer.echo(found.text)


def _run_of(target: Path, out: Path | None, unblind: bool) -> RunContext:
    from oddjets.cli.status import analysis_and_folder
    from oddjets.workflow.run import RunContext

    return RunContext(*analysis_and_folder(target, out), unblind="--unblind" if unblind else "")


def _range_of(option: str, text: str) -> tuple[float, float]:
    """Return the two ends of ``140:170``."""
    parts = text.split(":")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        raise OddjetsError(f"{option}: '{text}' is no range; give two numbers with a colon, as in 140:170") from None
    return low, high
