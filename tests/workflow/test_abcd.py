"""What ABCD assumes, on the command line: the closure's parts, and fits with structural constants and product cells."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import planted, toy_search
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.io.histograms import HistogramSet
from oddjets.selection.closure_measurement import measure_closure
from oddjets.workflow.pipeline import run_stages, stage_of, stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages import closure as stages_closure

REGIONS = {"SR": {"all": "tau21_low"}, "VR1": {"any": "not tau21_low"}}


@pytest.fixture(scope="module", autouse=True)
def few_pairs():
    """Fewer pairs of jets: the errors are larger, and the tests faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages_closure, "measure_closure", functools.partial(measure_closure, pairs=40_000))
        yield


@pytest.fixture(scope="module")
def search(few_pairs, tmp_path_factory):
    """A finished closure of a product and a union, in files of random jets without simulated QCD."""
    folder = tmp_path_factory.mktemp("abcd")
    changes = {"regions": REGIONS, "threshold": {"score": "xbb", "value": 0.6}}
    file = toy_search.write(folder, selection={"triggers": [], "cuts": ["two_jets"], "tau21_max": 1.0}, **changes)
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, stages_up_to(run, "closure"))
    return file


def with_fit(file: Path, **fit: object) -> Path:
    """The same analysis with another fit, which shares the events."""
    name = "_".join(str(value) for value in fit.values())
    other = file.with_name(f"{name}.yaml")
    other.write_text(yaml.safe_dump({"extends": file.name, "fit": fit}), encoding="utf-8")
    return other


def oddjets(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if code:
        assert isinstance(result.exception, OddjetsError)
        return str(result.exception)
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    return " ".join(result.output.split())


def test_the_closure_knows_products_from_unions_and_where_its_numbers_are_from(search):
    parts = json.loads((search.parent / "out" / "closure.json").read_text())["parts"]
    assert {region: one["kind"] for region, one in parts["regions"].items()} == {"SR": "product", "VR1": "union"}
    assert parts["sources"] == {
        "structural": "data, other processes subtracted",
        "correlation": "data with both scores below the threshold",
    }
    # the scores of random jets know nothing of tau21: the union closes, too
    for one in parts["regions"].values():
        assert abs(one["structural"]["value"] - 1) < 4 * one["structural"]["error"]


def test_mixing_prints_all_regions_from_event_tables_alone(search):
    said = oddjets("mixing", search, "--out", search.parent / "out")
    assert "VR1 (union of both, leading, subleading)" in said
    assert "SR (product)" in said
    assert "c structural (data, other processes subtracted): 0.2 %" in said
    assert "c correlation (data with both scores below the threshold): 2 %" in said
    assert said.count("too few events") == 1
    assert "simulate more QCD, or look at the data below the threshold" in said
    assert "there is no simulation of 'qcd'" in said
    assert "oddjets process" in oddjets("mixing", search, "--out", search.parent / "empty", code=2)


def test_cells_are_filled_fitted_and_shown_as_their_region(search):
    file = with_fit(search, abcd="cells", limit=False, impacts=False, scan=False, goodness_of_fit={"toys": 0})
    run = RunContext(load_analysis(file), search.parent / "out")
    run_stages(run, [stage_of(run, name) for name in ("histogram", "closure", "workspace", "fit")])
    filled = HistogramSet.load(run.out / "histograms")
    cells = ["VR1_both", "VR1_leading", "VR1_subleading"]
    assert filled.regions == ["SR", "VR1", *cells]
    for process, letter in (("data", "A"), ("data", "D"), ("top", "B")):
        for variation in filled.variations[process]:
            parts = [filled.values(cell, "leading_mass", process, letter, variation) for cell in cells]
            whole = filled.values("VR1", "leading_mass", process, letter, variation)
            np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-12)
    workspace = json.loads((run.out / "workspace.json").read_text())
    names = ["SR", *cells]
    assert [c["name"] for c in workspace["channels"]] == [f"{name}_{letter}" for name in names for letter in "ABCD"]
    results = json.loads((run.out / "results.json").read_text())
    assert list(results["yields"]) == ["SR", "VR1"]
    # a saved analysis has the cells; they are made again from it, not twice
    assert list(RunContext(run.analysis, run.out).analysis.regions) == ["SR", "VR1", *cells]


