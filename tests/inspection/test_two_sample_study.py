"""The command `study two-sample`: its files, what it refuses, its blinding, and the events that it hands to `inspect`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import planted
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError
from oddjets.io import event_table
from oddjets.report import registry
from oddjets.report.artifacts import Artifacts
from oddjets.report.two_sample import two_sample_tables
from oddjets.workflow import blinding
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("oddjets.study.two_sample", "oddjets.workflow.two_sample_inputs"):
        monkeypatch.setattr(f"{module}.LEAST_EVENTS", 20)


def study(folder: Path, *words: str) -> dict[str, Any]:
    file, out = folder / "analysis.yaml", folder / "out"
    found = RUNNER.invoke(app, ["study", "two-sample", str(file), "--out", str(out), "--toys", "20", *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    made: dict[str, Any] = json.loads((out / "study" / "two_sample.json").read_text(encoding="utf-8"))
    return made | {"said": found.output}


def data_of(folder: Path) -> dict[str, Any]:
    tables = folder / "out" / "events"
    name = next(name for name in event_table.datasets(tables) if name.startswith("data"))
    return dict(event_table.read(tables, name))


def test_data_against_their_own_pairs_and_the_report_and_the_picks(folder: Path) -> None:
    found = study(folder)
    assert found["columns"] == ["score_mine_1", "score_mine_2", "mass_1", "mass_2"]
    assert found["hypothesis"] == "the two jets are independent among events with the same pt_1, pt_2"
    assert found["shows_data_in_A"]
    assert "no uncertainty from simulated pairs" in found["said"].replace("\n", " ")
    assert np.sum(found["maps"]["mass"]["data"]) == found["events"]
    assert 1 / 21 <= found["test"]["min_p"]["p_value"] <= 1
    ratios = [row["ratio"] for row in found["most_discrepant"]]
    assert ratios == sorted(ratios, reverse=True)
    artifacts = Artifacts(load_analysis(folder / "analysis.yaml"), folder / "out")
    figures = registry.KINDS["two_sample"].data(artifacts)
    assert set(figures) == {"two_sample_toys", "two_sample_where"}
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert two_sample_tables(artifacts)[0].anchor == "table-two-sample"
    words = ["inspect", str(folder / "analysis.yaml"), "--out", str(folder / "out"), "--picks", "two-sample"]
    said = RUNNER.invoke(app, [*words, "--top", "3", "--displays", "0", "--why", "0"])
    assert said.exit_code == 0, said.output
    events = json.loads((folder / "out/inspection/picks_two_sample/events.json").read_text(encoding="utf-8"))["events"]
    assert [event["id"] for event in events] == [row["id"] for row in found["most_discrepant"][:3]]
    assert "events of data in the list 'two-sample'; the first 3 of them:" in said.output


def test_a_copy_of_the_data_does_not_differ_and_another_file_does(folder: Path, tmp_path: Path) -> None:
    columns = {name: values for name, values in data_of(folder).items() if "__" not in name}
    file = tmp_path / "others.parquet"
    pq.write_table(pa.table(columns), file)
    same = study(folder, "--against", str(file))
    assert same["common_events"] == same["events"]
    assert same["hypothesis"] == "data and the other events have the same distribution"
    # a copy is nearer than chance
    assert same["test"]["min_p"]["p_value"] > 0.5
    assert same["spectra"].keys() == set(same["columns"])
    columns |= {f"mass_{j}": columns[f"mass_{j}"] + 400 for j in (1, 2)}
    pq.write_table(pa.table(columns), file)
    assert study(folder, "--against", str(file))["test"]["min_p"]["beyond"]
    assert study(folder, "--against", str(folder / "out"))["test"]["min_p"]["p_value"] > 0.5


def test_bad_input_is_refused_with_the_way_out(folder: Path, tmp_path: Path) -> None:
    for words, message in (
        (["--column", "mas_1"], "--column mas_1: the events of data have no column 'mas_1'; .*mass_1"),
        (
            ["--column", "mass_1", "--column", "0*mass_1"],
            r"--column 0\*mass_1: all events have the same value, 0; leave it out",
        ),
        (["--column", "log(0*mass_1-1)"], "is no number in any event of data"),
        (["--alike", "nowhere"], "no column 'nowhere'"),
        (["--against", str(tmp_path / "gone.parquet")], "not there; give own-pairs"),
        (["--against", str(tmp_path)], "is no output folder with event tables"),
        (["--column", "mass_1", "--column", "mass_1"], "--column mass_1: is given twice"),
        (["--alike", "nope"], "--alike nope: the events of data have no column 'nope'"),
        (["--against", str(folder / "analysis.yaml")], "is no Parquet file with events"),
    ):
        with pytest.raises(OddjetsError, match=message):
            study(folder, *words)
    columns = {name: values for name, values in data_of(folder).items() if "__" not in name and name != "mass_2"}
    pq.write_table(pa.table(columns), tmp_path / "other.parquet")
    with pytest.raises(OddjetsError, match="mass_2"):
        study(folder, "--against", str(tmp_path / "other.parquet"))
    with pytest.raises(InputFileError, match="no event tables; run `oddjets process` first"):
        RUNNER.invoke(
            app,
            ["study", "two-sample", str(folder / "analysis.yaml"), "--out", str(tmp_path / "none")],
            catch_exceptions=False,
        )
    words = ["inspect", str(folder / "analysis.yaml"), "--out", str(folder / "out"), "--picks"]
    with pytest.raises(InputFileError, match="run `oddjets study two-sample` first"):
        RUNNER.invoke(app, [*words, "two-sample"], catch_exceptions=False)
    (tmp_path / "list.txt").write_text("1:2\n", encoding="utf-8")
    with pytest.raises(InputFileError, match="no run:section:event"):
        RUNNER.invoke(app, [*words, str(tmp_path / "list.txt")], catch_exceptions=False)


def test_events_without_a_number_are_counted_and_too_few_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = "sqrt(mass_2 - 90)"
    found = study(folder, "--column", "mass_1", "--column", half)
    assert found["left_out"][f"without a number for {half}"] > 0
    monkeypatch.setattr("oddjets.workflow.two_sample_inputs.LEAST_EVENTS", 100_000)
    with pytest.raises(OddjetsError, match="events of data are left, and a two-sample test needs 100000"):
        study(folder)


def test_blinded_data_in_a_are_not_looked_at(tmp_path: Path) -> None:
    folder = tmp_path
    file, out = planted.write(folder / "in", blind=False), folder / "out"
    shutil.copy(file, folder / "analysis.yaml")

    def histogram() -> None:
        run = RunContext(load_analysis(folder / "analysis.yaml"), out)
        blinding.apply_blinding(run.analysis, out, unblinds="")
        run_stages(run, stages_up_to(run, "histogram"))

    histogram()
    few = ("--most", "1500")
    open_study = study(folder, *few)
    assert open_study["known"]["processes"] == []
    # 4800 events of simulated QCD, and fewer data
    assert open_study["residual"]["used"]
    assert open_study["with_residual"]["toys"] == 20
    simulated = study(folder, *few, "--against", "simulation", "--column", "mass_1", "--column", "mass_2")
    assert simulated["hypothesis"] == "data are distributed as the simulation without signal"
    text = (folder / "analysis.yaml").read_text(encoding="utf-8")
    (folder / "analysis.yaml").write_text(re.sub(r"blind: \w+", "blind: true", text), encoding="utf-8")
    # what was made of all data is not shown, and removed by the next command
    assert not registry.KINDS["two_sample"].data(Artifacts(load_analysis(folder / "analysis.yaml"), out))
    histogram()
    assert not (out / "study" / "two_sample.json").exists()
    assert not (out / "study" / "two_sample_picks.txt").exists()
    found = study(folder, *few)
    assert found["part"] == "both scores below the threshold"
    (chosen,) = found["left_out"].values()
    assert chosen < next(iter(open_study["left_out"].values()))
    assert not found["shows_data_in_A"]
    assert all(max(row["score_odd_1"], row["score_odd_2"]) < planted.THRESHOLD for row in found["most_discrepant"])
    with pytest.raises(BlindedError, match="other data are not compared with them"):
        study(folder, "--against", str(out))
    assert study(folder, *few, "--unblind")["left_out"] == open_study["left_out"]
    assert "unblinded" in (out / "blinding.json").read_text(encoding="utf-8")
