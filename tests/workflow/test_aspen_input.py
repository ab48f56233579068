"""Aspen Open Jets: files that are none of the layout, or of it in another form, and downloads that go wrong."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="needs h5py: pip install 'oddjets[hdf5]'")

import h5py
from helpers import aspen_files
from helpers.file_servers import HttpServer
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io import aspen, aspen_catalogue, event_table
from oddjets.io.download import FetchError
from oddjets.workflow.executors import aspen_worker
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

Rows = dict[str, np.ndarray]
ROWS = aspen_files.rows(40)


def imported(folder: Path, **changes: Any) -> RunContext:
    run = RunContext(load_analysis(aspen_files.analysis(folder, **changes)), folder / "out")
    run_stage(run, stage_of(run, "process"))
    return run


def write(file: Path, rows: Rows = ROWS, **options: Any) -> None:
    with h5py.File(file, "w") as made:
        for key, values in rows.items():
            made.create_dataset(key, data=values, **options)


def replaced(file: Path, key: str, change: Any) -> None:
    """Write a file of which one key is another thing; nothing where there is none."""
    with h5py.File(file, "w") as made:
        for name, values in ROWS.items():
            if name != key:
                made[name] = values
        if change is not None:
            made[key] = change(ROWS[key]) if callable(change) else change


def cut(file: Path) -> None:
    write(file)
    file.write_bytes(file.read_bytes()[:-3000])


def of_one_event(file: Path) -> None:
    rows = {key: np.concatenate([values, values]) for key, values in ROWS.items()}
    write(file, rows | {"event_info": np.repeat(rows["event_info"][:1], len(rows["event_info"]), axis=0)})


BAD: dict[str, Callable[[Path], object]] = {
    "no key 'PFCands'": lambda file: replaced(file, "PFCands", None),
    r"'jet_tagging' has shape \(\d+, 12\)": lambda file: replaced(file, "jet_tagging", lambda v: v[:, 1:]),
    "of integers": lambda file: replaced(file, "event_info", lambda v: v.astype(float)),
    "type float16, not": lambda file: replaced(file, "PFCands", lambda v: v.astype(np.float16)),
    "type complex128, not": lambda file: replaced(file, "PFCands", lambda v: v.astype(complex)),
    "is a group, or empty": lambda file: replaced(file, "PFCands", h5py.Empty("f4")),
    "'PFCands' is a link": lambda file: replaced(file, "PFCands", h5py.ExternalLink("/etc/passwd", "x")),
    "'jet_tagging' is a link": lambda file: replaced(file, "jet_tagging", h5py.SoftLink("/nowhere")),
    "different numbers of jets": lambda file: replaced(file, "jet_kinematics", lambda v: v[1:]),
    "no run, section and event": lambda file: replaced(file, "event_info", lambda v: -v),
    r"9223372036854775813\], which is no": lambda file: replaced(
        file, "event_info", lambda v: np.where(v > 1000, np.uint64(2**63 + 5), v.astype(np.uint64))
    ),
    "does not say which jets belong together": of_one_event,
    "truncated": cut,
    "it begins with b'no HDF5'": lambda file: file.write_text("no HDF5"),
    "a page of a website": lambda file: file.write_text("<!DOCTYPE html><html></html>"),
    "it has no bytes": lambda file: file.touch(),
    "it is a folder": lambda file: file.mkdir(),
    "missing file": lambda file: file.symlink_to("nowhere"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_is_none_of_the_layout_is_an_error(tmp_path: Path, message: str) -> None:
    BAD[message](tmp_path / "a.h5")
    with pytest.raises(InputFileError, match=rf"a\.h5.*{message}"):
        imported(tmp_path)


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    rows = aspen_files.rows(150)
    with h5py.File(tmp_path / "a.h5", "w") as made:
        for key, values in rows.items():
            made.create_dataset(key, data=values, chunks=True, fletcher32=True)
        place = made["jet_kinematics"].id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[place : place + 100] = os.urandom(100)
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(InputFileError, match=r"a\.h5: cannot be read as HDF5 \(damaged"):
        imported(tmp_path)


FORMS: dict[str, tuple[Callable[[Rows], Rows], dict[str, Any]]] = {
    "int32 numbers of events": (lambda r: r | {"event_info": r["event_info"].astype(np.int32)}, {}),
    "float64": (lambda r: {k: v.astype(float) if v.dtype.kind == "f" else v for k, v in r.items()}, {}),
    "big endian": (lambda r: {k: v.astype(v.dtype.newbyteorder(">")) for k, v in r.items()}, {}),
    "h5py's own chunks": (lambda r: r, {"chunks": True, "compression": "gzip"}),
    "another compression": (lambda r: r, {"chunks": True, "compression": "lzf", "shuffle": True}),
    "neither chunks nor compression": (lambda r: r, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_types_and_compressions_give_the_same_rows(tmp_path: Path, form: str) -> None:
    change, options = FORMS[form]
    # a name with blanks, and one by which nothing is to be found
    write(tmp_path / "a b [1].h5", change(ROWS), **options)
    found = event_table.read(imported(tmp_path).out / "jets", "aspen")
    aspen_files.write(tmp_path / "a b [1].h5", ROWS)
    np.testing.assert_equal(found, event_table.read(imported(tmp_path).out / "jets", "aspen"))


@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_and_one_row_are_imported(tmp_path: Path, rows: int) -> None:
    write(tmp_path / "a.h5", {key: values[:rows] for key, values in ROWS.items()})
    run = imported(tmp_path, aspen={"files": ["."], "events": True})
    assert run.extra("process")["jets"]["raw"][0] == rows
    # a stage that needs events says so
    with pytest.raises(OddjetsError, match="no data event passes the base selection"):
        run_stage(run, stage_of(run, "histogram"))


def test_links_keep_their_names_and_a_file_is_read_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "content.dat")
    for name in ("RunG_batch0.h5", "RunG_batch1.h5"):
        (tmp_path / name).symlink_to("content.dat")
    extra = imported(tmp_path).extra("process")
    # a published file has its part of the luminosity, and one with few jets is named
    assert "RunG_batch0.h5 is the first" in " ".join(capsys.readouterr().err.split())
    assert extra["fraction_of_data"] == 1 / 80
    assert extra["jets"]["published_files"] | {"jets": 0} == {
        "there": 1, "listed": 80, "read": 1, "jets": 0, "jets_listed": 178_000_000, "simulated": 0,
        "small": ["RunG_batch0.h5"],
    }  # fmt: skip


def test_simulated_and_measured_jets_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    aspen.write_file(tmp_path / "b.h5", [aspen_files.rows(10, 2)], simulated=True)
    with pytest.raises(InputFileError, match=r"b\.h5: says that its jets are simulated, and a\.h5 does not"):
        imported(tmp_path)


def test_a_full_disk_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.h5", aspen_files.rows(150))
    written: list[Path] = []

    def full(file: Path, columns: Any, note: Any) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(file)
        event_table.write_part(file, columns, note)

    monkeypatch.setattr(aspen_worker, "write_part", full)
    with pytest.raises(
        OddjetsError, match=r"nothing more can be written there .* the same command continues from there"
    ):
        imported(tmp_path)
    monkeypatch.undo()
    times = {file: file.stat().st_mtime_ns for file in written}
    imported(tmp_path)
    assert {file: file.stat().st_mtime_ns for file in written} == times


def test_a_full_disk_while_a_file_is_read_does_not_blame_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    # scores are kept while the file is open
    with pytest.raises(OSError, match="No space left") as error, aspen.open_datasets(tmp_path / "a.h5"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not isinstance(error.value, OddjetsError)


def test_a_folder_whose_files_have_another_ending_names_one(tmp_path: Path) -> None:
    write(tmp_path / "a.hdf5")
    with pytest.raises(InputFileError, match=r"no HDF5 files .* a\.hdf5 has another ending: rename it"):
        imported(tmp_path)


def test_validate_says_which_files_are_not_here(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    found = CliRunner().invoke(app, ["validate", str(aspen_files.analysis(tmp_path, aspen={"files": [".", "b.h5"]}))])
    assert found.exit_code == 0, found.output
    assert "not checked: aspen.files: b.h5: no such file" in found.output
    assert found.output.count("not checked") == 1


def test_what_cannot_work_is_said_before_anything_is_imported(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    events = {"files": ["."], "events": True}
    for changes, message in (
        ({"aspen": {"files": ["."], "simulation": "elsewhere"}}, "needs 'aspen.events: true'"),
        ({"aspen": {"files": ["~nobody_of_this_name/a.h5"]}}, "there is nobody whose own folder"),
        (
            {"jet_bump": {"range": [0, 240]}},
            "jet_bump.range: begins at 0 GeV, but the cut 'jet_mass' leaves no jets below 60 GeV",
        ),
        ({"jet_bump": {"window": [150, 151]}}, "holds the centre of no bin, which are 7.5 GeV wide"),
        ({"aspen": events, "luminosity": None}, "luminosity: what is made of events"),
        ({"execution": {"executor": "dask"}}, "'dask' reads no files of Aspen Open Jets"),
    ):
        with pytest.raises(ConfigError, match=message):
            imported(tmp_path, **changes)
    for changes, message in (
        ({"aspen": {"files": []}}, "toy: no files"),
        ({"aspen": events | {"simulation": "elsewhere"}}, "elsewhere: no results of the stage 'process'"),
        ({"aspen": events | {"simulation": "out"}}, "is the output folder itself"),
    ):
        with pytest.raises(OddjetsError, match=message):
            imported(tmp_path, **changes)
    assert not list((tmp_path / "out").glob("jets/*/*"))


def test_without_h5py_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(OddjetsError, match=r"pip install 'oddjets\[hdf5\]'"):
        imported(tmp_path)


# ---- downloads -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    (tmp_path / "served").mkdir()
    write(tmp_path / "served" / "RunG_batch0.h5")
    running = HttpServer(tmp_path / "served")
    yield running
    running.stop()


def fetched(server: HttpServer, folder: Path, **known: Any) -> list[Path]:
    catalogue = aspen_catalogue.load_aspen_catalogue().model_copy(update={"total_GB": 1e-6, **known})
    return aspen_catalogue.download_aspen(catalogue, ["RunG_batch0.h5"], folder, f"{server.url}/{{name}}")


def test_an_interrupted_download_goes_on(server: HttpServer, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    server.mode = "dies"
    with pytest.raises(FetchError, match="the same command continues from there"):
        fetched(server, folder)
    have = (folder / "RunG_batch0.h5.part").stat().st_size
    server.mode = "well"
    (file,) = fetched(server, folder)
    assert server.requests == [None, f"bytes={have}-"]
    assert file.read_bytes() == (server.folder / file.name).read_bytes()
    assert fetched(server, folder) == []


def test_what_is_not_the_file_is_deleted(server: HttpServer, tmp_path: Path) -> None:
    folder, served = tmp_path / "there", server.folder / "RunG_batch0.h5"
    server.mode = "less than there is"
    with pytest.raises(FetchError, match=r"truncated.*The download is deleted"):
        fetched(server, folder)
    server.mode = "well"
    with pytest.raises(FetchError, match="sha256 is"):
        fetched(server, folder, sha256={served.name: "0" * 64})
    served.write_text("<html>log in</html>")
    with pytest.raises(FetchError, match="the server sent a page of a website"):
        fetched(server, folder)
    server.mode = "overloaded"
    with pytest.raises(FetchError, match="503"):
        fetched(server, folder)
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OddjetsError, match="cannot be made"):
        fetched(server, tmp_path / "file" / "below")


def test_downloads_are_refused_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = aspen_catalogue.load_aspen_catalogue()
    assert len(catalogue.names) == 80
    monkeypatch.setattr(aspen_catalogue.shutil, "disk_usage", lambda path: SimpleNamespace(free=30e9))
    with pytest.raises(OddjetsError, match=r"80 files need some 207\.0 GB .* 30\.0 GB are free there; 11 of them fit"):
        aspen_catalogue.download_aspen(catalogue, catalogue.names, tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(aspen_catalogue, "download", lambda url, *_: asked.append(url))
    monkeypatch.setattr(aspen_catalogue, "inspect", lambda file: None)
    (tmp_path / "RunG_batch0.h5").touch()
    aspen_catalogue.download_aspen(catalogue, ["RunG_batch0.h5", "RunH_batch3.h5"], tmp_path)
    assert asked == ["https://www.fdr.uni-hamburg.de/record/16505/files/RunH_batch3.h5?download=1"]
    with pytest.raises(OddjetsError, match="none of the published files"):
        aspen_catalogue.download_aspen(catalogue, ["RunG_batch40.h5"], tmp_path)
