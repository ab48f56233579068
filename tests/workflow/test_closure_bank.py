"""The closure on simulation from a bank, what the fit says of it, and banks that are of other events."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import toy_search
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.io import event_table
from oddjets.selection.closure_measurement import measure_closure
from oddjets.study.bank import columns_for, pack
from oddjets.workflow.banks import card_of
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.pipeline import run_stages, stage_of, stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_state
from oddjets.workflow.stages import closure as stages_closure

REGIONS = {"SR": {"all": "tau21_low"}, "VR1": {"any": "not tau21_low"}}
QUICK = {"limit": False, "impacts": False, "scan": False, "goodness_of_fit": {"toys": 0}}
THRESHOLD, TAU21_MAX = 0.6, 1.0


@pytest.fixture(scope="module", autouse=True)
def few_pairs():
    """Fewer pairs of jets: the errors are larger, and the tests faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages_closure, "measure_closure", functools.partial(measure_closure, pairs=20_000))
        yield


@pytest.fixture(scope="module")
def search(few_pairs, tmp_path_factory):
    """Histograms of a search without simulated QCD, and a bank that has its data, ten times, as QCD."""
    folder = tmp_path_factory.mktemp("bank")
    changes = {"regions": REGIONS, "threshold": {"score": "xbb", "value": THRESHOLD}}
    file = toy_search.write(folder, selection={"triggers": [], "cuts": ["two_jets"], "tau21_max": TAU21_MAX}, **changes)
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    data = event_table.read(run.event_tables, "data")
    many = {name: np.repeat(values, 10) for name, values in data.items()}
    many["weight"] = np.full(len(many["event"]), 0.1 / run.luminosity_pb)
    wanted = {"qcd": columns_for(run.analysis, processor, "qcd", simulated=False)}
    pack(folder / "more.parquet", [("qcd", many)], {**card_of(run), "simulate": {"seed": 7}}, wanted)
    return file, data


def with_bank(file: Path, name: str, bank: str = "more.parquet", **changes: object) -> RunContext:
    other = file.with_name(f"{name}.yaml")
    content = {"extends": file.name, "closure": {"bank": bank}, **changes}
    other.write_text(yaml.safe_dump(content), encoding="utf-8")
    return RunContext(load_analysis(other), file.parent / "out")


def run_to(run: RunContext, *stages: str) -> None:
    run_stages(run, [stage_of(run, name) for name in stages])


def read(run: RunContext, name: str) -> dict:
    return json.loads((run.out / name).read_text())


def test_the_closure_counts_the_events_of_the_bank(search):
    file, data = search
    run = with_bank(file, "counted")
    run_to(run, "closure")
    found = read(run, "closure.json")
    assert found["simulation"] == "simulation of 'qcd' in more.parquet"
    assert set(found["parts"]["sources"].values()) == {"simulation of 'qcd' in more.parquet"}
    assert "note" not in found
    # the letters of the data, by hand; each event of the bank weighs a tenth and is there ten times
    low = (data["tau21_1"] < TAU21_MAX) & (data["tau21_2"] < TAU21_MAX)
    edges = run.analysis.binning("leading_mass", "SR")
    passed = (data["score_xbb_1"] >= THRESHOLD) & (data["score_xbb_2"] >= THRESHOLD)
    inside = (data["mass_1"] >= edges[0]) & (data["mass_1"] < edges[-1])
    for region, mask in (("SR", low), ("VR1", ~low)):
        counted = sum(found["regions"][region]["observed"])
        # numbers of a bank are rounded: an event may change its bin or its side
        assert counted == pytest.approx((mask & passed & inside).sum(), abs=1.5)
    for region in REGIONS:
        assert found["uncertainty"][region]["size"] > 0


