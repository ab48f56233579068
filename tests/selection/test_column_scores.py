"""Models of jet columns in an analysis: the table's numbers, counts, columns that say nothing, names that are not there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coffea.processor import accumulate
from helpers import column_models as models
from helpers import toy_analysis as toy

from oddjets.config.yaml import ConfigError
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table
from oddjets.scoring.column_scorer import ColumnScorer
from oddjets.scoring.model_card import load_card
from oddjets.selection.chunk_counts import ChunkCounts
from oddjets.selection.coffea_interface import _counted
from oddjets.selection.decorators import JetColumns
from oddjets.selection.score_checks import check_columns
from oddjets.workflow.skim.run import skim
from oddjets.workflow.validation import validated

PROCESSOR = """
import numpy as np
import awkward as ak
from dijet_anomaly import DijetAnomaly

class Mine(DijetAnomaly):
    def jet_columns(self, jets):
        odd = ak.where(jets["tau1"] > 0.15, np.nan, jets["tau1"])
        nothing = ak.full_like(jets["tau1"], np.nan)
        return {**super().jet_columns(jets), "odd": odd, "nothing": nothing, "two": ak.full_like(jets["tau1"], 2.0)}
"""
TAU = {"column": "tau3 / tau2", "unit": "1"}
ODD = {"column": "odd", "unit": "1", "missing": 0}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return toy.files(tmp_path_factory.mktemp("toys"))


def analysis(folder: Path, files: dict[str, list[Path]], columns: list[Any], **changes: Any) -> Path:
    """An analysis whose score ``bdt`` is the sigmoid of the sum of these columns."""
    models.write(folder, models.linear([[0.01]] * len(columns)), columns, score={"formula": "sigmoid"})
    (folder / "mine.py").write_text(PROCESSOR, encoding="utf-8")
    settings = {
        "processor": "mine.py:Mine",
        "scores": {"bdt": {"card": "toy.yaml"}},
        "threshold": {"score": "bdt", "value": 0.5},
    }
    return toy.write(folder, files, **settings | changes)


def totals(run: Any, dataset: str) -> dict[str, Any]:
    found: dict[str, Any] = run.extra("process")["datasets"][dataset]
    return found


def test_scores_are_those_of_the_tables_own_columns(tmp_path: Path, files: dict[str, list[Path]]) -> None:
    run = toy.process(toy.run_of(analysis(tmp_path, files, ["mass", TAU, ODD])))
    scorer = ColumnScorer(load_card(tmp_path / "toy.yaml", "jet-columns"))
    for dataset in ("data", "top"):
        table = event_table.read(run.out / "events", dataset)
        assert len(table["event"]) > 20
        for j in (1, 2):
            mass, odd = (table[f"{name}_{j}"].astype(float) for name in ("mass", "odd"))
            sum_ = mass + table[f"tau3_{j}"].astype(float) / table[f"tau2_{j}"] + np.nan_to_num(odd)
            np.testing.assert_allclose(table[f"score_bdt_{j}"], 1 / (1 + np.exp(-0.01 * sum_)), rtol=1e-6)
            assert scorer.score(JetColumns(table, j)).tobytes() == table[f"score_bdt_{j}"].tobytes()
        # the files have no candidates, and none were needed
        assert "n_constituents_1" not in table
        found = totals(run, dataset)
        missing = sum(int(np.isnan(table[f"odd_{j}"]).sum()) for j in (1, 2))
        assert missing > 10
        assert found["input_anomalies"]["jet_columns_missing"] == missing
        how = found["inference"]["bdt"]
        assert (how["computed"], how["providers"]) == (2 * len(table["event"]), ["cpu"])
        assert (how["columns"]["odd"]["not_finite"], how["columns"]["mass"]["not_finite"]) == (missing, 0)
        ends = np.concatenate([table[f"mass_{j}"] for j in (1, 2)])
        assert how["columns"]["mass"]["lowest"] == [float(ends.min())]
        assert how["columns"]["mass"]["highest"] == [float(ends.max())]


def test_rows_are_the_same_bits_for_any_chunks(tmp_path: Path, files: dict[str, list[Path]]) -> None:
    file = analysis(tmp_path, files, ["mass", TAU, ODD])
    first, second = (toy.process(toy.run_of(file, tmp_path / str(size), chunk_size=size)) for size in (1000, 7))
    toy.assert_same_rows(toy.rows(first), toy.rows(second))


def test_a_model_may_read_scores_that_come_before(tmp_path: Path, files: dict[str, list[Path]]) -> None:
    models.write(
        tmp_path,
        models.linear([[1.0], [1.0]]),
        [{"column": name, "unit": "1"} for name in ("score_bdt", "score_xbb")],
        file="second.onnx",
    )
    scores = {
        "bdt": {"card": "toy.yaml"},
        "second": {"card": "second.yaml"},
        "xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]},
    }
    run = toy.process(toy.run_of(analysis(tmp_path, files, ["mass"], scores=scores)))
    table = event_table.read(run.out / "events", "top")
    both = (table["score_bdt_1"] + table["score_xbb_1"]).astype(np.float32)
    np.testing.assert_allclose(table["score_second_1"], both, rtol=1e-6)
    # keys are written in the order of the alphabet
    earlier = {"alpha": {"card": "second.yaml"}, "bdt": scores["bdt"], "xbb": scores["xbb"]}
    with pytest.raises(ConfigError, match=r"scores\.alpha\.card: 'score_bdt' is computed later; list that score first"):
        validated(analysis(tmp_path, files, ["mass"], scores=earlier))


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        (
            ["mass", {"column": "tau5 / tau2", "unit": "1"}],
            {},
            "no column 'tau5' (in 'tau5 / tau2') of each jet; did you",
        ),
        ([{"column": "evenn", "unit": "1"}], {}, "scores.bdt.card: no column 'evenn' of each jet"),
        ([{"column": "score_bdt", "unit": "1"}], {}, "scores.bdt.card: 'score_bdt' is the score itself"),
        (
            [{"column": "score_tag", "unit": "1"}],
            {"scores": {"bdt": {"card": "toy.yaml"}, "tag": {"column": "btag"}}},
            "scores.bdt.card: 'score_tag' is the column 'btag'; let the card read that one",
        ),
        (
            [{"column": "score_all", "unit": "1"}],
            {"scores": {"bdt": {"card": "toy.yaml"}, "tag": {"column": "btag"}, "all": {"max": ["bdt", "tag"]}}},
            "scores.bdt.card: 'score_all' is a combination, which is made after all events are selected",
        ),
        (["mass"], {"scores": {"bdt": {"card": "toy.yaml", "keep_probabilities": True}}}, "and has no classes"),
        (
            ["mass"],
            {"scores": {"bdt": {"card": "toy.yaml"}, "x": {"of": "bdt", "signal": ["X"]}}},
            "scores.x.of: the model of 'bdt' reads columns of the jet, and has no class groups",
        ),
    ],
)
def test_names_that_are_not_there_are_found_before_the_work(
    tmp_path: Path, files: dict[str, list[Path]], columns: list[Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        validated(analysis(tmp_path, files, columns, **changes))


def test_a_branch_that_a_file_lacks_is_named_with_the_score(tmp_path: Path) -> None:
    def without(events: dict[str, Any], _: dict[str, Any]) -> None:
        jets = events["FatJet"]
        events["FatJet"] = jets[[name for name in jets.fields if name != "btagDeepB"]]

    files = {"top": [toy.toy_nano(tmp_path / "top.root", 30, seed=3, change=without)]}
    file = analysis(tmp_path, files, [{"column": "btag", "unit": "1"}])
    with pytest.raises(OddjetsError, match=r"no branch 'FatJet_btagDeepB', which the score 'bdt' needs"):
        toy.process(toy.run_of(file))


def test_a_missing_value_where_that_is_an_error_names_the_file(tmp_path: Path, files: dict[str, list[Path]]) -> None:
    file = analysis(tmp_path, files, [{**ODD, "missing": "error"}])
    with pytest.raises(
        OddjetsError, match=r"data1\.root.*: 'odd' is not finite for \d+ of \d+ jets, and the card of toy"
    ):
        toy.process(toy.run_of(file))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "nothing",
            r"dataset 'data': 'nothing', which the model of the score 'bdt' reads, is NaN or infinite for all \d+",
        ),
        ("two", r"dataset 'top': 'two', which the model of the score 'bdt' reads, is 2 for all \d+ jets"),
    ],
)
def test_a_column_that_says_nothing_is_refused_after_the_work(
    tmp_path: Path, files: dict[str, list[Path]], column: str, message: str
) -> None:
    run = toy.run_of(analysis(tmp_path, files, ["mass", {"column": column, "unit": "1", "missing": 1}]))
    with pytest.raises(OddjetsError, match=message):
        toy.process(run)
    # nothing is lost
    assert len(toy.records(run)) == 7
    assert not (run.out / "manifests" / "process.json").exists()


def test_a_parameter_may_be_constant(tmp_path: Path, files: dict[str, list[Path]]) -> None:
    columns = ["mass", {"column": "two", "unit": "1", "may_be_constant": True}]
    run = toy.process(toy.run_of(analysis(tmp_path, files, columns)))
    assert totals(run, "top")["inference"]["bdt"]["columns"]["two"]["lowest"] == [2.0]


def of_dataset(finite: int, missing: int, *ends: float) -> dict[str, Any]:
    values = {"finite": finite, "not_finite": missing, "lowest": [*ends][:1], "highest": [*ends][-1:]}
    return {"bdt": {"columns": {"mass": values}}}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            {"qcd": of_dataset(50, 0, 3.0), "top": of_dataset(50, 0, 4.0)},
            "'mass', which the model of the score 'bdt' reads",
        ),
        ({"qcd": of_dataset(3, 0, 3.0)}, "is 3 for all 3 jets: is it what the model was trained on?"),
        ({"qcd": of_dataset(0, 4)}, "is NaN or infinite for all 4 jets: is it what the model was trained on?"),
        ({"qcd": of_dataset(50, 3, 1.0, 2.0), "empty": {}, "none": of_dataset(0, 0)}, ""),
    ],
)
def test_what_may_be_right_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: dict[str, Any], message: str
) -> None:
    card = load_card(models.write(tmp_path, models.linear([[1.0]]), ["mass"]))
    check_columns({"bdt": card}, found)
    said = " ".join(capsys.readouterr().err.split())
    assert message in said
    assert bool(said) == bool(message)


@pytest.mark.slow
def test_a_skim_keeps_no_candidates_for_a_model_that_reads_none(tmp_path: Path, files: dict[str, list[Path]]) -> None:
    run = toy.run_of(analysis(tmp_path, files, ["mass", TAU]))
    skimmed = json.loads(skim(run, tmp_path / "skim").read_text())
    found = {name: [tmp_path / "skim" / file for file in entry["files"]] for name, entry in skimmed.items()}
    again = toy.rows(toy.process(toy.run_of(analysis(tmp_path / "b", found, ["mass", TAU]))))
    for dataset, table in toy.rows(toy.process(run)).items():
        for name in ("event", "score_bdt_1", "score_bdt_2"):
            np.testing.assert_array_equal(again[dataset][name], table[name])


def test_what_chunks_say_of_columns_adds_up_in_coffea() -> None:
    counts = []
    for low, high, missing in ((1.0, 2.0, 3), (0.5, 0.5, 0)):
        values = {"finite": 4, "not_finite": missing, "lowest": {low}, "highest": {high}}
        counts.append(ChunkCounts(8, [8], [8.0], []))
        counts[-1].inference["bdt"] = {"computed": 4, "scores": {"bdt"}, "columns": {"mass": values}}  # type: ignore[typeddict-item]
    together = accumulate([_counted(one) for one in counts])["inference"]["bdt"]["columns"]["mass"]
    assert together == {"finite": 8, "not_finite": 3, "lowest": {1.0, 0.5}, "highest": {2.0, 0.5}}
