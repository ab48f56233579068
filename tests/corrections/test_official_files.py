"""Downloads: whole, checked and once; from a server on this machine."""

import functools
import hashlib
import http.server
import threading

import pytest
import yaml
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.errors import OddjetsError
from oddjets.corrections import lookups
from oddjets.corrections.lookups import CorrectionFile, Era, cache_folder
from oddjets.corrections.official_files import fetch
from oddjets.io.download import FetchError, download

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; breaks off after `break_after` bytes once; knows ranges."""

    def __init__(self, state, *arguments):
        self.state = state
        super().__init__(*arguments)

    def do_GET(self):
        self.state["requests"].append(self.headers.get("Range"))
        if self.path != "/file.json.gz":
            self.send_error(404)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in self.headers else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.state.pop("break_after", None)])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    state = {"requests": []}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, state)) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/file.json.gz", state
        running.shutdown()
        thread.join()


def test_a_download_is_the_file_and_nothing_else(tmp_path, server):
    download(server[0], tmp_path / "JME" / "file.json.gz", SHA256)
    assert [p.name for p in (tmp_path / "JME").iterdir()] == ["file.json.gz"]
    assert (tmp_path / "JME" / "file.json.gz").read_bytes() == CONTENT


@pytest.mark.fault(
    "Download interrupted",
    "Keeps the part that was downloaded and continues; a file gets its name only after its sha256 is verified.",
)
def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path, server):
    url, state = server
    state["break_after"] = 100_000
    with pytest.raises(FetchError, match="100000 bytes are kept, and the same command continues"):
        download(url, tmp_path / "file", SHA256)
    assert not (tmp_path / "file").exists()
    download(url, tmp_path / "file", SHA256)
    assert state["requests"] == [None, "bytes=100000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_all_was_there_but_not_yet_checked(tmp_path, server):
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(server[0], tmp_path / "file", SHA256)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.fault("Wrong checksum on a download", "Does not keep an official file with another sha256.")
def test_a_wrong_checksum_keeps_nothing(tmp_path, server):
    with pytest.raises(FetchError, match="the download is deleted"):
        download(server[0], tmp_path / "file", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_says_what_the_server_says(tmp_path, server):
    with pytest.raises(FetchError, match="404"):
        download(server[0] + "x", tmp_path / "file", SHA256)


def test_nobody_answers(tmp_path):
    with pytest.raises(FetchError, match="nothing was received"):
        download("http://127.0.0.1:1/file", tmp_path / "file", SHA256)


@pytest.mark.fault("Download without encryption", "Refuses it.")
@pytest.mark.parametrize("url", ["http://example.org/file", "file:///etc/passwd", "ftp://127.0.0.1/file"])
def test_only_https(tmp_path, url):
    with pytest.raises(FetchError, match="https only"):
        download(url, tmp_path / "file", SHA256)


def test_an_era_is_fetched_once(tmp_path, server, monkeypatch):
    url, state = server
    monkeypatch.setenv("ODDJETS_CACHE", str(tmp_path))
    files = {"a": CorrectionFile(path="JME/a.json.gz", sha256=SHA256, source=url)}
    era = Era(name="x", files=files | {"ours": CorrectionFile(path="b", sha256=SHA256, source="a script")})
    assert [(name, new) for name, _, new in fetch(era, tmp_path)] == [("a", True)]
    assert [(name, new) for name, _, new in fetch(era, tmp_path)] == [("a", False)]
    assert len(state["requests"]) == 1
    assert lookups.verified_path(era, tmp_path, "a").read_bytes() == CONTENT
    with pytest.raises(OddjetsError, match="no official file 'ours'"):
        list(fetch(era, tmp_path, ["ours"]))


def test_the_verb_fetches_an_era_of_ones_own(tmp_path, server, monkeypatch):
    monkeypatch.setenv("ODDJETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    files = {"a": {"path": "a.json.gz", "sha256": SHA256, "source": server[0]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "files": files}))
    for _ in range(2):
        result = CliRunner().invoke(app, ["fetch", "mine", "a"])
        assert result.exit_code == 0, result.exception
    assert (tmp_path / "cache" / "mine" / "a.json.gz").read_bytes() == CONTENT
    assert len(server[1]["requests"]) == 1


@pytest.mark.fault("Correction file missing", "Names the command that downloads it.")
def test_a_file_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ODDJETS_CACHE", str(tmp_path))
    era, folder = lookups.load_era("2016UL")
    with pytest.raises(OddjetsError, match="`oddjets fetch 2016postVFP` downloads it"):
        lookups.verified_path(era, folder, "jerc")


def test_downloads_are_kept_where_the_user_or_the_platform_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    monkeypatch.setenv("ODDJETS_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.delenv("ODDJETS_CACHE")
    assert cache_folder() == tmp_path / "platform" / "oddjets"
