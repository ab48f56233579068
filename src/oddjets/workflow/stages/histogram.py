"""The stage `histogram`: the threshold and the histograms of all regions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.config.nuisances import luminosity_parts, nuisances_of
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.corrections.correlations import combined_luminosity_uncertainty
from oddjets.io.histograms import ThresholdResult
from oddjets.selection.event_weights import WeightAudit
from oddjets.selection.histogramming import make_histograms
from oddjets.selection.normalisation import cutflow_line, factors, own_factors, total_luminosity
from oddjets.workflow.blinding import record_state
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.stages.cutflow import write_cutflow

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["missed_efficiency", "work"]


def work(run: RunContext) -> dict[str, Any]:
    """Find the threshold and fill the histograms."""
    processed = run.extra("process")
    act = record_state(run.analysis, run.out, unblinds=run.unblinds)
    luminosities = run.luminosities
    luminosity = total_luminosity(luminosities)
    write_cutflow(run, processed)
    _require_data(run.analysis, processed)
    work = ChunkWorker(run.resolved.source, run.analysis, (), None, 1)
    folder = run.out / "histograms"
    shutil.rmtree(folder, ignore_errors=True)
    audit = WeightAudit()
    histograms = make_histograms(
        run.analysis,
        work.build(),
        run.event_tables,
        factors(run.analysis, processed, luminosities),
        luminosity,
        run.resolved.era.energy_TeV,
        own_factors=own_factors(run.analysis, processed),
        audit=audit,
    )
    write_json(run.out / "event_weights.json", audit.summary())
    histograms.save(folder)
    threshold = vars(histograms.threshold)
    write_json(run.out / "threshold.json", threshold)
    if said := missed_efficiency(histograms.threshold):
        console.print(f"[bold yellow]{escape(said)}[/bold yellow]")
    eras = {"eras": _eras(run.analysis, luminosities)} if isinstance(luminosities, Mapping) else {}
    return {"luminosity_pb": luminosity, **eras, "threshold": threshold, **({"blinding": act} if act else {})}


def missed_efficiency(threshold: ThresholdResult) -> str:
    """Return what is said of a threshold that more or fewer data events pass than were asked for; "" where it keeps as many.

    Args:
        threshold: as found; of a blinded analysis it is not known how many pass.
    """
    asked, found = threshold.efficiency_asked, threshold.n_above
    # one event more or less is the best a quantile can do, as the report's health line says
    if asked is None or found is None or abs(found - asked * threshold.n_data) <= 1 + 1e-3 * asked * threshold.n_data:
        return ""
    return (
        f"threshold {threshold.value:.5g} of '{threshold.score}': {found} of {threshold.n_data} data events pass, and"
        f" {100 * asked:.3g} % were asked for: many have the same score, so that no threshold keeps this share"
    )


def _require_data(analysis: Analysis, processed: Mapping[str, Any]) -> None:
    """Refuse an efficiency of data of which none is left, with what each cut leaves."""
    data = {name: found for name, found in processed["datasets"].items() if found["is_data"]}
    if analysis.threshold.value is not None or not data or any(found["rows"] for found in data.values()):
        return
    flows = "\n".join(f"  {name}: {cutflow_line(processed['cuts'], found['raw'])}" for name, found in data.items())
    raise OddjetsError(
        f"threshold: an efficiency of {analysis.threshold.efficiency} asks for a quantile over data, but no data event passes"
        f" the base selection; correct the cut that leaves none, or give 'threshold.value' (a fixed cut on the score)\n{flows}"
    )


def _eras(analysis: Analysis, luminosities: Mapping[str, float]) -> dict[str, Any]:
    """Return what the manifest says of several eras."""
    parts = luminosity_parts(analysis)
    stated = analysis.fit.luminosity_uncertainty if analysis.fit is not None else None
    by_era = {era: {name: sizes.get(era, 0.0) for name, sizes in parts.items()} for era in luminosities}
    combined = combined_luminosity_uncertainty(luminosities, by_era) if parts else stated
    return {
        "luminosity_by_era_pb": dict(luminosities),
        "luminosity_parts": parts,
        "luminosity_uncertainty": combined,
        "nuisances": {name: eras for s in analysis.systematics for name, eras in nuisances_of(analysis, s).items()},
    }
