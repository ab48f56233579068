"""The commands `study null` and `study bank`, on the shipped bank."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.core.resources import find
from oddjets.io.studies import calibration_line, read_null_studies
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import null as null_figure
from oddjets.report.studies import calibration_table, false_alarm_table
from oddjets.study.bank import Bank
from oddjets.workflow.banks import bank_analysis, card_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.studies import _current, _largest_impacts, study_null
from oddjets.workflow.study_events import StudyEvents
from oddjets.workflow.study_options import Options

RUNNER = CliRunner()


def analysis(**changes):
    return load_analysis(find("demo.yaml", "processors"), changes)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A study of the demo, of a few experiments, without its simulation."""
    out = tmp_path_factory.mktemp("study")
    arguments = ["study", "null", "demo.yaml", "--bank", "bank.parquet", "--experiments", "24", "--tail", "0"]
    found = RUNNER.invoke(app, [*arguments, "--nominal-only", "--no-limit", "--workers", "1", "--out", str(out)])
    assert found.exit_code == 0, found.output
    return out, found.output


def test_the_shipped_bank_fits_the_demo():
    file = find("bank.parquet", "datasets")
    assert file.stat().st_size < 8e6
    bank = Bank.open(file)
    run = RunContext(analysis(), Path("nowhere"))
    bank.require_fit(run.analysis, card_of(run))
    assert sum(bank.card["events"].values()) > 100_000
    # neither the demo's events nor its seed: experiments would repeat what is studied
    assert bank.card["simulate"]["seed"] != run.analysis.simulate.seed
    assert bank.card["simulate"]["luminosity"] is None


def test_a_bank_with_the_seed_of_the_analysis_is_said_to_repeat_its_events(tmp_path):
    with console.capture() as captured:
        StudyEvents(RunContext(analysis(simulate={"seed": 2026}), tmp_path), Path("bank.parquet"), None)
    assert "was simulated with the seed of 'demo' itself (2026)" in " ".join(captured.get().split())


def test_a_study_writes_what_it_found(studied):
    out, said = studied
    assert "was simulated with the seed" not in said
    content = json.loads((out / "study" / "null_independent.json").read_text(encoding="utf-8"))
    assert content["experiments"] == 24
    assert content["name"] == "p if ABCD holds"
    assert content["bank"]["file"] == "bank.parquet"
    # without a fit nothing is calibrated
    assert "calibration" not in content
    # SR is a product, and closes by construction; VR1 is a union, and does not
    closure = content["closure_of_source"]
    assert closure["SR"] == pytest.approx(1.0, abs=0.05)
    assert closure["VR1"] < 0.985


def test_the_report_shows_a_study_of_its_workspace(studied, tmp_path):
    out, _ = studied
    artifacts = Artifacts(analysis(), out)
    assert set(artifacts.studies) == {"independent"}
    (figure,) = null_figure.data(artifacts).values()
    null_figure.draw(figure)
    table = false_alarm_table(artifacts)
    assert [cell.text for cell in table.rows[0][:3]] == ["independent", "24", "0"]
    assert calibration_table(artifacts) is None
    # of another workspace, it is not shown
    content = json.loads((out / "study" / "null_independent.json").read_text(encoding="utf-8"))
    seen = {"z": 2.0, "p_value": 0.02, "low": 0.01, "high": 0.03, "experiments_above": 20, "method": "counting"}
    seen |= {"extrapolated": False, "observed_z": 2.1, "p_asymptotic": 0.018, "range": [0.01, 0.05]}
    content["calibration"] = seen | {"truths": {"nominal": seen, "c +1 sigma": seen}}
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "null_independent.json").write_text(json.dumps(content), encoding="utf-8")
    assert set(read_null_studies(tmp_path)) == {"independent"}
    line = calibration_line(content["name"], content["calibration"])
    assert line.startswith(
        "p if ABCD holds: 0.02 [0.01, 0.03], z = 2.00; asymptotic 0.018, z = 2.10; 0.01 to 0.05 over"
    )
    shown = calibration_table(Artifacts(analysis(), tmp_path))
    assert shown.rows[0][0].text == "independent: p if ABCD holds"
    bound = {"p_below": 0.0099, "z_above": 2.33, "level": 0.95, "experiments": 300}
    unknown = seen | {"z": None, "p_value": None, "bound": bound, "range": None, "extrapolated": True}
    content["calibration"] = unknown | {"truths": {"nominal": seen, "c +1 sigma": seen}}
    (folder / "null_independent.json").write_text(json.dumps(content), encoding="utf-8")
    texts = [cell.text for cell in calibration_table(Artifacts(analysis(), tmp_path)).rows[0]]
    assert texts[3:7] == ["< 0.0099", "> 2.33", "not measured: too few experiments", "a bound by counting"]
    # a blind analysis shows no observed significance
    blind = analysis(fit={"blind": True})
    assert calibration_table(Artifacts(blind, tmp_path)) is None
    (tmp_path / "workspace.json").write_text("{}", encoding="utf-8")
    assert not read_null_studies(tmp_path)


