"""The stage `closure`: ABCD on simulated QCD, at several thresholds and in data below the threshold, and its two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.config.selection import Threshold
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.core.rounding import rounded
from oddjets.io.histograms import DATA, HistogramSet, ThresholdResult
from oddjets.selection.closure_bank import ClosureBank
from oddjets.selection.closure_events import ClosureEvents, read_closure_events
from oddjets.selection.closure_measurement import CONTROL, measure_closure
from oddjets.selection.histogramming import make_histograms, threshold_from
from oddjets.selection.normalisation import factors
from oddjets.stats.closure_parts import one_efficiency
from oddjets.workflow.closure_banks import read_closure_bank
from oddjets.workflow.executors.chunk_worker import ChunkWorker

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["closure_lines", "measure", "region_lines", "work"]

#: data efficiencies at which the closure is repeated (at 0.2 % few events are left)
CLOSURE_EFFICIENCIES = (0.05, 0.10)


def work(run: RunContext) -> dict[str, Any]:
    """Test ABCD on QCD simulation at the threshold, at looser ones, and in data with both scores below the threshold."""
    from oddjets.stats.abcd_closure import ClosureSample, closure

    nominal = HistogramSet.load(run.out / "histograms")
    normalisation = factors(run.analysis, run.extra("process"), run.luminosities)
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    bank, unused = read_closure_bank(run, processor)

    def simulation(histograms: HistogramSet) -> HistogramSet:
        """Return the histograms with the simulation that the closure is measured on, at the same threshold."""
        if bank is None:
            return histograms
        return bank.histograms(run.analysis, processor, histograms.threshold, nominal.luminosity_pb, nominal.energy_TeV)

    def at(efficiency: float, below: float | None = None) -> HistogramSet:
        threshold = Threshold(score=run.analysis.threshold.score, efficiency=efficiency)
        # of what is below the threshold nothing is in A, whatever the letters of a looser threshold are
        shown = run.analysis if below is None else run.analysis.unblinded()
        analysis = shown.model_copy(update={"threshold": threshold, "systematics": ()})
        return make_histograms(
            analysis,
            processor,
            run.event_tables,
            normalisation,
            nominal.luminosity_pb,
            nominal.energy_TeV,
            below=below,
        )

    qcd = run.analysis.data_driven
    assert qcd is not None
    scans = []
    simulated = bank is not None or qcd in nominal.variations
    if nominal.threshold.n_data and simulated:
        scans += [ClosureSample(f"{qcd} simulation at {e:.0%}", qcd, simulation(at(e))) for e in CLOSURE_EFFICIENCIES]
    if nominal.threshold.n_data:
        just_below = at(CLOSURE_EFFICIENCIES[0], below=nominal.threshold.value)
        scans.append(ClosureSample("data with both scores below the threshold", DATA, just_below))
    found = closure(run.analysis, simulation(nominal), scans)
    found["parts"] = _parts(run, nominal.threshold, bank)
    if bank is not None:
        found["simulation"] = bank.source
    if unused:
        found["parts"]["notes"].append(unused)
    found["uncertainty"] = _uncertainty(run, found)
    _show(found["parts"])
    if note := found.get("note"):
        console.print(f"closure: {escape(note)}")
    write_json(run.out / "closure.json", found)
    return {}


def _parts(run: RunContext, threshold: ThresholdResult, bank: ClosureBank | None) -> dict[str, Any]:
    """Return the parts of the closure; where there are no events to measure them on, a note that says so."""
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    normalisation = factors(run.analysis, run.extra("process"), run.luminosity_pb)
    events = _with_bank(read_closure_events(run.analysis, processor, run.event_tables, normalisation), bank)
    try:
        return measure_closure(run.analysis, processor, events, threshold)
    except OddjetsError as error:
        return {"regions": {}, "notes": [str(error)]}


def _uncertainty(run: RunContext, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``closure_uncertainty: true`` takes from this closure, by region; None where it would be an error."""
    from oddjets.stats.closure_parts import structural_factors
    from oddjets.stats.closure_uncertainty import closure_uncertainties

    fit, (_, regions) = run.analysis.fit, run.analysis.abcd_bins
    made: dict[str, Any] = {}
    for region in regions:
        try:
            known = None if fit is None or fit.abcd == "as-published" else structural_factors(found, [region])
            made[region] = closure_uncertainties(found, [region], known)[region]._asdict()
        except OddjetsError:
            made[region] = None
    return made


