"""The report's tables of how the events of a window differ from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value

__all__ = ["neighbour_tables"]

#: rows of a table
SHOWN = 15
_NONE = Cell("–")


def neighbour_tables(artifacts: Artifacts) -> list[Table]:
    """Return the tables of the window that the YAML asks for: one for each sample it is compared with, and one of counts."""
    found = artifacts.inspection("neighbours")
    if found is None:
        return []
    file = f"inspection/{found['window']['name']}/neighbours.json"
    tables = [_columns(found, key, one, file) for key, one in found["against"].items()]
    counts = _counts(found, file)
    return tables if counts is None else [*tables, counts]


def _columns(found: Mapping[str, Any], key: str, one: Mapping[str, Any], file: str) -> Table:
    rows = [
        [
            Cell(c["name"]),
            Cell("not counted") if c["corrected"] is None else Cell(p_value(c["corrected"]), c["corrected"]),
            Cell(p_value(c["p"]), c["p"]),
            *(_quantiles(c[which]) for which in ("window", "reference")),
        ]
        for c in one["columns"][:SHOWN]
    ]
    counted = sum(c["corrected"] is not None for c in one["columns"])
    events = f"{count(one['events'])} events against {count(one['reference'])} of {one['title']}"
    note = (
        f"p by {count(one['permutations'])} permutations; corrected: for {counted} columns, so that the smallest is below 0.05"
        " in one window of twenty where nothing differs. Not counted: columns that define the window or follow its"
        " observable."
    )
    return Table(
        caption=f"{one.get('of') or found['window']['text']}: {events}",
        columns=["column", "corrected p", "p", "window: median (16, 84 %)", "the others"],
        rows=rows,
        file=file,
        key=f"against.{key}.columns",
        note=" ".join([note, *one["notes"]]),
    )


def _quantiles(values: list[float] | None) -> Cell:
    return _NONE if values is None else Cell(f"{values[1]:.3g} ({values[0]:.3g}, {values[2]:.3g})", values[1])


def _counts(found: Mapping[str, Any], file: str) -> Table | None:
    """Return what is there twice, and the fullest section and run."""
    twice = found["duplicates"]
    rows = [
        [Cell("events there twice, by number"), Cell(count(len(twice["same_number"]))), _NONE, _NONE],
        [Cell("events there twice, by their jets"), Cell(count(len(twice["same_jets"]))), _NONE, _NONE],
    ]
    for key, words in (("sections", "most events of one section"), ("runs", "most events of one run")):
        if crowd := found[key]:
            where = f"{crowd['run']}" + ("" if crowd["section"] is None else f":{crowd['section']}")
            rows.append(
                [
                    Cell(f"{words} ({where})"),
                    Cell(count(crowd["found"]), crowd["found"]),
                    Cell(f"{crowd['expected']:.2g}", crowd["expected"]),
                    Cell(p_value(crowd["p"]), crowd["p"]),
                ]
            )
    if rate := found["rate"]:
        rows.append(
            [
                Cell(f"chi2 of the rate by run, against {rate['against']}"),
                Cell(f"{rate['chi2']:.1f}", rate["chi2"]),
                Cell(f"{rate['degrees']} degrees of freedom", rate["degrees"]),
                Cell(p_value(rate["p"]), rate["p"]),
            ]
        )
    return Table(
        caption=f"{found['window']['text']}: events twice, sections and runs",
        columns=["", "found", "expected", "p"],
        rows=rows,
        file=file,
        key="duplicates",
        note=" ".join(f"{note}." for note in found["notes"]),
    )
