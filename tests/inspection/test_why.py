"""What scores rest on and mean shares, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import toy_candidates
from typer.testing import CliRunner

import oddjets
from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.inspection.removal import removal_effects
from oddjets.inspection.removal_report import jet_content
from oddjets.inspection.source_files import SourceEvent
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import class_shares, removal
from oddjets.scoring.model_card import load_card
from oddjets.scoring.scorer import Scorer
from oddjets.workflow.inspected_run import InspectedRun, asked_of, model_behind
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure's numbers without its picture: drawing takes long."""

    def write(folder: Path, name: str, data: dict[str, Any], reuse: bool = False) -> list[Path]:
        file = folder / f"{data['name']}.json"
        file.write_text(json.dumps(data, allow_nan=False), encoding="utf-8")
        return [file]

    monkeypatch.setattr("oddjets.workflow.inspection.write_figure", write)
    monkeypatch.setattr("oddjets.workflow.inspected_scores.write_figure", write)


def ask(folder: Path, **changes: Any) -> Path:
    """Change the YAML."""
    file = folder / "analysis.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return file


def inspect(folder: Path, *words: str) -> str:
    start = [str(folder / "analysis.yaml"), "--out", str(folder / "out"), "--displays", "0", "--no-neighbours"]
    done = CliRunner().invoke(app, ["inspect", *start, *words])
    if done.exception is not None:
        raise done.exception
    return done.output


def part(folder: Path, name: str, window: str = "SR_A") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "inspection" / window / f"{name}.json").read_text())
    return found


def test_the_oddest_events_are_explained_with_the_scores_of_the_table(folder: Path) -> None:
    said = inspect(folder, "--top", "3", "--why", "2")
    table, why = part(folder, "events")["events"], part(folder, "why")
    assert [event["id"] for event in why["events"]] == [event["id"] for event in table[:2]]
    for event, row in zip(why["events"], table, strict=False):
        for jet, of_table in zip(event["jets"], row["jets"], strict=True):
            assert jet["score"] == pytest.approx(of_table["scores"]["mine"], rel=1e-6)
            assert jet["constituents"] == toy_candidates.IN_JET
        assert f"{event['id']} leading jet, score {row['jets'][0]['scores']['mine']:.4f}: " in said
    assert "What the scores rest on (a description, not a proof; details in why.txt):" in said
    assert why["inferences"] == sum(jet["inferences"] for event in why["events"] for jet in event["jets"])
    window = folder / "out" / "inspection" / "SR_A"
    assert "A description, not a proof" in (window / "why.txt").read_text(encoding="utf-8")
    assert {"why_01.json", "why_02.json"} < {file.name for file in window.iterdir()}
    first = (window / "why.json").read_bytes()
    inspect(folder, "--top", "3", "--why", "2")
    assert (window / "why.json").read_bytes() == first


def test_the_effects_are_those_of_the_constituents_in_the_file(folder: Path) -> None:
    inspect(folder, "--top", "1", "--why", "1")
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"top": 1}))
    (source,) = inspected.sources
    assert source.jets is not None
    (event,) = part(folder, "why")["events"]
    scorer = Scorer(load_card(folder / "mine.yaml"), provider="cpu")
    identities = [[*map(int, event["id"].split(":")), jet] for jet in (1, 2)]
    found = [jet_content(j, one) for j, one in enumerate(removal_effects(source.jets, scorer, identities), 1)]
    assert json.loads(json.dumps(found)) == event["jets"]


def test_shares_are_means_of_the_table(folder: Path) -> None:
    inspect(folder, "--why", "0", "--bins", "100:150")
    found = part(folder, "shares", "SR_A_leading_mass_100_150")
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run))
    (events,) = inspected.events
    odd = events.letters == "A"
    inside = odd & (events.values >= 100) & (events.values < 150)
    (in_a,) = (one for one in found["means"] if (one["sample"], one["selection"], one["jet"]) == ("data", "A", 2))
    assert in_a["events"] == odd.sum()
    for name in ("QCD", "X", "other"):
        values = events.columns[f"share_{name}_mine_2"][odd]
        assert in_a["means"][name] == pytest.approx(
            [values.mean(), values.std(ddof=1) / np.sqrt(len(values))], rel=1e-5
        )
    selections = {one["selection"]: one["events"] for one in found["means"] if one["sample"] == "data"}
    assert selections["A, leading_mass 100 to 150 GeV"] == inside.sum()
    assert selections["A, beside it"] == odd.sum() - inside.sum()
    assert {one["sample"] for one in found["means"]} == {"data", "top"}
    assert found["edges"] == [60, 85, 110, 135, 160, 185, 210]
    assert found["shows_data_in_A"]


def test_figures_of_the_report_are_of_the_window_that_the_yaml_asks_for(folder: Path) -> None:
    file = ask(folder, inspect={"top": 2, "why": 2, "displays": 0})
    inspect(folder)
    artifacts = Artifacts(load_analysis(file), folder / "out")
    made = removal.data(artifacts)
    assert list(made) == ["why_01", "why_02"]
    for data, event in zip(made.values(), part(folder, "why")["events"], strict=True):
        assert "no proof" in data["caption"] or "not a proof" in data["caption"]
        for panel, jet in zip(data["panels"], event["jets"], strict=True):
            shown = [group for group in jet["groups"] if group["shown"]]
            assert [bar["change"] for bar in panel["bars"]] == [group["change"] for group in shown]
    (shares,) = class_shares.data(artifacts).values()
    assert shares["classes"] == ["X"]
    assert {one["label"] for one in shares["series"]} == {"Data, A", "Data, B, C, D", "top pairs, A"}
    assert "not a proof" in shares["caption"]
    other = Artifacts(load_analysis(ask(folder, inspect={"letter": "B"})), folder / "out")
    assert removal.data(other) == class_shares.data(other) == {}