def measure(run: RunContext) -> dict[str, Any]:
    """Measure the parts of the closure of all regions on the event tables of a run; no histograms are needed.

    Args:
        run: an analysis and its folder, whose stage `process`, or `import-npz`, is done.

    Raises:
        OddjetsError: no events, or no observable.
    """
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    normalisation = factors(run.analysis, run.extra("process"), run.luminosity_pb)
    events = read_closure_events(run.analysis, processor, run.event_tables, normalisation)
    lower = None if events.data is None else events.smaller_scores(run.analysis.threshold.score)
    bank, unused = read_closure_bank(run, processor)
    found = measure_closure(run.analysis, processor, _with_bank(events, bank), threshold_from(run.analysis, lower))
    return {**found, "notes": [*found["notes"], *([unused] if unused else [])]}


def _with_bank(events: ClosureEvents, bank: ClosureBank | None) -> ClosureEvents:
    """Return the events with those of a bank as the simulation of the data-driven process."""
    return events if bank is None else replace(events, simulation=(bank.columns, bank.weights), source=bank.source)


def _show(found: Mapping[str, Any]) -> None:
    """Print the parts of the closure; a notebook, where each print is an output of its own, gets one short one."""
    lines = region_lines(found) if console.is_jupyter else closure_lines(found)
    if lines:
        console.print(escape("\n".join(lines)))


def region_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the parts of the closure as a line a region: the verdict, the constants at the working point, the advice.

    Args:
        found: from `measure_closure`.
    """
    lines = list(found.get("notes", ()))
    for region, one in found["regions"].items():
        parts = {
            "structural": one.get("structural"),
            "correlation": one.get("correlation") or one.get("control", {}).get("correlation"),
        }
        values = [f"c {label} {_value(part)}" for label, part in parts.items() if part and part["value"] is not None]
        measured = f"at {100 * found['working_point']:.3g} %: {', '.join(values)}" if values else "too few events"
        treatment = one["advice"]["treatment"]
        advice = f"; abcd: {treatment} is advised" if treatment else ""
        lines.append(f"{_heading(region, one)}; {measured}{advice}")
    return lines


def _heading(region: str, one: Mapping[str, Any]) -> str:
    what = {"union": f"union of {', '.join(one.get('cells', ()))}", "unknown": f"unknown: {one.get('why', '')}"}
    return f"{region} ({what.get(one['kind'], one['kind'])}): {one.get('verdict', 'inconclusive')}"


def closure_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the parts of the closure as lines of text.

    Args:
        found: from `measure_closure`.
    """
    lines = list(found.get("notes", ()))
    sources, few = found.get("sources", {}), False
    for region, one in found["regions"].items():
        lines.append(_heading(region, one))
        of_structure, of_events, control = sources["structural"], sources["correlation"], one.get("control", {})
        rows = [("structural", of_structure, one.get("structural"), found["efficiencies"])]
        if of_events != CONTROL:
            rows.append(("of the events as they are", of_events, one.get("unmixed"), found["efficiencies"]))
            rows.append(("correlation", of_events, one.get("correlation"), found["efficiencies"]))
        rows.append(("correlation", CONTROL, control.get("correlation"), control.get("efficiencies", ())))
        for label, source, part, efficiencies in rows:
            line, lacks = _line(part, efficiencies, found["working_point"])
            lines += [f"  c {label} ({source}): {line}"] if line else []
            few |= lacks
        if one["advice"]["treatment"]:
            lines.append(f"  abcd: {one['advice']['treatment']} is advised, as {one['advice']['why']}")
    if few:
        lines.append(
            "-: too few events (fewer than 10 in B or C, or expected in A); simulate more QCD, or look at the data below the"
            " threshold and at the control regions"
        )
    if any(one["advice"]["treatment"] not in (None, "as-published") for one in found["regions"].values()):
        lines.append("fit.abcd is one setting for all regions, and leaves those that are products as they are")
    return lines


def _line(part: Mapping[str, Any] | None, efficiencies: Sequence[float], at: float) -> tuple[str, bool]:
    """Return a constant by efficiency and at the working point, "" if not measured; and whether any has too few events."""
    if part is None or len(part.get("values", ())) != len(efficiencies):
        return "", False
    measured = list(zip(*(part[key] for key in ("values", "errors", "used")), efficiencies, strict=True))
    points = ", ".join(f"{100 * e:.3g} % {_with_error(value, error)}" for value, error, _, e in measured)
    alone = one_efficiency(part, at)
    said = "" if alone is None else f" (from {100 * alone:.3g} % alone: without the error of a slope)"
    return f"{points}; at {100 * at:.3g} %: {_value(part)}{said}", not all(use for _, _, use, _ in measured)


def _value(part: Mapping[str, Any]) -> str:
    return _with_error(part["value"], part["error"])


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if error is None else " ± ".join(rounded(value, error))
