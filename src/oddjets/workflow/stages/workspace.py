"""The stage `workspace`: the histograms as a pyhf workspace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.core.blinding_history import read_history
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.io.histograms import HistogramSet
from oddjets.io.studies import FOLDER, SCULPTING, read_study

if TYPE_CHECKING:
    from oddjets.stats.closure_parts import StructuralFactor
    from oddjets.stats.closure_uncertainty import ClosureUncertainty
    from oddjets.workflow.run import RunContext

__all__ = ["measured_closure", "work"]


def measured_closure(
    run: RunContext,
) -> tuple[dict[str, ClosureUncertainty] | None, dict[str, StructuralFactor] | None]:
    """Return what the fit takes from ``closure.json``: uncertainties and structural constants; None where it asks for none.

    With ``closure_uncertainty: by-bin`` the uncertainties are from ``study/sculpting.json``.

    Raises:
        InputFileError: the closure, or sculpting, was not measured, and the fit needs it.
        OddjetsError: sculpting was studied in another state of the folder.
    """
    from oddjets.stats.closure_bins import binned_uncertainties
    from oddjets.stats.closure_parts import structural_factors
    from oddjets.stats.closure_uncertainty import closure_uncertainties

    fit = run.analysis.fit
    closure = structural = None
    needs = [] if fit is None else [
        *(["fit.closure_uncertainty"] if fit.closure_uncertainty is True else []),
        *(["fit.abcd: structural"] if fit.abcd == "structural" else []),
    ]  # fmt: skip
    file = run.out / "closure.json"
    if needs and not file.is_file():
        raise InputFileError(f"{file}: not there, and {needs[0]} needs it; run `oddjets closure` first")
    if fit is not None and needs:
        measured = json.loads(file.read_text(encoding="utf-8"))
        if fit.abcd != "as-published":
            structural = structural_factors(measured, fit.regions)
        if fit.closure_uncertainty is True:
            closure = closure_uncertainties(measured, fit.regions, structural)
    if fit is not None and fit.closure_uncertainty == "by-bin":
        edges = {region: run.analysis.binning(fit.observable, region) for region in fit.regions}
        closure = binned_uncertainties(_sculpting(run), edges, structural)
    return closure, structural


def _sculpting(run: RunContext) -> dict[str, Any]:
    """Return the study of sculpting that the fit takes its closure uncertainty from."""
    found, file = read_study(run.out, SCULPTING), run.out / FOLDER / SCULPTING
    if found is None:
        raise InputFileError(
            f"{file}: not there, and fit.closure_uncertainty: by-bin needs it; run `oddjets study sculpting` first, after"
            " `oddjets histogram`"
        )
    if found.outdated:
        raise OddjetsError(
            f"{file}: {found.outdated}, and fit.closure_uncertainty: by-bin needs it; run `oddjets study sculpting` again"
        )
    return found.content


def _require_cells(run: RunContext, histograms: HistogramSet) -> None:
    """Refuse histograms from before the fit asked for product cells."""
    cells = [name for name, region in run.analysis.regions.items() if region.part_of is not None]
    if absent := [name for name in cells if name not in histograms.regions]:
        raise InputFileError(
            f"fit.abcd: 'cells' needs the histograms of {', '.join(absent)}, and those in {run.out / 'histograms'} were made"
            " without these cells; run `oddjets histogram` (or `oddjets run`) first"
        )


def work(run: RunContext) -> dict[str, Any]:
    """Build the workspace; the manifest gets what was capped, smoothed or left out."""
    from oddjets.stats import workspace

    closure, structural = measured_closure(run)
    if closure:
        for region, used in closure.items():
            if used.fallback or used.why:
                why = f" (not at the threshold, {used.why})" if used.fallback else f" ({used.why})"
                console.print(escape(f"closure of {region}: from {used.source}, {used.size:.1%}{why}"))
    histograms = HistogramSet.load(run.out / "histograms")
    _require_cells(run, histograms)
    built, report = workspace.build(run.analysis, histograms, closure, structural)
    write_json(run.out / "workspace.json", built)
    write_json(run.out / "workspace_report.json", report)
    acts = read_history(run.out)
    return {"report": report, **({"blinding": acts[-1]} if acts else {})}