def test_structural_constants_come_from_the_closure(search):
    file = with_fit(search, abcd="structural")
    run = RunContext(load_analysis(file), search.parent / "out")
    run_stages(run, [stage_of(run, name) for name in ("histogram", "closure", "workspace")])
    found = json.loads((run.out / "closure.json").read_text())["parts"]["regions"]["VR1"]["structural"]
    report = json.loads((run.out / "workspace_report.json").read_text())
    assert report["structural"] == {"VR1": {"value": found["value"], "error": found["error"]}}
    (run.out / "closure.json").unlink()
    said = oddjets("workspace", file, "--out", run.out, "--force", code=2)
    assert "closure.json: not there, and fit.abcd: structural needs it; run `oddjets closure` first" in said


def test_histograms_without_the_cells_are_to_be_made_again(search):
    plain = with_fit(search, abcd="as-published")
    run = RunContext(load_analysis(plain), search.parent / "out")
    run_stages(run, [stage_of(run, "histogram")])
    said = oddjets("workspace", with_fit(search, abcd="cells"), "--out", run.out, "--force", code=2)
    assert "fit.abcd: 'cells' needs the histograms of VR1_both, VR1_leading, VR1_subleading" in said
    assert "were made without these cells; run `oddjets histogram` (or `oddjets run`) first" in said


@pytest.mark.parametrize("abcd", ["cells", "structural"])
def test_a_region_that_is_neither_is_refused_where_its_products_are_needed(search, abcd):
    file = search.with_name(f"odd_{abcd}.yaml")
    regions = {"SR": {"cuts": ["jet_mass"]}, "VR1": {"cuts": ["not SR"]}}
    file.write_text(yaml.safe_dump({"extends": search.name, "regions": regions, "fit": {"abcd": abcd}}))
    said = oddjets("validate", file, code=2)
    assert "fit.abcd: region 'SR' is neither a product of cuts on each jet nor a union of such products" in said
    assert "the cut 'jet_mass' reads columns of both jets" in said


def test_a_cell_that_no_list_of_cuts_says_is_refused(search):
    file = search.with_name("several.yaml")
    regions = {"SR": {"all": "tau21_low"}, "VR1": {"any": ["not tau21_low", "mass_high"]}}
    file.write_text(yaml.safe_dump({"extends": search.name, "regions": regions, "fit": {"abcd": "cells"}}))
    said = oddjets("validate", file, code=2)
    assert "region 'VR1': a jet that fails one of not tau21_low, mass_high passes no list of cuts" in said
    assert "declare one @jet_cut that asks all of them" in said


def test_a_cell_must_not_have_the_name_of_a_region(search):
    file = search.with_name("taken.yaml")
    regions = {"VR1_both": {"all": "not tau21_low"}}
    file.write_text(yaml.safe_dump({"extends": search.name, "regions": regions, "fit": {"abcd": "cells"}}))
    said = oddjets("validate", file, code=2)
    assert "region 'VR1': its cell 'both' would be the region 'VR1_both', which there is" in said


@pytest.mark.parametrize("blind", [False, True])
def test_mixing_reads_imported_event_files_and_shows_nothing_of_blinded_data(tmp_path, blind):
    """In the planted files all letters of simulated QCD have as many events: c of the events as they are is 1."""
    file = planted.write(tmp_path / "files", blind=blind)
    oddjets("import-npz", file.parent, "--analysis", file, "--out", tmp_path / "out")
    said = oddjets("mixing", file, "--out", tmp_path / "out")
    at = re.findall(
        r"c of the events as they are \(simulation of 'qcd'\): .*? at ([\d.]+) %: ([\d.]+) ± ([\d.]+)", said
    )
    assert len(at) == 2
    for _, value, error in at:
        assert abs(float(value) - 1) < 4 * float(error)
    assert ("the data in A are blinded" in said) == blind
    if blind:
        assert not planted.found_in(said)


def test_event_tables_that_are_gone_are_named(search, tmp_path):
    out = shutil.copytree(search.parent / "out", tmp_path / "out")
    shutil.rmtree(out / "events")
    for verb in (("mixing",), ("histogram", "--force")):
        assert f"{out / 'events'}: the event tables are gone; run `oddjets process` again" in oddjets(
            *verb, search, "--out", out, code=2
        )
