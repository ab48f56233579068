"""Checks of columns that are scores or that models read, when all jets are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.io.histograms import DATA
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard

__all__ = ["MIN_JETS", "check_columns", "refuse_useless_columns"]

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


def check_columns(
    cards: Mapping[str, ModelCard | ColumnCard], found: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    """Refuse columns that no jet of a dataset has, and columns that are the same for all jets; warn where that may be right.

    Args:
        cards: score to its model's card.
        found: dataset to score to how its jets got it (`Inference`), of all chunks together.

    Raises:
        OddjetsError: names each column and dataset.
    """
    problems = []
    for name, card in cards.items():
        for column in card.columns if isinstance(card, ColumnCard) else ():
            of_datasets = {
                dataset: values
                for dataset, scores in found.items()
                if (values := scores.get(name, {}).get("columns", {}).get(column.column))
            }
            of_all = {end for values in of_datasets.values() for end in _ends(values)}
            for dataset, values in of_datasets.items():
                finite, missing, ends = values["finite"], values["not_finite"], _ends(values)
                if missing and not finite:
                    problem = (
                        f"dataset '{dataset}': '{column.column}', which the model of the score '{name}' reads, is NaN or"
                        f" infinite for all {missing} jets"
                    )
                    fatal = missing >= MIN_JETS
                elif len(ends) == 1 and finite > 1 and not column.may_be_constant:
                    problem = (
                        f"dataset '{dataset}': '{column.column}', which the model of the score '{name}' reads, is"
                        f" {min(ends):.6g} for all {finite} jets"
                    )
                    # what differs between datasets, as a year does, says something
                    fatal = finite >= MIN_JETS and len(of_all) == 1
                else:
                    continue
                if fatal:
                    problems.append(problem)
                else:
                    console.print(f"[bold yellow]{escape(problem)}[/bold yellow]: is it what the model was trained on?")
    if problems:
        raise OddjetsError(
            "\n".join(problems)
            + "\nsee what makes the column, or leave the score out; 'may_be_constant: true' on the card allows one value"
        )


def _ends(values: Mapping[str, Any]) -> set[float]:
    return {*values["lowest"], *values["highest"]}
