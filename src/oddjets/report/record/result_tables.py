"""Tables that no figure has: fitted parameters, limits, all correlations, yields, cutflows, templates by uncertainty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures.cutflow import by_process
from oddjets.report.intervals import points
from oddjets.report.record.lists import limit_columns, matrix_columns
from oddjets.report.record.stacks import FIT, STATISTICAL, asymmetric
from oddjets.report.record.tables import Error, RecordTable, Variable, binned, long_table
from oddjets.stats.fitted_yields import split_channel

__all__ = ["tables_of_results"]

#: what the uncertainty of a nuisance parameter is called
SYSTEMATIC = "sys,"


def tables_of_results(artifacts: Artifacts) -> list[RecordTable]:
    """Return the tables of a finished analysis with a fit.

    Raises:
        InputFileError: a result of a stage cannot be read.
    """
    return [*_fit(artifacts.results), *_yields(artifacts), *_cutflows(artifacts), *_templates(artifacts)]


def _fit(results: Mapping[str, Any]) -> Iterator[RecordTable]:
    pois = results["pois"]
    value = Variable(
        "Fitted value",
        [poi["value"] for poi in pois],
        errors={FIT: [(poi.get("error_down"), poi.get("error_up")) for poi in pois]},
    )
    notes = Variable("Ends at a bound", ["yes" if poi.get("at_boundary") else "no" for poi in pois])
    axis = Variable("Parameter", [poi["name"] for poi in pois])
    yield RecordTable(
        "parameters", "The fitted signal strengths, with two-sided errors (MINOS).", [axis], [value, notes]
    )
    yield from _significance(results.get("significance") or {})
    yield from _limits(results.get("limit") or {}, pois[0]["name"])
    if found := results.get("gof"):
        letters = ", ".join(found.get("letters") or []) or "all letters"
        names = ("statistic", "p_value", "toys", "failed")
        said = {"letters": letters}
        columns = [Variable(name.replace("_", " "), [found.get(name)], qualifiers=said) for name in names]
        yield RecordTable("goodness_of_fit", "Saturated goodness of fit, with its p-value by toys.", [], columns)
    if found := results.get("correlation"):
        parts = matrix_columns(found["names"], found["matrix"], "Parameter", "Correlation")
        text = "Correlations of all fitted parameters that belong to no single bin."
        yield RecordTable("correlation_matrix", text, *parts)
    if found := results.get("pulls"):
        fitted = [(one["name"], one["value"], one["error"], one["prefit_error"]) for one in found]
        parts = long_table(["Nuisance parameter", "Fitted value", f"±{FIT}", "Prior uncertainty"], fitted, 1)
        yield RecordTable("nuisance_parameters", "All constrained nuisance parameters of the fit.", *parts)
    if found := results.get("impacts"):
        poi = results["poi"]["name"]
        heads = ["Nuisance parameter", f"Change of {poi}, parameter up", f"Change of {poi}, parameter down"]
        rows = [(one["name"], one["up"], one["down"]) for one in found]
        text = f"The systematic uncertainty of {poi} by name: its change when a parameter moves by its fitted error."
        yield RecordTable("impacts_all", text, *long_table(heads, rows, 1))


def _significance(found: Mapping[str, Any]) -> Iterator[RecordTable]:
    rows = [("observed, asymptotic", found.get("z"), found.get("p_value"))] if "z" in found else []
    known = (
        ("expected", "expected for the stated cross section, asymptotic"),
        ("with_closure_uncertainty", "observed, with the uncertainty of the closure"),
    )
    for key, head in known:
        if key in found:
            rows.append((head, found[key].get("z"), found[key].get("p_value")))
    if "toys" in found:
        rows.append((f"observed, by {found['toys']['toys']} toys", None, found["toys"].get("p_value")))
    if rows:
        parts = long_table(["Significance", "z", "p-value"], rows, 1)
        yield RecordTable("significance", f"Significance: {found.get('tests', '')}.", *parts)


def _limits(found: Mapping[str, Any], poi: str) -> Iterator[RecordTable]:
    methods = [("asymptotic", found)] if "observed" in found else []
    methods += [(f"{found['toys']['toys']} toys", found["toys"])] if "toys" in found else []
    for number, (method, one) in enumerate(methods):
        # toys have one where the asymptotic limit failed
        level = found.get("level", 0.05)
        confidence = level if level > 0.5 else 1 - level
        axes = [Variable("Parameter", [found.get("parameter", poi)]), Variable("Confidence level", [confidence])]
        columns = [
            Variable(c.name, c.values, errors=c.errors, qualifiers={"method": method})
            for c in limit_columns(one["observed"], one["expected"])
        ]
        name = "limits" if not number else "limits_toys"
        yield RecordTable(name, f"CLs upper limits, {method}.", axes, columns)


def _yields(artifacts: Artifacts) -> Iterator[RecordTable]:
    for region, letters in artifacts.results["yields"].items():
        rows: list[Sequence[Any]] = []
        for letter, entry in letters.items():
            if entry.get("data") is not None:
                rows.append((letter, artifacts.data_name, *[sum(entry["data"]), None] * 2))
            hypotheses = [entry.get(name) or {} for name in ("signal_plus_background", "background_only")]
            for process in dict.fromkeys(p for hypothesis in hypotheses for p in hypothesis):
                numbers = [(h.get(process) or {}).get("sum") or {} for h in hypotheses]
                rows.append((letter, process, *[n.get(key) for n in numbers for key in ("value", "error")]))
        heads = ["Letter", "Process", "Events, signal + background fit", f"±{FIT}", "Events, background fit", f"±{FIT}"]
        said = f"Yields of {artifacts.region_label(region)} by letter and process. Errors of sums have the bins' covariance."
        yield RecordTable(f"yields_{region}", said, *long_table(heads, rows, 2))


def _cutflows(artifacts: Artifacts) -> Iterator[RecordTable]:
    found = by_process(artifacts)
    cuts = [Variable("Cut", artifacts.cutflow["cuts"])]
    for kind, said in (("weighted", "simulation normalised to the luminosity"), ("raw", "events as counted")):
        columns = []
        for process, numbers in found.items():
            label = artifacts.data_name if process == "data" else artifacts.process(process)["label"]
            values = numbers["raw" if process == "data" else kind]
            columns.append(Variable(label, values, qualifiers={"process": process}))
        yield RecordTable(f"cutflow_{kind}", f"Events left after each cut: {said}.", cuts, columns)


def _templates(artifacts: Artifacts) -> Iterator[RecordTable]:
    """Yield the templates of each channel before the fit; the parts of their errors by name."""
    workspace, report = artifacts.json("workspace.json"), artifacts.json("workspace_report.json", "edges")
    observed = {one["name"]: one["data"] for one in workspace["observations"]}
    fit = artifacts.analysis.fit
    label = artifacts.axis_label(fit.observable) if fit is not None else "Observable"
    for channel in workspace["channels"]:
        name = channel["name"]
        region, letter = split_channel(name)
        bins = len(observed[name])
        edges = report["edges"].get(region)
        # merged bins of product cells have no edges
        of_bins = edges is not None and len(edges) == bins + 1
        axis = binned(label, edges) if of_bins else Variable("Bin", list(range(bins)))
        counted = points(observed[name])
        columns = [Variable(artifacts.data_name, counted["values"], errors={STATISTICAL: asymmetric(counted)})]
        columns += [_template(artifacts, sample) for sample in channel["samples"]]
        said = (
            f"Templates of {region}{f', letter {letter}' if letter else ''} before the fit, as in the workspace. Statistical"
            " and systematic errors by name; 'plus' is the yield with the parameter up, less the nominal one, and 'minus' that"
            " with it down. A process that is free in the fit has none."
        )
        yield RecordTable(f"templates_{name}", said, [axis], columns)


def _template(artifacts: Artifacts, sample: Mapping[str, Any]) -> Variable:
    nominal = sample["data"]
    errors: dict[str, list[Error]] = {}
    free = []
    for modifier in sample["modifiers"]:
        name, kind, data = modifier["name"], modifier["type"], modifier.get("data")
        if kind == "staterror":
            errors[f"{STATISTICAL}, simulation"] = list(data)
        elif kind == "histosys":
            errors[f"{SYSTEMATIC}{name}"] = [
                (n - low, high - n) for n, low, high in zip(nominal, data["lo_data"], data["hi_data"], strict=True)
            ]
        elif kind == "normsys":
            errors[f"{SYSTEMATIC}{name}"] = [(n * (1 - data["lo"]), n * (data["hi"] - 1)) for n in nominal]
        else:
            free.append(name)
    qualifiers = {"process": sample["name"], **({"free factors": ", ".join(free)} if free else {})}
    return Variable(artifacts.process(sample["name"])["label"], nominal, errors=errors, qualifiers=qualifiers)
