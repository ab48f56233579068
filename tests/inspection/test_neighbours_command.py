"""The neighbours of a window from the command to the report, and what blinded data leave of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.io.event_origins import SourceRange
from oddjets.report import registry
from oddjets.report.artifacts import Artifacts
from oddjets.report.neighbours import neighbour_tables
from oddjets.workflow.inspected_neighbours import compare_with_neighbours
from oddjets.workflow.inspected_run import InspectedRun, asked_of
from oddjets.workflow.run import RunContext

WINDOW = "SR_A_leading_mass_85_160"
WORDS = ("--bins", "85:160", "--displays", "0", "--top", "1", "--why", "0", "--no-shares", "--permutations", "99")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, name: str, data: dict[str, Any], reuse: bool = False) -> list[Path]:
        file = folder / f"{data['name']}.json"
        file.write_text(json.dumps(data, allow_nan=False), encoding="utf-8")
        return [file]

    monkeypatch.setattr("oddjets.workflow.inspection.write_figure", write)


def inspect(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(app, ["inspect", str(folder / "analysis.yaml"), "--out", str(folder / "out"), *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def content(folder: Path, window: str = WINDOW) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "inspection" / window / "neighbours.json").read_text())
    return found


def test_the_command_writes_text_json_and_pictures_and_says_what_is_not_there(folder):
    said = inspect(folder, *WORDS)
    found = content(folder)
    assert set(found["against"]) == {"side_bands", "other_letters", "azimuth", "runs"}
    # these are of all events, and this region has all
    assert found["against"]["azimuth"]["events"] == 60
    assert found["against"]["runs"]["of"] in ("run 1 in the base selection", "run 2 in the base selection")
    assert found["against"]["runs"]["events"] + found["against"]["runs"]["reference"] == 60
    side = found["against"]["side_bands"]
    inside = json.loads((folder / "out" / "inspection" / WINDOW / "events.json").read_text())["in_window"]["events"]
    assert side["events"] == inside >= 5
    assert side["events"] + side["reference"] == 24
    names = {c["name"]: c for c in side["columns"]}
    # the observable and the scores define the window
    assert [names[n]["corrected"] for n in ("mass_1", "score_mine_1", "score_mine_2")] == [None, None, None]
    assert names["mass_1"]["p"] < 0.05
    counted = [c["corrected"] for c in side["columns"] if c["corrected"] is not None]
    assert counted == sorted(counted)
    assert side["smallest_corrected_p"] == counted[0]
    assert {"run", "delta_eta", "pt_balance", "jets in (eta, phi): more"} <= set(names)
    assert "event" not in names
    assert found["duplicates"]["same_number"] == found["duplicates"]["same_jets"] == []
    assert found["runs"]["groups"] == 2
    assert 0 < found["rate"]["p"] <= 1
    assert found["rate"]["against"] == "all events of the base selection"
    assert any(note.startswith("not compared with the fitted background: ") for note in found["notes"])
    text = (folder / "out" / "inspection" / WINDOW / "neighbours.txt").read_text()
    assert text.strip() in said
    assert f"{side['events']} events against {side['reference']} of the side bands" in text
    assert found["shows_data_in_A"]
    figure = json.loads((folder / "out" / "inspection" / WINDOW / "neighbours_side_bands.json").read_text())
    assert [p["name"] for p in figure["panels"]] == [p["name"] for p in side["drawn"]]
    assert sum(figure["panels"][0]["window"]) <= side["events"]
    assert registry.find(figure["name"]).name == "neighbours"
    assert registry.draw(figure).axes
    # of azimuths there are no columns to draw
    figure = json.loads((folder / "out" / "inspection" / WINDOW / "neighbours_azimuth.json").read_text())
    assert figure["panels"] == []
    assert len(registry.draw(figure).axes) == 1


def test_the_same_events_have_the_same_p(folder):
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"bins": (85, 160), "permutations": 99}))
    assert compare_with_neighbours(inspected) == compare_with_neighbours(inspected)


def test_side_bands_can_be_narrower_and_windows_without_bounds_have_none(folder):
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"bins": (85, 160)}))
    values = np.sort(np.concatenate([events.beside(inspected.window).values for events in inspected.events]))
    assert len(values) >= 7
    # from the second of the others to below the seventh
    inspect(folder, *WORDS, "--side-bands", f"{values[1]}:{values[6]}")
    assert content(folder)["against"]["side_bands"]["reference"] == 5
    found = compare_with_neighbours(InspectedRun(run, asked_of(run, {"permutations": 99})))
    assert "side_bands" not in found["against"]
    assert "without --bins the window has no side bands" in found["notes"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--side-bands", "200:100"), "'side_bands' must rise"),
        (("--side-bands", "90:150"), "'side_bands' lie within 'bins'"),
        (("--side-bands", "all"), "--side-bands: 'all' is no range"),
    ],
)
def test_wrong_side_bands_are_errors(folder, words, expected):
    with pytest.raises(OddjetsError, match=expected):
        inspect(folder, *WORDS, *words)


def test_without_neighbours_nothing_is_compared_and_old_files_go(folder):
    old = folder / "out" / "inspection" / WINDOW
    old.mkdir(parents=True)
    for name in ("neighbours.json", "neighbours_runs.png"):
        (old / name).write_text("{}")
    inspect(folder, *WORDS, "--no-neighbours")
    names = {file.name for file in (folder / "out" / "inspection" / WINDOW).iterdir()}
    assert not any(name.startswith("neighbours") for name in names)


def test_blinded_events_are_in_no_comparison(folder):
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"letter": "D", "bins": (85, 160), "permutations": 99}))
    against = compare_with_neighbours(inspected)["against"]
    open_ = against["other_letters"]["reference"]
    blind = InspectedRun(run, asked_of(run, {"letter": "D", "bins": (85, 160), "permutations": 99}))
    blind.__dict__["hidden"] = inspected.threshold
    against_blind = compare_with_neighbours(blind)["against"]
    hidden = against_blind["other_letters"]["reference"]
    in_a = sum(int(((e.letters == "A") & inspected.window.contains(e.values)).sum()) for e in inspected.events)
    assert in_a > 0
    assert hidden == open_ - in_a
    every_a = sum(int((e.letters == "A").sum()) for e in inspected.events)
    assert against_blind["azimuth"]["events"] == against["azimuth"]["events"] - every_a
    assert against_blind["azimuth"]["of"] == "the base selection without what is blinded"


def test_files_that_are_gone_cost_their_columns_alone(folder):
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"bins": (85, 160), "permutations": 99}))
    gone = [file for file in inspected._files["data"] if "data1" in file]
    moved = Path(gone[0]).with_suffix(".moved")
    Path(gone[0]).rename(moved)
    try:
        found = compare_with_neighbours(inspected)
    finally:
        moved.rename(gone[0])
    assert any(
        "without columns of their source files" in note and "is not there any more" in note for note in found["notes"]
    )
    assert "pt_1" in {c["name"] for c in found["against"]["side_bands"]["columns"]}


def test_the_report_has_tables_and_figures_where_the_yaml_asks(folder):
    file = folder / "analysis.yaml"
    asked = {"bins": [85, 160], "displays": 0, "why": 0, "shares": False, "permutations": 99, "top": 1}
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"inspect": asked}), encoding="utf-8")
    inspect(folder)
    artifacts = Artifacts(load_analysis(file), folder / "out")
    tables = neighbour_tables(artifacts)
    assert [table.key for table in tables] == [
        "against.side_bands.columns",
        "against.other_letters.columns",
        "against.azimuth.columns",
        "against.runs.columns",
        "duplicates",
    ]
    assert tables[0].rows[0][0].text == content(folder)["against"]["side_bands"]["columns"][0]["name"]
    figures = registry.KINDS["neighbours"].data(artifacts)
    assert set(figures) == {f"neighbours_{key}" for key in ("side_bands", "other_letters", "azimuth", "runs")}


def test_simulated_windows_have_no_sections_and_events_by_weight(folder):
    inspect(folder, *WORDS, "--process", "top", "--letter", "D")
    found = content(folder, "SR_D_leading_mass_85_160_top")
    assert found["sections"] is found["runs"] is found["rate"] is None
    assert set(found["against"]) == {"side_bands"}
    assert found["against"]["side_bands"]["notes"]


def test_columns_that_a_dataset_lacks_are_named_and_left_out(folder):
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"bins": (85, 160), "permutations": 99}))
    (events,) = inspected.events
    half = len(events) // 2
    # as event tables fill what files lack
    lacking = replace(
        events.select(np.arange(len(events)) >= half),
        dataset="old",
        columns={
            name: np.full(len(events) - half, np.nan) if name == "tau4_1" else values[half:]
            for name, values in events.columns.items()
        },
    )
    inspected.__dict__["events"] = [events.select(np.arange(len(events)) < half), lacking]
    inspected.__dict__["selected"] = inspected.events
    inspected.sources_of = lambda part: [SourceRange("", "", 0, 0)] * len(part)
    found = compare_with_neighbours(inspected)
    assert "tau4_1 is not compared: old does not have it" in found["notes"]
    names = {c["name"] for c in found["against"]["side_bands"]["columns"]}
    assert "tau4_1" not in names
    assert "tau4_2" in names