@pytest.mark.fault(
    "A study without its results, or with a bank that is too small", "Names what is missing, and the command to run."
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "simulated"}, "no source 'simulated'; did you mean"),
        ({"source": "simulation", "bank": Path("bank.parquet"), "luminosity": 500.0}, "needs 10 times"),
        ({"source": "toys"}, "run `oddjets fit` first"),
        ({"source": "control"}, "no results of the stage 'process'"),
        ({"source": "control", "bank": Path("bank.parquet")}, "--bank: has no meaning with --source control"),
        ({"source": "control", "luminosity": 3.0}, "--luminosity: has no meaning with --source control"),
        ({"source": "toys", "bank": Path("bank.parquet")}, "--bank: has no meaning with --source toys"),
        ({"source": "toys", "luminosity": 40.0}, "--luminosity: has no meaning with --source toys"),
        ({"source": "toys", "tail": 100}, "--tail: has no meaning with --source toys"),
        ({"source": "toys", "bootstrap": True}, "--bootstrap: has no meaning with --source toys"),
        ({"bank": Path("no.parquet")}, "no file 'no.parquet' here or among .* package; did you mean 'bank.parquet'.$"),
        ({"bank": Path(__file__).parent}, "--bank: .*study is a folder; give the file of a bank"),
        ({"bank": Path("bank.parquet"), "luminosity": float("inf")}, "--luminosity: must be above 0 and finite"),
        ({"bank": Path("bank.parquet"), "luminosity": float("nan")}, "--luminosity: must be above 0 and finite"),
        ({}, "no results of the stage 'process'"),
    ],
)
def test_what_is_missing_is_named(tmp_path, options, message):
    run = RunContext(analysis(), tmp_path / "out")
    with pytest.raises(OddjetsError, match=message):
        study_null(run, Options(**options))


def test_a_study_with_other_options_says_what_it_replaces(tmp_path):
    run = RunContext(analysis(), tmp_path / "out")
    plain = {"bank": Path("bank.parquet"), "tail": 0, "limit": False, "truths": False}

    def said(**options):
        with console.capture() as captured:
            study_null(run, Options(**plain, **options))
        return " ".join(captured.get().split())

    first = said(experiments=3)
    assert "warning: 3 experiments say little: the mean of z has an error of 0.58" in first
    assert "replaced" not in first
    assert "replaced" not in said(experiments=3, workers=2)
    other = said(experiments=2, seed=5)
    assert (
        "the study that was there is replaced (experiments 3, now 2; seed 1, now 5); its experiments are kept" in other
    )
    content = json.loads((run.out / "study" / "null_independent.json").read_text(encoding="utf-8"))
    assert content["options"]["seed"] == 5
    assert content["options"]["bank"] == "bank.parquet"


def test_a_bank_cannot_be_a_folder_and_nothing_is_simulated_for_it(tmp_path):
    arguments = ["study", "bank", "demo.yaml", "--file", str(tmp_path), "--seed", "7", "--out", str(tmp_path / "out")]
    found = RUNNER.invoke(app, arguments)
    assert f"--file: {tmp_path} is a folder; give a file, such as {tmp_path / 'bank.parquet'}" in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_a_bank_that_was_stopped_goes_on_with_the_same_command(tmp_path, monkeypatch):
    """Its folder has an analysis with the bank's seed, which is not that of the analysis that it is for."""
    asked = []
    monkeypatch.setattr("oddjets.workflow.pipeline.run_stage", lambda run, stage: asked.append(run.analysis.simulate))
    monkeypatch.setattr("oddjets.workflow.banks.make_bank", lambda run, file, **_: {"qcd": file.write_bytes(b"")})
    file, out = tmp_path / "bank.parquet", tmp_path / "out"
    out.mkdir()
    arguments = ["study", "bank", "demo.yaml", "--file", str(file), "--seed", "7", "--out", str(out)]
    for number in (1000, 2000):
        found = RUNNER.invoke(app, [*arguments, "--generate", f"qcd={number}"])
        assert found.exit_code == 0, found.output
        of = {"analysis": str(find("demo.yaml", "processors")), "laid_over": {"simulate": {"seed": 7}}}
        write_json(out / "analysis.json", of)
    assert [spec.templates["qcd"] for spec in asked] == [1000, 1000, 2000, 2000]
    assert {spec.seed for spec in asked} == {7}


