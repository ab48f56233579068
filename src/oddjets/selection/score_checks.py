"""Checks of columns that are scores, when all jets are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.io.histograms import DATA

__all__ = ["MIN_JETS", "refuse_useless_columns"]

#: of fewer jets, values that are equal or not there may be chance
MIN_JETS = 10


def refuse_useless_columns(
    analysis: Analysis, found: Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]]
) -> None:
    """Refuse columns that are no scores: constant, without a number, or without a lowest value for jets without one.

    Args:
        analysis: its scores.
        found: dataset -> its process, ``data`` of data, and what `values_of_columns` of `jet_scores` says of its
            rows, in sets or lists.

    Raises:
        OddjetsError: with the score, its column, and whose events these are.
    """
    for name, score in analysis.scores.items():
        if score.column is None:
            continue
        of_process: dict[str, list[Mapping[str, Any]]] = {}
        for process, values in found.values():
            if name in values:
                of_process.setdefault(process, []).append(values[name])
        place = f"scores.{name}.column: '{score.column}'"
        for process, parts in of_process.items():
            finite, other = (sum(part[key] for part in parts) for key in ("finite", "not_finite"))
            if other >= MIN_JETS and not finite:
                raise OddjetsError(
                    f"{place} is NaN or infinite for all {other} jets of '{process}': what makes the column has no number for"
                    " them"
                )
        everything = [part for parts in of_process.values() for part in parts]
        _refuse_constant(place, of_process.get(DATA, []), f" of '{DATA}'")
        _refuse_constant(place, everything, "")
        lowest = min((value for part in everything for value in part["lowest"]), default=0.0)
        if lowest < 0 and (other := sum(part["not_finite"] for part in everything)):
            raise OddjetsError(
                f"{place} is NaN or infinite for {other} jets and goes down to {lowest:.4g}: the score 0, which jets without a"
                " number get, is not the lowest then; give these jets a number in jet_columns"
            )


def _refuse_constant(place: str, parts: Sequence[Mapping[str, Any]], whose: str) -> None:
    jets = sum(part["finite"] for part in parts)
    ends = {value for part in parts for key in ("lowest", "highest") for value in part[key]}
    if jets >= MIN_JETS and len(ends) == 1:
        raise OddjetsError(f"{place} is {min(ends):.6g} for all {jets} jets{whose}: a constant is no score")
