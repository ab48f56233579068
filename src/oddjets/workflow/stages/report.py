"""The stage `report`: the HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.core.console import console

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["work"]


def work(run: RunContext, stale: Mapping[str, str]) -> dict[str, Any]:
    """Write the report, and say where it is.

    Args:
        run: the analysis and its folder.
        stale: stages whose results no longer stand, and why; the page warns of them.
    """
    from oddjets.report import html

    file = html.write(run.analysis, run.out, dict(stale), unblinds=run.unblinds)
    console.print(f"report: {escape(str(file))}")
    return {}
