"""Tables of figures of a rescored signal, and of the map of the score's efficiency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from oddjets.report.record.lists import limit_columns
from oddjets.report.record.stacks import STATISTICAL, Parts, asymmetric
from oddjets.report.record.tables import Variable, binned, long_table

__all__ = ["acceptance", "efficiency_map", "signal_limit", "signal_score", "signal_templates"]


def acceptance(data: Mapping[str, Any]) -> Parts:
    """Return the share of the generated events that is left after each cut, in each region and in its A."""
    rows = data["rows"]
    names = Variable("Cut, region or letter", [row["name"] for row in rows])
    errors = {STATISTICAL: [(row["down"], row["up"]) for row in rows]}
    return [("", [names], [Variable("Acceptance times efficiency", [row["value"] for row in rows], errors=errors)])]


def signal_limit(data: Mapping[str, Any]) -> Parts:
    """Return the observed and the expected limit on the cross section."""
    axes = [Variable("Process", [data["process"]]), Variable("Confidence level", [data["confidence"]])]
    return [("", axes, [replace(column, unit="pb") for column in limit_columns(data["observed"], data["expected"])])]


def signal_score(data: Mapping[str, Any]) -> Parts:
    """Return the distributions of the score, each with the sum 1."""
    columns = []
    for head, name in ((data["label"], "signal"), ("Background", "background")):
        if (found := data[name]) is not None:
            columns.append(Variable(head, found["values"], errors={f"{STATISTICAL}, simulation": found["errors"]}))
    if (seen := data["data"]) is not None:
        columns.append(Variable(seen["label"], seen["values"], errors={STATISTICAL: asymmetric(seen)}))
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], columns)]


def signal_templates(data: Mapping[str, Any]) -> Parts:
    """Return the template with its statistical and its total error, and the largest variations over nominal."""
    errors = {f"{STATISTICAL}, simulation": data["stat"], "total": data["total"]}
    columns = [Variable(f"Events of {data['label']}", data["values"], errors=errors)]
    columns += [
        Variable(f"{one['name']}, {side} over nominal", one[side])
        for one in data["variations"]
        for side in ("up", "down")
    ]
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], columns)]


def efficiency_map(data: Mapping[str, Any]) -> Parts:
    """Return the efficiency of single jets by prongs, pT and mass."""
    rows = [
        (prongs, low, high, light, heavy, data["efficiency"][i][j][k], data["down"][i][j][k], data["up"][i][j][k])
        for i, prongs in enumerate(data["prongs"])
        for j, (low, high) in enumerate(zip(data["pt"], data["pt"][1:], strict=False))
        for k, (light, heavy) in enumerate(zip(data["mass"], data["mass"][1:], strict=False))
    ]
    heads = ["Prongs", "Lowest pT [GeV]", "Highest pT [GeV]", "Lowest mass [GeV]", "Highest mass [GeV]", "Efficiency"]
    axes, variables = long_table(heads, [row[:6] for row in rows], 5)
    errors = {STATISTICAL: [(down, up) for *_, down, up in rows]}
    return [("", axes, [Variable("Efficiency", variables[0].values, errors=errors)])]
