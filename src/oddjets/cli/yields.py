"""The verb that prints the events of each region and letter."""

from __future__ import annotations

import typer

from oddjets.cli.options import AnalysisFile, Out, Unblind, make_run, rerun_blinded_stages
from oddjets.core.console import console

__all__ = ["yields"]


def yields(analysis: AnalysisFile, out: Out = None, unblind: Unblind = False) -> None:
    """Print the events of every region and letter: simulation by process, data, and B C / D.

    Needs the results of histogram.
    """
    from oddjets.io.histograms import HistogramSet  # heavy imports only where it runs
    from oddjets.report.event_yields import event_yields
    from oddjets.workflow.pipeline import stage_of
    from oddjets.workflow.stage_states import is_done

    run = make_run(analysis, out, unblind=unblind)
    rerun_blinded_stages(run, "workspace")
    run.extra("histogram")
    if not is_done(run, stage_of(run, "histogram")):
        console.print("[bold yellow]the histograms are out of date[/bold yellow]; `oddjets run` updates them")
    found = HistogramSet.load(run.out / "histograms")
    # not what an unblinded run left there
    typer.echo(event_yields(run.analysis, found.blind() if run.analysis.blind else found))
