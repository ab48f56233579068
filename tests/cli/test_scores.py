"""`oddjets scores` compares the scores of event tables, as text and as JSON."""

import json

import numpy as np
import pytest
import yaml
from helpers import toy_search
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import InputFileError
from oddjets.io import event_table
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext

SCORES = {
    "xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"], "label": "X(bb)"},
    "b": {"signal": ["btagDeepB"], "background": ["particleNetMD_QCD"], "label": "b tag"},
}


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    file = toy_search.write(tmp_path_factory.mktemp("search"), scores=SCORES, threshold={"score": "xbb", "value": 0.5})
    run = RunContext(load_analysis(file), file.parent / "out")
    run_stages(run, [stage_of(run, name) for name in ("process", "histogram")])
    return file


def printed(*words):
    return CliRunner().invoke(app, ["scores", *map(str, words)])


def test_the_scores_of_a_search_are_compared_with_its_data(search):
    out = search.parent / "out"
    found = printed(search, "--out", out, "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    # there is no simulated QCD
    assert content["background"] == "data"
    assert sorted(content["scores"]) == ["b", "xbb"]
    scores, weights = {}, {}
    for name in ("data", "top"):
        table = event_table.read(out / "events", name)
        kept = table["passes_nominal"]
        scores[name] = np.minimum(table["score_xbb_1"], table["score_xbb_2"])[kept]
        weights[name] = table["weight"][kept] if name == "top" else np.ones(kept.sum())
    higher = np.sign(scores["top"][:, None] - scores["data"]) / 2 + 0.5
    area = weights["top"] @ higher.mean(axis=1) / weights["top"].sum()
    assert content["separation"]["top"]["xbb"]["area"]["value"] == pytest.approx(area)
    text = printed(search, "--out", out).stdout
    assert text.splitlines()[0] == "small: scores compared"
    assert "gain over xbb" in text


def test_blinded_data_are_no_background(search, tmp_path):
    content = yaml.safe_load(search.read_text())
    content["fit"]["blind"] = True
    content["fileset"] = str(search.parent / "fileset.json")
    file = tmp_path / "blind.yaml"
    file.write_text(yaml.safe_dump(content))
    found = printed(file, "--out", search.parent / "out")
    assert found.exit_code
    assert "the data are blinded" in str(found.exception)


def test_without_event_tables_the_stage_is_named(search, tmp_path):
    found = printed(search, "--out", tmp_path / "empty")
    assert isinstance(found.exception, InputFileError)
    assert "run `oddjets process` first" in str(found.exception)


def test_tables_without_a_score_are_an_error_that_names_it(search, tmp_path):
    content = yaml.safe_load(search.read_text())
    content["scores"]["qcd"] = {"signal": ["particleNetMD_QCD"], "background": ["particleNetMD_Xbb"]}
    content["fileset"] = str(search.parent / "fileset.json")
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump(content))
    found = printed(file, "--out", search.parent / "out")
    assert "no column 'score_qcd_1'" in str(found.exception)
    assert "out of date" in found.stderr
