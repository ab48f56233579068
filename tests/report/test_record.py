"""Tables of a HEPData record: what the figures hold, in a form that hepdata-validator takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.figure_data import SHOWN, data_of

from oddjets.config.analysis import Analysis
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.report import registry
from oddjets.report.artifacts import Artifacts
from oddjets.report.record import submission
from oddjets.report.record.figure_tables import READERS, tables_of_figure
from oddjets.report.record.result_tables import tables_of_results
from oddjets.report.record.submission import Resource, Submission, validation_errors, write_submission
from oddjets.report.record.tables import RecordTable, Variable, binned, labelled, with_short_names

Finished = tuple[Analysis, Path]
#: rows of the tables that are written in these tests: the library takes a second for a thousand
ROWS = 12


def hepdata() -> None:
    """Skip where the extra is not installed."""
    for module in ("hepdata_lib", "hepdata_validator"):
        pytest.importorskip(module, reason="needs hepdata-lib and hepdata-validator: pip install 'oddjets[hepdata]'")


@pytest.fixture(scope="module")
def figures(finished: Finished) -> dict[str, dict[str, Any]]:
    """The data of a figure of every kind, as read from its JSON."""
    found = {kind: data_of(finished, kind) for kind in SHOWN}
    return {kind: {"name": kind, **json.loads(json.dumps(data, allow_nan=False))} for kind, data in found.items()}


def test_every_kind_of_figure_has_tables(figures: dict[str, dict[str, Any]]) -> None:
    assert READERS.keys() == registry.KINDS.keys()
    without = [kind for kind, data in figures.items() if not tables_of_figure(data)]
    assert without == ["grid"]  # its panels are figures of their own


def test_columns_are_as_long_as_their_axes_and_errors(figures: dict[str, dict[str, Any]]) -> None:
    for table in (table for data in figures.values() for table in tables_of_figure(data)):
        lengths = {len(variable.values) for variable in (*table.axes, *table.variables)}
        lengths |= {len(errors) for variable in table.variables for errors in variable.errors.values()}
        assert len(lengths) == 1, table.name


def columns(table: RecordTable) -> dict[str, Variable]:
    return {variable.name: variable for variable in table.variables}


def test_a_table_holds_the_numbers_of_its_figure(figures: dict[str, dict[str, Any]]) -> None:
    data = figures["postfit"]
    (table,) = tables_of_figure(data)
    found = columns(table)
    assert table.axes[0].unit == "GeV"
    assert table.axes[0].values == list(zip(data["x"]["edges"], data["x"]["edges"][1:], strict=False))
    assert found["Data"].values == data["data"]["values"]
    assert found["Data"].errors["stat"] == list(zip(data["data"]["down"], data["data"]["up"], strict=True))
    for layer in data["stack"]:
        assert found[layer["label"]].values == layer["values"]
        assert found[layer["label"]].errors == {"fit, all uncertainties": layer["errors"]}


def test_a_matrix_is_written_line_by_line(figures: dict[str, dict[str, Any]]) -> None:
    data = figures["correlation"]
    (table,) = tables_of_figure(data)
    n = len(data["labels"])
    np.testing.assert_array_equal(np.reshape(table.variables[0].values, (n, n)), data["matrix"])
    assert [table.axes[0].values[n], table.axes[1].values[1]] == [data["labels"][1], data["labels"][1]]


def test_limits_have_their_bands_as_errors(figures: dict[str, dict[str, Any]]) -> None:
    data = figures["limit"]
    expected = columns(tables_of_figure(data)[0])["Expected limit"]
    low, high = expected.errors["68 % of experiments"][0]  # type: ignore[misc]
    assert [expected.values[0] - low, expected.values[0] + high] == pytest.approx(
        [data["expected"][1], data["expected"][3]]
    )
    low, high = expected.errors["95 % of experiments"][0]  # type: ignore[misc]
    assert [expected.values[0] - low, expected.values[0] + high] == pytest.approx(
        [data["expected"][0], data["expected"][4]]
    )


@pytest.fixture(scope="module")
def of_results(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RecordTable]:
    """The tables that no figure has; the made-up directory has no workspace, so it gets a small one."""
    analysis, out = finished
    folder = tmp_path_factory.mktemp("results") / "out"
    shutil.copytree(out, folder)
    modifiers = [
        {"name": "mu", "type": "normfactor", "data": None},
        {"name": "jes", "type": "histosys", "data": {"hi_data": [12.0, 19.0], "lo_data": [9.0, 18.0]}},
        {"name": "lumi", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
        {"name": "mcstat", "type": "staterror", "data": [1.0, 2.0]},
    ]
    sample = {"name": "top", "data": [10.0, 20.0], "modifiers": modifiers}
    workspace = {
        "channels": [{"name": "SR_A", "samples": [sample]}],
        "observations": [{"name": "SR_A", "data": [4.0, 0.0]}],
    }
    (folder / "workspace.json").write_text(json.dumps(workspace))
    (folder / "workspace_report.json").write_text('{"edges": {"SR": [60, 90, 120]}}')
    return {table.name: table for table in tables_of_results(Artifacts(analysis, folder))}


def test_templates_have_their_errors_by_name(of_results: dict[str, RecordTable]) -> None:
    data, top = of_results["templates_SR_A"].variables
    assert top.qualifiers == {"process": "top", "free factors": "mu"}
    # lengths below and above: of a variation they may be negative
    assert top.errors["sys,jes"] == [(1.0, 2.0), (2.0, -1.0)]
    assert top.errors["sys,lumi"] == [pytest.approx((1.0, 1.0)), pytest.approx((2.0, 2.0))]
    assert top.errors["stat, simulation"] == [1.0, 2.0]
    # Garwood's interval of no event
    assert data.errors["stat"][1] == pytest.approx((0.0, 1.841), abs=1e-3)


@pytest.mark.parametrize("kind", ["raw", "weighted"])
def test_the_cutflow_has_counts_and_weights(kind: str, of_results: dict[str, RecordTable], finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    made = columns(of_results[f"cutflow_{kind}"])[artifacts.process("top")["label"]]
    total = np.sum([o[kind] for o in artifacts.cutflow["datasets"].values() if o["process"] == "top"], axis=0)
    np.testing.assert_allclose(np.asarray(made.values, dtype=float), total)


@pytest.mark.fault("Figure whose JSON is not that of a figure", "Names the figure, and publishes nothing.")
@pytest.mark.parametrize("content", [{"name": "x"}, {"name": "x", "kind": "unheard"}, {"name": "x", "kind": "limit"}])
def test_the_json_of_no_figure_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(InputFileError, match=r"figures/x\.json: .*`oddjets plot`"):
        tables_of_figure(content)


def table(name: str = "one", **columns: Any) -> RecordTable:
    made = [Variable("y", [1.0, 2.0]), *columns.pop("more", [])]
    return RecordTable(name, "Numbers.", [binned("x [GeV]", [0.0, 1.0, 2.0])], made, **columns)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Any]:
    hepdata()
    folder = tmp_path / "submission"
    folder.mkdir()

    def write(*tables: RecordTable, **more: Any) -> dict[str, Any]:
        write_submission(folder, Submission("A record.", tables, more.pop("resources", []), **more))
        return {
            file.name: yaml.safe_load(file.read_text()) for file in folder.glob("*.yaml") if file.stem != "submission"
        }

    return write


def test_every_kind_passes_the_validator(figures: dict[str, dict[str, Any]], written: Any) -> None:
    cut = [
        replace(
            table,
            axes=[replace(v, values=v.values[:ROWS]) for v in table.axes],
            variables=[
                replace(v, values=v.values[:ROWS], errors={k: e[:ROWS] for k, e in v.errors.items()})
                for v in table.variables
            ],
        )
        for data in figures.values()
        for table in tables_of_figure(data)
    ]
    tables, _ = with_short_names(cut)
    assert len(written(*tables)) == len(tables) > len(figures)


def test_what_is_no_number_is_a_dash_without_errors(written: Any) -> None:
    bad = Variable("z", [float("nan"), float("inf")], errors={"stat": [1.0, 1.0]})
    half = Variable("w", [None, 3.0], errors={"stat": [(1.0, 2.0), (0.5, float("nan"))], "sys,a": [0.1, 0.2]})
    found = table(more=[bad, half])
    assert found.missing == 3
    made = {v["header"]["name"]: v["values"] for v in written(found)["one.yaml"]["dependent_variables"]}
    assert made["z"] == [{"value": "-"}, {"value": "-"}]
    assert made["w"][0] == {"value": "-"}
    assert made["w"][1]["errors"] == [
        {"label": "stat", "asymerror": {"minus": -0.5, "plus": 0.0}},
        {"label": "sys,a", "symerror": 0.2},
    ]


def test_errors_that_are_all_zero_are_left_out(written: Any) -> None:
    # hepdata-validator refuses them
    found = table(more=[Variable("z", [1.0, 2.0], errors={"stat": [0.0, 0.3], "sys,a": [0.0, 0.0]})])
    values = written(found)["one.yaml"]["dependent_variables"][1]["values"]
    assert values == [{"value": 1.0}, {"value": 2.0, "errors": [{"label": "stat", "symerror": 0.3}]}]


def test_a_bin_without_an_end_is_written_in_words(written: Any) -> None:
    found = RecordTable("one", "Numbers.", [binned("x", [0.0, 500.0, float("inf")])], [Variable("y", [1.0, 2.0])])
    values = written(found)["one.yaml"]["independent_variables"][0]["values"]
    assert values == [{"value": "[0, 500)"}, {"value": "[500, inf)"}]


def test_a_table_without_axes_is_valid(written: Any) -> None:
    assert (
        written(RecordTable("one", "A number.", [], [Variable("y", [1.5])]))["one.yaml"]["independent_variables"] == []
    )


def test_names_that_are_too_long_or_alike_are_changed_and_told_apart() -> None:
    long = "observable_" + 40 * "ab"
    tables, changed = with_short_names([table(n) for n in (long + "1", long + "2", "SR", "sr", "a b/c")])
    names = [t.name for t in tables]
    assert len({name.lower() for name in names}) == 5
    assert all(len(name) <= 64 for name in names)
    assert names[2] == "SR"
    assert sorted(changed.values()) == sorted([long + "1", long + "2", "sr", "a b/c"])
    # the same next time
    assert names == [
        t.name for t in with_short_names([table(t) for t in (long + "1", long + "2", "SR", "sr", "a b/c")])[0]
    ]


def test_units_are_those_of_the_label() -> None:
    assert labelled("Dijet mass [GeV]") == ("Dijet mass", "GeV")
    assert labelled(r"$\tau_{21}$") == (r"$\tau_{21}$", "")


def test_a_picture_has_a_thumbnail_and_stands_at_one_table(written: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (900, 600)).save(tmp_path / "limit.png")
    written(table("a", figure="limit"), table("b", figure="limit"), pictures={"limit": tmp_path / "limit.png"})
    documents = list(yaml.safe_load_all((tmp_path / "submission" / "submission.yaml").read_text()))
    shown = [[r["location"] for r in d.get("additional_resources", [])] for d in documents[1:]]
    assert shown == [["limit.png", "thumb_limit.png"], []]
    with Image.open(tmp_path / "submission" / "thumb_limit.png") as small:
        assert small.size == (240, 160)


def test_nothing_is_left_in_the_working_directory(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    written(table())
    assert list(here.iterdir()) == []


def test_a_file_that_hepdata_does_not_take_is_refused(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_LARGEST_FILE", 10)
    (tmp_path / "workspace.json").write_text(20 * "x")
    with pytest.raises(OddjetsError, match=r"workspace\.json: has .* HEPData takes files"):
        written(table(), resources=[Resource(tmp_path / "workspace.json", "A workspace")])


def test_what_the_validator_refuses_is_an_error(written: Any, tmp_path: Path) -> None:
    written(table())
    (tmp_path / "submission" / "stray.txt").write_text("x")
    assert validation_errors(tmp_path / "submission") == ["stray.txt: stray.txt is not referenced in the submission."]


def test_without_the_extra_the_user_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "hepdata_lib", None)
    with pytest.raises(OddjetsError, match=r"needs hepdata_lib: pip install 'oddjets\[hepdata\]'"):
        write_submission(tmp_path, Submission("A record.", [table()], []))
