"""Runs that are stopped, however that happens, and started again: the same rows, and nothing is done twice."""

import errno
import gc
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from helpers import toy_analysis as toy
from helpers.toy_nano import toy_nano

from oddjets.cli import main
from oddjets.core import provenance
from oddjets.core.errors import OddjetsError
from oddjets.core.locks import LockedError, locked
from oddjets.core.provenance import read_manifest
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.keys import rows_keys
from oddjets.workflow.pipeline import run_stage, run_stages, stage_of
from oddjets.workflow.stages import histogram


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy.files(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """The rows of a run that nothing disturbed."""
    return toy.rows(toy.process(toy.run_of(toy.write(tmp_path_factory.mktemp("whole"), inputs))))


class Ledger(list):
    """The chunks that are worked on, in order: file and first entry. Work on a chunk that begins at ``fail`` fails."""

    fail = None


@pytest.fixture
def worked_on(monkeypatch):
    """Quick work instead of the processor's: what matters is which chunks are worked on."""
    done = Ledger()

    def rows(self, chunk):
        done.append((Path(chunk.path).name, chunk.start))
        if chunk.start == done.fail:
            raise ZeroDivisionError("a bug of mine")
        return toy.quick_rows(chunk)

    monkeypatch.setattr(chunk_worker.ChunkWorker, "_rows", rows)
    return done


@pytest.fixture
def quick(inputs, worked_on, tmp_path):
    """The rows of quick work that nothing disturbed."""
    found = toy.rows(toy.process(toy.run_of(toy.write(tmp_path / "whole", inputs))))
    worked_on.clear()
    return found


def begun(inputs, folder, worked_on, fail):
    """A run that was stopped at a chunk of the first file."""
    file = toy.write(folder, inputs)
    worked_on.fail = fail
    with pytest.raises(OddjetsError, match="a bug of mine"):
        toy.process(toy.run_of(file))
    worked_on.clear()
    worked_on.fail = None
    return file


@pytest.mark.fault(
    "Processor raising on one event",
    "Stops and names the file, range of events and exception, without a traceback; finished chunks are kept.",
)
def test_a_failing_processor_is_named_and_what_is_done_is_kept(inputs, whole, tmp_path):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "fail-20").touch()
    with pytest.raises(OddjetsError) as failed:
        toy.process(toy.run_of(file))
    expected = (
        "data1.root: events 20 to 40: the processor failed in mine.py, line 16 (ZeroDivisionError: a bug of mine);"
        " --debug shows where"
    )
    assert expected in str(failed.value)
    assert "1 of 7 chunks are kept" in str(failed.value)
    assert "in event_columns" in str(failed.value.__cause__)
    (tmp_path / "fail-20").unlink()
    run = toy.process(toy.run_of(file))
    toy.assert_same_rows(toy.rows(run), whole)
    assert len(toy.pieces(run)) == 7
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] == 1


@pytest.mark.slow
@pytest.mark.fault(
    "Client killed and restarted",
    "Keeps the chunks whose records are complete; the same command repeats only the others.",
)
def test_a_client_that_is_killed_goes_on_from_there(inputs, whole, tmp_path):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "hang-40").touch()
    command = [sys.executable, "-m", "oddjets", "process", str(file), "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as client:
        until = time.monotonic() + 120
        while not (tmp_path / "hanging").exists():
            assert client.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(LockedError, match=rf"process {client.pid} on .*oddjets"):
            toy.process(toy.run_of(file))
        client.send_signal(signal.SIGKILL)
    (tmp_path / "hang-40").unlink()
    run = toy.process(toy.run_of(file))
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] == 2
    toy.assert_same_rows(toy.rows(run), whole)


@pytest.mark.fault(
    "Worker killed in the middle of a chunk", "Gives the chunk to another worker; no event is lost or counted twice."
)
@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(inputs, whole, tmp_path):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "die-20").touch()
    run = toy.process(toy.run_of(file, executor="futures", workers=2))
    assert not (tmp_path / "die-20").exists()
    toy.assert_same_rows(toy.rows(run), whole)
    assert len(toy.pieces(run)) == 7


