"""Files that cannot be read: what is said of them, and what is left when they are left out."""

import json
import sys

import numpy as np
import pytest
import uproot
from helpers import toy_analysis as toy
from helpers.chunks import copy
from helpers.toy_nano import toy_nano

from oddjets.cli import main
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.corrections import luminosity
from oddjets.report import health
from oddjets.report.artifacts import Artifacts
from oddjets.selection.normalisation import factors
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.executors.skipped_files import LostEventsError
from oddjets.workflow.keys import inputs_of
from oddjets.workflow.pipeline import stage_of


def broken_basket(path, branch="FatJet_msoftdrop"):
    """Overwrite the compressed bytes of a branch's first basket."""
    with uproot.open(path) as file:
        found = file["Events"][branch]
        place = int(found.member("fBasketSeek")[0])
        size, header = int(found.basket_compressed_bytes(0)), found.basket_key(0).fKeylen
    content = bytearray(path.read_bytes())
    content[place + header + 9 : place + header + size] = b"\xff" * (size - 9)
    path.write_bytes(content)


def truncated(path, percent):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * percent // 100])


def without_tree(path):
    with uproot.recreate(path) as file:
        file.mktree("Other", {"x": "f8"}).extend({"x": np.zeros(3)})


def without_branch(path):
    original = path.with_name("original.root")
    path.rename(original)
    copy(original, path, lambda columns: columns.pop("FatJet_msoftdrop"))
    original.unlink()


BAD = {
    "truncated at 10 %": (lambda path: truncated(path, 10), "truncated|damaged", "whole"),
    "truncated at 50 %": (lambda path: truncated(path, 50), "truncated|damaged", "whole"),
    "truncated at 99 %": (lambda path: truncated(path, 99), "truncated|damaged", "whole"),
    "no bytes": (lambda path: path.write_bytes(b""), "damaged|truncated", "whole"),
    "no ROOT file": (lambda path: path.write_bytes(b"hello" * 100), "damaged", "whole"),
    "gone": (lambda path: path.unlink(), "missing file", "whole"),
    "without the tree": (without_tree, "missing tree", "whole"),
    "without a branch": (without_branch, "missing branch", "chunks"),
    "a corrupt basket": (broken_basket, "corrupt basket", "chunks"),
}


@pytest.fixture(params=BAD)
def bad(request, tmp_path):
    """An analysis of which the second file of data is bad; and the words for what is wrong with it."""
    found = toy.files(tmp_path / "inputs")
    damage, cause, extent = BAD[request.param]
    damage(found["data"][1])
    return toy.write(tmp_path, found), cause, extent


@pytest.mark.fault("File truncated at 10, 50, 99 %", "Stops and names the file; --skip-bad-files leaves it out.")
@pytest.mark.fault(
    "Corrupt basket", "Stops and names the file and the range of events; --skip-bad-files leaves the file out."
)
@pytest.mark.fault("Tree missing", "Stops and names the file and its trees; --skip-bad-files leaves it out.")
@pytest.mark.fault(
    "Branch missing in one of many files",
    "Stops and names the file and similar branches; --skip-bad-files leaves it out.",
)
def test_a_bad_file_ends_the_run_or_is_left_out_as_a_whole(bad, monkeypatch):
    file, cause, extent = bad
    if extent == "whole":
        # found before any chunk is worked on
        monkeypatch.setattr(chunk_worker.ChunkWorker, "_rows", lambda self, chunk: toy.quick_rows(chunk))
    with pytest.raises(InputFileError if extent == "whole" else OddjetsError, match=r"data2\.root") as stopped:
        toy.process(toy.run_of(file))
    assert stopped.value.exit_code == 2
    if extent == "chunks":
        # those of the first file
        assert "3 of 7 chunks are kept" in str(stopped.value)

    run = toy.run_of(file, skip_bad_files=True)
    with pytest.raises(LostEventsError, match=r"1 file\(s\) could not be read .*data2\.root") as lost:
        toy.process(run)
    assert lost.value.exit_code == 3
    extra = read_manifest(run.out, "process")["extra"]
    data = extra["ledger"]["data"]
    assert (data["planned"], data["done"], data["lost"]) == ((60, 60, 0) if extent == "whole" else (100, 60, 40))
    assert data["fraction"] == pytest.approx(0.5 if extent == "whole" else 0.6)
    assert json.loads((run.out / "lost.json").read_text())["datasets"] == extra["ledger"]
    (gone,) = data["files"]
    assert gone["file"].endswith("data2.root")
    assert gone["lost"][0]["cause"] in cause.split("|")
    assert extra["datasets"]["data"]["entries"] == 60
    assert [name for name in extra["datasets"]["data"]["files"] if name.endswith("data2.root")] == []
    # luminosity of what was read; the simulation is whole
    assert extra["datasets"]["data"]["luminosity_pb"] == pytest.approx(10.0 * data["fraction"])
    assert extra["ledger"]["top"]["files"] == []
    assert len(set(toy.rows(run)["data"]["run"])) == 1


#: of tests in which it does not matter how files are cut
WHOLE = {"execution": {"executor": "iterative", "chunk_size": 1000}}


def with_two_tops(folder):
    found = toy.files(folder)
    found["top"].append(toy_nano(folder / "top2.root", 30, seed=9, run=7))
    return found


