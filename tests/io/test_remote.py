"""Files from real servers on this machine: the same rows as from local files, whatever the servers do."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from helpers.chunks import process
from helpers.file_servers import HttpServer, XrootdServer
from helpers.toy_nano import toy_nano

from oddjets.config import analysis
from oddjets.config.execution import RemoteAccess
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.corrections import luminosity
from oddjets.io import event_table
from oddjets.io.fileset import inspect
from oddjets.io.remote import access as remote_access
from oddjets.io.remote import failures
from oddjets.io.remote.access import open_file
from oddjets.io.remote.failures import cause_of, is_transient, with_retries
from oddjets.workflow.run import RunContext
from oddjets.workflow.skim.run import skim

EVENTS = 900
BRANCHES = {
    "scores": {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
    "threshold": {"score": "xbb", "value": 0.5},
}
QUICK = {"executor": "iterative", "timeout_s": 2, "chunk_size": 450}
TOKEN = "?authz=Bearer%20s3cret/t.k"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_nano(tmp_path_factory.mktemp("toy") / "top.root", EVENTS)


@pytest.fixture(scope="module")
def local(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = process(tmp_path_factory.mktemp("local"), {"top": toy}, **BRANCHES, execution=QUICK)
    return rows_of(run)


@pytest.fixture
def server(toy: Path) -> Iterator[HttpServer]:
    pytest.importorskip("aiohttp", reason="needs pip install 'oddjets[https]'")
    server = HttpServer(toy.parent)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def one_xrootd(toy: Path) -> Iterator[XrootdServer]:
    server = XrootdServer()
    (server.folder / "top.root").write_bytes(toy.read_bytes())
    yield server
    server.remove()


@pytest.fixture
def xrootd(one_xrootd: XrootdServer) -> XrootdServer:
    if one_xrootd.process.poll() is not None:
        one_xrootd.start()
    return one_xrootd


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_FIRST_WAIT_S", 0.3)


def rows_of(run: RunContext) -> dict[str, Any]:
    return event_table.read(run.out / "events", "top")


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def once(number: int, action: Any) -> Any:
    """Do something when a counter first reaches a number."""
    done = threading.Event()

    def before(count: int) -> None:
        if count >= number and not done.is_set():
            done.set()
            action()

    return before


# ---- the same rows -----------------------------------------------------------------------------------------------


def test_rows_over_https_are_those_of_the_local_file(server, local, tmp_path):
    run = process(tmp_path, {"top": f"{server.url}/top.root"}, **BRANCHES, execution=QUICK)
    assert_same(rows_of(run), local)
    assert None not in server.requests, "a whole file was sent"


def test_luminosity_sections_of_a_remote_file_are_those_of_the_local_one(server, toy):
    found = luminosity.sections_of_file(f"{server.url}/top.root")
    np.testing.assert_array_equal(found, luminosity.sections_of_file(str(toy)))
    assert len(found) == 10


def test_rows_over_xrootd_are_those_of_the_local_file(xrootd, local, tmp_path):
    run = process(tmp_path, {"top": f"{xrootd.url}/top.root"}, **BRANCHES, execution=QUICK)
    assert_same(rows_of(run), local)


def test_a_skim_of_a_remote_file_has_the_same_rows(server, toy, local, tmp_path):
    run = process(tmp_path / "remote", {"top": f"{server.url}/top.root{TOKEN}"}, **BRANCHES, execution=QUICK)
    fileset = skim(run, tmp_path / "skim")
    (file,) = (tmp_path / "skim" / "top").iterdir()
    assert file.name.startswith("top-")
    with uproot.open(file) as skimmed:
        assert "s3cret" not in str(skimmed["skim"])
    found = process(tmp_path / "skimmed", {"top": file}, **BRANCHES, execution=QUICK)
    assert_same(rows_of(found), local)
    assert fileset.is_file()


# ---- servers that fail -------------------------------------------------------------------------------------------


@pytest.mark.fault("Server dying mid-read", "Retries; when the server is back, the rows are those of the local file.")
def test_an_http_server_killed_and_restarted(server, local, tmp_path):
    def die() -> None:
        threading.Thread(target=lambda: (server.stop(), server.start())).start()
        server.mode = "dies"
        threading.Timer(0.3, lambda: setattr(server, "mode", "well")).start()

    server.before_answer = once(8, die)
    run = process(tmp_path, {"top": f"{server.url}/top.root"}, **BRANCHES, execution=QUICK)
    assert_same(rows_of(run), local)
    assert len(server.requests) > 8


@pytest.mark.fault(
    "Server dying mid-read", "Retries until a killed XRootD server is back; the rows are those of the local file."
)
def test_an_xrootd_server_killed_and_restarted(xrootd, local, tmp_path, monkeypatch):
    read = remote_access.RemoteSource._read
    calls = []

    def die() -> None:
        xrootd.kill()
        threading.Timer(3.0, xrootd.start).start()

    before = once(3, die)

    async def counted(self: Any, ranges: Any) -> Any:
        calls.append(ranges)
        before(len(calls))
        return await read(self, ranges)

    monkeypatch.setattr(remote_access.RemoteSource, "_read", counted)
    run = process(tmp_path, {"top": f"{xrootd.url}/top.root"}, **BRANCHES, execution=QUICK)
    assert_same(rows_of(run), local)
    assert len(calls) > 3


@pytest.mark.fault(
    "Server dying mid-read", "If the server does not return, stops and names the file and the error; nothing is lost."
)
def test_an_answer_that_always_breaks_off_is_an_error_that_names_the_file(server, tmp_path):
    server.before_answer = once(8, lambda: setattr(server, "mode", "dies"))
    with pytest.raises(OddjetsError, match=r"top\.root.*interrupted"):
        process(tmp_path, {"top": f"{server.url}/top.root{TOKEN}"}, **BRANCHES, execution=QUICK)


@pytest.mark.fault(
    "Server refusing", "Tries four times in all with increasing waits, then names the file and 'refused'."
)
def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/top.root"
    with pytest.raises(InputFileError, match=r"top\.root: cannot be read as ROOT \(refused"):
        inspect(url, is_data=False)


@pytest.mark.fault("Server refusing", "Retries at an overloaded server (503); the result is that of the local file.")
def test_an_overloaded_server_is_asked_again(server, toy):
    server.mode = "overloaded"
    server.before_answer = once(2, lambda: setattr(server, "mode", "well"))
    found = inspect(f"{server.url}/top.root", is_data=False)
    assert found.sum_of_weights == inspect(str(toy), is_data=False).sum_of_weights


@pytest.mark.fault(
    "Server hanging", "Gives up after `execution.timeout_s`, retries, then names the file and 'timeout'."
)
def test_a_silent_http_server_is_a_timeout(server, monkeypatch):
    monkeypatch.setattr(failures, "ATTEMPTS", 2)
    server.mode = "hang"
    with pytest.raises(Exception) as caught:
        open_file(f"{server.url}/top.root", RemoteAccess(timeout_s=1))
    assert cause_of(caught.value) == "timeout"


@pytest.mark.fault("Server hanging", "Treats a silent XRootD server as a timeout; reads again when it answers.")
def test_a_silent_xrootd_server_is_a_timeout_and_is_read_again_when_it_answers(xrootd):
    url, access = f"{xrootd.url}/top.root", RemoteAccess(timeout_s=2)
    with open_file(url, access) as file:
        tree = file["Events"]
        xrootd.process.send_signal(signal.SIGSTOP)
        # on a busy machine its threads could still answer
        os.waitpid(xrootd.process.pid, os.WUNTRACED)
        try:
            with pytest.raises(OSError) as caught:
                tree["FatJet_pt"].array()
        finally:
            xrootd.process.send_signal(signal.SIGCONT)
    assert cause_of(caught.value) == "timeout"
    assert is_transient(caught.value)
    with with_retries(lambda: open_file(url, access), url) as file:
        assert file["Events"].num_entries == EVENTS


@pytest.mark.parametrize("stays", ["http", "root"])
def test_a_file_that_is_not_there_is_not_asked_for_again(server, request, stays):
    url = f"{server.url}/none.root"
    if stays == "root":
        url = f"{request.getfixturevalue('xrootd').url}/none.root"
    with pytest.raises(InputFileError, match="missing file") as caught:
        inspect(url, is_data=False)
    assert cause_of(caught.value) == "missing file"
    assert len(server.requests) <= 1


@pytest.mark.fault("Host unreachable", "Retries, then names the file and 'unreachable host'.")
@pytest.mark.parametrize("scheme", ["https", "root"])
def test_a_host_without_address_is_unreachable(request, scheme):
    package = {"https": "aiohttp", "root": "fsspec_xrootd"}[scheme]
    pytest.importorskip(package)
    with pytest.raises(InputFileError, match="unreachable host"):
        inspect(f"{scheme}://no-such-host.invalid//top.root", is_data=False)


@pytest.mark.fault("Server without byte ranges", "Refuses the response; with a cache folder the file can be read.")
def test_a_server_without_byte_ranges(server, toy, tmp_path):
    server.mode = "no ranges"
    url = f"{server.url}/top.root"
    with pytest.raises(InputFileError, match=r"does not support byte ranges; set execution\.cache"):
        inspect(url, is_data=False)
    found = inspect(url, is_data=False, access=RemoteAccess(cache=tmp_path))
    assert found.uuid == inspect(str(toy), is_data=False).uuid


@pytest.mark.fault("Wrong content length", "Treats a response that is too short as a truncated file, never as data.")
def test_less_than_was_asked_for_is_no_data(server):
    with open_file(f"{server.url}/top.root") as file:
        tree = file["Events"]
        server.mode = "less than there is"
        with pytest.raises(OSError, match="expected Chunk") as caught:
            tree["FatJet_pt"].array()
    assert cause_of(caught.value) == "truncated"


# ---- the cache ---------------------------------------------------------------------------------------------------


def test_a_cached_file_is_downloaded_once_and_anew_when_it_changed(server, toy, tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    server.folder = folder
    (folder / "top.root").write_bytes(toy.read_bytes())
    access = RemoteAccess(cache=tmp_path / "cache")
    for token in ("", TOKEN):
        with open_file(f"{server.url}/top.root{token}", access) as file:
            assert file["Events"].num_entries == EVENTS
    assert server.requests == [None]
    toy_nano(folder / "top.root", 7)
    with open_file(f"{server.url}/top.root", access) as file:
        assert file["Events"].num_entries == 7
    assert server.requests == [None, None]
    assert not [p for p in access.cache.iterdir() if "s3cret" in p.name or p.suffix == ".part"]


def test_workers_that_want_one_file_at_once_download_it_once(server, tmp_path):
    access = RemoteAccess(cache=tmp_path)
    found: list[int] = []

    def read() -> None:
        with open_file(f"{server.url}/top.root", access) as file:
            found.append(file["Events"].num_entries)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [EVENTS] * 4
    assert server.requests == [None]


@pytest.mark.fault(
    "Wrong checksum on a download", "Does not keep a copy whose adler32 differs from the XRootD server's."
)
def test_a_cached_file_with_another_checksum_is_not_kept(xrootd, tmp_path, monkeypatch):
    access = RemoteAccess(timeout_s=5, cache=tmp_path)
    filesystem = pytest.importorskip("fsspec_xrootd").XRootDFileSystem
    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "checksum", lambda *_: ("adler32", "00000001"))
        with pytest.raises(InputFileError, match="the server says 00000001; the download is deleted") as caught:
            open_file(f"{xrootd.url}/top.root", access)
    assert is_transient(caught.value)
    assert not list(tmp_path.glob("*.root"))
    with open_file(f"{xrootd.url}/top.root", access) as file:
        assert file["Events"].num_entries == EVENTS
    assert len(list(tmp_path.glob("*-top.root"))) == 1


@pytest.mark.fault("Server dying mid-read", "Never keeps a partial download in the cache folder.")
def test_half_a_download_is_not_kept(server, tmp_path):
    server.mode = "dies"
    with pytest.raises(Exception) as caught:
        open_file(f"{server.url}/top.root", RemoteAccess(cache=tmp_path))
    assert cause_of(caught.value) == "interrupted"
    assert not list(tmp_path.glob("*.root"))


# ---- what is refused, and what failures mean ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/top.root", "http is read from this machine only"),
        ("ftp://example.org/top.root", "'ftp://' cannot be read"),
    ],
)
def test_other_ways_are_refused(url, message):
    with pytest.raises(InputFileError, match=message):
        inspect(url, is_data=False)


@pytest.mark.fault("Server redirecting to http", "Refuses, because a third party could change the file in transit.")
def test_a_redirection_to_http_is_not_followed(server):
    server.mode = "redirects"
    with pytest.raises(InputFileError, match="the server redirects to http"):
        inspect(f"{server.url}/top.root", is_data=False)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(remote_access.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputFileError, match=r"pip install 'oddjets\[xrootd\]'"):
        open_file("root://127.0.0.1//top.root")


def test_only_what_may_pass_is_tried_again():
    calls = []

    def fails(error: Exception) -> Any:
        def call() -> None:
            calls.append(error)
            raise error

        return call

    for error in (KeyError("x"), ValueError("y"), InputFileError("z", cause="truncated"), OSError(28, "disk full")):
        with pytest.raises(type(error)):
            with_retries(fails(error), "reading")
    assert len(calls) == 4
    with pytest.raises(ConnectionResetError):
        with_retries(fails(ConnectionResetError()), "reading", attempts=3)
    assert len(calls) == 7


def test_a_bug_met_while_handling_a_timeout_is_a_bug():
    def buggy() -> None:
        try:
            raise TimeoutError
        except TimeoutError:
            {}["key"]

    with pytest.raises(KeyError) as caught:
        buggy()
    assert not is_transient(caught.value)
    wrapped = RuntimeError("work failed")
    wrapped.__cause__ = TimeoutError()
    assert is_transient(wrapped)


def test_secrets_reach_no_file_that_is_written(server, tmp_path):
    url = f"{server.url}/top.root{TOKEN}"
    absent = f"{server.url}/absent.root{TOKEN}"
    run = process(tmp_path / "one", {"top": [url, absent]}, **BRANCHES, execution=QUICK | {"skip_bad_files": True})
    content = read_manifest(run.out, "process")
    assert content is not None
    assert f"{server.url}/top.root?authz=***" in json.dumps(content)
    assert f"{server.url}/absent.root?authz=***" in (run.out / "lost.json").read_text()
    with pytest.raises(OddjetsError, match=r"absent\.root\?authz=\*\*\*"):
        process(tmp_path / "two", {"top": [url, absent]}, **BRANCHES, execution=QUICK)
    written = [p for p in tmp_path.glob("*/out/**/*") if p.is_file() and b"s3cret" in p.read_bytes()]
    assert not written
    assert (tmp_path / "two" / "out" / "manifests" / "process.failed").is_file()


def test_a_relative_cache_is_beside_the_analysis(tmp_path):
    execution = analysis.Execution(cache="kept", timeout_s=7)
    assert execution.access(tmp_path) == RemoteAccess(7, tmp_path / "kept")


@pytest.mark.slow
def test_workers_take_a_remote_file_from_the_cache(server, local, tmp_path):
    execution = QUICK | {"executor": "futures", "workers": 2, "cache": str(tmp_path / "cache")}
    run = process(tmp_path / "run", {"top": f"{server.url}/top.root"}, **BRANCHES, execution=execution)
    assert_same(rows_of(run), local)
    assert server.requests == [None]
