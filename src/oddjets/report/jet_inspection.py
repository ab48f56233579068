"""The report's tables of single jets: by period of running, by place, and the oddest of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oddjets.io.inspections import RATES_OF_JETS, read_inspection_of_jets
from oddjets.io.studies import outdated_jet_studies
from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value

__all__ = ["jet_tables", "outdated_jets"]

_FILE = "inspection/jets/jets.json"
_NONE = Cell("–")


def jet_tables(artifacts: Artifacts) -> list[Table]:
    """Return the tables of the inspection of single jets; none where it was not made, or is of other jets."""
    found = None if artifacts.blinded else read_inspection_of_jets(artifacts.out, artifacts.analysis.jet_bump)
    if found is None or not found[1]:
        return []
    return [_periods(artifacts, found[0]), _tests(found[0]), _oddest(artifacts, found[0])]


def outdated_jets(artifacts: Artifacts) -> list[str]:
    """Return which studies and inspections of single jets are of other jets, or of other searches, in sentences."""
    asked = artifacts.analysis.jet_bump
    said = [
        f"The study of single jets ({source}) is of other jets or searches: run `oddjets study null` again."
        for source in outdated_jet_studies(artifacts.out, asked)
    ]
    inspected = read_inspection_of_jets(artifacts.out, asked)
    if inspected is not None and not inspected[1]:
        said.append("The inspection of single jets is of other jets or searches: run `oddjets inspect` again.")
    return said


def _number(value: float | None, digits: str) -> Cell:
    return _NONE if value is None else Cell(f"{value:{digits}}", value)


def _periods(artifacts: Artifacts, found: Mapping[str, Any]) -> Table:
    low, high = found["window"]
    rows = []
    for one in found["periods"]:
        error = one["error_odd"]
        mass = _NONE
        if one["mean_mass_odd"] is not None:
            mass = Cell(
                f"{one['mean_mass_odd']:.1f}" + ("" if error is None else f" ± {error:.1f}"), one["mean_mass_odd"]
            )
        pb = one["luminosity_pb"]
        rows.append(
            [
                Cell(f"{one['first']}" if one["first"] == one["last"] else f"{one['first']}–{one['last']}"),
                Cell(count(one["jets"]), one["jets"]),
                _number(pb, ".4g"),
                Cell(count(one["odd"]), one["odd"]),
                _number(1000 * one["odd"] / one["jets"], ".3g"),
                _number(one["odd"] / pb if pb else None, ".3g"),
                Cell(count(one["inside"]), one["inside"]),
                _number(one["mean_mass"], ".1f"),
                mass,
            ]
        )
    return Table(
        caption=(
            f"Single jets by period: the oddest {100 * found['efficiency']:.3g} % by"
            f" {artifacts.analysis.score_label(found['score'])}"
        ),
        columns=[
            *("Runs", "jets", "1/pb", "odd", "odd per 1000 jets", "odd per 1/pb", f"in {low:g}–{high:g} GeV"),
            *("mean mass of all [GeV]", "of odd jets [GeV]"),
        ],
        rows=rows,
        file=_FILE,
        key="periods",
        note=" ".join(f"{note[0].upper()}{note[1:]}." for note in found["notes"]),
    )


def _tests(found: Mapping[str, Any]) -> Table:
    rows = [
        [
            Cell(f"rate of {RATES_OF_JETS[which]} by run, against {found['rates_against']}"),
            Cell(f"chi2 {rate['chi2']:.1f} for {rate['degrees']} degrees of freedom", rate["chi2"]),
            Cell(p_value(rate["p"]), rate["p"]),
        ]
        for which, rate in found["rates"].items()
    ]
    rows += [[Cell(f"{one['of']} against {one['title']}"), *_smallest(one)] for one in found["against"].values()]
    return Table(
        caption="Single jets by run and by place: tests",
        columns=["", "most different", "p"],
        rows=rows,
        file=_FILE,
        key="against",
        note="p of places and runs by permutations of events, corrected for the number of columns and groups of runs; so one of"
        " twenty is below 0.05 where nothing differs.",
    )


def _smallest(one: Mapping[str, Any]) -> Iterator[Cell]:
    counted = [c for c in one["columns"] if c["corrected"] is not None]
    p = one["smallest_corrected_p"]
    if not counted or p is None:
        yield from (Cell("too few events"), _NONE)
        return
    yield Cell(counted[0]["name"])
    yield Cell(p_value(p), p)


def _oddest(artifacts: Artifacts, found: Mapping[str, Any]) -> Table:
    low, high = found["window"]
    rows = [
        [
            Cell(f"{row['run']}:{row['luminosityBlock']}:{row['event']}"),
            Cell(str(row["jet"] + 1), row["jet"]),
            *(_number(row[name], digits) for name, digits in (("pt", ".0f"), ("eta", ".2f"), ("phi", ".2f"))),
            *(_number(row[name], digits) for name, digits in (("mass", ".1f"), ("tau21", ".2f"))),
            _number(row[f"score_{found['score']}"], ".5f"),
        ]
        for row in found["oddest"]
    ]
    return Table(
        caption=f"The oddest single jets between {low:g} and {high:g} GeV",
        columns=[
            *("run:section:event", "jet", "pT", "eta", "phi", "mass", "τ21"),
            artifacts.analysis.score_label(found["score"]),
        ],
        rows=rows,
        file=_FILE,
        key="oddest",
        note="Jet: its place in the event by pT; pT and mass in GeV. A score is what a model makes of a jet, and no proof of"
        " what it is.",
    )
