"""Tables of figures that show data, processes and their sum: before and after the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oddjets.report.record.tables import Error, Variable, binned

__all__ = ["FIT", "STATISTICAL", "asymmetric", "columns_of", "grid", "observable", "single", "threshold_scan", "yields"]

#: name of the errors of counts and of simulated events
STATISTICAL = "stat"
#: name of the errors after the fit: all uncertainties, with the covariance of the fit
FIT = "fit, all uncertainties"

Parts = list[tuple[str, Sequence[Variable], Sequence[Variable]]]


def asymmetric(found: Mapping[str, Any]) -> list[Error]:
    """Return error bars of a figure, lengths ``down`` and ``up``."""
    return list(zip(found["down"], found["up"], strict=True))


def columns_of(panel: Mapping[str, Any], error: str) -> list[Variable]:
    """Return data, their total expectation and the processes of a panel.

    Args:
        panel: of `panels.stack_data`.
        error: name of the errors of what is expected.
    """
    made = []
    if (data := panel.get("data")) is not None:
        made.append(Variable(data["label"], data["values"], errors={STATISTICAL: asymmetric(data)}))
    if (total := panel.get("total")) is not None:
        made.append(Variable("Total", total["values"], errors={error: total["errors"]}))
    for layer in panel["stack"]:
        errors = {error: layer["errors"]} if "errors" in layer else {}
        made.append(Variable(layer["label"], layer["values"], errors=errors, qualifiers={"process": layer["process"]}))
    return made


def single(data: Mapping[str, Any], error: str) -> Parts:
    """Return the table of a figure with one panel."""
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], columns_of(data, error))]


def grid(data: Mapping[str, Any]) -> Parts:
    """Return a table for each panel of the background fit; those of the best fit are figures of their own."""
    if data["name"] == "grid":
        return []
    panels = [panel for row in data["rows"] for panel in row]
    return [
        (panel["name"].removeprefix("postfit_"), axes, columns)
        for panel in panels
        for _, axes, columns in single(panel, FIT)
    ]


def yields(data: Mapping[str, Any]) -> Parts:
    """Return the yields of all regions and letters."""
    return [("", [Variable("Region and letter", data["labels"])], columns_of(data, FIT))]


def observable(data: Mapping[str, Any]) -> Parts:
    """Return an observable before the fit, a table for each panel: B, C and D together, and A."""
    made: Parts = []
    for number, panel in enumerate(data["panels"], 1):
        columns = columns_of(panel, STATISTICAL)
        # the last line but "blinded" says which letters
        text = next((line for line in reversed(panel["text"]) if line != "blinded"), "")
        columns = [Variable(c.name, c.values, c.unit, c.errors, {**c.qualifiers, "events": text}) for c in columns]
        made.append((f"{number}", [binned(data["x"]["label"], data["x"]["edges"])], columns))
    return made


def threshold_scan(data: Mapping[str, Any]) -> Parts:
    """Return the mass at rising thresholds: the frames one below the other."""
    bins = binned(data["x"]["label"], data["x"]["edges"])
    frames = [(frame, columns_of(frame, STATISTICAL)) for frame in data["frames"]]
    heads = {column.name: column for _, columns in reversed(frames) for column in reversed(columns)}
    length = len(bins.values)
    nothing: list[None] = [None] * length
    made = []
    for name, column in heads.items():
        here = [next((c for c in columns if c.name == name), None) for _, columns in frames]
        values = [value for c in here for value in (nothing if c is None else c.values)]
        errors = {
            error: [one for c in here for one in (nothing if c is None else c.errors.get(error, nothing))]
            for error in column.errors
        }
        made.append(Variable(name, values, errors=errors, qualifiers=column.qualifiers))
    axes = [
        Variable("Efficiency of the threshold", [f["efficiency"] for f, _ in frames for _ in range(length)]),
        Variable("Threshold", [f["threshold"] for f, _ in frames for _ in range(length)]),
        Variable(bins.name, [*bins.values] * len(frames), bins.unit),
    ]
    return [("", axes, made)]