def test_blinded_data_are_in_no_mean_and_open_ones_not_shown_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ask(folder, inspect={"letter": "B", "why": 1, "displays": 0})
    inspect(folder)
    assert "A, C, D" in {one["selection"] for one in part(folder, "shares", "SR_B")["means"]}
    assert not part(folder, "why", "SR_B")["shows_data_in_A"]
    assert class_shares.data(Artifacts(load_analysis(file), folder / "out"))
    with monkeypatch.context() as patch:
        # B alone would be fine, but the other letters have A among them
        patch.setattr(Artifacts, "blinded", ["SR"])
        assert class_shares.data(Artifacts(load_analysis(file), folder / "out")) == {}
        assert removal.data(Artifacts(load_analysis(file), folder / "out"))
    monkeypatch.setattr(InspectedRun, "hidden", property(lambda self: self.threshold))
    inspect(folder)
    found = part(folder, "shares", "SR_B")
    assert not found["shows_data_in_A"]
    counts = {one["selection"]: one["events"] for one in found["means"] if one["sample"] == "data" and one["jet"] == 1}
    assert counts.keys() == {"B", "C, D"}
    assert sum(counts.values()) == 60 - 24
    assert {one["selection"] for one in found["means"] if one["sample"] == "top"} == {"B", "A, C, D"}


def test_a_score_that_is_no_models_output_is_said(folder: Path) -> None:
    branches = {"signal": ["particleNetMD_Xcc"], "background": ["particleNetMD_QCD"]}
    scores = {"mine": {"card": str(folder / "mine.yaml")}, "tag": branches}
    ask(folder, scores=scores, threshold={"score": "tag", "efficiency": 0.4})
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    said = inspect(folder, "--top", "2")
    assert "the score 'tag' is not the output of a model of constituents in this analysis" in " ".join(said.split())
    window = folder / "out" / "inspection" / "SR_A"
    assert not [file for file in window.iterdir() if file.name.startswith(("why", "shares"))]


def test_a_score_of_class_groups_is_explained_by_its_own_formula(folder: Path) -> None:
    ask(
        folder,
        scores={"mine": {"card": str(folder / "mine.yaml")}, "other": {"of": "mine", "signal": ["other"]}},
        threshold={"score": "other", "efficiency": 0.4},
    )
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    inspect(folder, "--top", "1", "--why", "1")
    (row,), (event,) = part(folder, "events")["events"], part(folder, "why")["events"]
    for jet, of_table in zip(event["jets"], row["jets"], strict=True):
        assert jet["score"] == pytest.approx(of_table["scores"]["other"], rel=1e-6)
    assert part(folder, "shares")["signal"] == ["other"]


def test_tables_of_earlier_versions_are_named(folder: Path) -> None:
    import pyarrow.parquet as pq

    for file in (folder / "out" / "events").rglob("*.parquet"):
        table = pq.read_table(file)
        kept = [name for name in table.column_names if not name.startswith("share_")]
        pq.write_table(table.select(kept), file)
    with pytest.raises(OddjetsError, match=r"the event table of data has no column 'share_QCD_mine_1'"):
        inspect(folder, "--why", "0", "--top", "1")
    assert "24 events of data" in inspect(folder, "--why", "0", "--no-shares", "--top", "1")


def test_events_whose_file_is_gone_say_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(sources: Any, *_: Any, **__: Any) -> list[SourceEvent]:
        return [SourceEvent(source, problem="there.root: is not there any more") for source in sources]

    monkeypatch.setattr("oddjets.workflow.inspected_run.read_events", gone)
    said = inspect(folder, "--why", "1", "--top", "1")
    (event,) = part(folder, "why")["events"]
    assert event["jets"] == []
    assert f"{event['id']}: there.root: is not there any more" in said
    assert part(folder, "shares")["means"]  # these are of the table


def test_from_python(folder: Path) -> None:
    found = oddjets.Run(folder / "analysis.yaml", folder / "out").inspect(top=1, why=1, displays=0, neighbours=False)
    assert {"why", "shares"} < set(found)
    assert found["why"]["events"][0]["id"] == found["events"]["events"][0]["id"]
    assert "What the scores rest on" in repr(found)


def test_a_product_and_a_score_of_its_columns_have_the_model_behind_them(folder: Path) -> None:
    scores = {
        "mine": {"card": str(folder / "mine.yaml")},
        "mass": {"column": "mass"},
        "both": {"product": ["mass", "mine"]},
    }
    ask(folder, scores=scores, threshold={"score": "both", "efficiency": 0.4})
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    said = " ".join(inspect(folder, "--top", "2", "--why", "1").split())
    assert said.count("are those of 'mine', which is behind it") == 1
    jet = part(folder, "events")["events"][0]["jets"][0]
    assert jet["shares"]["both"] == jet["shares"]["mine"]
    assert part(folder, "why")["score"] == "mine"
    assert part(folder, "shares")["score"] == "both"
    name, card = model_behind(run, "both") or ("", None)
    assert name == "mine"
    assert card == load_card(folder / "mine.yaml")
    assert model_behind(run, "mass") is None
