"""The report's tables of a family of trainings: what each of them finds, and how far two of them agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.core.rounding import rounded
from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table

__all__ = ["agreement_table", "training_table"]

_FILE = "study/trainings.json"


def training_table(artifacts: Artifacts) -> Table | None:
    """Return what each training of the family finds, and the standard deviation; None without the study."""
    found = artifacts.trainings
    if found is None:
        return None
    spread: Mapping[str, Any] = found["spread"]
    members = list(found["members"].values())

    def row(label: str, cells: list[Cell], deviation: float | None) -> list[Cell]:
        last = Cell("", None) if deviation is None else Cell(rounded(deviation, deviation)[0], deviation)
        return [Cell(label), *cells, last]

    # with trainings in columns the table stays narrow: quantities are many, trainings few
    rows = [row("threshold", [Cell(f"{m['threshold']:.5g}", m["threshold"]) for m in members], spread["threshold"])]
    if "z" in spread:
        strengths = [_with_error(m["strength"], m["strength_error"]) for m in members]
        rows.append(row("significance z", [_number(m["z"]) for m in members], spread["z"]))
        rows.append(row("signal strength", strengths, spread["strength"]))
    for region, of in spread["regions"].items():
        parts = [m["regions"][region] for m in members]
        for process, deviation in of["in_A"].items():
            label = f"{_name(artifacts, process)} in A of {region}"
            rows.append(row(label, [_number(part["in_A"].get(process)) for part in parts], deviation))
        rows.append(row(f"closure of {region}", [_closure(part["closure"]) for part in parts], of["closure"]))
    hidden = " The data in A are blinded: there is no fit, and there are no yields of data." if found["blinded"] else ""
    return Table(
        caption="Trainings of the family",
        columns=["Quantity", *(_training(found, name) for name in found["members"]), "standard deviation"],
        rows=rows,
        file=_FILE,
        key="members",
        note="Every training is given the whole analysis, with a threshold of its own. The standard deviation is the stochastic"
        " uncertainty of a single training; it is not part of the fit. Closure: A D/(B C) of the simulated data-driven process."
        + hidden,
    )


def agreement_table(artifacts: Artifacts) -> Table | None:
    """Return how far two trainings agree, by process and in data; None without the study."""
    found = artifacts.trainings
    if found is None:
        return None
    rows = []
    for process, pairs in found["agreement"].items():
        for pair, values in pairs.items():
            rank, common = values["rank_correlation"], values.get("overlap") or {}
            both = ("", "") if common.get("value") is None else rounded(common["value"], common["error"])
            known = rank["value"] is not None and rank["error"] is not None
            rows.append(
                [
                    Cell(_name(artifacts, process)),
                    Cell(" and ".join(_training(found, name) for name in pair.split(", "))),
                    Cell("{} ± {}".format(*rounded(rank["value"], rank["error"])) if known else "", rank["value"]),
                    Cell(" ± ".join(both) if both[0] else "", common.get("value")),
                ]
            )
    return Table(
        caption="Agreement of two trainings",
        columns=["Events", "trainings", "rank correlation", "common events"],
        rows=rows,
        file=_FILE,
        key="agreement",
        note="Of the smaller score of the two jets, after the base selection. Common: of the events with both scores above each"
        " training's own threshold, those that both trainings select.",
    )


def _training(found: Mapping[str, Any], score: str) -> str:
    """Return the name of a training's card; of the score that is the mean, that it is."""
    return "mean" if score == found["family"] else str(found.get("cards", {}).get(score, score))


def _name(artifacts: Artifacts, process: str) -> str:
    return artifacts.data_name if process == "data" else str(artifacts.process(process)["label"])


def _number(value: float | None) -> Cell:
    return Cell("", None) if value is None else Cell(rounded(value, 0.0)[0], value)


def _with_error(value: float | None, error: float | None) -> Cell:
    """Return both, rounded to the error; of a value alone four significant digits."""
    if value is None or error is None:
        return _number(value)
    return Cell("{} ± {}".format(*rounded(value, error)), value)


def _closure(found: Mapping[str, float] | None) -> Cell:
    return Cell("", None) if found is None else _with_error(found["constant"], found["error"])
