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
    numbers = [key for key in ("z", "strength") if key in found["spread"]]
    regions = list(found["spread"]["regions"])
    yields = [(region, process) for region in regions for process in found["spread"]["regions"][region]["in_A"]]
    columns = ["Training", "threshold", *numbers]
    columns += [f"{_name(artifacts, process)} in A of {region}" for region, process in yields]
    columns += [f"closure of {region}" for region in regions]
    rows = []
    for name, member in found["members"].items():
        card = found.get("cards", {}).get(name, "mean of all" if name == found["family"] else "")
        cells = [Cell(f"{name}: {card}"), Cell(f"{member['threshold']:.5g}", member["threshold"])]
        cells += [_number(member.get(key)) for key in numbers]
        cells += [_number(member["regions"][region]["in_A"].get(process)) for region, process in yields]
        for region in regions:
            closed = member["regions"][region]["closure"]
            shown = "" if closed is None else "{} ± {}".format(*rounded(closed["constant"], closed["error"]))
            cells.append(Cell(shown, None if closed is None else closed["constant"]))
        rows.append(cells)
    spread: Mapping[str, Any] = found["spread"]
    last = [Cell("standard deviation over trainings"), _number(spread["threshold"])]
    last += [_number(spread[key]) for key in numbers]
    last += [_number(spread["regions"][region]["in_A"][process]) for region, process in yields]
    rows.append([*last, *(_number(spread["regions"][region]["closure"]) for region in regions)])
    hidden = " The data in A are blinded: there is no fit, and there are no yields of data." if found["blinded"] else ""
    return Table(
        caption="Trainings of the family",
        columns=columns,
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
                    Cell(pair),
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


def _name(artifacts: Artifacts, process: str) -> str:
    return artifacts.data_name if process == "data" else str(artifacts.process(process)["label"])


def _number(value: float | None) -> Cell:
    return Cell("", None) if value is None else Cell(f"{value:.4g}", value)