def test_a_region_that_is_no_union_of_products_is_named(tmp_path):
    odd = analysis(regions={"SR": {"cuts": ["two_jets", "jet_mass"]}})
    with pytest.raises(OddjetsError, match="neither a product"):
        study_null(RunContext(odd, tmp_path / "out"), Options(bank=Path("bank.parquet")))


def test_what_no_background_has_is_not_varied_and_named():
    """In the demo the scale is an envelope, toppt and fsr_top act on the signal alone, and lumi moves no events."""
    demo = RunContext(analysis(), Path("nowhere")).analysis
    names = ["scale_top", "fsr_top", "toppt", "lumi", "jes", "fsr_wjets", "pu"]
    with console.capture() as captured:
        assert _largest_impacts(demo, {"impacts": [{"name": n} for n in names]}) == ("jes", "fsr")
    said = " ".join(captured.get().split())
    assert "scale_top (an envelope" in said
    assert "fsr_top, toppt (on the signal alone" in said
    assert "lumi (no systematic" in said


def test_a_blind_analysis_can_be_studied(tmp_path):
    blind = analysis(fit={"blind": True})
    options = Options(bank=Path("bank.parquet"), experiments=4, tail=0, limit=False, truths=False)
    found = study_null(RunContext(blind, tmp_path / "out"), options)
    assert found["experiments"] == 4


def test_the_simulation_of_a_bank_has_its_seed_and_no_pseudo_data():
    made = bank_analysis(analysis(), 2026, ["qcd=100", "top=7"])
    assert made.simulate.seed == 2026
    assert made.simulate.luminosity is None
    assert made.simulate.templates["qcd"] == 100
    assert made.simulate.templates["top"] == 7
    with pytest.raises(OddjetsError, match="'qdc=3' is not of the form"):
        bank_analysis(analysis(), 2, ["qdc=3"])
    with pytest.raises(OddjetsError, match="--seed: 1 is the seed of 'demo' itself"):
        bank_analysis(analysis(), 1, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bank", "demo.yaml", "--file", "b.parquet", "--generate", "qcd=3"], "nothing is simulated without --seed"),
        (["bank", "demo.yaml", "--file", "b.parquet", "--seed", "3"], "needs a folder of its own"),
        (["null", "demo.yaml", "--luminosity", "0"], "must be above 0"),
        (["null", "demo.yaml", "--luminosity", "-3"], "must be above 0"),
    ],
)
def test_options_that_do_not_go_together(arguments, message):
    found = RUNNER.invoke(app, ["study", *arguments])
    assert message in str(found.exception)


def test_product_cells_close_where_their_union_does_not(tmp_path):
    """VR1 in its product cells, with merged bins: each cell of independent jets closes."""
    cells = analysis(fit={"abcd": "cells"})
    options = Options(bank=Path("bank.parquet"), experiments=8, tail=0, limit=False, truths=False)
    found = study_null(RunContext(cells, tmp_path / "out"), options)
    closure = found["closure_of_source"]
    assert set(closure) == {"SR", "VR1_both", "VR1_leading", "VR1_subleading"}
    assert all(c == pytest.approx(1.0, abs=0.03) for c in closure.values())
    assert found["failed"] == 0


def test_results_without_a_stage_before_them_say_what_makes_it(tmp_path):
    """After the fit by its own command, without `closure`: the fit alone again would not be up to date either."""
    file = tmp_path / "results.json"
    file.write_text('{"mu": 1}', encoding="utf-8")
    with pytest.raises(OddjetsError, match=r"results\.json: is out of date .* `oddjets run` again, which also runs"):
        _current(RunContext(analysis(), tmp_path), "fit", file)
