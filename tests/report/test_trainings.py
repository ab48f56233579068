"""The report's tables of a family of trainings: a column for each training, and its numbers in the rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from oddjets.report.trainings import agreement_table, training_table


def artifacts(blinded: bool = False) -> Any:
    def member(threshold: float, z: float) -> dict[str, Any]:
        in_a = {"qcd": 40.0} if blinded else {"qcd": 40.0, "data": 62.0}
        fitted = {} if blinded else {"z": z, "strength": -0.512, "strength_error": 0.234}
        closure = None if z < 0 else {"constant": 1.04321, "error": 0.0512}
        return {"threshold": threshold, "regions": {"SR": {"in_A": in_a, "closure": closure}}, **fitted}

    spread = {"threshold": 0.0123, "regions": {"SR": {"in_A": {"qcd": 123.4}, "closure": None}}}
    spread |= {} if blinded else {"z": 0.456, "strength": 0.0}
    if not blinded:
        spread["regions"]["SR"]["in_A"]["data"] = 4.24  # type: ignore[index]
    pair = {"rank_correlation": {"value": 0.96123, "error": 0.00234, "n": 99}}
    found = {
        "family": "team",
        "blinded": blinded,
        "members": {"team": member(0.8, 1.2), "team_member1": member(0.81, -0.3), "team_member2": member(0.79, 1.5)},
        "cards": {"team_member1": "mine-2", "team_member2": "mine-3"},
        "spread": spread,
        "agreement": {
            "qcd": {"team_member1, team_member2": pair | {"overlap": {"value": 0.7, "error": 0.05, "n": 20}}},
            "data": {"team_member1, team_member2": pair},
        },
    }
    return SimpleNamespace(trainings=found, data_name="Data", process=lambda name: {"label": name.upper()})


def texts(table: Any) -> dict[str, list[str]]:
    return {str(row[0].text): [str(cell.text) for cell in row[1:]] for row in table.rows}


def test_each_training_has_a_column_and_the_deviation_is_last() -> None:
    table = training_table(artifacts())
    assert table is not None
    assert table.columns == ["Quantity", "mean", "mine-2", "mine-3", "standard deviation"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    shown = texts(table)
    assert shown["threshold"] == ["0.8", "0.81", "0.79", "0.012"]
    assert shown["significance z"] == ["1.2", "\N{MINUS SIGN}0.3", "1.5", "0.46"]
    assert shown["signal strength"] == ["\N{MINUS SIGN}0.51 ± 0.23"] * 3 + ["0"]
    assert shown["QCD in A of SR"] == ["40"] * 3 + ["120"]  # two digits of the deviation
    assert shown["Data in A of SR"] == ["62"] * 3 + ["4.2"]
    assert shown["closure of SR"] == ["1.043 ± 0.051", "", "1.043 ± 0.051", ""]


def test_a_blinded_study_has_no_fit_and_says_so() -> None:
    table = training_table(artifacts(blinded=True))
    assert table is not None
    assert list(texts(table)) == ["threshold", "QCD in A of SR", "closure of SR"]
    assert "blinded" in table.note


def test_pairs_are_named_by_their_cards() -> None:
    table = agreement_table(artifacts())
    assert table is not None
    rows = [[str(cell.text) for cell in row] for row in table.rows]
    assert rows == [
        ["QCD", "mine-2 and mine-3", "0.9612 ± 0.0023", "0.700 ± 0.050"],
        ["Data", "mine-2 and mine-3", "0.9612 ± 0.0023", ""],
    ]


@pytest.mark.parametrize("table", [training_table, agreement_table])
def test_without_the_study_there_is_no_table(table: Any) -> None:
    assert table(SimpleNamespace(trainings=None)) is None
