"""Blind analyses: no verb, file or function shows the data in A, and what opens them is said and recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import planted
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.core.blinding_history import format_time
from oddjets.core.errors import BlindedError
from oddjets.io import event_table, paper_npz
from oddjets.io.histograms import DATA, HistogramSet
from oddjets.report import figure_files, health, html, registry
from oddjets.report.artifacts import Artifacts
from oddjets.stats import workspace as workspaces
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages import npz

#: the events themselves: what is hidden is what is made of them
RAW = ("events",)
#: every verb that reads what others left, in order
VERBS = ("histogram", "closure", "workspace", "fit", "plot", "report")
PICTURE = b"\x89PNG"


def _figure(folder: Path, name: str, data: dict[str, Any], reuse: bool = False) -> list[Path]:
    """A figure's numbers without its picture: drawing takes long, and no number is searched for in a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{data['name']}.{suffix}" for suffix in ("json", "png", "pdf")]
    files[0].write_text(json.dumps(data), encoding="utf-8")
    for file in files[1:]:
        file.write_bytes(PICTURE)
    return files


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_files, "write_figure", _figure)
    monkeypatch.setattr(
        html, "embed", lambda kind, data, png: html.EmbeddedFigure(
            data["name"], data["title"], data["alt"], data["caption"], data["sources"], {}, "", 1, 1
        )
    )  # fmt: skip


def run(*words: str | Path) -> str:
    """Run a verb; return what it says."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def leaks(folder: Path) -> dict[str, list[str]]:
    """Return the files below a folder that have numbers of the data in A, but for the event tables."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.relative_to(folder).parts[0] not in RAW:
            numbers = planted.found_in(file.read_text(encoding="utf-8", errors="replace"))
            if numbers:
                found[str(file.relative_to(folder))] = numbers
    return found


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    """The YAML of a blind analysis, its event files imported."""
    file = planted.write(tmp_path / "in", blind=True)
    run("process", file, "--out", tmp_path / "out")
    return file


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def reblind(file: Path, blind: bool) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"blind: \w+", f"blind: {str(blind).lower()}", text), encoding="utf-8")


@pytest.fixture
def never_blind(tmp_path: Path) -> Path:
    """The YAML of an analysis that hides nothing, its event files imported."""
    file = planted.write(tmp_path / "in", blind=False)
    run("process", file, "--out", tmp_path / "out")
    return file


@pytest.mark.slow
def test_the_search_finds_what_is_not_blinded(never_blind: Path, out: Path) -> None:
    said = "".join(run(verb, never_blind, "--out", out) for verb in VERBS)
    found = leaks(out)
    assert {"histograms/SR.leading_mass.json", "results.json", "workspace.json", "threshold.json"} <= found.keys()
    assert {"figures/regions.json", "figures/kde_masses.json", "report.html"} <= found.keys()
    assert not planted.found_in(said)
    assert not (out / "blinding.json").exists()


def test_no_verb_shows_the_data_in_a(blind: Path, out: Path) -> None:
    said = ""
    for verb in VERBS:
        words = ["--combine"] if verb == "workspace" else []
        said += run(verb, blind, "--out", out, *words)
        assert leaks(out) == {}, verb
    said += run("validate", blind) + run("run", blind, "--out", out) + run("clean", out) + run("status", out)
    assert leaks(out) == {}
    assert planted.found_in(said) == []
    assert "blinded in SR, VR1: the data in A are the expected background" in said
    assert "data in A: blinded since" in said
    results = json.loads((out / "results.json").read_text())
    assert results["blinded"] == ["SR", "VR1"]
    page = (out / "report.html").read_text()
    assert "Letter A is blinded" in page
    assert "data events have both scores above" not in page


