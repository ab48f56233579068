"""The verb that compares the scores of an analysis."""

from __future__ import annotations

from typing import Annotated

import typer

from oddjets.cli.options import AnalysisFile, Out, Unblind, make_run, rerun_blinded_stages
from oddjets.core.console import console

__all__ = ["scores"]


def scores(
    analysis: AnalysisFile,
    out: Out = None,
    json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON instead of tables.")] = False,
    unblind: Unblind = False,
) -> None:
    """Print how well each score separates every process from the data-driven one, and how much the scores agree.

    Needs the event tables of process or import-npz; if data are blinded, also the results of histogram.
    """
    from oddjets.report.artifacts import Artifacts  # heavy imports only where it runs
    from oddjets.report.score_comparison import ScoreComparison
    from oddjets.workflow.pipeline import stage_of
    from oddjets.workflow.stage_states import is_done

    run = make_run(analysis, out, unblind=unblind)
    rerun_blinded_stages(run, "workspace")
    run.extra("process")
    if not is_done(run, stage_of(run, "process")):
        console.print("[bold yellow]the event tables are out of date[/bold yellow]; `oddjets run` updates them")
    found = ScoreComparison.from_artifacts(Artifacts(run.analysis, run.out))
    typer.echo(found.to_json() if json else found)
