"""The command `learn`: its files, its key, the analysis that it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import yaml
from helpers import toy_analysis
from helpers.toy_nano import toy_nano
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.blinding_history import read_history
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.io import event_table
from oddjets.learning.evidence import FULL_WEIGHT
from oddjets.learning.folds import event_hash, fold_of
from oddjets.scoring.column_scorer import ColumnScorer
from oddjets.scoring.model_card import load_card
from oddjets.selection.decorators import JetColumns
from oddjets.workflow.learning import learn, learn_stage
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages.learn import LearnOptions
from oddjets.workflow.stages.learnt_product import LearntProduct, evidence_line, nothing_learnt
from oddjets.workflow.stages.learnt_yaml import write_analysis

pytest.importorskip("onnx", reason="needs onnx: pip install 'oddjets[learn]'")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

RUNNER = CliRunner()
EVENTS = 1800
COLUMNS = ("tau3 / tau2", "btag", "mass_ungroomed")
FIT = {"observable": "leading_mass", "regions": ["SR"], "poi": {"process": "top"}}
EXECUTION = {"executor": "iterative", "chunk_size": 5000}
FEW = ["--folds", "3", "--members", "2", *(word for column in COLUMNS for word in ("--column", column))]


def odd_pairs(branches: dict[str, Any], _: dict[str, Any]) -> None:
    """One event of ten has two jets with a high score and a high b tag."""
    jets = branches["FatJet"]
    odd = np.arange(len(jets)) % 10 == 0
    for name in ("particleNetMD_Xbb", "btagDeepB"):
        jets[name] = ak.where(odd, 0.9 + 0.1 * jets[name], jets[name])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis whose stage `process` is done."""
    folder = tmp_path_factory.mktemp("learn")
    files = {
        "data": [toy_nano(folder / "data.root", EVENTS, is_data=True, seed=1, change=odd_pairs)],
        "top": [toy_nano(folder / "top.root", 300, seed=3, change=odd_pairs)],
    }
    threshold = {"score": "xbb", "efficiency": 0.05}
    processes = {"qcd": {"label": "QCD", "data_driven": True}, "top": {"label": "top pairs"}}
    file = toy_analysis.write(folder, files, threshold=threshold, processes=processes, fit=FIT, execution=EXECUTION)
    toy_analysis.process(RunContext(load_analysis(file), folder / "out"))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def run_of(folder: Path) -> RunContext:
    return RunContext(load_analysis(folder / "a.yaml"), folder / "out")