@pytest.mark.fault(
    "Disk full while writing Parquet",
    "Stops and reports the full disk; finished chunks are kept, and the same command continues.",
)
@pytest.mark.parametrize("file", ["parquet", "json"])
def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(inputs, quick, tmp_path, monkeypatch, file):
    analysis = toy.write(tmp_path, inputs)

    def full(written):
        def failing(*arguments, **options):
            if len(toy.records(toy.run_of(analysis))) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            return written(*arguments, **options)

        return failing

    with monkeypatch.context() as patched:
        if file == "parquet":
            patched.setattr(pq, "write_table", full(pq.write_table))
        else:
            patched.setattr(chunk_worker, "save", full(chunk_worker.save))
        with pytest.raises(OddjetsError, match=r"(?s)No space left on device.*3 of 7 chunks are kept"):
            toy.process(toy.run_of(analysis))
    assert not [name for name in (tmp_path / "out").rglob("*") if name.name.startswith(".part")]
    run = toy.process(toy.run_of(analysis))
    assert read_manifest(run.out, "process")["extra"]["chunks"]["kept"] == 3
    toy.assert_same_rows(toy.rows(run), quick)


def test_a_full_disk_is_said_whichever_stage_meets_it(inputs, tmp_path, worked_on, monkeypatch):
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs)))

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(histogram, "make_histograms", full)
    with pytest.raises(
        OddjetsError, match=r"out: nothing more can be written there \(No space left.*'histogram' stopped"
    ):
        run_stage(run, stage_of(run, "histogram"))
    assert read_manifest(run.out, "histogram") is None


@pytest.mark.fault("Output directory read-only", "Stops and names the path before any file is read.")
def test_an_output_folder_that_cannot_be_written_to_is_said(inputs, tmp_path, monkeypatch, capfd):
    """Root may write anywhere: a file stands where a folder should be."""
    (tmp_path / "out").write_text("not a folder", encoding="utf-8")
    analysis = toy.write(tmp_path / "a", inputs)
    monkeypatch.setattr(sys, "argv", ["oddjets", "process", str(analysis), "--out", str(tmp_path / "out" / "here")])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    here = tmp_path / "out" / "here"
    told = f"error: {here}: nothing can be written there (Not a directory); give another folder with --out\n"
    assert capfd.readouterr().err == told


