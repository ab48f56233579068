"""`report`: the page that shows it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oddjets.console import console
from oddjets.stages.plot import config

if TYPE_CHECKING:
    from oddjets.pipeline import Run

__all__ = ["config", "work"]


def work(run: Run) -> dict[str, Any]:
    """Write the report, and say where it is."""
    from oddjets.plots import report

    file = report.write(run.analysis, run.out)
    console.print(f"report: {file}")
    return {}
