"""Scores of class groups and of columns through the stages, in coffea's Runner, and what validation says of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from coffea.processor import IterativeExecutor, Runner
from coffea.util import coffea_console
from helpers import chunks, tiny_model, toy_analysis
from helpers.analyses import content

import oddjets
from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of
from oddjets.io import PFNano, event_table
from oddjets.io.histograms import ThresholdResult
from oddjets.scoring.model_card import load_card
from oddjets.workflow.bank_validation import describe
from oddjets.workflow.coffea_processor import processor
from oddjets.workflow.pipeline import run_stage, run_stages, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages.histogram import missed_efficiency
from oddjets.workflow.stages.npz import export_npz
from oddjets.workflow.validation import resolve, validated

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

#: a column of its own, another that is a constant, and one that some jets lack
PROCESSOR = """
import awkward as ak
import numpy as np
from dijet_anomaly import DijetAnomaly


class Mine(DijetAnomaly):
    def jet_columns(self, jets):
        odd = jets["particleNetMD_Xbb"] / (jets["particleNetMD_Xbb"] + jets["particleNetMD_QCD"])
        columns = {"odd": odd, "flat": odd * 0 + 3, "lost": odd * np.nan}
        columns["some"] = ak.where(odd > 0.9, np.nan, odd)
        columns["signed"] = columns["some"] - 0.5
        return super().jet_columns(jets) | columns