@contextmanager
def without_rights():
    """Root may write anywhere: for a moment it is nobody."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.fault("Output directory read-only", "Without write permission, stops before any work.")
def test_a_folder_without_the_right_to_write_is_refused():
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    try:
        with without_rights(), pytest.raises(OddjetsError) as refused, locked(folder):
            raise AssertionError("a run has begun")
        assert (
            str(refused.value)
            == f"{folder}: nothing can be written there (Permission denied); give another folder with --out"
        )
    finally:
        folder.rmdir()


DAMAGES = {
    "half a record": lambda record, part: record.write_bytes(record.read_bytes()[:40]),
    "an empty record": lambda record, part: record.write_bytes(b""),
    "a record of another kind": lambda record, part: record.write_text('{"key": 1}'),
    "half a part": lambda record, part: part.write_bytes(part.read_bytes()[:100]),
    "a part with a changed byte": lambda record, part: part.write_bytes(flipped(part.read_bytes())),
    "no part": lambda record, part: part.unlink(),
    "no record": lambda record, part: record.unlink(),
}


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.fault("Output half written", "Checks records and parts by sha256; incomplete ones are made again.")
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_whole_is_done_again(inputs, quick, tmp_path, worked_on, damage):
    file = begun(inputs, tmp_path, worked_on, fail=40)
    folder = tmp_path / "out" / "chunks" / "data"
    (record,) = (name for name in folder.glob("*.json") if json.loads(name.read_text())["start"] == 20)
    DAMAGES[damage](record, record.with_suffix(".parquet"))
    run = toy.process(toy.run_of(file))
    assert ("data1.root", 20) in worked_on
    assert ("data1.root", 0) not in worked_on
    toy.assert_same_rows(toy.rows(run), quick)


@pytest.mark.fault("Manifest truncated", "Runs the stage again, with the results of all chunks from their records.")
def test_a_truncated_manifest_costs_no_chunk(inputs, quick, tmp_path, worked_on):
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs)))
    manifest = run.out / "manifests" / "process.json"
    manifest.write_bytes(manifest.read_bytes()[:200])
    worked_on.clear()
    again = toy.process(toy.run_of(tmp_path / "a.yaml"))
    assert worked_on == []
    assert read_manifest(again.out, "process")["extra"]["chunks"]["kept"] == 7
    toy.assert_same_rows(toy.rows(again), quick)


def test_a_part_that_is_gone_is_made_again(inputs, quick, tmp_path, worked_on):
    """A finished stage whose rows somebody removed is not finished."""
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs)))
    (run.out / "events" / toy.pieces(run)[0]).unlink()
    worked_on.clear()
    again = toy.process(toy.run_of(tmp_path / "a.yaml"))
    assert len(worked_on) == 1
    toy.assert_same_rows(toy.rows(again), quick)


@pytest.mark.fault("Two runs on one directory", "Stops the second and names the process and host of the first.")
def test_a_second_run_on_the_same_folder_is_refused(inputs, tmp_path, worked_on):
    run = toy.run_of(toy.write(tmp_path, inputs))
    with run.lock():
        with pytest.raises(LockedError, match=rf"another run works here \(process {os.getpid()} on ") as refused:
            toy.process(toy.run_of(tmp_path / "a.yaml"))
        assert refused.value.exit_code == 2
        # the same run may
        toy.process(run)
    toy.process(toy.run_of(tmp_path / "a.yaml"))


CHANGES = {
    "cut": {"selection": {"jets": {"pt_min": 480.0}}},
    "systematic": {"systematics": ["jms", "jmr"]},
    "observable": {"observables": {"mjj": {"expression": "mjj", "label": "m", "bins": 2, "range": [0, 9]}}},
    "cross section": {},
    "region": {"regions": {"SR": {"all": "tau21_low"}, "SR5": {"cuts": ["not SR"]}}},
    "fit": {
        "processes": {"top": {"label": "top"}, "qcd": {"label": "QCD", "data_driven": True}},
        "fit": {"observable": "leading_mass", "regions": ["SR"], "poi": {"process": "top"}, "impacts": False},
    },
    "colour": {"processes": {"top": {"label": "top", "color": "#336699"}}},
}


@pytest.mark.parametrize(
    ("change", "redone"),
    [("cut", 7), ("systematic", 7), ("observable", 0), ("cross section", 0), ("region", 0), ("fit", 0), ("colour", 0)],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(inputs, tmp_path, worked_on, change, redone):
    file = toy.write(tmp_path, inputs)
    toy.process(toy.run_of(file))
    worked_on.clear()
    if change == "cross section":
        fileset = json.loads((tmp_path / "fileset.json").read_text())
        fileset["top"]["metadata"]["cross_section_pb"] = 2.0
        (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    else:
        content = yaml.safe_load(file.read_text())
        for name, value in CHANGES[change].items():
            content[name] = content[name] | value if isinstance(value, dict) and name == "selection" else value
        if change == "observable":
            content["regions"]["SR2"]["binning"] = {}
        file.write_text(yaml.safe_dump(content))
    run = toy.process(toy.run_of(file))
    assert len(worked_on) == redone
    assert len(toy.records(run)) == len(toy.pieces(run)) == 7


def test_a_change_back_costs_nothing_while_the_new_run_is_not_whole(inputs, quick, tmp_path, worked_on):
    file = toy.write(tmp_path, inputs)
    toy.process(toy.run_of(file))
    before = file.read_text()
    content = yaml.safe_load(before)
    content["selection"]["jets"] = {"pt_min": 480.0}
    file.write_text(yaml.safe_dump(content))
    worked_on.fail = 40
    with pytest.raises(OddjetsError, match="a bug of mine"):
        toy.process(toy.run_of(file))
    file.write_text(before)
    worked_on.clear()
    run = toy.process(toy.run_of(file))
    assert worked_on == []
    toy.assert_same_rows(toy.rows(run), quick)
    assert len(toy.records(run)) == 7


@pytest.mark.fault(
    "Processor changed between runs",
    "Repeats all chunks, since their keys contain the processor's code; changed comments and docstrings have no effect.",
)
@pytest.mark.parametrize(("added", "redone"), [("CHANGED = 1", 7), ("# a comment", 0)])
def test_a_changed_processor_redoes_all(inputs, tmp_path, worked_on, added, redone):
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    toy.process(toy.run_of(file))
    mine = tmp_path / "mine.py"
    mine.write_text(f"{mine.read_text()}\n{added}\n")
    worked_on.clear()
    toy.process(toy.run_of(file))
    assert len(worked_on) == redone


@pytest.mark.fault(
    "File replaced between two runs (same name)", "Recognises it by its UUID and repeats its chunks, but no others."
)
@pytest.mark.fault("Clock skew", "Does not use file times; contents, UUIDs and keys decide.")
def test_a_replaced_file_is_processed_anew_whatever_the_clocks_say(tmp_path, worked_on):
    found = toy.files(tmp_path / "inputs")
    file = toy.write(tmp_path, found)
    before = toy.process(toy.run_of(file))
    old = toy.rows(before)
    stamp = found["data"][1].stat().st_mtime_ns
    toy_nano(found["data"][1], 40, is_data=True, run=2, seed=77)
    os.utime(found["data"][1], ns=(stamp, stamp))
    # the others are of the future
    for path in (found["data"][0], found["top"][0], *(before.out / "chunks").glob("*/*")):
        os.utime(path, (time.time() + 1e6,) * 2)
    worked_on.clear()
    run = toy.process(toy.run_of(file))
    assert worked_on == [("data2.root", 0), ("data2.root", 20)]
    new = toy.rows(run)
    toy.assert_same_rows({"top": old["top"]}, {"top": new["top"]})
    assert sorted(new["data"]["pt_1"]) != sorted(old["data"]["pt_1"])
    assert len(toy.pieces(run)) == 7


def test_an_added_file_costs_its_own_chunks_alone(inputs, tmp_path, worked_on):
    file = toy.write(tmp_path, {**inputs, "data": inputs["data"][:1]})
    toy.process(toy.run_of(file))
    worked_on.clear()
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs)))
    assert worked_on == [("data2.root", 0), ("data2.root", 20)]
    assert len(toy.pieces(run)) == 7


def test_rows_and_counts_do_not_depend_on_chunks(inputs, whole, tmp_path):
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs), chunk_size=1000))
    toy.assert_same_rows(toy.rows(run), whole)
    for name, found in read_manifest(run.out, "process")["extra"]["datasets"].items():
        assert found["rows"] == len(whole[name]["event"])
        assert found["entries"] == {"data": 100, "top": 50}[name]


MODEL = {"scores": {"omnilearned": {"card": "mine.yaml"}}, "threshold": {"score": "omnilearned", "value": 0.5}}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ("model", True),
        ("card", True),
        ("correction", True),
        ("version", True),
        ("code", True),
        ("label", False),
        ("executor", False),
        ("pyhf", False),
    ],
)
def test_rows_depend_on_model_corrections_versions_and_code_and_on_nothing_later(
    inputs, tmp_path, monkeypatch, change, counts
):
    """What this key does not change with is not done again (the other tests); what it does change with is."""
    repository = Path(__file__).parents[2]
    for name in ("omnilearned_small_simulation.onnx", "omnilearned_small_simulation.yaml"):
        shutil.copy(
            repository / "models" / name, tmp_path / name.replace("omnilearned_small_simulation.yaml", "mine.yaml")
        )
    shutil.copytree(repository / "corrections", tmp_path / "corrections")
    before = rows_keys(toy.run_of(toy.write(tmp_path, inputs, **MODEL)))
    card, versions = tmp_path / "mine.yaml", dict(provenance.versions())
    changes = {}
    if change == "model":
        model = tmp_path / "omnilearned_small_simulation.onnx"
        old = hashlib.sha256(model.read_bytes()).hexdigest()
        model.write_bytes(model.read_bytes() + b"\n")
        card.write_text(card.read_text().replace(old, hashlib.sha256(model.read_bytes()).hexdigest()))
    elif change == "card":
        card.write_text(card.read_text() + "\n# another training\n")
    elif change == "correction":
        era = tmp_path / "corrections" / "simulation.yaml"
        content = yaml.safe_load(era.read_text())
        next(iter(content["files"].values()))["sha256"] = "0" * 64
        era.write_text(yaml.safe_dump(content))
    elif change in ("version", "pyhf"):
        name = "numpy" if change == "version" else "pyhf"
        monkeypatch.setattr(provenance, "versions", lambda: versions | {name: "0"})
    elif change == "code":
        monkeypatch.setattr(chunk_worker, "code", lambda: "another")
    elif change == "label":
        changes = {"title": "Another", "processes": {"top": {"label": "t"}}}
    else:
        changes = {"execution": {"executor": "futures", "workers": 7}}
    assert (rows_keys(toy.run_of(toy.write(tmp_path, inputs, **MODEL | changes))) != before) is counts


def test_force_redoes_all(inputs, tmp_path, worked_on):
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs)))
    worked_on.clear()
    run_stage(run, stage_of(run, "process"), force=True)
    assert len(worked_on) == 7


def test_the_manifest_names_the_slowest_chunks_and_the_memory(inputs, tmp_path, worked_on):
    run = toy.process(toy.run_of(toy.write(tmp_path, inputs)))
    costs = read_manifest(run.out, "process")["extra"]["chunks"]
    assert (costs["planned"], costs["done"], costs["executor"], costs["workers"]) == (7, 7, "iterative", 1)
    seconds = [chunk["seconds"] for chunk in costs["slowest"]]
    assert len(seconds) == 5
    assert seconds == sorted(seconds, reverse=True)
    assert costs["seconds"] >= sum(seconds)
    # Python with awkward takes more than 50 MB, and these files are small
    assert 50 < costs["peak_MB"] < 4000


def test_what_a_chunk_leaves_in_circles_is_freed_before_the_next(inputs, tmp_path, monkeypatch, worked_on):
    """Else the arrays of many chunks pile up, since Python's own collector, off here, counts objects and not bytes."""
    left = []
    plain = chunk_worker.ChunkWorker._rows

    class Circle:
        def __init__(self):
            self.itself = self

    def circular(self, chunk):
        left.append(weakref.ref(Circle()))
        return plain(self, chunk)

    monkeypatch.setattr(chunk_worker.ChunkWorker, "_rows", circular)
    gc.disable()
    try:
        toy.process(toy.run_of(toy.write(tmp_path, inputs)))
        assert [circle() for circle in left] == [None] * 7
        # what was there before is looked at again
        assert gc.get_freeze_count() == 0
    finally:
        gc.enable()


def test_the_ledger_must_close(inputs, tmp_path, monkeypatch, worked_on):
    """A chunk of which one event was not read is found."""
    plain = chunk_worker.ChunkWorker._rows

    def forgetful(self, chunk):
        columns, counts = plain(self, chunk)
        counts.entries -= chunk.start == 20
        return columns, counts

    monkeypatch.setattr(chunk_worker.ChunkWorker, "_rows", forgetful)
    with pytest.raises(OddjetsError, match="20 events planned, 19 read: the event counts do not add up"):
        run_stages(run := toy.run_of(toy.write(tmp_path, inputs)), [stage_of(run, "process")])
