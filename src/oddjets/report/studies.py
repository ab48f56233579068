"""The report's tables of studies: calibrated p values, false alarms, coverage."""

from __future__ import annotations

from typing import Any

from oddjets.io.studies import bound_of, method_of, range_of
from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value

__all__ = ["calibration_table", "false_alarm_table"]


def calibration_table(artifacts: Artifacts) -> Table | None:
    """Return the calibrated p beside the asymptotic one, for each source; None without a study of the observed z."""
    rows = []
    for source, found in artifacts.studies.items():
        seen = found.get("calibration")
        if seen is None:
            continue
        bound = seen.get("bound")
        if bound:
            cells = [
                Cell(f"< {p_value(bound['p_below'])}", None, str(bound_of(seen))),
                Cell(f"> {bound['z_above']:.2f}", None),
            ]
        else:
            cells = [
                Cell(p_value(seen["p_value"]), seen["p_value"], f"{seen['low']:.3g} to {seen['high']:.3g} at 68 %"),
                Cell(f"{seen['z']:.2f}", seen["z"]),
            ]
        rows.append(
            [
                Cell(f"{source}: {found['name']}"),
                Cell(f"{seen['observed_z']:.2f}", seen["observed_z"]),
                Cell(p_value(seen["p_asymptotic"]), seen["p_asymptotic"]),
                *cells,
                Cell(range_of(seen, p_value)),
                Cell(method_of(seen)),
                Cell(f"{found['reach']:.1f}", found["reach"]),
            ]
        )
    if not rows:
        return None
    return Table(
        caption="Calibrated p values",
        columns=["Null", "z", "asymptotic p", "calibrated p", "its z", "over nuisance values and c", "by", "reach"],
        rows=rows,
        file="study/null_*.json",
        key="calibration",
        anchor="table-calibration",
        note="The probability of a z at least as large where there is no signal. Above the reach it is an extrapolation:"
        " too few experiments are as extreme. < and >: none of them is, and the bound is at 95 %.",
    )


def false_alarm_table(artifacts: Artifacts) -> Table | None:
    """Return how often there are false alarms, and how often intervals cover; None without a study."""
    rows = []
    for source, found in artifacts.studies.items():
        rows.append(_row(source, found))
        if found.get("toys"):
            rows.append(_toy_row(source, found["toys"]))
    if not rows:
        return None
    return Table(
        caption="Experiments without signal",
        columns=["Source", "experiments", "failed", "mean z", "sd of z", "1σ", "2σ", "3σ", "68 %", "95 %"],
        rows=rows,
        file="study/null_*.json",
        key="false_alarms",
        note="1σ, 2σ, 3σ: how often z is larger, over the normal probability, with its 68 % Clopper-Pearson interval."
        " 68 %, 95 %: how often the interval of the strength covers the truth. p by toys: how often p of toys is that small.",
    )


def _toy_row(source: str, found: dict[str, Any]) -> list[Cell]:
    alarms = []
    for r in found["false_alarms"]:
        if r["rate"] is None:
            alarms.append(Cell("too few toys"))
            continue
        ratio, low, high = (r[key] / r["expected"] for key in ("rate", "low", "high"))
        alarms.append(Cell(f"{ratio:.2f} [{low:.2f}, {high:.2f}]", ratio, f"{r['expected']:.3g} expected"))
    number = found["false_alarms"][0]["of"]
    first = [Cell(f"{source}, p by {found['toys']} toys"), Cell(count(number), number)]
    return [
        *first,
        Cell(count(found["not_found"]), found["not_found"]),
        Cell(""),
        Cell(""),
        *alarms,
        Cell(""),
        Cell(""),
    ]


def _row(source: str, found: dict[str, Any]) -> list[Cell]:
    z = found["z"]
    alarms = [
        Cell(
            f"{r['ratio']:.2f} [{r['low'] / r['expected']:.2f}, {r['high'] / r['expected']:.2f}]",
            r["ratio"],
            f"{r['rate_failures_are_none']:.3g} to {r['rate_failures_are_alarms']:.3g} with failed fits as none or as alarms",
        )
        for r in found["false_alarms"]
    ]
    covered = [
        Cell(f"{c['covered']:.3f}", c["covered"], f"{c['low']:.3f} to {c['high']:.3f}") for c in found["coverage"]
    ]
    return [
        Cell(source),
        Cell(count(found["experiments"]), found["experiments"]),
        Cell(count(found["failed"]), found["failed"]),
        Cell(f"{z['mean']:+.3f}", z["mean"]),
        Cell(f"{z['sd']:.3f}", z["sd"]),
        *alarms,
        *covered,
    ]
