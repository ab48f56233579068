"""Text of an inspection of single jets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.core.tables import text_table
from oddjets.inspection.neighbour_text import comparison_lines
from oddjets.io.inspections import RATES_OF_JETS

__all__ = ["jet_text"]

_NOTHING = "-"


def _runs(period: Mapping[str, Any]) -> str:
    return f"{period['first']}" if period["first"] == period["last"] else f"{period['first']}-{period['last']}"


def jet_text(content: Mapping[str, Any]) -> str:
    """Return the results as text.

    Args:
        content: of ``inspection/jets/jets.json``.
    """
    low, high = content["window"]
    which_jets = f"the oddest {100 * content['efficiency']:g} % by {content['score']}, score >= {content['cut']:.6g}"
    inside = f"{content['inside']} of them between {low:g} and {high:g} GeV"
    lines = [f"{content['odd']} of {content['jets']} jets: {which_jets}; {inside}", "", _periods(content)]
    for which, rate in content["rates"].items():
        test = f"chi2 = {rate['chi2']:.1f} for {rate['degrees']} degrees of freedom, p = {rate['p']:.2g}"
        lines.append(f"rate of {RATES_OF_JETS[which]} by run, against {content['rates_against']}: {test}")
    for found in content["against"].values():
        lines += ["", *comparison_lines(found)]
    lines += ["", *(f"note: {note}" for note in content["notes"])]
    if content["oddest"]:
        lines += ["", f"the oddest jets between {low:g} and {high:g} GeV:", _oddest(content)]
    return "\n".join(lines).rstrip() + "\n"


def _periods(content: Mapping[str, Any]) -> str:
    known = any(period["luminosity_pb"] is not None for period in content["periods"])
    head = ["runs", "jets", *(["/pb", "odd per /pb"] if known else []), "odd", "odd per 1000 jets", "in the window"]
    head += ["mean mass of all", "of odd jets"]
    rows = []
    for one in content["periods"]:
        pb = one["luminosity_pb"]
        rows.append(
            [
                _runs(one),
                str(one["jets"]),
                *([f"{pb:.4g}", f"{one['odd'] / pb:.3g}" if pb else _NOTHING] if known else []),
                str(one["odd"]),
                f"{1000 * one['odd'] / one['jets']:.3g}",
                str(one["inside"]),
                f"{one['mean_mass']:.1f}",
                _with_error(one["mean_mass_odd"], one["error_odd"]),
            ]
        )
    return text_table(head, rows)


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:.1f}" + ("" if error is None else f" +- {error:.1f}")


def _oddest(content: Mapping[str, Any]) -> str:
    score = f"score_{content['score']}"
    rows = [
        [
            f"{row['run']}:{row['luminosityBlock']}:{row['event']}",
            str(row["jet"] + 1),
            *(_written(row[name], digits) for name, digits in (("pt", 0), ("eta", 2), ("phi", 2), ("mass", 1))),
            _written(row["tau21"], 2),
            _written(row[score], 5),
        ]
        for row in content["oddest"]
    ]
    return text_table(["run:section:event", "jet", "pT", "eta", "phi", "mass", "tau21", content["score"]], rows)


def _written(value: float | None, digits: int) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"
