"""The cutflow and the n-1 table, normalised to the luminosity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oddjets.core.files import write_json
from oddjets.selection.normalisation import cutflow_of, luminosities_read

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["write_cutflow"]


def write_cutflow(run: RunContext, processed: Mapping[str, Any]) -> None:
    """Write ``cutflow.json`` from what `process` counted; without a luminosity it is the expectation for 1 /pb."""
    write_json(run.out / "cutflow.json", cutflow_of(processed, luminosities_read(run.analysis, processed)))
