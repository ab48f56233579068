"""The stage `simulate`: pseudo-data and templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["work"]


def work(run: RunContext) -> dict[str, Any]:
    """Simulate the files; the manifest gets the datasets' metadata."""
    from oddjets.simulation.run import simulate  # Pythia is an extra: imported where it is needed

    assert run.analysis.simulate is not None
    fileset = simulate(run.analysis.simulate, run.out / "simulation", workers=run.analysis.execution.processes)
    run.__dict__.pop("fileset", None)
    content = json.loads(fileset.read_text(encoding="utf-8"))
    return {"datasets": {name: entry["metadata"] for name, entry in content.items()}}
