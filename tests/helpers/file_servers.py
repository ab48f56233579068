"""Servers of files on this machine that can be made to fail: http with byte ranges, and a real XRootD server."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

__all__ = ["HttpServer", "XrootdServer"]


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server's mode says; a connection is closed after each answer."""

    def __init__(self, owner: HttpServer, *arguments: Any) -> None:
        self.owner = owner
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        owner, asked = self.owner, self.headers.get("Range")
        if with_body:
            owner.requests.append(asked)
            if owner.before_answer is not None:
                owner.before_answer(len(owner.requests))
        mode = owner.mode
        if mode == "hang":
            owner.released.wait(20)
            return
        if mode == "overloaded":
            self.send_error(503)
            return
        if mode == "redirects":
            self.send_response(302)
            self.send_header("Location", "http://example.org/top.root")
            self.end_headers()
            return
        file = owner.folder / urlsplit(self.path).path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        first, last = 0, len(content)
        if asked is not None and mode != "no ranges":
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end) + 1, last) if end else last
            self.send_response(206)
        else:
            self.send_response(200)
        body = content[first:last]
        stated = len(body)
        if mode == "less than there is" and with_body:
            body = body[: len(body) // 2]
            stated = len(body)
        self.send_header("Content-Length", str(stated))
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) // 2] if mode == "dies" else body)

    def log_message(self, *_: Any) -> None:
        pass


class HttpServer:
    """Serves a folder on one port, from `start` to `stop`, any number of times.

    Attributes:
        mode: ``well``; ``hang``: no answer; ``overloaded``: 503; ``redirects``: to http elsewhere; ``dies``: breaks off
            in the middle of an answer; ``no ranges``: all of the file, whatever was asked for; ``less than there is``:
            half, said to be all.
        requests: the ranges that were asked for; None for a whole file.
        before_answer: is told the number of requests so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.mode = folder, "well"
        self.requests: list[str | None] = []
        self.before_answer: Callable[[int], None] | None = None
        self.released = threading.Event()
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", self._port), functools.partial(_Handler, self), bind_and_activate=True
        )
        self._server.handle_error = lambda *_: None  # clients that give up
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class XrootdServer:
    """The Debian package's server on a folder of its own, which an unprivileged user can read."""

    def __init__(self) -> None:
        program = shutil.which("xrootd")
        if program is None:
            pytest.skip("needs an XRootD server: Debian's package xrootd-server")
        pytest.importorskip("fsspec_xrootd", reason="needs pip install 'oddjets[xrootd]'")
        base = Path(tempfile.mkdtemp(prefix="oddjets-xrootd-"))
        base.chmod(0o755)
        self._base, self.folder = base, base / "data"
        own = base / "own"
        for folder in (self.folder, own):
            folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        settings = {
            "all.export": "/",
            "oss.localroot": self.folder,
            "xrd.port": self._port,
            "all.adminpath": own,
            "all.pidpath": own,
            "xrootd.chksum": "max 2 adler32",
        }
        (base / "settings").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        self._command = [program, "-c", str(base / "settings"), "-I", "v4"]
        if os.geteuid() == 0:
            # it refuses to run as root
            shutil.chown(own, "xrootd")
            self._command += ["-R", "xrootd"]
        if not self._comes_up():
            said = " ".join(self._said().split()[-30:])
            self.remove()
            pytest.skip(f"the XRootD server does not run here: {said}")

    @property
    def url(self) -> str:
        return f"root://127.0.0.1:{self._port}/"

    def start(self) -> None:
        if not self._comes_up():
            pytest.fail(f"the XRootD server did not come up: {self._said()}")

    def _comes_up(self) -> bool:
        with (self._base / "log").open("w") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._base)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.05)
        return False

    def _said(self) -> str:
        return (self._base / "log").read_text(errors="replace")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._base, ignore_errors=True)
