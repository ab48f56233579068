"""The stage `histogram`: the threshold and the histograms of all regions."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from oddjets.core.files import write_json
from oddjets.selection.event_weights import WeightAudit
from oddjets.selection.histogramming import make_histograms
from oddjets.selection.normalisation import factors, own_factors
from oddjets.workflow.blinding import record_state
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.stages.cutflow import write_cutflow

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["work"]


def work(run: RunContext) -> dict[str, Any]:
    """Find the threshold and fill the histograms."""
    processed = run.extra("process")
    act = record_state(run.analysis, run.out, unblinds=run.unblinds)
    luminosity = run.luminosity_pb
    write_cutflow(run, processed)
    work = ChunkWorker(run.resolved.source, run.analysis, (), None, 1)
    folder = run.out / "histograms"
    shutil.rmtree(folder, ignore_errors=True)
    audit = WeightAudit()
    histograms = make_histograms(
        run.analysis,
        work.build(),
        run.out / "events",
        factors(run.analysis, processed, luminosity),
        luminosity,
        run.resolved.era.energy_TeV,
        own_factors=own_factors(run.analysis, processed),
        audit=audit,
    )
    write_json(run.out / "event_weights.json", audit.summary())
    histograms.save(folder)
    threshold = vars(histograms.threshold)
    write_json(run.out / "threshold.json", threshold)
    return {"luminosity_pb": luminosity, "threshold": threshold, **({"blinding": act} if act else {})}