def test_the_significance_with_the_closures_uncertainty_is_that_of_a_fit_that_has_it(search):
    file, _ = search
    run = with_bank(file, "without", fit=QUICK)
    run_to(run, "closure", "workspace", "fit")
    results = read(run, "results.json")
    beside = results["significance"]["with_closure_uncertainty"]
    known = read(run, "closure.json")["uncertainty"]
    assert beside["sizes"] == {region: known[region]["size"] for region in REGIONS}
    assert results["if_abcd_holds"][-1] == "the fit has no closure uncertainty"
    run = with_bank(file, "with", fit={**QUICK, "closure_uncertainty": True})
    run_to(run, "closure", "workspace", "fit")
    other = read(run, "results.json")
    assert other["significance"]["z"] == pytest.approx(beside["z"], abs=1e-4)
    assert "with_closure_uncertainty" not in other["significance"]
    assert "the fit has no closure uncertainty" not in other["if_abcd_holds"]


def test_the_command_says_if_abcd_holds_and_the_significance_beside(search):
    file, _ = search
    run = with_bank(file, "said", fit=QUICK)
    run_to(run, "closure", "workspace")
    found = CliRunner().invoke(app, ["fit", str(run.analysis.path), "--out", str(run.out), "--force"])
    assert found.exit_code == 0, found.output
    said = " ".join(found.output.split())
    assert "this is so if ABCD holds: " in said
    assert "the fit has no closure uncertainty" in said
    assert "significance with a closure uncertainty of " in said


def test_a_bank_of_other_cuts_is_left_out_and_it_is_said_why(search):
    file, _ = search
    selection = {"triggers": [], "cuts": ["two_jets"], "tau21_max": 0.9}
    run = with_bank(file, "other", selection=selection)
    run = RunContext(run.analysis, file.parent / "other")
    run_to(run, "process", "histogram", "closure")
    found = read(run, "closure.json")
    (note,) = [note for note in found["parts"]["notes"] if "more.parquet" in note]
    assert "made with other cuts" in note
    assert note.endswith("the closure is measured on the simulation of the analysis itself")
    assert "simulation" not in found


def test_the_closure_is_stale_where_the_bank_is_another(search):
    file, _ = search
    run = with_bank(file, "first")
    run_to(run, "closure")
    assert stage_state(run, stage_of(run, "closure"))[0] == "done"
    plain = RunContext(load_analysis(file), run.out)
    assert stage_state(plain, stage_of(plain, "closure"))[0] == "stale"


@pytest.mark.parametrize(
    ("bank", "says"),
    [
        ("bonk.parquet", r"absent.yaml: 1 error\n  closure.bank: no file 'bonk.parquet'.*bank.parquet"),
        ("garbage.parquet", "closure.bank: .*garbage.parquet: cannot be read as a bank"),
        ("fileset.json", "closure.bank: .*fileset.json: cannot be read as a bank"),
        ("", "closure.bank: no file ''"),
    ],
)
def test_a_bank_that_cannot_be_read_is_an_error_before_anything_is_done(search, bank, says):
    file, _ = search
    file.with_name("garbage.parquet").write_bytes(b"no parquet" * 100)
    with pytest.raises(ConfigError, match=says):
        with_bank(file, "absent", bank)


@pytest.mark.parametrize(
    ("process", "card", "says"),
    [
        ("qcd", {"simulate": {"seed": 7}}, ""),
        ("qcd", {"selection": {}}, "with other cuts"),
        ("qcd", {"era": "2016UL"}, "is of era '2016UL'"),
        ("qcd", {"models": {}}, "has no score 'xbb'"),
        ("qcd", {"models": {"xbb": "another"}}, "another model's"),
        ("top", {}, "has no events of 'qcd'"),
    ],
)
def test_validate_says_that_a_bank_is_not_used(search, process, card, says):
    file, data = search
    plain = RunContext(load_analysis(file), file.parent / "out")
    own = card_of(plain)
    other = {
        key: {} if value == {} else {**own[key], **value} if key == "models" else value for key, value in card.items()
    }
    pack(file.with_name("this.parquet"), [(process, data)], {**own, **other}, {process: list(data)})
    said = CliRunner().invoke(app, ["validate", str(with_bank(file, "unused", "this.parquet").analysis.path)])
    assert said.exit_code == 0, said.output
    assert ("closure.bank: " in said.output) == bool(says)
    assert says in " ".join(said.output.split())