def test_data_elsewhere_are_all_there(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    found = HistogramSet.load(out / "histograms")
    for letter, count in planted.ELSEWHERE.items():
        assert found.values("SR", "leading_mass", DATA, letter).tolist() == [count] * 3
    assert found.values("SR", "leading_mass", "top", "A").tolist() == [30, 100, 30]


def test_closure_below_the_threshold_is_that_of_an_open_analysis(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    run("closure", blind, "--out", out)
    hidden = json.loads((out / "closure.json").read_text())
    reblind(blind, False)
    run("histogram", blind, "--out", out)
    run("closure", blind, "--out", out)
    seen = json.loads((out / "closure.json").read_text())
    for scan in (*hidden["scans"], *seen["scans"]):
        scan.pop("efficiency")
    parts = [found.pop("parts")["regions"] for found in (hidden, seen)]
    # follows the parts, which are of simulation where data are blinded
    for found in (hidden, seen):
        assert found.pop("uncertainty").keys() == {"SR", "VR1"}
    assert hidden == seen
    # the working point's efficiency is that of data in one, of simulation in the other
    for one, other in zip(*(found.values() for found in parts), strict=True):
        for part in ("structural", "correlation"):
            assert one["control"][part]["values"] == other["control"][part]["values"]
    assert any(scan["process"] == DATA for scan in seen["scans"])


def test_functions_refuse_the_data_in_a(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    found = HistogramSet.load(out / "histograms")
    with pytest.raises(BlindedError, match=r"are blinded; `oddjets histogram ANALYSIS\.yaml --unblind`"):
        found.values("SR", "leading_mass", DATA, "A")
    with pytest.raises(BlindedError):
        found.variances("VR1", "leading_mass", DATA, "A")
    assert found.histograms["SR", "leading_mass"][DATA, "A", "nominal", :].sum(flow=True).value == 0
    open_analysis = load_analysis(blind).unblinded()
    with pytest.raises(BlindedError):
        workspaces.build(open_analysis, found)


@pytest.mark.slow
def test_open_results_of_an_analysis_that_is_blind_now_are_not_shown(blind: Path, out: Path) -> None:
    reblind(blind, False)
    run("run", blind, "--out", out)
    reblind(blind, True)
    # the figures of before are taken away, and none is drawn of the results or the histograms of before
    run("plot", blind, "--out", out)
    assert {file for file in leaks(out) if file.startswith("figures/")} == set()
    run("report", blind, "--out", out)
    assert "report.html" not in leaks(out)
    assert "the analysis is blind, so it is not shown" in (out / "report.html").read_text()
    done = CliRunner().invoke(app, ["fit", str(blind), "--out", str(out)])
    assert isinstance(done.exception, BlindedError)
    done = CliRunner().invoke(app, ["plot", str(blind), "postfit", "--out", str(out)])
    assert isinstance(done.exception, BlindedError)
    artifacts = Artifacts(load_analysis(blind), out)
    with pytest.raises(BlindedError):
        _ = artifacts.results
    with pytest.raises(BlindedError):
        artifacts.histograms.values("SR", "leading_mass", DATA, "A")
    run("run", blind, "--out", out)
    assert leaks(out) == {}


@pytest.mark.parametrize(
    "verb", ["fit", *(pytest.param(verb, marks=pytest.mark.slow) for verb in ("workspace", "plot", "report", "run"))]
)
def test_unblinding_fills_the_data_in_is_said_and_recorded(blind: Path, out: Path, verb: str) -> None:
    run("run", blind, "--out", out)
    said = run(verb, blind, "--out", out, "--unblind")
    assert "--unblind: the data in A are shown" in said
    assert "the data in A are unblinded by --unblind" in said
    expected = [*planted.COUNTS["SR"]]
    assert HistogramSet.load(out / "histograms").values("SR", "leading_mass", DATA, "A").tolist() == expected
    observed = {o["name"]: o["data"] for o in json.loads((out / "workspace.json").read_text())["observations"]}
    assert observed["SR_A"] == expected
    acts = json.loads((out / "blinding.json").read_text())["history"]
    assert [act["state"] for act in acts] == ["blinded", "unblinded"]
    assert acts[-1]["by"] == "--unblind"
    manifest = json.loads((out / "manifests" / "histogram.json").read_text())
    assert manifest["extra"]["blinding"] == acts[-1]
    if verb != "workspace":
        results = json.loads((out / "results.json").read_text())
        assert results["yields"]["SR"]["A"]["data"] == expected
        assert results["unblinded"] == acts[-1]
        assert "blinded" not in results
    if verb in ("report", "run"):
        page = (out / "report.html").read_text()
        assert "unblinded" in page
        assert acts[-1]["on"].replace("T", " ")[:16] in page
    # the next verb without the option is blind again
    run("report", blind, "--out", out)
    assert "report.html" not in leaks(out)


@pytest.mark.slow
def test_a_yaml_that_is_blind_no_more_unblinds(blind: Path, out: Path) -> None:
    run("run", blind, "--out", out)
    reblind(blind, False)
    # what is there hides the data still
    run("plot", blind, "--out", out)
    assert leaks(out) == {}
    said = run("run", blind, "--out", out)
    assert "the data in A are unblinded by fit.blind: false in a.yaml" in said
    assert "by fit.blind" not in run("run", blind, "--out", out)
    acts = json.loads((out / "blinding.json").read_text())["history"]
    assert [(act["state"], act["by"]) for act in acts] == [
        ("blinded", "fit.blind: true in a.yaml"),
        ("unblinded", "fit.blind: false in a.yaml"),
    ]
    line = next(c for c in health.health_checks(Artifacts(load_analysis(blind), out)) if c.name == "Data in A")
    assert (line.status, line.value) == ("watch", "unblinded")
    assert "fit.blind: false in a.yaml" in line.note
    assert "report.html" in leaks(out)


def test_every_figure_of_a_blind_analysis_has_no_number_of_a(blind: Path, out: Path) -> None:
    analysis = load_analysis(blind)
    whole = RunContext(analysis.unblinded(), out)
    run_stages(whole, [stage_of(whole, name) for name in ("histogram", "closure", "workspace", "fit")])
    # histograms and results with the data in A, and an analysis that says blind: nothing is passed on
    artifacts = Artifacts(analysis, out)
    for kind in registry.KINDS.values():
        if all(artifacts.has(need) for need in kind.needs):
            assert planted.found_in(json.dumps(kind.data(artifacts))) == [], kind.name
    assert not artifacts.has("results")
    table = artifacts.table(["score_odd_1", "score_odd_2"])["data"]
    assert np.minimum(table["score_odd_1"], table["score_odd_2"]).max() < planted.THRESHOLD
    (out / "histograms" / "index.json").unlink()
    assert "data" not in Artifacts(analysis, out).table(["mass_1"])


#: no picture in a report has blanks, so it is there only if it was left
EARLIER = "data in A, written before"


@pytest.mark.slow
def test_whatever_verb_is_blind_first_removes_what_showed_the_data(never_blind: Path, out: Path) -> None:
    run("histogram", never_blind, "--out", out)
    reblind(never_blind, True)
    shown = [f"figures/postfit_SR_A.{suffix}" for suffix in ("json", "png", "pdf")]
    shown += ["datacard.txt", "shapes.root", "report.html", "npz/outputs_pretrain_s_jetht_dijet.npz"]
    words = (["process"], ["histogram"], ["closure"], ["workspace"], ["fit"], ["run"], ["report"])
    for verb, *names in (*words, ["plot"], ["plot", "scan"], ["plot", "postfit_SR_A", "bump"], ["export-npz"]):
        (out / "blinding.json").unlink(missing_ok=True)
        for name in (*shown, "figures/mine.png"):
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text(EARLIER)
        to = ["--to", str(out / "npz")] if verb == "export-npz" else []
        said = CliRunner().invoke(app, [verb, str(never_blind), *names, "--out", str(out), *to]).output
        left = [
            name for name in shown if (out / name).is_file() and EARLIER in (out / name).read_text(errors="replace")
        ]
        assert left == [], (verb, names)
        assert (out / "figures/mine.png").is_file()
        assert "the data in A are blinded now: removed" in said.replace("\n", " "), verb
        # once
        (out / "datacard.txt").write_text(EARLIER)
        run("process", never_blind, "--out", out)
        assert (out / "datacard.txt").is_file()


def test_what_was_open_before_it_was_blind_stays_on_the_record(never_blind: Path, out: Path) -> None:
    run("histogram", never_blind, "--out", out)
    finished = json.loads((out / "manifests/histogram.json").read_text())["finished"]
    reblind(never_blind, True)
    run("run", never_blind, "--out", out)
    before, blinded = json.loads((out / "blinding.json").read_text())["history"]
    assert before == {"state": "open before", "on": finished, "by": "what histogram left"}
    assert blinded["state"] == "blinded"
    period = {"from": finished, "to": blinded["on"], "by": before["by"]}
    assert json.loads((out / "results.json").read_text())["was_open"] == [period]
    (line,) = (c for c in health.health_checks(Artifacts(load_analysis(never_blind), out)) if c.name == "Data in A")
    assert (line.status, line.value) == ("watch", "blinded, was open")
    assert line.note.startswith(
        f"blinded since {format_time(blinded['on'])}; was open from {format_time(finished)} to "
    )
    said = " ".join(run("status", never_blind, "--out", out).split())
    assert f"warning: blinded since {format_time(blinded['on'])}" in said
    assert f"was open from {format_time(finished)} to {format_time(blinded['on'])}" in said


def test_blinding_again_does_not_wash_the_record(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    assert "warning" not in CliRunner().invoke(app, ["status", str(blind), "--out", str(out)]).output
    run("histogram", blind, "--out", out, "--unblind")
    # the next command is judged by what the YAML says
    said = CliRunner().invoke(app, ["status", str(blind), "--out", str(out)]).output
    assert "holds the data in A" in " ".join(said.split())
    run("histogram", blind, "--out", out)
    acts = json.loads((out / "blinding.json").read_text())["history"]
    assert [act["state"] for act in acts] == ["blinded", "unblinded", "blinded"]
    (line,) = (c for c in health.health_checks(Artifacts(load_analysis(blind), out)) if c.name == "Data in A")
    assert line.status == "watch"
    assert f"was open from {format_time(acts[1]['on'])} to {format_time(acts[2]['on'])} (`--unblind`)" in line.note


def test_a_hidden_figure_is_said_to_be_and_keeps_no_other_from_being_drawn(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    words = ["plot", str(blind), "kde", "threshold_scan", "regions", "--out", str(out)]
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, BlindedError)
    assert "the figure 'kde' shows data in A, which are blinded" in str(error)
    assert "the figure 'threshold_scan' shows" in str(error)
    assert str(error).endswith("; drawn: regions")
    assert (out / "figures/regions.json").is_file()


def test_the_report_shows_what_the_yaml_says_and_that_it_was_opened(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    run("report", blind, "--out", out, "--unblind")
    page = (out / "report.html").read_text()
    assert "# --unblind opened the data in A" in page
    assert "blind: true" in page
    assert "blind: false" not in page
    run("report", blind, "--out", out)
    assert "# --unblind" not in (out / "report.html").read_text()


def _with_probabilities(out: Path) -> None:
    """Give the tables the columns that the export asks for."""
    for name in event_table.datasets(out / "events"):
        for part in event_table.parts(out / "events", name):
            table = dict(event_table.read(out / "events", name))
            for j in (1, 2):
                table |= {f"prob_0_odd_{j}": 1 - table[f"score_odd_{j}"], f"prob_10_odd_{j}": table[f"score_odd_{j}"]}
            event_table.write_part(part, table, {})


@pytest.fixture
def exported(blind: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def export(*words: str) -> tuple[str, np.ndarray]:
        said = run("export-npz", blind, "--out", out, "--to", tmp_path / "npz", *words)
        return said, paper_npz.read_file(tmp_path / "npz" / "outputs_pretrain_s_jetht_dijet.npz")[1]

    _with_probabilities(out)
    # the planted score has no model that says which classes there are
    monkeypatch.setattr(npz, "_kept_probabilities", lambda run, score: ["prob_0_odd", "prob_10_odd"])
    return export


@pytest.mark.slow
def test_exported_data_have_none_of_a(blind: Path, out: Path, exported: Any, tmp_path: Path) -> None:
    words = ["export-npz", str(blind), "--out", str(out), "--to", str(tmp_path / "npz")]
    assert isinstance(CliRunner().invoke(app, words).exception, BlindedError)  # no threshold yet
    run("histogram", blind, "--out", out)
    said, cond = exported()
    assert "the events in A are left out" in said
    # two regions of three bins
    assert len(cond) == 2 * 2 * 3 * sum(planted.ELSEWHERE.values())
    assert not np.isin(np.round(np.exp(cond[:, 3]), 3), np.round(planted.MASSES, 3)).any()
    said, cond = exported("--unblind")
    assert "left out" not in said
    assert len(cond) == 2 * (2 * 3 * sum(planted.ELSEWHERE.values()) + sum(map(sum, planted.COUNTS.values())))
    acts = json.loads((out / "blinding.json").read_text())["history"]
    assert acts[-1]["by"] == "--unblind"


def test_data_are_not_hidden_by_a_threshold_that_is_no_longer_asked_for(
    blind: Path, out: Path, exported: Any, tmp_path: Path
) -> None:
    run("histogram", blind, "--out", out)
    text = blind.read_text(encoding="utf-8")
    blind.write_text(re.sub(r"value: [\d.]+", "value: 0.05", text), encoding="utf-8")
    assert load_analysis(blind).threshold.value == 0.05
    words = ["export-npz", str(blind), "--out", str(out), "--to", str(tmp_path / "npz")]
    found = CliRunner().invoke(app, words).exception
    assert isinstance(found, BlindedError)
    assert "run `oddjets histogram` first" in str(found)
    assert not (tmp_path / "npz").exists()
    with pytest.raises(BlindedError, match="run `oddjets histogram` first"):
        Artifacts(load_analysis(blind), out).table(["mass_1"])
    run("histogram", blind, "--out", out)
    table = Artifacts(load_analysis(blind), out).table(["score_odd_1", "score_odd_2"])["data"]
    assert np.minimum(table["score_odd_1"], table["score_odd_2"]).max(initial=0) < 0.05
    assert len(exported()[1]) == 2 * len(table["score_odd_1"])


def test_data_are_not_hidden_by_a_threshold_of_other_events(blind: Path, out: Path) -> None:
    run("histogram", blind, "--out", out)
    file = out / "manifests" / "process.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "key": "another"}))
    with pytest.raises(BlindedError, match="the threshold or the events have changed"):
        Artifacts(load_analysis(blind), out).table(["mass_1"])
