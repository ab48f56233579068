"""`status`: what is done, missing, failed or stale, and why."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers import toy_analysis as toy
from helpers.toy_nano import toy_nano
from typer.testing import CliRunner

from oddjets.cli import main
from oddjets.config.analysis import load_analysis
from oddjets.core import provenance
from oddjets.core.errors import OddjetsError
from oddjets.workflow import pipeline, status
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.keys import code_of, inputs_of, key_of
from oddjets.workflow.output_folder import saved_analysis
from oddjets.workflow.pipeline import run_stage, run_stages, stage_of, stages_of
from oddjets.workflow.run import RunContext

STAGES = ("process", "histogram")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return toy.files(tmp_path_factory.mktemp("files"))


@pytest.fixture
def inputs(made, tmp_path):
    """Copies, which tests may damage."""
    return {name: [shutil.copy(file, tmp_path / file.name) for file in files] for name, files in made.items()}


@pytest.fixture
def file(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(chunk_worker.ChunkWorker, "_rows", lambda self, chunk: toy.quick_rows(chunk))
    return toy.write(tmp_path, inputs)


@pytest.fixture
def finished(file):
    """Of the stages after `process`, the manifests alone."""
    run = toy.process(toy.run_of(file))
    (run.out / "histograms").mkdir()
    stage = stage_of(run, "histogram")
    for name in stage.outputs:
        (run.out / name).write_text("{}")
    inputs = inputs_of(run, stage)
    depends = {
        "config": provenance.digests(inputs["config"]),
        "upstream": provenance.digests(inputs["upstream"], 1),
        "code": provenance.digests(code_of(stage), 1),
    }
    content = {
        "key": key_of(run, stage),
        "outputs": [],
        "depends": depends,
        "versions": inputs["versions"],
        "extra": {},
    }
    provenance.write_manifest(run.out, "histogram", content)
    return file


def states(file, **execution):
    run = toy.run_of(file, **execution)
    return {stage.name: (stage.state, stage.why) for stage in status.stage_statuses(run) if stage.name in STAGES}


def edit(file, change):
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content))


def test_an_empty_folder_misses_everything(file):
    run = toy.run_of(file)
    assert {stage.state for stage in status.stage_statuses(run)} == {"missing"}
    counts = [(c.dataset, c.planned, c.done, c.lost) for c in status.chunk_counts(run)]
    assert counts == [("data", 5, 0, 0), ("top", 2, 0, 0)]


def test_what_is_done_is_done(finished):
    assert states(finished) == {"process": ("done", ""), "histogram": ("done", "")}
    assert [(c.planned, c.done) for c in status.chunk_counts(toy.run_of(finished))] == [(5, 5), (2, 2)]


def test_a_changed_cut_is_named_and_what_needs_the_stage_is_stale_too(finished):
    edit(finished, lambda content: content["selection"].update(jets={"pt_min": 480.0}))
    assert states(finished) == {
        "process": ("stale", "configuration: selection.jets"),
        "histogram": ("stale", "needs process"),
    }
    assert [c.done for c in status.chunk_counts(toy.run_of(finished))] == [0, 0]


def test_a_changed_observable_is_named(finished):
    edit(finished, lambda content: content["observables"]["leading_mass"].update(bins=12))
    assert states(finished) == {
        "process": ("done", ""),
        "histogram": ("stale", "configuration: observables.leading_mass"),
    }


def test_a_replaced_file_is_named_by_its_dataset_and_its_chunks_are_to_be_done(finished, inputs):
    toy_nano(inputs["data"][1], 40, is_data=True, run=2, seed=77)
    assert states(finished)["process"] == ("stale", "configuration: files.data")
    assert [(c.planned, c.done) for c in status.chunk_counts(toy.run_of(finished))] == [(5, 3), (2, 2)]


@pytest.mark.parametrize(
    ("depends", "why"), [("code", "code: oddjets.selection.histogramming"), ("versions", "versions: numpy 1.0 -> ")]
)
def test_changed_code_and_versions_are_named(finished, depends, why):
    manifest = finished.parent / "out" / "manifests" / "histogram.json"
    content = json.loads(manifest.read_text())
    content["key"] = "another"
    if depends == "code":
        content["depends"]["code"]["oddjets.selection.histogramming"] = "0"
    else:
        content["versions"]["numpy"] = "1.0"
    manifest.write_text(json.dumps(content))
    state, said = states(finished)["histogram"]
    assert state == "stale"
    assert said.startswith(why)


def test_a_file_is_no_output_folder(file, tmp_path):
    (tmp_path / "notes.txt").write_text("")
    said = CliRunner().invoke(main.app, ["status", str(file), "--out", str(tmp_path / "notes.txt")])
    assert "notes.txt: is a file, and results need a folder; give another folder with --out" in str(said.exception)
    assert isinstance(said.exception, OddjetsError)


def test_a_failed_stage_says_why(file, monkeypatch):
    def failing(self, chunk):
        raise ZeroDivisionError("a bug of mine")

    monkeypatch.setattr(chunk_worker.ChunkWorker, "_rows", failing)
    with pytest.raises(OddjetsError):
        toy.process(toy.run_of(file))
    state, why = states(file)["process"]
    assert state == "failed"
    assert "the processor failed in test_status.py, line " in why
    assert "(ZeroDivisionError: a bug of mine)" in why


KILLED = """
import os, signal, sys
from pathlib import Path
from helpers import toy_analysis as toy
from oddjets.core.interrupts import Interrupted, interruptible
from oddjets.workflow.executors import chunk_worker

def stopped(self, chunk):
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))

chunk_worker.ChunkWorker._rows = stopped
try:
    with interruptible():
        toy.process(toy.run_of(Path(sys.argv[1])))
except Interrupted:
    pass
