"""The stage `fit`: the fit of the workspace, and the results that the YAML asks for."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.core import provenance
from oddjets.core.blinding_history import UNBLINDED, open_periods, read_history
from oddjets.core.console import console
from oddjets.core.errors import BlindedError, OddjetsError
from oddjets.core.files import write_json
from oddjets.io.studies import calibration_line, read_null_studies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oddjets.config.analysis import Analysis
    from oddjets.workflow.run import RunContext

__all__ = ["fitted", "work"]


#: stages whose times are shown beside the fit's
_BEFORE = ("simulate", "process", "histogram", "closure", "workspace")


def check_names(run: RunContext) -> None:
    """Refuse parameters that the workspace does not have, before anything of a finished fit is taken away."""
    fit, path = run.analysis.fit, run.out / "workspace.json"
    if fit is None or (fit.tested is None and not isinstance(fit.scan, str)) or not path.is_file():
        return
    from oddjets.stats.histfactory.model import HistFactoryModel
    from oddjets.stats.histfactory.workspace_sources import load_workspace

    model = HistFactoryModel(load_workspace(path), fit.tested or fit.pois[0].name)
    if isinstance(fit.scan, str):
        model.check_free(fit.scan)


def fitted(
    analysis: Analysis, workspace: Mapping[str, Any], report: Mapping[str, Any], closure: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return all that a fit gives which is in no other file: the same for the same arguments, apart from ``timing_s``.

    Args:
        analysis: what its ``fit`` asks for, with the seed of all toys.
        workspace: of the stage ``workspace``.
        report: of the stage ``workspace``.
        closure: content of ``closure.json``; None: there is none.

    Raises:
        OddjetsError: the workspace cannot be fitted.
    """
    from oddjets.stats.closure_state import conditions
    from oddjets.stats.summary import fit_workspace

    fit = analysis.fit
    assert fit is not None
    results = fit_workspace(
        workspace,
        poi=fit.tested or fit.pois[0].name,
        limit=fit.limit,
        impacts=fit.impacts,
        scan=fit.scan is not False,
        scan_parameter=fit.scan if isinstance(fit.scan, str) else None,
        toys=fit.toys,
        gof_toys=fit.goodness_of_fit.toys,
        gof_letters=fit.goodness_of_fit.letters,
        gof_model=fit.goodness_of_fit.model,
        seed=fit.seed,
        report=report,
    )
    if analysis.data_driven:
        results["if_abcd_holds"] = conditions(closure, fit.regions, results["closure_uncertainty"])
        _add_with_closure(analysis, results, workspace, closure or {})
    return results


def work(run: RunContext) -> dict[str, Any]:
    """Fit, and write ``results.json``."""
    from oddjets.stats.histfactory.workspace_sources import load_workspace
    from oddjets.stats.summary_lines import summary

    fit = run.analysis.fit
    assert fit is not None
    report = run.extra("workspace")["report"]
    if fit.blind and not report.get("blinded"):
        raise BlindedError(
            f"{run.out / 'workspace.json'} holds the data in A, and the analysis is blind: run `oddjets workspace` again, or"
            " fit with --unblind"
        )
    if not fit.blind and report.get("blinded"):
        raise OddjetsError(
            f"{run.out / 'workspace.json'} is blinded, and this fit is not: run `oddjets workspace` with --unblind first"
        )
    started = time.perf_counter()
    workspace, closure = load_workspace(run.out / "workspace.json"), _closure(run)
    results = fitted(run.analysis, workspace, report, closure)
    timing = {}
    for name in _BEFORE:
        manifest = provenance.read_manifest(run.out, name)
        if manifest is not None:
            timing[name] = manifest["time_s"]
    timing |= {"fit": time.perf_counter() - started, **{f"fit.{k}": v for k, v in results.get("timing_s", {}).items()}}
    acts = read_history(run.out)
    results = {
        "analysis": run.analysis.name,
        "title": run.analysis.title,
        # whose data in A are the expected background, and what was done to them; an analysis that hid nothing has neither
        **({"blinded": report["blinded"]} if report.get("blinded") else {}),
        **({"unblinded": acts[-1]} if acts and acts[-1]["state"] == UNBLINDED else {}),
        **({"was_open": periods} if (periods := open_periods(acts)) else {}),
        **results,
        "closure": closure,
        "timing_s": timing,
    }
    write_json(run.out / "results.json", results)
    for line in summary(results):
        console.print(escape(line))
    for study in read_null_studies(run.out).values():
        if "calibration" in study and not results.get("blinded"):
            console.print(escape(calibration_line(study["name"], study["calibration"])))
    return {}


def _closure(run: RunContext) -> dict[str, Any] | None:
    """Return the content of ``closure.json``; None where there is none."""
    file = run.out / "closure.json"
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _add_with_closure(
    analysis: Analysis, results: dict[str, Any], workspace: Mapping[str, Any], closure: Mapping[str, Any]
) -> None:
    """Add the significance with the closure's uncertainty, if the fit has none and the closure knows it in all regions."""
    from oddjets.stats.cell_bins import channels_of
    from oddjets.stats.closure_significance import significance_with_closure
    from oddjets.stats.histfactory.results import FitError

    fit, known = analysis.fit, closure.get("uncertainty") or {}
    assert fit is not None
    if fit.closure_uncertainty or fit.blind or "z" not in results["significance"]:
        return
    sizes = {region: known[region]["size"] for region in fit.regions if known.get(region)}
    if len(sizes) < len(fit.regions):
        return
    channels = {region: channels_of(analysis, region) for region in fit.regions}
    process, poi = str(analysis.data_driven), fit.tested or fit.pois[0].name
    try:
        found = significance_with_closure(workspace, process, channels, sizes, poi)
    except FitError as error:
        results["failed"].append({"question": "significance.with_closure_uncertainty", "reason": str(error)})
        return
    results["significance"]["with_closure_uncertainty"] = {**found._asdict(), "sizes": sizes}
