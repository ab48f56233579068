"""The verb that tests what ABCD assumes, on event tables alone."""

from __future__ import annotations

from rich.markup import escape

from oddjets.cli.options import AnalysisFile, Out, make_run
from oddjets.core.console import console

__all__ = ["mixing"]


def mixing(analysis: AnalysisFile, out: Out = None) -> None:
    """Print A D / (B C) of every region for jets of one event and of different events, at 0.2 to 10 % efficiency.

    Needs the event tables of process or import-npz, and nothing else.
    """
    from oddjets.workflow.stages.closure import closure_lines, measure  # heavy imports only where it runs

    for line in closure_lines(measure(make_run(analysis, out))):
        console.print(escape(line))
