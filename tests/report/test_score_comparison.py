"""The scores compared: figures, tables and `oddjets scores` have the same numbers, and none of blinded data in A."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import synthetic
from scipy.stats import spearmanr

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table
from oddjets.report import html, score_tables
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import agreement, sic
from oddjets.report.score_comparison import ScoreComparison, comparison, comparison_notes, estimate_text, score_labels

Finished = tuple[Analysis, Path]


def smaller(out: Path, dataset: str, score: str) -> Any:
    columns = [f"score_{score}_{j}" for j in (1, 2)]
    return np.min(list(event_table.read(out / "events", dataset, columns).values()), axis=0)


def single(analysis: Analysis) -> Analysis:
    return analysis.model_copy(update={"scores": {"odd": analysis.scores["odd"]}})


def blinded(out: Path) -> Artifacts:
    asked = synthetic.analysis()
    assert asked.fit is not None
    blind = asked.model_copy(update={"fit": asked.fit.model_copy(update={"blind": True})})
    synthetic.fabricate(out, blind)
    return Artifacts(blind, out)


def test_numbers_are_those_of_the_event_tables(finished: Finished) -> None:
    asked, out = finished
    compared = comparison(Artifacts(asked, out))
    assert compared is not None
    assert compared["background"] == "qcd"
    assert compared["signals"] == ["top", "wjets", "extra0"]
    background, signal = (smaller(out, f"{name}_one", "xbb") for name in ("qcd", "top"))
    one = compared["separation"]["top"]["xbb"]
    at = compared["fractions"].index(0.02)
    # 100 of 5000
    cut = np.sort(background)[-100]
    assert one["improvement"][at]["threshold"] == cut
    assert one["improvement"][at]["value"] == pytest.approx(np.mean(signal >= cut) / np.sqrt(0.02))
    assert one["improvement"][at]["events"] == pytest.approx(100)
    (pair,) = compared["pairs"]
    for sample in ("qcd", "top", "data"):
        both = [smaller(out, f"{sample}_one", score) for score in ("odd", "xbb")]
        assert pair["rank"][sample]["value"] == pytest.approx(spearmanr(*both).statistic)
        if sample == "data":
            # thresholds of their own, as the analysis has
            selected = [scores >= np.sort(scores)[-100] for scores in both]
            assert pair["overlap"]["data"][at]["value"] == pytest.approx((selected[0] & selected[1]).sum() / 100)


def test_figures_tables_and_command_have_the_same_numbers(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    compared = comparison(artifacts)
    assert compared is not None
    drawn = sic.data(artifacts)["sic"]
    for panel in drawn["panels"]:
        for one in panel["scores"]:
            assert one["improvement"] == compared["separation"][panel["signal"]][one["score"]]["improvement"]
    shown = agreement.data(artifacts)["agreement"]
    at = compared["fractions"].index(0.02)
    for panel in shown["panels"]:
        (pair,) = compared["pairs"]
        assert panel["rank"][1][0] == pair["rank"][panel["process"]]["value"]
        assert panel["overlap"][0][1] == pair["overlap"][panel["process"]][at]["value"]
    printed = ScoreComparison.from_artifacts(artifacts)
    assert json.loads(printed.to_json())["separation"] == compared["separation"]
    tables = score_tables.comparison_tables(artifacts)
    assert [len(table.rows) for table in tables] == [6, 3, 1, 3]
    area = estimate_text(compared["separation"]["top"]["xbb"]["area"])
    assert area in [cell.text for cell in tables[0].rows[1]]
    assert area in str(printed)
    assert "too few" in str(printed)


def test_the_report_has_the_section(finished: Finished, quick_pictures: None) -> None:
    text = html.write(*finished).read_text(encoding="utf-8")
    assert 'id="scores"' in text
    assert "Gain over odd" in text


def test_one_score_is_compared_with_nothing(finished: Finished) -> None:
    artifacts = Artifacts(single(finished[0]), finished[1])
    assert sic.data(artifacts) == agreement.data(artifacts) == {}
    assert score_tables.comparison_tables(artifacts) == []
    printed = str(ScoreComparison.from_artifacts(artifacts))
    assert "SIC at 1 %" in printed
    assert "union" not in printed


def test_no_event_of_blinded_data_in_a_enters(tmp_path: Path) -> None:
    artifacts = blinded(tmp_path)
    before = comparison(artifacts)
    assert before is not None
    assert "data" not in before["pairs"][0]["overlap"]
    outside = smaller(tmp_path, "data_one", "odd") < 0.9
    both = [smaller(tmp_path, "data_one", score)[outside] for score in ("odd", "xbb")]
    assert before["pairs"][0]["rank"]["data"]["value"] == pytest.approx(spearmanr(*both).statistic)
    assert before["samples"]["data"]["events"] == outside.sum()
    assert "left out" in agreement.data(artifacts)["agreement"]["caption"]
    assert "blinded and left out" in str(ScoreComparison.from_artifacts(artifacts))


def test_what_blinded_data_in_a_are_does_not_matter(tmp_path: Path) -> None:
    before = comparison(blinded(tmp_path))
    (part,) = event_table.parts(tmp_path / "events", "data_one")
    columns = event_table.read(tmp_path / "events", "data_one")
    in_a = np.minimum(columns["score_odd_1"], columns["score_odd_2"]) >= 0.9
    assert in_a.any()
    columns["score_xbb_1"][in_a] = 0.123
    event_table.write_part(part, columns, {})
    analysis = synthetic.analysis()
    assert analysis.fit is not None
    blind = analysis.model_copy(update={"fit": analysis.fit.model_copy(update={"blind": True})})
    assert comparison(Artifacts(blind, tmp_path)) == before


def test_without_simulated_background_thresholds_are_those_of_the_data(tmp_path: Path) -> None:
    asked = synthetic.analysis()
    synthetic.fabricate(tmp_path, asked, empty="qcd")
    compared = comparison(Artifacts(asked, tmp_path))
    assert compared is not None
    assert compared["background"] == "data"
    assert "signal and all" in str(ScoreComparison.from_artifacts(Artifacts(asked, tmp_path)))


def test_without_any_background_the_error_says_so(tmp_path: Path) -> None:
    asked = synthetic.analysis()
    synthetic.fabricate(tmp_path, asked, empty="qcd", with_data=False)
    artifacts = Artifacts(asked, tmp_path)
    assert sic.data(artifacts) == agreement.data(artifacts) == {}
    with pytest.raises(OddjetsError, match=r"no events to find thresholds in: .*\(qcd\), and there are no data"):
        ScoreComparison.from_artifacts(artifacts)


def test_the_notes_warn_of_b_tags_and_say_what_helps_where_events_are_few(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    compared = comparison(artifacts)
    assert compared is not None
    notes = "\n".join(comparison_notes(artifacts, compared))
    assert "b tags" not in notes
    asked, out = finished
    branch = {"xbb": asked.scores["xbb"].model_copy(update={"signal": ("particleNetMD_Xbb",)})}
    tagged = Artifacts(asked.model_copy(update={"scores": {**asked.scores, **branch}}), out)
    assert "\nb tags, of a tagger or a model's classes of b quarks, are in xbb: they" in "\n".join(
        comparison_notes(tagged, compared)
    )
    # of a model that reads the b tag, which the manifest of `process` says
    reads = Artifacts(asked, out)
    dataset = next(iter(reads.manifests["process"]["extra"]["datasets"].values()))
    dataset["inference"] = {"xbb": {"columns": {"btag": {}}}}
    assert "\nb tags, of a tagger or a model's classes of b quarks, are in xbb: they" in "\n".join(
        comparison_notes(reads, compared)
    )
    assert "more simulated events of qcd would make them numbers" in notes
    of_data = comparison_notes(artifacts, {**compared, "background": "data"})
    assert not any("more simulated events" in note for note in of_data)


def test_scores_with_one_label_are_called_by_their_names() -> None:
    asked = synthetic.analysis()
    assert score_labels(asked) == {"odd": "anomaly score", "xbb": "X(bb)"}
    same = {name: score.model_copy(update={"label": "anomaly score"}) for name, score in asked.scores.items()}
    assert score_labels(asked.model_copy(update={"scores": same})) == {"odd": "odd", "xbb": "xbb"}
    unnamed = {name: score.model_copy(update={"label": None}) for name, score in asked.scores.items()}
    assert score_labels(asked.model_copy(update={"scores": unnamed})) == {"odd": "odd", "xbb": "xbb"}
    alone = asked.model_copy(update={"scores": {"odd": unnamed["odd"]}})
    assert alone.score_label("odd", in_text=True) == alone.score_label("odd") == "anomaly score"
    assert asked.model_copy(update={"scores": unnamed}).score_label("odd", in_text=True) == "score odd"


def test_many_processes_are_counted_where_they_are_not_shown(tmp_path: Path) -> None:
    asked = synthetic.analysis(processes=12)
    synthetic.fabricate(tmp_path, asked)
    artifacts = Artifacts(asked, tmp_path)
    drawn = sic.data(artifacts)["sic"]
    assert drawn["panels"][0]["signal"] == "top"
    assert len(drawn["panels"]) == 6
    assert "Not shown: 5 processes" in drawn["caption"]
    assert len(json.loads(ScoreComparison.from_artifacts(artifacts).to_json())["signals"]) == 11


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"value": 5.52, "down": 0.3, "up": 0.31, "events": 100, "few": False}, "5.52 ± 0.31"),
        ({"value": 5.52, "down": 0.3, "up": 0.62, "events": 100, "few": False}, "5.52 +0.62 −0.30"),
        ({"value": 1350.0, "down": 300, "up": 900, "events": 7.4, "few": True}, "too few (7.4)"),
        ({"value": None, "down": None, "up": None, "events": 50, "few": False}, "–"),
        ({"value": 1.0, "down": 0.0, "up": 0.0, "events": 50, "few": False}, "1"),
        ({"value": 0.0, "down": 0.0, "up": 0.148, "events": 10, "few": False}, "0.00 +0.15 −0"),
        ({"value": 1.0, "down": 0.148, "up": 0.0, "events": 10, "few": False}, "1.00 +0 −0.15"),
        ({"value": -0.2, "down": 0.1, "up": 0.2, "events": 10, "few": False}, "−0.20 +0.20 −0.10"),
    ],
)
def test_estimates_are_shown_with_their_errors(entry: dict[str, Any], text: str) -> None:
    assert estimate_text(entry) == text