"""


@pytest.mark.fault("A stage that is killed", "`status` and the next run call it interrupted, not missing or failed.")
@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_a_killed_stage_is_called_interrupted(file, signal, capfd):
    assert states(file)["process"] == ("missing", "")
    path = os.pathsep.join([str(Path(toy.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", KILLED, str(file), signal]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    state, why = states(file)["process"]
    assert state == "interrupted"
    assert "was stopped before its end; `oddjets process` continues or repeats it" in why
    said = CliRunner().invoke(main.app, ["status", str(file), "--out", str(file.parent / "out")])
    assert said.exit_code == 1
    capfd.readouterr()
    toy.process(toy.run_of(file))
    assert "was interrupted" in capfd.readouterr().err
    assert states(file)["process"] == ("done", "")


def test_a_stage_at_work_is_running(file):
    run = toy.run_of(file)
    with run.lock():
        provenance.write_start(run.out, "process")
        assert states(file)["process"][0] == "running"
    assert states(file)["process"][0] == "interrupted"


def test_where_no_event_passes_the_cutflow_says_which_cut_it_was(inputs, tmp_path, capfd):
    cuts = {"selection": {"cuts": ["two_jets", "jet_pt"], "jets": {"pt_min": 1e5}}, "regions": {}}
    file = toy.write(tmp_path, inputs, threshold={"score": "xbb", "efficiency": 0.1}, **cuts)
    run = toy.process(toy.run_of(file))
    said = " ".join(capfd.readouterr().err.split())
    assert "dataset 'top': no event of 50 passes the base selection: all 50, two_jets 50, jet_pt 0" in said
    with pytest.raises(OddjetsError, match=r"(?s)no data event passes.*data: all 100, two_jets 100, jet_pt 0"):
        run_stage(run, stage_of(run, "histogram"))


DAMAGES = {
    "half a manifest": ("manifests/process.json", "missing"),
    "another manifest": ("manifests/process.json", "stale"),
    "no table": ("cutflow.json", "stale"),
    "a foreign part": ("events/data/part-mine.parquet", "stale"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_described(finished, damage):
    name, state = DAMAGES[damage]
    place = finished.parent / "out" / name
    if damage == "no table":
        place.unlink()
    else:
        place.write_text({"another manifest": "{}", "a foreign part": "x"}.get(damage, '{"key": '))
    assert states(finished)["process"][0] == state


def test_files_that_were_left_out_make_it_incomplete(finished, inputs):
    inputs["data"][1].write_bytes(b"nothing")
    run = toy.run_of(finished, skip_bad_files=True)
    with pytest.raises(OddjetsError):
        run_stages(run, [stage_of(run, "process")])
    state, why = states(finished, skip_bad_files=True)["process"]
    assert state == "incomplete"
    assert "1 file(s) left out" in why
    counts = status.chunk_counts(toy.run_of(finished, skip_bad_files=True))
    assert [(c.planned, c.done, c.unreadable) for c in counts] == [(3, 3, 1), (2, 2, 0)]


def said(*arguments):
    result = CliRunner().invoke(main.app, ["status", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_folder_knows_its_analysis(finished):
    code, output = said(finished.parent / "out")
    assert code == 1  # figures and the report are missing
    assert [line.split("│")[2].strip() for line in output.splitlines() if "process" in line] == ["done"]
    assert said(finished, "--out", finished.parent / "out") == (code, output)


def test_the_code_is_0_when_all_is_done(finished):
    run = toy.run_of(finished)
    for stage in stages_of(run):
        if stage.name not in STAGES:
            for name in stage.outputs:
                (run.out / name).touch()
            provenance.write_manifest(run.out, stage.name, {"key": key_of(run, stage), "extra": {}})
    code, output = said(run.out)
    assert code == 0, output


def test_a_folder_of_nobody_says_so(tmp_path):
    with pytest.raises(OddjetsError, match=r"no analysis\.json here .*give the analysis's YAML, and this folder"):
        saved_analysis(tmp_path)


def test_what_the_command_line_said_is_remembered(finished):
    """Options that were laid over the YAML are, in `status`, laid over the YAML as it is now."""
    analysis = load_analysis(finished).model_copy(update={"luminosity": 33.0})
    run = RunContext(analysis, finished.parent / "other")
    run_stage(run, stage_of(run, "process"))
    edit(finished, lambda content: content.update(title="Another"))
    known = saved_analysis(run.out)
    assert (known.luminosity, known.title) == (33.0, "Another")
    assert known.path == finished.resolve()


def test_a_verb_says_that_it_reads_results_of_an_earlier_state(finished, monkeypatch):
    said = []
    monkeypatch.setattr(pipeline.console, "print", lambda *words, **_: said.append(str(words[0])))
    run = toy.run_of(finished)
    pipeline.warn_of_stale_inputs(run, stage_of(run, "histogram"))
    assert said == []
    data = yaml.safe_load(finished.read_text())
    data.setdefault("selection", {})["jets"] = {"pt_min": 321.0}
    finished.write_text(yaml.safe_dump(data))
    run = toy.run_of(finished)
    pipeline.warn_of_stale_inputs(run, stage_of(run, "histogram"))
    assert len(said) == 1
    assert "histogram reads results that are out of date: process" in said[0]


def test_the_folder_of_another_analysis_is_refused(file):
    run = toy.process(toy.run_of(file))
    before = toy.records(run)
    other = file.with_name("b.yaml")
    other.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"name": "another"}), encoding="utf-8")
    with pytest.raises(OddjetsError, match=r"holds the analysis 'small' \(.*a\.yaml\).*'another' would replace.*--out"):
        toy.process(toy.run_of(other))
    assert toy.records(run) == before
    assert saved_analysis(run.out).name == "small"
