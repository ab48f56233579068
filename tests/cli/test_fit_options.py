"""Options of `fit`, and of verbs beside it: each is honoured, or refused with a sentence; none is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.analyses import content
from helpers.small_fit import make_analysis, make_histograms
from typer.testing import CliRunner, Result

from oddjets.cli.main import app
from oddjets.cli.options import make_run
from oddjets.core import provenance
from oddjets.stats.workspace import build
from oddjets.workflow.keys import key_of
from oddjets.workflow.pipeline import stage_of
from oddjets.workflow.stage_states import is_done

FILESET = {
    "data": {"files": ["d.root"], "metadata": {"process": "data", "is_data": True, "era": "simulation"}},
}
#: nothing is asked but what the options ask
QUIET = {"limit": False, "impacts": False, "scan": False, "goodness_of_fit": {"toys": 0}}


@pytest.fixture
def analysis(tmp_path: Path) -> Path:
    """An analysis whose workspace is there; its fit asks for nothing."""
    data = content()
    data["fit"] |= {**QUIET, "scale_factor": {"processes": ["wjets"]}}
    (tmp_path / "fileset.json").write_text(json.dumps(FILESET))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    out = tmp_path / "out"
    out.mkdir()
    workspace, report = build(make_analysis(scale_factor={"processes": ["wjets"]}), make_histograms())
    (out / "workspace.json").write_text(json.dumps(workspace))
    run = make_run(tmp_path / "a.yaml", out)
    key = key_of(run, stage_of(run, "workspace"))
    provenance.write_manifest(
        out, "workspace", {"stage": "workspace", "key": key, "extra": {"report": report}, "time_s": 1.0}
    )
    return tmp_path / "a.yaml"


def fit(analysis: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["fit", str(analysis), "--out", str(analysis.parent / "out"), *options])


def results(analysis: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((analysis.parent / "out" / "results.json").read_text())
    return found


def test_what_the_yaml_does_not_ask_is_not_answered(analysis: Path) -> None:
    assert fit(analysis).exit_code == 0
    assert not {"limit", "impacts", "scan", "gof"} & set(results(analysis))


def test_every_question_of_the_command_line_is_answered(analysis: Path) -> None:
    options = ("--poi", "sf", "--limit", "--impacts", "--scan", "jes", "--toys", "12", "--seed", "5")
    done = fit(analysis, *options, "--gof", "8", "--gof-channels", "A, D", "--gof-model", "background")
    assert done.exit_code == 0, done.output
    found = results(analysis)
    assert found["poi"]["name"] == "sf"
    assert found["scan"]["name"] == "jes"
    assert found["significance"]["toys"]["toys"] == 12
    assert found["limit"]["toys"]["toys"] == 12
    assert found["seed"] == 5
    gof = found["gof"]
    assert (gof["toys"], gof["letters"], gof["model"]) == (8, ["A", "D"], "background")
    assert found["impacts"]
    # and what was asked is known to the folder
    laid_over = json.loads((analysis.parent / "out" / "analysis.json").read_text())["laid_over"]["fit"]
    assert (laid_over["tested"], laid_over["toys"], laid_over["scan"]) == ("sf", 12, "jes")


@pytest.mark.slow
def test_the_yaml_can_ask_for_toys_and_for_the_same_as_the_options(analysis: Path) -> None:
    assert fit(analysis, "--toys", "12", "--limit", "--scan", "sf").exit_code == 0
    by_options = results(analysis)
    data = yaml.safe_load(analysis.read_text())
    data["fit"] |= {"toys": 12, "limit": True, "scan": "sf"}
    analysis.write_text(yaml.safe_dump(data))
    # the same key: it is up to date
    assert fit(analysis).exit_code == 0
    assert results(analysis) == by_options


def test_another_question_makes_the_fit_run_again_and_nothing_before_it(analysis: Path) -> None:
    out = analysis.parent / "out"
    plain, asked = make_run(analysis, out), make_run(analysis, out, fit_options={"toys": 5, "seed": 3, "poi": "sf"})
    assert key_of(plain, stage_of(plain, "fit")) != key_of(asked, stage_of(asked, "fit"))
    for stage in ("workspace", "closure"):
        assert key_of(plain, stage_of(plain, stage)) == key_of(asked, stage_of(asked, stage))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gof-channels", "A"], "--gof-channels: no goodness of fit is asked for; give --gof N too"),
        (["--gof-model", "signal"], "--gof-model: no goodness of fit is asked for"),
        (["--seed", "3"], "--seed: no toys are asked for"),
        (["--gof", "0", "--gof-channels", "A"], "--gof-channels: no goodness of fit is asked for"),
        (["--gof", "5", "--gof-channels", "Q"], "--gof-channels: input should be 'A', 'B', 'C' or 'D' (got 'Q')"),
        (["--gof", "5", "--gof-channels", ""], "--gof-channels: input should be 'A', 'B', 'C' or 'D' (got '')"),
        (
            ["--gof", "5", "--gof-model", "sginal"],
            "--gof-model: input should be 'background' or 'signal' (got 'sginal')",
        ),
        (["--poi", "muu"], "no parameter 'muu'; did you mean 'mu'?"),
        (["--scan", "jess"], "no parameter 'jess'; did you mean 'jes'?"),
    ],
)
def test_what_makes_no_sense_is_refused(analysis: Path, options: list[str], message: str) -> None:
    assert message in str(fit(analysis, *options).exception)
    assert not (analysis.parent / "out" / "results.json").exists()


@pytest.mark.parametrize("options", [["--poi", "muu"], ["--scan", "jess"]])
def test_a_mistyped_parameter_leaves_a_finished_fit_as_it_is(analysis: Path, options: list[str]) -> None:
    assert fit(analysis).exit_code == 0
    before, manifest = results(analysis), provenance.read_manifest(analysis.parent / "out", "fit")
    assert manifest is not None
    assert "no parameter" in str(fit(analysis, *options).exception)
    assert provenance.read_manifest(analysis.parent / "out", "fit") == manifest
    assert results(analysis) == before
    run = make_run(analysis, analysis.parent / "out")
    assert is_done(run, stage_of(run, "fit"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gof-channels", "A"], "give --gof N too"),
        (["--gof-model", "background"], "give --gof N too"),
        (["--seed", "3"], "--seed: no toys are asked for"),
        (["--unblind"], "--unblind: applies to an analysis only"),
    ],
)
def test_options_that_say_nothing_of_a_workspace_are_refused(
    analysis: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    workspace = str(analysis.parent / "out" / "workspace.json")
    done = CliRunner().invoke(app, ["fit", workspace, "--out", str(tmp_path / "other"), *options])
    assert message in str(done.exception)


def test_a_blinded_workspace_is_not_fitted_as_an_unblinded_one(analysis: Path) -> None:
    manifest = provenance.read_manifest(analysis.parent / "out", "workspace")
    assert manifest is not None
    manifest["extra"]["report"]["blinded"] = ["SR"]
    provenance.write_manifest(analysis.parent / "out", "workspace", manifest)
    assert "run `oddjets workspace` with --unblind first" in str(fit(analysis, "--unblind").exception)


def test_a_folder_is_not_fitted_but_what_is_in_it(analysis: Path) -> None:
    done = CliRunner().invoke(app, ["fit", str(analysis.parent / "out")])
    assert "out: is a folder; give ANALYSIS.yaml, or the WORKSPACE.json in it" in str(done.exception)


def test_a_workspace_is_fitted_anew_without_force(analysis: Path) -> None:
    done = CliRunner().invoke(app, ["fit", str(analysis.parent / "out" / "workspace.json"), "--force"])
    assert "--force: " in str(done.exception)


def test_status_of_a_folder_has_no_other_folder(analysis: Path) -> None:
    out = str(analysis.parent / "out")
    assert "--out: " in str(CliRunner().invoke(app, ["status", out, "--out", "elsewhere"]).exception)


@pytest.mark.parametrize("options", [["--workers", "2"], ["--executor", "futures"], ["--skip-bad-files"]])
def test_event_files_of_the_authors_have_no_workers(tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(app, ["process", "paper_zenodo.yaml", "--out", str(tmp_path), *options])
    assert "files are read " in str(done.exception)


def test_a_model_that_has_no_files_is_a_message(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import-npz", str(tmp_path), "--model", "xl", "--out", str(tmp_path / "out")])
    assert str(done.exception).startswith("--model: input should be 's', 'm' or 'l' (got 'xl')")


def test_a_prediction_of_a_simulation_forces_nothing() -> None:
    done = CliRunner().invoke(app, ["simulate", "demo_small.yaml", "--dry-run", "--force"])
    assert "--force has no effect with --dry-run" in str(done.exception)
