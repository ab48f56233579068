"""Lines of the report's table of health about the files: layouts, what they lack, and sums that are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from oddjets.report.input_health import input_checks


def lines(single_jets: dict[str, Any] | None = None, **datasets: dict[str, Any]) -> dict[str, Any]:
    """The lines about some datasets and imported single jets, as the manifest of `process` has them."""
    plain = {"is_data": False, "rows": 100, "input_anomalies": {}, "layouts": {"pfnano": {"files": 2}}}
    artifacts: Any = SimpleNamespace(
        datasets={name: plain | found for name, found in datasets.items()},
        processed=lambda part: (single_jets or {}).get(part) or {},
        luminosity_pb=8000.0,
        process=lambda name: {"label": f"{name} quarks"},
    )
    return {line.name: line for line in input_checks(artifacts)}


def test_nothing_odd_has_no_line() -> None:
    assert lines(top={}, data={"is_data": True}) == {}
    # of an analysis of an earlier version, or of imported files
    assert lines(top={"layouts": None, "input_anomalies": None}) == {}


def test_several_layouts_in_a_dataset_are_to_be_looked_at() -> None:
    several = {"pfnano": {"files": 2}, "nanoaod_v15": {"files": 1}}
    line = lines(top={"layouts": several}, hh={})["Layouts of files"]
    assert (line.status, line.value) == ("watch", "several in top")
    assert "top: 2 pfnano, 1 nanoaod_v15" in line.note


@pytest.mark.parametrize(
    ("counted", "status"),
    [({"charges_not_stored": 5}, "good"), ({"charges_not_stored": 5, "impact_parameters_not_stored": 5}, "watch")],
)
def test_what_was_replaced_is_named_with_its_datasets(counted: dict[str, int], status: str) -> None:
    line = lines(top={"input_anomalies": counted}, hh={"input_anomalies": {"charges_not_stored": 0}})[
        "Branches replaced"
    ]
    assert line.status == status
    assert "5 constituents without a charge in the file: derived from pdgId (top)" in line.note


@pytest.mark.parametrize(("number", "status"), [(20, "watch"), (21, "bad")])
def test_many_jets_unlike_their_constituents_are_bad(number: int, status: str) -> None:
    line = lines(top={"input_anomalies": {"jets_unlike_constituents": number}})["PUPPI weights"]
    assert (line.status, line.value) == (status, f"{number} jets do not add up")
    assert ("scores are wrong" in line.note) is (status == "bad")


def test_a_sum_of_weights_from_the_fileset_is_said() -> None:
    line = lines(top={"sum_of_weights_from": "metadata"}, hh={"sum_of_weights_from": "files"})["Sums of weights"]
    assert line.status == "watch"
    assert "the files of top have none" in line.note


def test_what_files_of_single_jets_lack_is_said_with_the_part_that_was_read() -> None:
    files = {"there": 40, "listed": 80, "read": 41, "jets": 90, "jets_listed": 178, "simulated": 1}
    files["small"] = ["RunG_batch3.h5"]
    jets = {"entries": 1000, "lacking": ["leptons", "simulation"], "published_files": files}
    jets |= {"cuts": ["all", "usable", "jet_pt"], "raw": [1000, 999, 500]}
    found = lines({"jets": jets, "not_modelled": ["top"]})
    assert found["Single jets"].note == (
        "usable 999, jet pt 500; 40 of the 80 published files were read, with 50.6 % of the 178 published jets; 8000 /pb;"
        " 1 of them have less than a tenth of the jets of a published file (RunG_batch3.h5), but count as whole files in the"
        " luminosity; files without a published name: 1, and say that they are simulated; the files lack leptons; simulation"
    )
    assert found["Not modelled"].value == "top quarks"
