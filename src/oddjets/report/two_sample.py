"""The report's tables of a two-sample test: p values, where the excess sits, and the most discrepant events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.finished_studies import current_study
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value

__all__ = ["TWO_SAMPLE", "two_sample_tables"]

#: the anchor of the table that the verdict links to
TWO_SAMPLE = "table-two-sample"
#: cells of the maps, and events, that are listed
MOST_CELLS, MOST_EVENTS = 8, 10
_FILE = "study/two_sample.json"


def two_sample_tables(artifacts: Artifacts) -> list[Table]:
    """Return the tables of a two-sample test; nothing without one of the current event tables.

    Args:
        artifacts: of the output directory.
    """
    found = current_study(artifacts, "two_sample")
    if found is None:
        return []
    return [_tests(found), _cells(found), _events(found)]


def _tests(found: Mapping[str, Any]) -> Table:
    test = found["test"]
    rows = [
        [
            Cell(f"width {row['width']:.2f}", row["width"]),
            Cell(f"{row['t']:.1f}", row["t"]),
            Cell(f"{row['dof']:.1f}", row["dof"], f"Kolmogorov-Smirnov against this chi2: p {p_value(row['ks_p'])}"),
            Cell(p_value(row["p_value"]), row["p_value"]),
            Cell(p_value(row["p_chi2"]), row["p_chi2"]),
        ]
        for row in test["widths"]
    ]
    kinds: list[tuple[str, Mapping[str, Any] | None]] = [
        ("", test),
        (", with the correlation of simulated pairs", found.get("with_residual")),
    ]
    for words, known in kinds:
        if known is None:
            continue
        for key, name in (("min_p", "smallest p of all widths"), ("mean_p", "mean p of all widths")):
            one = known[key]
            shown = f"{'< ' if one['beyond'] else ''}{p_value(one['p_value'])}"
            beyond = known["extrapolated"] if key == "min_p" else None
            rows.append(
                [
                    Cell(f"{name}{words}"),
                    Cell(""),
                    Cell(""),
                    Cell(shown, one["p_value"], "no toy is as extreme" if one["beyond"] else ""),
                    Cell("" if beyond is None else f"{p_value(beyond['p_value'])} (z {beyond['z']:.1f})"),
                ]
            )
    left = "; ".join(f"left out {what}: {number}" for what, number in found["left_out"].items())
    residual = found.get("residual", {})
    why = f" No uncertainty from simulated pairs: {residual['why_not']}." if residual.get("why_not") else ""
    known = found.get("known")
    added = (
        f" Known processes added unmixed: {', '.join(known['processes'])} ({known['events']:.1f} events)."
        if known and known["events"]
        else ""
    )
    return Table(
        "Two-sample test",
        ["Test", "t", "of toys", f"p by {test['toys']} toys", "p by chi2, an extrapolation"],
        rows,
        _FILE,
        "test",
        anchor=TWO_SAMPLE,
        note=(
            f"Hypothesis: {found['hypothesis']}. {count(found['events'])} events, {found['part']}; columns:"
            f" {', '.join(found['columns'])}. A small p says that this is wrong, and not why: pairs of known processes, flavour"
            f" and pileup make it small, too.{added}{why}{' ' + left + '.' if left else ''}"
        ),
    )


def _cells(found: Mapping[str, Any]) -> Table:
    cells = [
        (one["sigma"][i][j], stem, one, i, j)
        for stem, one in found["maps"].items()
        for i, line in enumerate(one["sigma"])
        for j in range(len(line))
    ]
    cells.sort(key=lambda cell: -abs(cell[0]))
    rows = [
        [
            Cell(stem),
            Cell(_between(one["edges"][0], i)),
            Cell(_between(one["edges"][1], j)),
            Cell(count(int(one["data"][i][j])), one["data"][i][j]),
            Cell(f"{one['reference'][i][j]:.1f}", one["reference"][i][j]),
            Cell(f"{one['learnt'][i][j]:.1f}", one["learnt"][i][j]),
            Cell(f"{sigma:+.1f}".replace("-", "\N{MINUS SIGN}"), sigma),
        ]
        for sigma, stem, one, i, j in cells[:MOST_CELLS]
    ]
    return Table(
        "Where data and reference differ most",
        ["Column", "leading jet", "subleading jet", "data", "reference", "fitted", "difference / root"],
        rows,
        _FILE,
        "maps",
        note="Cells end at quantiles of the reference. Fitted: the reference times the fitted density ratio.",
    )


def _between(edges: list[float], place: int) -> str:
    return f"{edges[place]:.3g} to {edges[place + 1]:.3g}"


def _events(found: Mapping[str, Any]) -> Table:
    score = found["score"]
    rows = [
        [
            Cell(row["id"]),
            Cell(row["dataset"]),
            Cell(f"{row['ratio']:.1f}", row["ratio"]),
            *(
                Cell(f"{row[name]:.3f}" if name.startswith("score") else f"{row[name]:.0f}", row[name])
                for name in (f"score_{score}_1", f"score_{score}_2", "mass_1", "mass_2", "pt_1", "pt_2")
            ),
        ]
        for row in found["most_discrepant"][:MOST_EVENTS]
    ]
    return Table(
        "Events with the largest density ratio",
        ["run:section:event", "dataset", "data / reference", "score 1", "score 2", "mass 1", "mass 2", "pT 1", "pT 2"],
        rows,
        _FILE,
        "most_discrepant",
        note="`oddjets inspect --picks two-sample` looks at them one by one.",
    )
