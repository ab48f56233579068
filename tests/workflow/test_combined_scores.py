"""Combinations of scores in a whole analysis: who sees them, what is done again for them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import planted, toy_analysis, toy_search
from helpers.analyses import content
from typer.testing import CliRunner

import oddjets
from oddjets.cli.main import app
from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io import event_table, paper_npz
from oddjets.io.combined_scores import COMBINED_SCORES
from oddjets.report.artifacts import Artifacts
from oddjets.report.combination_health import combination_checks
from oddjets.report.figures import score, score_overlap, score_shapes
from oddjets.study.bank import Bank, columns_for, pack
from oddjets.workflow.banks import card_of
from oddjets.workflow.coffea_processor import processor
from oddjets.workflow.combination_validation import coupling_lines
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.keys import key_of, row_selection, rows_keys
from oddjets.workflow.pipeline import run_stages, stage_of, stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_state
from oddjets.workflow.stages import npz
from oddjets.workflow.stages.combined_scores import write_combined_scores

XBB = {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}
OTHER = {"signal": ["btagDeepB"], "background": ["particleNetMD_QCD"]}
OWN = {"xbb": XBB, "other": OTHER}
SCORES = {
    **OWN,
    "any": {"max": ["both", "other"]},
    "both": {"product": ["xbb", "other"], "label": "product"},
    "even": {"product": ["xbb"], "flat_in": {"mass": [60, 120, 240]}},
}
EFFICIENCY = 0.1


def cli(*words: object) -> str:
    """Run a verb; return its exit code, and what it says in one line."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    error = done.exception if isinstance(done.exception, OddjetsError) else None
    assert error is not None or done.exit_code == 0, done.output
    return " ".join(f"{error.exit_code if error else 0} {done.output} {error or ''}".split())


