"""`plot`: all figures that the analysis allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oddjets.workflow.pipeline import Run

__all__ = ["config", "work"]


def config(run: Run) -> Any:
    """Return the whole configuration, since labels and colours count; not who did the work."""
    return run.analysis.model_dump(mode="json", exclude={"execution"})


def work(run: Run) -> dict[str, Any]:
    """Draw; the manifest gets the files' names."""
    from oddjets import report

    files = report.make(run.analysis, run.out, None)
    return {"figures": [str(f.relative_to(run.out)) for f in files]}