"""


def toy(folder: Path, column: str, **changes: Any) -> Path:
    """An analysis of random jets with one score, a column."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(PROCESSOR, encoding="utf-8")
    scores = {"mine": {"column": column, "label": "my score"}}
    asked = {"processor": "mine.py:Mine", "scores": scores, "threshold": {"score": "mine", "efficiency": 0.1}}
    return toy_analysis.write(folder, toy_analysis.files(folder), **asked | changes)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A column of the processor as the score, and its histograms."""
    folder = tmp_path_factory.mktemp("one")
    run = RunContext(load_analysis(toy(folder, "odd")), folder / "out")
    run_stages(run, [stage_of(run, name) for name in ("process", "histogram")])
    return run


def test_a_processors_column_is_a_score(one: RunContext) -> None:
    for dataset in ("data", "top"):
        table = event_table.read(one.out / "events", dataset)
        assert len(table["event"]) > 0
        for j in (1, 2):
            np.testing.assert_array_equal(table[f"score_mine_{j}"], table[f"odd_{j}"].astype(float), strict=True)
            assert (table[f"score_mine_{j}"] > 0).all()
    table = event_table.read(one.out / "events", "data")
    smaller = np.minimum(table["score_mine_1"], table["score_mine_2"])
    threshold = one.extra("histogram")["threshold"]["value"]
    assert 0.05 < np.mean(smaller >= threshold) < 0.15
    # ends of data may be those of A
    assert "score_columns" not in json.dumps(one.extra("process"))


def test_coffeas_runner_has_the_same_threshold(one: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coffea_console, "quiet", True)
    made = processor(one.analysis.path)
    run = Runner(IterativeExecutor(), schema=PFNano, chunksize=30)
    first = run({"data": made.fileset["data"]}, processor_instance=made)
    assert first["threshold"].value == one.extra("histogram")["threshold"]["value"]


def test_notebooks_see_the_columns(one: RunContext) -> None:
    events = oddjets.Run(one.analysis, output=one.out).events("top")
    assert events["score_mine_1"].tolist() == events["jets"]["odd"][:, 0].tolist()


USELESS = [
    ("flat", "scores.mine.column: 'flat' is 3 for all "),
    ("lost", "scores.mine.column: 'lost' is NaN or infinite for all "),
    ("signed", "scores.mine.column: 'signed' is NaN or infinite for "),
]


@pytest.mark.parametrize(("column", "said"), USELESS)
def test_a_column_that_is_no_score_ends_the_stage(tmp_path: Path, column: str, said: str) -> None:
    run = RunContext(load_analysis(toy(tmp_path, column)), tmp_path / "out")
    with pytest.raises(OddjetsError, match=f"^{said}"):
        run_stage(run, stage_of(run, "process"))
    assert not (tmp_path / "out" / "manifests" / "process.json").exists()


@pytest.mark.parametrize(("column", "said"), USELESS)
def test_it_ends_coffeas_runner_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, said: str) -> None:
    monkeypatch.setattr(coffea_console, "quiet", True)
    made = processor(toy(tmp_path, column))
    run = Runner(IterativeExecutor(), schema=PFNano, chunksize=30)
    with pytest.raises(OddjetsError, match=f"^{said}"):
        run({"data": made.fileset["data"]}, processor_instance=made)


def test_jets_without_a_number_are_counted_and_get_the_lowest_score(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = RunContext(load_analysis(toy(tmp_path, "some")), tmp_path / "out")
    run_stage(run, stage_of(run, "process"))
    found = run.extra("process")["datasets"]["data"]
    table = event_table.read(run.out / "events", "data")
    lacking = sum(int(np.isnan(table[f"some_{j}"]).sum()) for j in (1, 2))
    # toy jets all pass the base selection
    assert lacking > 0
    assert found["input_anomalies"]["scores_not_finite"] == lacking
    assert "(scores_not_finite)" in capfd.readouterr().err
    for j in (1, 2):
        assert (table[f"score_mine_{j}"][np.isnan(table[f"some_{j}"])] == 0).all()


# ---- class groups -----------------------------------------------------------------------------------------------------

SEVERAL: dict[str, Any] = {
    "mine": {"card": "mine.yaml", "keep_probabilities": True},
    "again": {"card": "again.yaml"},
    "other": {"of": "mine", "signal": ["other"]},
    "both": {"of": "again", "signal": ["X", "other"], "label": "X or other"},
    "shared": {"column": "share_X_mine"},
}


@pytest.fixture(scope="module")
def several(sample: Any, tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """Two cards of one model, scores of their class groups, and a share that is a score."""
    folder = tmp_path_factory.mktemp("several")
    file = chunks.copy(sample.files("top")[0], folder / "top.root", stop=12)
    card = tiny_model.write(folder)
    told = yaml.safe_load(card.read_text(encoding="utf-8"))
    told["score"] = {"formula": "paper", "signal": ["other"], "qcd": ["QCD"]}
    (folder / "again.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (folder / "fileset.json").write_text(json.dumps({"top": {"files": [str(file)], "metadata": metadata}}))
    asked = content(
        luminosity=1.0,
        scores=SEVERAL,
        threshold={"score": "other", "value": 0.0},
        systematics=[],
        fit=None,
        execution={"executor": "iterative", "chunk_size": 5},
    )
    asked["selection"]["jets"] = {"pt_min": 300.0, "mass_min": 0.0}
    (folder / "analysis.yaml").write_text(yaml.safe_dump(asked, sort_keys=False), encoding="utf-8")
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    run_stage(run, stage_of(run, "process"))
    return run


def test_one_inference_is_in_the_manifest_and_one_entry_in_the_cache(several: RunContext) -> None:
    table = event_table.read(several.out / "events", "top")
    (how,) = several.extra("process")["datasets"]["top"]["inference"].values()
    assert [*several.extra("process")["datasets"]["top"]["inference"]] == ["mine"]
    assert (how["computed"], how["from_cache"]) == (2 * len(table["event"]), 0)
    assert how["scores"] == ["again", "both", "mine", "other"]
    assert [path.name for path in (several.out / "scores").iterdir()] == how["kept_as"]


def test_scores_and_shares_are_those_of_the_probabilities(several: RunContext) -> None:
    table = event_table.read(several.out / "events", "top")
    assert len(table["event"]) > 3
    for j in (1, 2):
        p = {name: table[f"prob_{name}_mine_{j}"].astype(float) for name in ("QCD", "X", "other")}
        expected = {
            "mine": p["X"] / (p["X"] + p["QCD"]),
            "again": p["other"] / (p["other"] + p["QCD"]),
            "other": p["other"] / (p["other"] + p["QCD"]),
            "both": 1 - p["QCD"],
            "shared": p["X"],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(table[f"score_{name}_{j}"], values, rtol=1e-6)
        for name in p:
            for owner in ("mine", "again"):
                np.testing.assert_array_equal(table[f"share_{name}_{owner}_{j}"], table[f"prob_{name}_mine_{j}"])
        assert table[f"score_again_{j}"].tobytes() == table[f"score_other_{j}"].tobytes()
    shares = {name for name in table if name.startswith("share_")}
    assert shares == {f"share_{name}_{of}_{j}" for name in p for of in ("mine", "again") for j in (1, 2)}
    told = several.extra("process")
    assert told["probabilities"] == {"mine": {"prob_QCD_mine": "QCD", "prob_X_mine": "X", "prob_other_mine": "other"}}
    assert told["shares"]["again"] == {f"share_{name}_again": name for name in ("QCD", "X", "other")}


def test_another_score_of_a_model_that_ran_needs_no_inference(
    several: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = event_table.read(several.out / "events", "top")
    shutil.copytree(several.analysis.folder, tmp_path / "copy")
    file = tmp_path / "copy" / "analysis.yaml"
    asked = yaml.safe_load(file.read_text(encoding="utf-8"))
    asked["scores"]["more"] = {"of": "mine", "signal": ["X"], "background": ["other"]}
    asked["fileset"] = str(several.analysis.folder / "fileset.json")
    file.write_text(yaml.safe_dump(asked, sort_keys=False), encoding="utf-8")
    run = RunContext(load_analysis(file), tmp_path / "copy" / "out")

    def refuse(*args: Any) -> Any:
        raise AssertionError("the model ran")

    monkeypatch.setattr(oddjets.Scorer, "_on_cpu", refuse)
    run_stage(run, stage_of(run, "process"))
    table = event_table.read(run.out / "events", "top")
    assert {name: table[name].tobytes() for name in before} == {name: before[name].tobytes() for name in before}
    p = {name: table[f"prob_{name}_mine_1"].astype(float) for name in ("X", "other")}
    np.testing.assert_allclose(table["score_more_1"], p["X"] / (p["X"] + p["other"]), rtol=1e-6)
    (how,) = run.extra("process")["datasets"]["top"]["inference"].values()
    assert (how["computed"], how["from_cache"]) == (0, 2 * len(table["event"]))


def test_probabilities_are_exported_for_a_score_of_class_groups(several: RunContext, tmp_path: Path) -> None:
    (file,) = export_npz(several, tmp_path)
    table = event_table.read(several.out / "events", "top")
    exported = np.load(file)["prediction"].reshape(-1, 2, 3)
    kept = table["passes_nominal"]
    for k, name in enumerate(("QCD", "X", "other")):
        np.testing.assert_array_equal(exported[:, 0, k], table[f"prob_{name}_mine_1"][kept])


def test_a_bank_knows_formulas_apart(several: RunContext) -> None:
    told = describe(several.analysis, several.resolved.cards)
    sha256 = str(load_card(several.resolved.cards["mine"]).sha256)
    assert {name: told["models"][name] for name in ("mine", "again", "other", "both")} == dict.fromkeys(
        ("mine", "again", "other", "both"), sha256
    )
    assert told["formulas"] == {
        "mine": {"signal": [1], "qcd": [0]},
        "again": {"signal": [2], "qcd": [0]},
        "other": {"signal": [2], "qcd": [0]},
        "both": {"signal": [1, 2], "qcd": [0]},
    }
    assert told["plain_scores"] == ["shared"]


# ---- validation -------------------------------------------------------------------------------------------------------


#: two of the trainings that come along
REDUCED = ["omnilearned_small_reduced_2.yaml", "omnilearned_small_reduced_3.yaml"]


def _changed_cards(folder: Path) -> None:
    """Write cards of the reduced models: of another with other classes, with another formula, and a copy of one."""
    models = Path(__file__).parents[2] / "models"
    for number in (2, 3):
        shutil.copy(models / f"omnilearned_small_reduced_{number}.onnx", folder)
    told = {n: yaml.safe_load((models / f"omnilearned_small_reduced_{n}.yaml").read_text("utf-8")) for n in (2, 3)}
    classes = {**told[3]["classes"], "X_qq": 13, "X_cc": 15}
    formula = {**told[3]["score"], "signal": ["X_bb"]}
    cards = {"copy": told[2], "classes": told[3] | {"classes": classes}, "formula": told[3] | {"score": formula}}
    for name, card in cards.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")


def problems(folder: Path, scores: dict[str, Any], **changes: Any) -> str:
    """What is said of an analysis with further scores; "" if nothing."""
    card = {"omnilearned": {"card": "omnilearned_small_simulation.yaml"}}
    # None: there is no such score
    named = {name: score for name, score in (card | scores).items() if score is not None}
    asked = content(**{"scores": named, "systematics": [], "fit": None} | changes)
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (folder / "fileset.json").write_text(json.dumps({"top": {"files": ["top.root"], "metadata": metadata}}))
    (folder / "a.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    try:
        resolve(load_analysis(folder / "a.yaml"))
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"x": {"of": "omnilearned", "signal": ["X_bb"]}}, ""),
        ({"x": {"of": "omnilearned", "signal": ["X_bb"], "background": ["QCD_b"]}}, ""),
        ({"x": {"column": "btag"}, "y": {"column": "tau21"}, "z": {"column": "share_X_bb_omnilearned"}}, ""),
        (
            {"x": {"of": "omnilearnd", "signal": ["X_bb"]}},
            "scores.x.of: no score 'omnilearnd'; did you mean 'omnilearned'",
        ),
        (
            {"x": {"of": "omnilearned", "signal": ["Xbb"]}},
            "scores.x.signal: the card omnilearned-small-simulation has no class group 'Xbb'; did you mean 'X_bb'",
        ),
        (
            {"x": {"of": "omnilearned", "signal": ["X_bb"], "background": ["QCD"]}},
            "scores.x.background: the card omnilearned-small-simulation has no class group 'QCD'; did you mean 'QCD_q'",
        ),
        ({"x": {"of": "omnilearned", "signal": ["X_bb", "QCD_b"]}}, "scores.x.signal: 'QCD_b' is a QCD class"),
        (
            {"x": {"of": "y", "signal": ["X_bb"]}, "y": {"of": "omnilearned", "signal": ["X_bb"]}},
            "scores.x.of: 'y' has no card of its own; valid names: omnilearned",
        ),
        (
            {"x": {"of": "y", "signal": ["X_bb"]}, "y": {"column": "btag"}},
            "scores.x.of: 'y' has no card of its own; valid names: omnilearned",
        ),
        ({"x": {"of": "x", "signal": ["X_bb"]}}, "scores.x.of: a circle: 'x' of 'x'; name the score that has the card"),
        (
            {"x": {"of": "y", "signal": ["X_bb"]}, "y": {"of": "x", "signal": ["X_bb"]}},
            "scores.x.of: a circle: 'x' of 'y' of 'x'",
        ),
        (
            {"x": {"of": "omnilearned", "signal": ["X_bb"], "background": ["X_bb"]}},
            "the class group 'X_bb' is listed twice in 'signal' and 'background'",
        ),
        ({"x": {"of": "omnilearned"}}, "'of' needs 'signal'"),
        ({"x": {"of": "omnilearned", "column": "btag"}}, "give one of 'card', 'of', 'family', 'column', 'signal'"),
        ({"x": {"column": "btag", "signal": ["a"]}}, "give one of 'card', 'of', 'family', 'column', 'signal'"),
        # families
        ({"x": {"family": REDUCED}}, ""),
        ({"x": {"family": REDUCED}, "y": {"column": "spread_x"}}, ""),
        # the shipped model is of the same inputs, classes and formula
        ({"x": {"family": [*REDUCED, "omnilearned_small_simulation.yaml"]}}, ""),
        (
            {"x": {"family": REDUCED[:1]}},
            "a family has two members or more; for a single model write 'card: omnilearned_small",
        ),
        ({"x": {"family": [REDUCED[0]] * 2}}, "is listed twice, so that its training would count twice"),
        (
            {"x": {"family": [REDUCED[0], "copy.yaml"]}},
            "scores.x.family.1: omnilearned-small-reduced-2 has the same model as omnilearned-small-reduced-2, which would",
        ),
        # files of one training for CPUs and for GPUs
        (
            {"x": {"family": ["omnilearned_small_simulation.yaml", "omnilearned_small_simulation_gpu.yaml"]}},
            "scores.x.family.1: omnilearned-small-simulation-gpu and omnilearned-small-simulation are of one training by their",
        ),
        (
            {"x": {"family": [REDUCED[0], "one.yaml"]}},
            "scores.x.family.1: mine has other inputs than omnilearned-small-reduced-2: they are no trainings of one model",
        ),
        (
            {"x": {"family": [REDUCED[0], "classes.yaml"]}},
            "scores.x.family.1: omnilearned-small-reduced-3 has other classes than omnilearned-small-reduced-2",
        ),
        (
            {"x": {"family": [REDUCED[0], "formula.yaml"]}},
            "scores.x.family.1: omnilearned-small-reduced-3 has other score formula than omnilearned-small-reduced-2",
        ),
        ({"x": {"family": [REDUCED[0], "omnilearned_small_reduced.yaml"]}}, "scores.x.family.1: no file"),
        (
            {"x": {"family": REDUCED}, "x_member1": {"column": "btag"}},
            "scores.x.family.0: its score is called 'x_member1', as another one of 'scores'; rename that one",
        ),
        ({"x": {"family": REDUCED, "keep_probabilities": True}}, "'keep_probabilities' belongs to the score with the"),
        ({"x": {"family": REDUCED}, "y": {"of": "x", "signal": ["X_bb"]}}, "scores.y.of: 'x' has no card of its own"),
        ({"x": {"column": "btag", "background": ["a"]}}, "'signal' and 'background' do not go with 'column'"),
        ({"x": {"column": "btag", "keep_probabilities": True}}, "'keep_probabilities' belongs to the score with the"),
        ({"x": {"column": "btga"}}, "scores.x.column: no column 'btga' of each jet; did you mean 'btag'"),
        ({"x": {"column": "n_constituents"}}, ""),
        (
            {"omnilearned": None, "a": {"column": "btag"}, "x": {"column": "n_constituents"}},
            "scores.x.column: no column 'n_constituents' of each jet; constituents are counted where the model of a",
        ),
        ({"x": {"column": "mjj"}}, "scores.x.column: no column 'mjj' of each jet;"),
        (
            {"x": {"column": "score_omnilearned"}},
            "no column 'score_omnilearned' of each jet; 'omnilearned' is a score; name",
        ),
        ({"x": {"column": "btag_1"}}, "of each jet; a column of both jets is named without _1 and _2: 'btag'"),
        ({"x" * 101: {"column": "btag"}}, ": has 101 characters; names have at most 100"),
        ({"my x": {"column": "btag"}}, "scores.my x: is no name, which has letters, digits and _"),
        ({"x": {"column": "prob_X_bb_omnilearned"}}, "scores.x.column: no column 'prob_X_bb_omnilearned' of each jet;"),
        # 'share_QCD_b_a' is that of QCD_b of 'a'
        (
            {"a": {"card": "omnilearned_small_simulation.yaml"}, "b_a": {"card": "one.yaml"}},
            "scores.b_a: the column 'share_QCD_b_a' of a class is one of 'a' too; rename one of the scores",
        ),
    ],
)
def test_scores_are_validated(tmp_path: Path, scores: dict[str, Any], said: str) -> None:
    tiny_model.write(tmp_path).rename(tmp_path / "one.yaml")
    _changed_cards(tmp_path)
    message = problems(tmp_path, scores)
    assert (said in message) if said else message == ""


@pytest.mark.parametrize(("above", "told"), [(76, True), (10, True), (8, False), (7, False), (None, False)])
def test_a_threshold_that_keeps_another_share_than_asked_is_told_of(above: int | None, told: bool) -> None:
    found = None if above is None else above / 76
    said = missed_efficiency(ThresholdResult("x", 0.0, 0.1, found, 76, above))
    assert (f"{above} of 76 data events pass, and 10 % were asked for" in said) if told else said == ""


def test_columns_that_code_of_ones_own_may_add_are_not_missed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dijet_anomaly import DijetAnomaly\n\nclass Mine(DijetAnomaly):\n"
        "    def event_columns(self, events):\n        return {}\n",
        encoding="utf-8",
    )
    assert problems(tmp_path, {"x": {"column": "mystery"}}, processor="mine.py:Mine") == ""


def test_a_column_that_no_file_has_is_an_error_of_the_stage(tmp_path: Path) -> None:
    asked = {**toy_analysis.misbehaving(tmp_path / "flags"), "threshold": {"score": "mine", "value": 0.5}}
    shutil.copy(tmp_path / "flags" / "mine.py", tmp_path / "own.py")
    run = RunContext(load_analysis(toy(tmp_path, "mystery", **asked | {"processor": "own.py:Mine"})), tmp_path / "out")
    with pytest.raises(OddjetsError, match=r"scores\.mine\.column: these events have no column 'mystery_1';"):
        run_stage(run, stage_of(run, "process"))


def test_a_tagger_that_a_file_lacks_is_named_with_its_score(tmp_path: Path) -> None:
    asked = {"processor": "dijet_anomaly.py:DijetAnomaly"}
    run = RunContext(load_analysis(toy(tmp_path, "xqq", **asked)), tmp_path / "out")
    with pytest.raises(OddjetsError, match="no branch 'FatJet_particleNetMD_Xqq', which the score 'mine' needs"):
        run_stage(run, stage_of(run, "process"))


def test_a_model_that_does_not_load_is_an_error_of_validate(tmp_path: Path) -> None:
    """Its sha256 is that of the card, so that only loading it tells."""
    card = tiny_model.write(tmp_path)
    onnx = tmp_path / yaml.safe_load(card.read_text("utf-8"))["file"]
    onnx.write_bytes(onnx.read_bytes()[:-20])
    card.write_text(
        yaml.safe_dump(yaml.safe_load(card.read_text("utf-8")) | {"sha256": sha256_of(onnx)}), encoding="utf-8"
    )
    scores = {"omnilearned": {"card": card.name}}
    assert problems(tmp_path, scores) == ""
    with pytest.raises(
        ConfigError, match=r"scores\.omnilearned\.card: .* of the model mine does not load in onnxruntime"
    ):
        validated(tmp_path / "a.yaml")
