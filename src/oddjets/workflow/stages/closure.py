"""The stage `closure`: ABCD on simulated QCD, at several thresholds and in data below the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.config.selection import Threshold
from oddjets.core.console import console
from oddjets.core.files import write_json
from oddjets.io.histograms import DATA, HistogramSet
from oddjets.selection.histogramming import make_histograms
from oddjets.selection.normalisation import factors
from oddjets.workflow.executors.chunk_worker import ChunkWorker

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["work"]

#: data efficiencies at which the closure is repeated (at 0.2 % few events are left)
CLOSURE_EFFICIENCIES = (0.05, 0.10)


def work(run: RunContext) -> dict[str, Any]:
    """Test ABCD on QCD simulation at the threshold, at looser ones, and in data with both scores below the threshold."""
    from oddjets.stats.abcd_closure import ClosureSample, closure

    nominal = HistogramSet.load(run.out / "histograms")
    normalisation = factors(run.analysis, run.extra("process"), run.luminosity_pb)
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()

    def at(efficiency: float, below: float | None = None) -> HistogramSet:
        threshold = Threshold(score=run.analysis.threshold.score, efficiency=efficiency)
        # of what is below the threshold nothing is in A, whatever the letters of a looser threshold are
        shown = run.analysis if below is None else run.analysis.unblinded()
        analysis = shown.model_copy(update={"threshold": threshold, "systematics": ()})
        return make_histograms(
            analysis,
            processor,
            run.out / "events",
            normalisation,
            nominal.luminosity_pb,
            nominal.energy_TeV,
            below=below,
        )

    qcd = run.analysis.data_driven
    assert qcd is not None
    scans = []
    simulated = qcd in nominal.variations
    if nominal.threshold.n_data and simulated:
        scans += [ClosureSample(f"{qcd} simulation at {e:.0%}", qcd, at(e)) for e in CLOSURE_EFFICIENCIES]
    if nominal.threshold.n_data:
        just_below = at(CLOSURE_EFFICIENCIES[0], below=nominal.threshold.value)
        scans.append(ClosureSample("data with both scores below the threshold", DATA, just_below))
    found = closure(run.analysis, nominal, scans)
    if note := found.get("note"):
        console.print(f"closure: {escape(note)}")
    write_json(run.out / "closure.json", found)
    return {}