def called(folder: Path, *words: str) -> Any:
    found = RUNNER.invoke(app, ["learn", str(folder / "a.yaml"), "--out", str(folder / "out"), *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_a_learnt_score_goes_through_the_stages_beside_its_seed(folder: Path) -> None:
    said = called(folder, *FEW)
    assert "goes on with it" in said.output
    found = json.loads((folder / "out/learnt/learnt.json").read_text(encoding="utf-8"))
    assert 0.9 * EVENTS < found["events"] < EVENTS
    assert found["jets"]["signal-like"] == pytest.approx(0.05 * 2 * found["events"], rel=0.2)
    assert set(found["closure"]) == {"learnt", "learnt_x_xbb", "xbb"}
    assert found["signals"]["top"]["stochastic"] > 0
    assert found["weight"] == pytest.approx(np.clip(found["evidence"]["n_sigma"] / FULL_WEIGHT, 0, 1), abs=1e-4)
    assert f"has the weight {found['weight']:.2f} in the product" in " ".join(said.output.split())
    manifest = read_manifest(folder / "out", "learn")
    assert manifest is not None
    # a manifest is shown of a blinded analysis, too
    assert "closure" not in manifest["extra"]
    again = called(folder, *FEW)
    assert "learn: up to date" in again.output
    # the analysis with it, through the stages
    file = folder / "out/learnt/learnt.yaml"
    asked = load_analysis(file)
    assert list(asked.scores) == ["xbb", "learnt", "learnt_x_xbb"]
    assert asked.threshold.score == "learnt_x_xbb"
    assert asked.scores["learnt_x_xbb"].weights == (1.0, found["weight"])
    (systematic,) = (s for s in asked.systematics if s.name == "learnt_training")
    assert systematic.processes == ("top",)
    run = RunContext(asked, folder / "second")
    run_stages(run, [stage_of(run, name) for name in ("process", "histogram")])
    first, second = (event_table.read(folder / out / "events", "data") for out in ("out", "second"))
    np.testing.assert_array_equal(first["score_xbb_1"], second["score_xbb_1"])
    hashes = event_hash(second["run"], second["luminosityBlock"], second["event"])
    scorer = ColumnScorer(load_card(folder / "out/learnt/card.yaml"))
    assert np.array_equal(np.sort(hashes), scorer.trained_on)
    for j in (1, 2):
        np.testing.assert_array_equal(second[f"score_learnt_{j}"], scorer.score(JetColumns(second, j), hashes))
    # every fold has the same share of jets above a threshold, and pairs that were made odd are
    odd = np.minimum(second["btag_1"], second["btag_2"]) > 0.9
    assert second["score_learnt_1"][odd].mean() > second["score_learnt_1"][~odd].mean() + 0.04
    for fold in range(3):
        here = second["score_learnt_1"][fold_of(hashes, 3) == fold]
        assert (here > 0.9).mean() == pytest.approx(0.1, abs=0.04)
    # simulation gets the mean over the folds, although its events have the numbers of data
    top = event_table.read(folder / "second/events", "top")
    mean = scorer.score(JetColumns(top, 1), unseen=True)
    np.testing.assert_array_equal(top["score_learnt_1"], mean)
    assert np.isin(event_hash(top["run"], top["luminosityBlock"], top["event"]), hashes).any()
    up, down = (top[f"weight__learnt_training{end}"] / top["weight"] for end in ("Up", "Down"))
    assert (up > 1).all()
    np.testing.assert_allclose(up * down, 1)
    assert run.extra("histogram")["threshold"]["efficiency_found"] == pytest.approx(0.05, abs=0.01)


def test_little_evidence_is_warned_of_and_none_is_said() -> None:
    known = {"auc": 0.51, "error": 0.02, "n_sigma": 0.5}
    assert nothing_learnt({"weight": 0.25, "evidence": known}).startswith("nothing was learnt: ")
    assert nothing_learnt({"weight": 0.5, "evidence": known | {"n_sigma": 1.0}}) == ""
    without = LearntProduct.of(np.full((4, 2), 0.5), np.zeros((4, 2)), None).stated()
    assert without == {"weight": 1.0, "evidence": None}
    assert nothing_learnt(without) == ""
    assert evidence_line(without).startswith("no labels")


def test_the_key_has_the_options_and_a_dry_run_writes_nothing(folder: Path) -> None:
    dry = called(folder, *FEW, "--dry-run")
    assert json.loads(dry.output)["up_to_date"] is False
    assert not (folder / "out/learnt").exists()
    run = run_of(folder)
    options = LearnOptions(folds=3, members=1, columns=COLUMNS, workers=2)
    first = learn(run, options)
    assert first["signals"]["top"]["members"] == []
    assert learn(run, LearnOptions(folds=3, members=1, columns=COLUMNS), dry_run=True)["up_to_date"]
    for changed in ({"folds": 4}, {"seed": 2}, {"columns": COLUMNS[:2]}, {"high": 0.9}):
        other = LearnOptions(**({"folds": 3, "members": 1, "columns": COLUMNS} | changed))
        assert not learn(run, other, dry_run=True)["up_to_date"]
    # the same bits with another number of threads
    card = (folder / "out/learnt/card.yaml").read_bytes()
    assert learn(run, LearnOptions(folds=3, members=1, columns=COLUMNS), force=True)["agreement"] == first["agreement"]
    assert (folder / "out/learnt/card.yaml").read_bytes() == card
    # half of its files
    (folder / "out/learnt/events.u64").unlink()
    assert not learn(run, options, dry_run=True)["up_to_date"]
    assert learn_stage(options).name == "learn"


def test_a_mass_window_warns_loudly(folder: Path) -> None:
    said = called(
        folder, *FEW, "--method", "mass-window", "--window", "120:150", "--sideband", "65:110", "--sideband=160:190",
        "--name", "window",
    )  # fmt: skip
    # a score of another name has a folder of its own
    assert not (folder / "out/learnt").exists()
    assert "sculpts it" in said.output
    assert "study sculpting" in said.output.replace("\n", " ")
    content = yaml.safe_load((folder / "out/learnt_window/card.yaml").read_text(encoding="utf-8"))
    assert content["learnt"]["method"] == "mass-window"
    assert "120 to 150 GeV" in content["training"]
    assert "sculpts" in " ".join(load_analysis(folder / "out/learnt_window/learnt.yaml").notes)


@pytest.mark.fault("`oddjets learn` of what cannot be learnt", "is refused with the way out, before any training.")
def test_what_cannot_be_learnt_is_refused(folder: Path) -> None:
    for words, message in (
        (["--method", "tag-train"], "--method: no method 'tag-train'; did you mean 'tag-n-train'"),
        (["--seed-score", "xb"], "--seed-score: no score 'xb'; did you mean 'xbb'"),
        (["--name", "xbb"], "has a score 'xbb' already"),
        (["--name", "my score"], "starts with a letter"),
        (["--window", "150:120"], "the first mass has to be the smaller one"),
        (["--method", "mass-window"], "needs both: a range of masses and side bands"),
        (["--window", "120-150"], "two numbers in GeV with a colon"),
        (["--window", "120:150", "--sideband", "80:110"], "belong to --method mass-window"),
        ([], "no score has a model with class groups"),
        (["--column", "tau9"], "no column 'tau9' of the jets"),
        (["--column", "tau1", "--column", "tau1"], "one is given twice"),
        (["--column", "tau1", "--folds", "12"], r"the smallest of 12 folds has \d+ events, and its scores need 200"),
        (["--column", "0 * tau1"], r"'0 \* tau1' has the value 0 for all .* jets of data"),
        (["--column", "tau1 / 0", "--column", "btag"], "'tau1 / 0' has no finite value in any of .* jets of data"),
        (["--column", "tau1", "--column", "1 + 1", "--dry-run"], r"--column 1 \+ 1: reads no column of a jet"),
        (["--column", "mjj", "--dry-run"], "no column 'mjj' of the jets"),
        ([*FEW, "--name", "a b"], "--name 'a b': a score's name has letters"),
        ([*FEW, "--name", "a__b"], "--name 'a__b': a score's name has letters"),
        ([*FEW, "--own-mass"], "--own-mass belong to --method mass-window"),
        ([*FEW, "--sideband", "80:110"], "belong to --method mass-window"),
        ([*FEW, "--method", "mass-window", "--window", "120:inf", "--sideband", "80:110"], "two numbers in GeV with"),
        (
            ["--column", "tau1", "--method", "mass-window", "--window", "500:600", "--sideband", "80:110"],
            "no jet is signal-like",
        ),
    ):
        with pytest.raises(OddjetsError, match=message):
            called(folder, *words)
    assert not (folder / "out/learnt/card.yaml").exists()
    with pytest.raises(InputFileError, match="no event tables; run `oddjets process` first"):
        learn(RunContext(load_analysis(folder / "a.yaml"), folder / "empty"), LearnOptions(columns=COLUMNS))


@pytest.mark.fault("`oddjets learn` of single jets", "is refused: a jet is labelled by the other one of its event.")
def test_single_jets_are_refused(tmp_path: Path) -> None:
    found = RUNNER.invoke(app, ["learn", "aspen_bump.yaml", "--out", str(tmp_path)])
    assert isinstance(found.exception, OddjetsError)
    assert "is of single jets, and a jet is labelled by the other one" in str(found.exception)


@pytest.mark.fault("`oddjets learn` of a blinded analysis", "is refused; with --unblind it is recorded.")
def test_a_blinded_analysis_is_learnt_from_only_if_it_is_unblinded(folder: Path) -> None:
    file = folder / "a.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["fit"]["blind"] = True
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(BlindedError, match="the data in A are blinded, and a training reads the jets of all data"):
        called(folder, *FEW)
    called(folder, *FEW, "--unblind")
    assert [act["state"] for act in read_history(folder / "out")][-1] == "unblinded"
    learnt = load_analysis(folder / "out/learnt/learnt.yaml")
    assert learnt.blind
    assert any("the training saw them (--unblind)" in note for note in learnt.notes)
    # what is blind again shows no numbers of A
    run = run_of(folder)
    with run.lock():
        pass
    assert not (folder / "out/learnt/learnt.json").exists()


def test_names_of_files_are_written_as_seen_from_the_new_yaml(folder: Path) -> None:
    (folder / "mine.py").write_text("from dijet_anomaly import DijetAnomaly\n\nclass Mine(DijetAnomaly):\n    pass\n")
    content = yaml.safe_load((folder / "a.yaml").read_text(encoding="utf-8"))
    content |= {"processor": "mine.py:Mine", "threshold": {"score": "xbb", "value": 0.5}}
    (folder / "a.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "out/learnt").mkdir()
    (folder / "out/learnt/card.yaml").touch()
    written = write_analysis(run_of(folder), folder / "out/learnt", "card.yaml", "learnt", "xbb", 1.0, 0.02, {}, ())
    found = load_analysis(written)
    assert found.processor == "../../mine.py:Mine"
    assert found.fileset == "../../fileset.json"
    assert found.era == "simulation"
    assert (found.threshold.efficiency, found.threshold.value) == (0.02, None)
    assert (found.folder / str(found.execution.score_folder)).resolve() == (folder / "out/scores").resolve()
    assert [s.name for s in found.systematics] == ["jms"]
