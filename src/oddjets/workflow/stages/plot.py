"""The stage `plot`: all figures that the results allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["work"]


def work(run: RunContext) -> dict[str, Any]:
    """Draw the figures; the manifest gets the files' names."""
    from oddjets.report.figure_files import make

    files = make(run.analysis, run.out, None)
    return {"figures": [str(f.relative_to(run.out)) for f in files]}
