"""The cutflow and the n-1 table, normalised to the luminosity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oddjets.core.files import write_json
from oddjets.selection.normalisation import cutflow_of

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["write_cutflow"]


def write_cutflow(run: RunContext, processed: Mapping[str, Any]) -> None:
    """Write ``cutflow.json`` from what `process` counted; without a luminosity it is the expectation for 1 /pb."""
    if run.analysis.luminosity is not None:
        luminosity: float | None = run.analysis.luminosity * processed.get("fraction_of_data", 1.0)
    else:
        read = [d["luminosity_pb"] for d in processed["datasets"].values() if d["is_data"]]
        luminosity = sum(read) if read and None not in read else None
    write_json(run.out / "cutflow.json", cutflow_of(processed, luminosity))