def search_with(file: Path, name: str, out: Path | None = None, **changes: Any) -> RunContext:
    """The same analysis with changes, in the same folder."""
    other = file.with_name(f"{name}.yaml")
    other.write_text(yaml.safe_dump({"extends": file.name, **changes}), encoding="utf-8")
    return RunContext(load_analysis(other), out or file.parent / "out")


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A search with the threshold on a product, up to its histograms and its closure."""
    folder = tmp_path_factory.mktemp("combined")
    threshold = {"score": "both", "efficiency": EFFICIENCY}
    observables = {
        "leading_mass": content()["observables"]["leading_mass"],
        "oddness": {"expression": "score_any_1", "label": "score", "bins": 4, "range": [0, 4]},
    }
    selection = {"triggers": [], "cuts": ["two_jets"]}
    file = toy_search.write(folder, scores=SCORES, threshold=threshold, observables=observables, selection=selection)
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, stages_up_to(run, "closure"))
    return run


def test_a_combination_is_that_of_the_data_of_the_folder(search: RunContext):
    found = {name: event_table.read(search.event_tables, name) for name in ("data", "top")}
    of_data = {n: np.concatenate([found["data"][f"score_{n}_{j}"] for j in (1, 2)]) for n in OWN}
    for table in found.values():
        for j in (1, 2):
            expected = 0.0
            for name, values in of_data.items():
                asked = table[f"score_{name}_{j}"]
                above = (values[None] > asked[:, None]).sum(axis=1)
                equal = (values[None] == asked[:, None]).sum(axis=1)
                expected = expected - np.log10((above + (equal + 1) / 2) / (len(values) + 1))
            assert table[f"score_both_{j}"] == pytest.approx(expected, rel=1e-12)
    assert search.extra("process")["combinations"]["both"] == {
        "how": "product", "of": ["xbb", "other"], "jets": 2 * len(found["data"]["event"]),
    }  # fmt: skip


def test_the_threshold_is_an_efficiency_of_it(search: RunContext):
    data = event_table.read(search.event_tables, "data", ["score_both_1", "score_both_2"])
    lower = np.minimum(data["score_both_1"], data["score_both_2"])
    found = json.loads((search.out / "threshold.json").read_text())
    assert found["value"] == pytest.approx(np.quantile(lower, 1 - EFFICIENCY), rel=1e-12)
    assert found["n_above"] == round(EFFICIENCY * len(lower))
    # jets of signal are odd by the first of the two scores
    top = event_table.read(search.event_tables, "top", ["score_both_1"])
    assert top["score_both_1"].mean() > data["score_both_1"].mean() + 0.1


def test_observables_figures_notebooks_and_the_closure_see_it(search: RunContext):
    artifacts = Artifacts(search.analysis, search.out)
    assert artifacts.histograms.values("SR", "oddness", "data", "D").sum() > 0
    assert score.data(artifacts)["score"]["x"]["edges"][-1] > 2
    assert "shapes_both" in score_shapes.data(artifacts)
    assert {"overlap_even", "overlap_xbb"} <= score_overlap.data(artifacts).keys()
    made = oddjets.Run(search.analysis, search.out).events("data", columns=["score_any_1", "score_even_2"])
    table = event_table.read(search.event_tables, "data")
    assert np.sort(np.asarray(made["score_any_1"])) == pytest.approx(np.sort(table["score_any_1"]))
    closure = json.loads((search.out / "closure.json").read_text())
    assert closure["parts"]["regions"]["SR"]["structural"]["value"] == pytest.approx(1, abs=0.2)


def test_a_new_combination_processes_no_chunk_and_fills_the_histograms_again(search: RunContext, tmp_path: Path):
    out = tmp_path / "out"
    file = toy_search.write(tmp_path, scores=OWN, threshold={"score": "xbb", "efficiency": EFFICIENCY}, fit=None)
    plain = RunContext(load_analysis(file), out)
    run_stages(plain, stages_up_to(plain, "histogram"))
    parts = {part: part.stat().st_mtime_ns for part in sorted((out / "events").glob("*/*.parquet"))}
    assert not (out / "events" / COMBINED_SCORES).exists()
    scores = plain.analysis.scores | {"both": search.analysis.scores["both"]}
    more = RunContext(plain.analysis.model_copy(update={"scores": scores}), out)
    assert rows_keys(more) == rows_keys(plain)
    assert row_selection(more) == row_selection(plain)
    for name in ("process", "histogram"):
        stage = stage_of(more, name)
        assert stage_state(more, stage)[0] == ("stale" if name == "process" else "done")
    assert stage_state(more, stage_of(more, "process"))[1].startswith("configuration: combinations")
    before = key_of(plain, stage_of(plain, "histogram"))
    run_stages(more, [stage_of(more, "process")])
    assert {part: part.stat().st_mtime_ns for part in sorted((out / "events").glob("*/*.parquet"))} == parts
    assert (out / "events" / COMBINED_SCORES).is_file()
    assert key_of(more, stage_of(more, "histogram")) != before
    assert stage_state(more, stage_of(more, "histogram"))[0] == "stale"
    # other components, bins or names are another state; a label is not
    for changed, other in (
        ({"label": "other"}, False),
        ({"product": ("other", "xbb")}, True),
        ({"product": None, "max": ("xbb", "other")}, True),
    ):
        one = more.analysis.scores["both"].model_copy(update=changed)
        again = RunContext(more.analysis.model_copy(update={"scores": scores | {"both": one}}), out)
        assert (key_of(again, stage_of(again, "process")) != key_of(more, stage_of(more, "process"))) is other
        assert rows_keys(again) == rows_keys(more)
    # and without it, its file is gone
    run_stages(plain, [stage_of(plain, "process")])
    assert not (out / "events" / COMBINED_SCORES).exists()
    assert {part: part.stat().st_mtime_ns for part in sorted((out / "events").glob("*/*.parquet"))} == parts


def test_a_file_that_is_gone_is_made_again_and_missed_by_name(search: RunContext, tmp_path: Path):
    run = RunContext(search.analysis, Path(shutil.copytree(search.out, tmp_path / "out")))
    (run.out / "events" / COMBINED_SCORES).unlink()
    assert stage_state(run, stage_of(run, "process"))[0] == "stale"
    for name in ("closure", "histogram"):
        with pytest.raises(InputFileError, match=r"combined_scores.npz: not there, and 'small' has combinations"):
            stage_of(run, name).run(run)
    run_stages(run, [stage_of(run, "process")])
    assert (run.out / "events" / COMBINED_SCORES).read_bytes() == (search.out / "events" / COMBINED_SCORES).read_bytes()


def test_coffeas_runner_sees_no_whole_data(search: RunContext):
    with pytest.raises(
        OddjetsError, match=r"scores.both is made of tail probabilities in all data, and coffea's Runner"
    ):
        processor(search.analysis)


def test_a_bank_has_components_and_is_read_with_the_data_of_the_folder(search: RunContext, tmp_path: Path):
    worker = ChunkWorker(search.resolved.source, search.analysis, (), None, 1).build()
    wanted = columns_for(search.analysis, worker, "top", simulated=True)
    assert {"score_xbb_1", "score_other_2", "mass_1"} <= {*wanted}
    assert not [name for name in wanted if name.startswith(("score_both", "score_any", "score_even"))]
    top = event_table.read(search.event_tables, "top")
    pack(tmp_path / "bank.parquet", [("top", top)], card_of(search), {"top": wanted})
    bank = Bank.open(tmp_path / "bank.parquet")
    (columns,) = bank.tables("top")
    assert "score_both_1" not in columns
    bank = bank.with_combinations(search.analysis, search.event_tables)
    (columns,) = bank.tables("top")
    # numbers of a bank are rounded, and ranks are of 800 jets
    assert np.sort(columns["score_both_1"]) == pytest.approx(np.sort(top["score_both_1"]), rel=2e-2)
    assert bank.card["models"].keys() == OWN.keys()
    models = {**card_of(search)["models"]}
    bank.require_fit(search.analysis, card_of(search), ("top",))
    with pytest.raises(OddjetsError, match="the score 'other' of the bank is another model's"):
        bank.require_fit(search.analysis, {**card_of(search), "models": {**models, "other": "?"}}, ("top",))
    with pytest.raises(InputFileError, match="has combinations of scores"):
        Bank.open(tmp_path / "bank.parquet").with_combinations(search.analysis, tmp_path)


def test_a_closure_on_a_bank_sees_combinations(search: RunContext, tmp_path: Path):
    worker = ChunkWorker(search.resolved.source, search.analysis, (), None, 1).build()
    data = event_table.read(search.event_tables, "data")
    # flavours as simulation has them: a bank keeps them
    data |= {f"flavour_{j}": np.where(data["event"] % (j + 2) == 0, 5.0, 0.0).astype(np.float32) for j in (1, 2)}
    wanted = {"qcd": columns_for(search.analysis, worker, "qcd", simulated=False)}
    file = search.analysis.path
    assert file is not None
    pack(file.with_name("qcd.parquet"), [("qcd", {**data, "weight": np.full(len(data["event"]), 0.1)})],
         {**card_of(search), "simulate": {"seed": 7}}, wanted)  # fmt: skip
    shutil.copytree(search.out, tmp_path / "out")
    run = search_with(file, "banked", tmp_path / "out", closure={"bank": "qcd.parquet"})
    assert run.resolved.why_bank_unused() == ""
    run_stages(run, [stage_of(run, "closure")])
    found = json.loads((run.out / "closure.json").read_text())
    assert found["simulation"] == "simulation of 'qcd' in qcd.parquet"
    lower = np.minimum(data["score_both_1"], data["score_both_2"])
    value = json.loads((run.out / "threshold.json").read_text())["value"]
    counted = sum(sum(found["regions"][region]["observed"]) for region in ("SR", "VR1"))
    inside = (data["mass_1"] >= 60) & (data["mass_1"] < 240)
    luminosity = json.loads((run.out / "cutflow.json").read_text())["luminosity_pb"]
    # an event at the threshold may change its side
    assert counted == pytest.approx(0.1 * luminosity * ((lower >= value) & inside).sum(), abs=0.1 * luminosity * 2.5)
    parts = found["parts"]["regions"]["SR"]
    assert parts["flavours"]["b b"]["share"] > 0
    assert parts["flavour_coupling"]["excess"]["b b"] == pytest.approx(1, abs=0.5)
    said = cli("validate", file.with_name("banked.yaml"))
    assert "has a b tag inside" not in said


def test_templates_alone_have_no_combinations_and_say_so(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    simulate = {"seed": 3, "templates": {"qcd": 10}}
    scores = {**content()["scores"], **OWN, "both": SCORES["both"]}
    analysis = Analysis.model_validate(content(fileset=None, simulate=simulate, scores=scores))
    run = RunContext(analysis, tmp_path / "out")
    assert write_combined_scores(run, {"qcd": {"is_data": False, "rows": 4}}) == {}
    assert "no data, so that both cannot be made here" in capsys.readouterr().err


PLANTED = {"odd": {"column": "prediction"}, "heavy": {"column": "mass"}}


@pytest.fixture(autouse=True)
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant fewer events outside of A: what is looked for is in A."""
    monkeypatch.setattr(planted, "ELSEWHERE", {"B": 250, "C": 250, "D": 800})


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A blind analysis of imported event files with the threshold on a product, flat in bins."""
    scores = {
        **PLANTED,
        "both": {"product": ["odd", "heavy"]},
        "even": {"product": ["odd"], "flat_in": {"mass": [60, 120, 180, 240]}},
    }
    file = planted.write(tmp_path / "in", blind=True, scores=scores, threshold={"score": "both", "efficiency": 0.02})
    assert cli("process", file, "--out", tmp_path / "out").startswith("0 ")
    return file


def test_imported_files_have_combinations_and_a_blind_analysis_stays_blind(imported: Path, tmp_path: Path):
    out = tmp_path / "out"
    said = "".join(cli(verb, imported, "--out", out) for verb in ("histogram", "closure", "workspace"))
    assert planted.found_in(said) == []
    for file in [
        f for f in out.rglob("*") if f.is_file() and f.parent.name != "data" and f.suffix in (".json", ".html")
    ]:
        assert planted.found_in(file.read_text(encoding="utf-8")) == [], file
    made = json.loads((out / "manifests" / "process.json").read_text())["extra"]["combinations"]
    table = event_table.read(out / "events", "data", ["score_both_1", "score_even_1", "mass_1"])
    # how many jets are in a bin of mass is not written: less B, C and D, it would be A
    assert made["even"] == {
        "how": "product", "of": ["odd"], "jets": 2 * len(table["mass_1"]), "bins": 3, "few_jets": [],
    }  # fmt: skip
    assert "threshold" in json.loads((out / "histograms" / "index.json").read_text())


def test_exported_files_have_the_classes_of_the_one_model(imported: Path, tmp_path: Path, monkeypatch: Any):
    run = RunContext(load_analysis(imported), tmp_path / "out", unblind=True)
    with pytest.raises(OddjetsError, match="'both' combines odd, heavy, of which none have a model"):
        npz.export_npz(run, tmp_path / "npz")
    run.resolved.cards["odd"] = Path("card.yaml")
    for name in event_table.datasets(run.out / "events"):
        for part in event_table.parts(run.out / "events", name):
            table = dict(event_table.read(run.out / "events", name))
            for j in (1, 2):
                table |= {f"prob0_odd_{j}": 1 - table[f"score_odd_{j}"], f"prob10_odd_{j}": table[f"score_odd_{j}"]}
            event_table.write_part(part, table, {})
    monkeypatch.setattr(npz, "_kept_probabilities", lambda run, score: [f"prob0_{score}", f"prob10_{score}"])
    files = npz.export_npz(run, tmp_path / "npz")
    assert len(files) == 3
    assert paper_npz.read_file(files[0])[0].shape[1] == 2


VALIDATED = [
    ({"both": {"product": ["xbb", "othr"]}}, "scores.both.product.1: no score 'othr'; did you mean 'other'?"),
    ({"both": {"product": []}}, "scores.both: 'product' combines two scores or more (one with 'flat_in'); 0 given"),
    ({"both": {"min": ["xbb", "both"]}}, "scores.both.min.1: is the score itself"),
    ({"both": {"min": ["xbb", "one"]}, "one": {"mean": ["xbb", "both"]}}, "goes in a circle: "),
    ({"both": {"product": ["xbb"], "flat_in": {"mass": [100, 60]}}}, "'mass' needs two edges or more"),
    ({"both": {"product": ["xbb", "other"]}, "blank": {}}, "scores.blank: give one of 'card'"),
    ({"both": {"product": ["xbb", "blank"]}, "blank": None}, "scores.blank"),
]


@pytest.mark.parametrize(("scores", "said"), VALIDATED)
def test_validate_finds_mistakes_before_files_are_read(scores: dict[str, Any], said: str, tmp_path: Path):
    file = toy_analysis.write(tmp_path, {"data": [tmp_path / "absent.root"]}, scores={**OWN, **scores})
    found = cli("validate", file)
    assert found.startswith("2 ")
    assert said in found


CUT = '''
from oddjets.selection import DijetProcessor, cut

class Early(DijetProcessor):
    @cut
    def odd(self, table):
        """Odd."""
        return table["score_both_1"] > 1
'''


def test_validate_finds_who_reads_a_combination_too_early(tmp_path: Path):
    (tmp_path / "early.py").write_text(CUT, encoding="utf-8")
    file = toy_analysis.write(
        tmp_path,
        {"data": [tmp_path / "absent.root"]},
        scores={**OWN, "both": SCORES["both"], "copy": {"column": "score_both"}},
        processor="early.py:Early",
        selection={"triggers": [], "cuts": ["two_jets", "odd"]},
        systematics=[
            {"name": "mine", "kind": "weight", "correction": {"nominal": "1", "up": "score_both_2 + 1", "down": "1"}}
        ],
        regions={"SR": {"cuts": ["score_both_1 > 1", "odd"]}},
    )
    found = cli("validate", file)
    assert "selection.cuts.1: 'odd' reads 'score_both_1', a combination of scores, which is made of all data" in found
    assert "scores.copy.column: 'score_both' is a combination of scores" in found
    assert "systematics.0.correction: 'score_both_2' is of a combination of scores" in found
    assert "regions.SR" not in found


def test_validate_finds_that_there_are_no_data(tmp_path: Path):
    scores = {**OWN, "both": SCORES["both"]}
    threshold = {"score": "both", "value": 1.0}
    file = toy_analysis.write(tmp_path, {"top": [tmp_path / "absent.root"]}, scores=scores, threshold=threshold)
    why = "scores.both.product: is made of tail probabilities in data, and "
    assert why + "the fileset has no dataset with 'is_data: true'" in cli("validate", file)
    simulated = content(fileset=None, simulate={"templates": {"qcd": 10}}, scores=scores, threshold=threshold)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(simulated), encoding="utf-8")
    assert why + "'simulate' has no 'luminosity', and so no pseudo-data" in cli("validate", tmp_path / "s.yaml")
    planted.write(tmp_path / "npz", blind=False, scores={**PLANTED, "both": {"product": ["odd", "heavy"]}})
    for file in (tmp_path / "npz").glob("*jetht*"):
        file.unlink()
    assert why + f"{tmp_path / 'npz'} has no file of data" in cli("validate", tmp_path / "npz" / "a.yaml")


def test_imported_files_without_data_or_with_a_constant_are_named(tmp_path: Path):
    scores = {**PLANTED, "b": {"column": "btag"}, "both": {"product": ["odd", "b"]}}
    file = planted.write(tmp_path / "in", blind=False, scores=scores)
    said = cli("process", file, "--out", tmp_path / "out")
    assert said.startswith("2 ")
    jets = 2 * sum(sum(counts) for counts in planted.COUNTS.values()) + 2 * 2 * 3 * sum(planted.ELSEWHERE.values())
    assert f"scores.both: its component 'b' has the value 0.5 for all {jets} jets of data, and so ranks none" in said
    (tmp_path / "in" / "outputs_pretrain_l_jetht_dijet.npz").unlink()
    assert "scores.both: is made of tail probabilities in data, and no event of data passes" in cli(
        "process", file, "--out", tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "the fileset has no simulation of 'qcd'"),
        ({"processes": {"qcd": {"data_driven": False}}, "fit": None}, "no process is 'data_driven'"),
    ],
)
def test_validate_warns_of_a_b_tag_without_a_closure_by_flavours(search: RunContext, changes: Any, why: str):
    file = search.analysis.path
    assert file is not None
    run = search_with(file, "warned", **changes)
    said = cli("validate", run.analysis.path)
    assert said.startswith("0 ")
    assert "scores.both: has a b tag inside (xbb, other), which couples the two jets" in said
    assert why in said
    assert said.endswith("3 warnings")


@pytest.mark.parametrize(("templates", "own"), [({"qcd": 10, "top": 10}, True), ({"top": 10}, False)])
def test_the_warning_with_a_bank_says_what_else_measures_the_closure(templates: dict[str, int], own: bool):
    simulate = {"seed": 3, "luminosity": 1, "templates": templates}
    scores = {**content()["scores"], **OWN, "both": SCORES["both"]}
    changes = {"fileset": None, "simulate": simulate, "scores": scores, "closure": {"bank": "qcd.parquet"}}
    (line,) = coupling_lines(Analysis.model_validate(content(**changes)), "")
    assert "the bank has no flavours" in line
    assert line.endswith("with 'closure: null' it is measured on the simulation of 'qcd'") == own


def test_a_b_tag_by_itself_is_warned_of_where_it_has_the_threshold():
    scores = {**content()["scores"], "b": {"column": "btag"}, "trees": {"card": "mine.yaml"}}
    changes = {"fileset": None, "simulate": {"seed": 3, "luminosity": 1, "templates": {"top": 10}}, "scores": scores}

    def said(score: str, read: Any = None) -> list[str]:
        asked = content(**changes, threshold={"score": score, "efficiency": 0.1})
        return coupling_lines(Analysis.model_validate(asked), "", read)

    (line,) = said("b")
    assert line.startswith("scores.b: is a b tag, and has the threshold, which couples the two jets")
    assert said("trees") == said("trees", {"trees": ["mass", "tau3 / tau2"]}) == []
    (line,) = said("trees", {"trees": ["mass", "btag"]})
    assert line.startswith("scores.trees: reads a b tag, which couples")


def test_health_names_b_tags_missing_scores_and_small_bins(search: RunContext):
    artifacts = Artifacts(search.analysis, search.out)
    found = {check.name: check for check in combination_checks(artifacts)}
    assert found["b tags in scores"].status == "watch"
    assert found["b tags in scores"].value == "3 scores, no closure by pair of flavours"
    assert found["Flat scores"].value.startswith("2 bins with fewer than 1")
    assert "even: mass 60 to 120 GeV" in found["Flat scores"].note
    assert "Scores missing" not in found
    artifacts.manifests["process"]["extra"]["missing_scores"] = {"top": {"other": 5, "xbb": 1}}
    (missing,) = [check for check in combination_checks(artifacts) if check.name == "Scores missing"]
    assert missing.value == "6 values"
    assert "top: 5 of other; top: 1 of xbb" in missing.note


@pytest.mark.parametrize(
    ("alone", "coupling", "status", "value"),
    [
        ("inconclusive", (1.02, 0.02), "good", "SR 1.020 ± 0.020"),
        ("closes", (1.27, 0.05), "bad", "SR 1.270 ± 0.050"),
        ("does not close", (1.02, 0.02), "bad", "SR 1.020 ± 0.020"),
        ("closes", (1.2, 0.15), "watch", "SR 1.20 ± 0.15"),
        ("closes", (None, None), "watch", "SR inconclusive"),
    ],
)
def test_health_has_what_flavours_do_to_the_closure(
    search: RunContext, alone: str, coupling: Any, status: str, value: str
):
    """Scores that are independent in events with two b jets say nothing of how many such events there are."""
    artifacts = Artifacts(search.analysis, search.out)
    part = {"share": 0.031, "constant": 1.27, "constant_error": 0.08, "verdict": alone}
    region = artifacts.closure["parts"]["regions"]["SR"]
    region["flavours"], region["flavour_coupling"] = {"b b": part}, dict(zip(("value", "error"), coupling, strict=True))
    check = combination_checks(artifacts)[0]
    assert (check.status, check.value) == (status, value)
    assert "SR c = 1.27 ± 0.08, 3.1 % of the events" in check.note
