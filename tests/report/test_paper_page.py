"""`oddjets paper`: six analyses of one sample, and the page that puts their figures beside the paper's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import Analysis
from oddjets.core import provenance
from oddjets.report import registry
from oddjets.report.paper import page
from oddjets.report.paper.claims import Results, compare
from oddjets.workflow import paper
from oddjets.workflow.keys import inputs_of
from oddjets.workflow.paper import SETUPS, analyses
from oddjets.workflow.pipeline import stage_of
from oddjets.workflow.run import RunContext


def figure(out: Path, place: str, **content: Any) -> None:
    """A drawn figure of a set-up: the picture is of one colour, as long as nobody looks."""
    setup, name = place.split("/")
    folder = out / setup / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (880, 814), "white").save(folder / f"{name}.png")
    (folder / f"{name}.json").write_text(json.dumps({"title": name, "alt": f"A picture of {name}.", **content}))


def results(out: Path, setup: str, z: float, **content: Any) -> None:
    (out / setup).mkdir(parents=True, exist_ok=True)
    (out / setup / "results.json").write_text(json.dumps({"significance": {"z": z}, **content}))


def test_all_set_ups_ask_for_one_sample_and_the_same_events(tmp_path: Path) -> None:
    asked = analyses(0.1, ["hh=20"])
    assert [analysis.name for analysis in asked] == list(SETUPS)
    assert len({analysis.simulate.model_dump_json() for analysis in asked}) == 1
    # scores, selection and systematics decide the event tables; files are those of the sample
    parts = [_values(_run_without_files(analysis, tmp_path)) for analysis in asked]
    assert all(part == parts[0] for part in parts)


def _values(run: RunContext) -> Any:
    return inputs_of(run, stage_of(run, "process"))["config"]


def _run_without_files(analysis: Analysis, tmp_path: Path) -> RunContext:
    run = RunContext(analysis, tmp_path)
    # no files and no losses
    run.__dict__["_inspected"] = ({}, [])
    return run


def test_scale_shrinks_the_sample_and_nothing_else() -> None:
    whole, tenth = (analyses(scale, ["hh=20"])[0] for scale in (1.0, 0.1))
    assert tenth.simulate.luminosity == pytest.approx(0.1 * whole.simulate.luminosity)
    assert {p: 10 * n for p, n in tenth.simulate.templates.items()} == whole.simulate.templates
    assert tenth.simulate.inject == whole.simulate.inject == {"hh": 20.0}
    assert tenth.model_copy(update={"simulate": None}) == whole.model_copy(update={"simulate": None})


def test_shared_files_are_links_that_part_when_one_is_replaced(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "events" / "qcd").mkdir(parents=True)
    (source / "events" / "qcd" / "part-0.parquet").write_bytes(b"rows")
    (source / "cutflow.json").write_text("{}")
    for stage in ("simulate", "process"):
        provenance.write_manifest(source, stage, {"key": stage})
    paper.share_events(source, target)
    shared = target / "events" / "qcd" / "part-0.parquet"
    assert shared.samefile(source / "events" / "qcd" / "part-0.parquet")
    assert provenance.read_manifest(target, "process") == {"key": "process"}
    # as later stages write
    other = target / "new"
    other.write_text('{"histogram": 1}')
    other.replace(target / "cutflow.json")
    assert (source / "cutflow.json").read_text() == "{}"
    # a second time there is nothing to do, and what the target has made of it stays
    paper.share_events(source, target)
    assert (target / "cutflow.json").read_text() == '{"histogram": 1}'


def test_a_sample_made_anew_replaces_the_old_one(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    for key in ("old", "new"):
        (source / "events" / key).mkdir(parents=True)
        provenance.write_manifest(source, "process", {"key": key})
        paper.share_events(source, target)
    assert sorted(p.name for p in (target / "events").iterdir()) == ["new", "old"]
    assert provenance.read_manifest(target, "process") == {"key": "new"}


def test_every_figure_of_the_paper_has_an_entry_made_of_figures_that_exist() -> None:
    content = page._figures()
    assert [entry["number"] for entry in content] == list(range(1, 22))
    regions = {analysis.name: analysis.fit.regions for analysis in analyses(1.0, [])}
    for entry in content:
        assert entry["paper"]
        assert entry["differs"]
        for place in entry["ours"]:
            setup, name = place.split("/")
            assert registry.find(name)
            named = re.match(r"(?:postfit|closure)_(\w+?)(?:_[ABCD](?:_background)?)?$", name)
            assert named is None or named[1] in regions[setup], place


def test_the_index_of_nothing_says_what_is_missing_and_how_to_make_it(tmp_path: Path) -> None:
    text = page.write(analyses(1.0, ["hh=20"]), tmp_path).read_text(encoding="utf-8")
    for number in range(1, 22):
        assert f'id="figure-{number}"' in text
    for name in SETUPS:
        assert f"{name} has no report yet: run <code>oddjets paper</code> again" in text


def test_the_index_fetches_nothing_and_links_into_the_reports(tmp_path: Path) -> None:
    figure(tmp_path, "paper_top/closure_SR")
    (tmp_path / "paper_top" / "report.html").write_text("<html></html>")
    text = page.write(analyses(1.0, ["hh=20"]), tmp_path).read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"url\(|@import|fetch\(", text)
    assert 'href="paper_top/report.html#figure-closure_SR"' in text
    assert 'alt="A picture of closure_SR."' in text
    assert "HH(4b) proxy at 20 times" in text


def test_statements_hold_or_do_not(tmp_path: Path) -> None:
    results(tmp_path, "paper_hh", 2.1, poi={"value": 18.0, "error": 9.0})
    results(tmp_path, "paper_hh_split", 3.0)
    results(tmp_path, "paper_hh_btag", 2.9)
    found = Results(tmp_path, {"hh": 20.0})

    def verdicts(number: int) -> list[str]:
        return [statement.verdict for statement in compare(number, found)]

    assert verdicts(8) == ["agrees", "apart"]
    assert compare(8, found)[1].here == "μ = 18.0 ± 9.0; 20 put in"
    assert verdicts(9) == ["agrees"]
    assert verdicts(10) == ["differs"]
    assert verdicts(4) == ["absent"] * 3


@pytest.mark.parametrize(
    ("constant", "error", "verdict"),
    [(0.93, 0.065, "agrees"), (0.5, 0.1, "differs"), (0.0, 1.7, "apart"), (None, None, "apart")],
)
def test_closure_agrees_within_two_errors_that_say_something(
    constant: float | None, error: float | None, verdict: str, tmp_path: Path
) -> None:
    assert [statement.verdict for statement in compare(3, Results(tmp_path, {}))] == ["absent"] * 2
    regions = {region: {"constant": constant, "constant_error": error} for region in ("SR", "VR1")}
    closure(tmp_path, {"process": "qcd", "regions": regions, "scans": []})
    assert {statement.verdict for statement in compare(3, Results(tmp_path, {}))} == {verdict}


def test_closure_is_judged_where_enough_jets_pass(tmp_path: Path) -> None:
    """At the threshold few events are left; a looser one tells more. Data, which hold signals, do not count."""
    tight, loose, data = ({"SR": {"constant": c, "constant_error": e}} for c, e in ((0.0, 1.7), (0.9, 0.2), (2.0, 0.1)))
    scans = [
        {"process": "qcd", "efficiency": 0.1, "regions": loose},
        {"process": "data", "efficiency": 0.05, "regions": data},
    ]
    closure(tmp_path, {"process": "qcd", "regions": tight, "scans": scans})
    told, unknown = compare(3, Results(tmp_path, {}))
    assert (told.verdict, told.here, told.key) == (
        "agrees",
        "c = 0.90 ± 0.20 with 10 % of jets",
        "scans.0.regions.SR.constant",
    )
    assert (unknown.verdict, unknown.here) == ("apart", "too few simulated events")


def closure(folder: Path, content: dict[str, Any]) -> None:
    """Write a closure.json."""
    (folder / "paper_top").mkdir(exist_ok=True)
    (folder / "paper_top" / "closure.json").write_text(json.dumps(content))


def test_controls_are_judged_by_their_worst_bin(tmp_path: Path) -> None:
    def letter(data: list[float]) -> dict[str, Any]:
        return {"data": data, "signal_plus_background": {"total": {"values": [100.0, 100.0]}}}

    for worst, verdict in ((120.0, "agrees"), (140.0, "differs")):
        # A is what the fit is about
        results(tmp_path, "paper_top", 5.0, yields={"SR": {"A": letter([900.0, 0.0]), "B": letter([100.0, worst])}})
        assert [s.verdict for s in compare(15, Results(tmp_path, {}))] == [verdict]


def test_a_word_that_is_no_strength_is_refused() -> None:
    found = CliRunner().invoke(app, ["paper", "--inject", "hh", "--out", "nowhere"])
    assert found.exit_code != 0
    assert "PROCESS=MU" in str(found.exception)
