"""`report`: the page that shows it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oddjets.core.console import console
from oddjets.workflow.stages.plot import config

if TYPE_CHECKING:
    from oddjets.workflow.pipeline import Run

__all__ = ["config", "work"]


def work(run: Run) -> dict[str, Any]:
    """Write the report, and say where it is."""
    from oddjets.report import html
    from oddjets.workflow import status

    # every figure's data are looked at anew, so pictures are never stale here
    stale = {
        s.name: s.why for s in status.stage_statuses(run) if s.state == "stale" and s.name not in ("plot", "report")
    }
    file = html.write(run.analysis, run.out, stale)
    console.print(f"report: {file}")
    return {}