def test_sums_of_weights_are_those_of_the_files_that_were_read(tmp_path):
    found = with_two_tops(tmp_path / "inputs")
    alone = toy.process(toy.run_of(toy.write(tmp_path / "alone", {**found, "top": found["top"][:1]}, **WHOLE)))
    broken_basket(found["top"][1], "FatJet_tau1")
    run = toy.run_of(toy.write(tmp_path, found, luminosity=100.0, **WHOLE), skip_bad_files=True)
    with pytest.raises(LostEventsError):
        toy.process(run)
    one, other = (read_manifest(r.out, "process")["extra"]["datasets"]["top"] for r in (alone, run))
    for name in ("sum_of_weights", "entries", "rows", "raw", "weighted"):
        assert one[name] == other[name]
    # nothing of data is lost, so the luminosity in the YAML stands
    assert run.luminosity_pb == 100.0
    assert factors(run.analysis, run.extra("process"), 1.0) == factors(alone.analysis, alone.extra("process"), 1.0)


def test_a_luminosity_in_the_yaml_is_scaled_with_the_data_that_were_read(tmp_path):
    found = toy.files(tmp_path / "inputs")
    broken_basket(found["data"][1])
    run = toy.run_of(toy.write(tmp_path, found, luminosity=50.0, **WHOLE), skip_bad_files=True)
    with pytest.raises(LostEventsError):
        toy.process(run)
    assert run.luminosity_pb == pytest.approx(50.0 * 0.6)
    cutflow = json.loads((run.out / "cutflow.json").read_text())
    assert cutflow["luminosity_pb"] == pytest.approx(30.0)


def test_a_lost_chunk_loses_its_file_and_a_mended_file_is_taken_back(tmp_path):
    """A chunk that could be read is kept for then; of the lost one's file no row counts."""
    found = toy.files(tmp_path / "inputs")
    whole = found["data"][0].read_bytes()
    analysis = toy.write(tmp_path, found, **toy.misbehaving(tmp_path))
    broken_basket(found["data"][0])
    run = toy.run_of(analysis, skip_bad_files=True)
    with pytest.raises(LostEventsError):
        toy.process(run)
    assert set(toy.rows(run)["data"]["run"]) == {2}
    key = read_manifest(run.out, "process")["key"]
    # the same UUID, size and path: nothing tells but that it can be read
    found["data"][0].write_bytes(whole)
    again = toy.process(toy.run_of(analysis))
    extra = read_manifest(again.out, "process")["extra"]
    assert extra["chunks"]["kept"] == 4
    assert set(toy.rows(again)["data"]["run"]) == {1, 2}
    assert not (again.out / "lost.json").exists()
    assert read_manifest(again.out, "process")["key"] == key
    # what was made of the incomplete tables is stale
    histogram = stage_of(again, "histogram")
    assert inputs_of(again, histogram)["upstream"] == {"process": [key]}


def test_a_dataset_of_which_nothing_can_be_read_is_an_error(tmp_path):
    found = toy.files(tmp_path / "inputs")
    broken_basket(found["top"][0])
    with pytest.raises(OddjetsError, match="dataset 'top': none of its files could be read") as error:
        toy.process(toy.run_of(toy.write(tmp_path, found), skip_bad_files=True))
    assert error.value.exit_code == 2


def test_a_wrong_analysis_is_no_bad_file(tmp_path):
    """A mistake in the YAML would lose every file."""
    found = toy.files(tmp_path / "inputs")
    data = {"parameters": {}, "cuts": ["trigger", "jet_veto"], "triggers": ["PFHT800"], "filters": []}
    with pytest.raises(OddjetsError, match="jet_veto_map") as error:
        toy.process(toy.run_of(toy.write(tmp_path, found, selection=data), skip_bad_files=True))
    assert error.value.exit_code == 2


def test_an_exception_of_the_processor_is_no_bad_file(tmp_path):
    found = toy.files(tmp_path / "inputs")
    analysis = toy.write(tmp_path, found, **toy.misbehaving(tmp_path))
    (tmp_path / "fail-20").touch()
    with pytest.raises(OddjetsError, match="the processor failed"):
        toy.process(toy.run_of(analysis, skip_bad_files=True))


def test_luminosity_is_of_the_sections_of_whole_files(tmp_path, monkeypatch):
    found = toy.files(tmp_path / "inputs")
    broken_basket(found["data"][1])
    asked = []

    def luminosities(analysis, era, folder, read, *_):
        asked.append({name: [info.path for info in files] for name, (_, files) in read.items()})
        return {"data": luminosity.Luminosity(4.0, False, 3, 9)}

    monkeypatch.setattr(luminosity, "luminosities", luminosities)
    run = toy.run_of(toy.write(tmp_path, found, **WHOLE), skip_bad_files=True)
    with pytest.raises(LostEventsError):
        toy.process(run)
    assert asked[-1]["data"] == [str(found["data"][0])]
    assert read_manifest(run.out, "process")["extra"]["datasets"]["data"]["luminosity_pb"] == 4.0


def test_the_command_line_ends_with_3_and_does_all_the_same(tmp_path, monkeypatch, capfd):
    found = toy.files(tmp_path / "inputs")
    truncated(found["data"][1], 50)
    file = toy.write(tmp_path, found, **WHOLE)
    for verb in ("process", "histogram"):
        command = ["oddjets", verb, str(file), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", [*command, *(["--skip-bad-files"] if verb == "process" else [])])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert ended.value.code == 3
        assert "lost.json" in capfd.readouterr().err.replace("\n", "")
    assert (tmp_path / "out" / "histograms" / "index.json").is_file()
    # and the report's first screen says so
    checks = {check.name: check for check in health.health_checks(Artifacts(load_analysis(file), tmp_path / "out"))}
    lost = checks["Events lost"]
    assert (lost.status, lost.value, lost.file) == ("bad", "0 of 110 events, 1 file, 1 of unknown size", "lost.json")
    assert "data2.root could not be read (" in lost.note
