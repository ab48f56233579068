"""Access to ROOT files: local ones by uproot, remote ones with timeouts and checked answers."""

from __future__ import annotations

import importlib.util
import queue
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import uproot
from uproot.source.chunk import Chunk
from uproot.source.coalesce import coalesce_requests
from uproot.source.fsspec import FSSpecSource
from uproot.source.futures import TrivialFuture

from oddjets.config.execution import RemoteAccess
from oddjets.core.errors import InputFileError
from oddjets.io.remote.cache import local_copy
from oddjets.io.remote.timeouts import discard_handle, is_unencrypted, timeout_options

__all__ = ["RemoteSource", "is_remote", "open_file"]

#: scheme to the package that reads it, and the extra that installs it
_NEEDS = {"root": ("fsspec_xrootd", "xrootd"), "https": ("aiohttp", "https"), "http": ("aiohttp", "https")}


def is_remote(path: str) -> bool:
    """Tell a URL from a local path."""
    return "://" in path


def open_file(path: str, access: RemoteAccess | None = None) -> Any:
    """Open a ROOT file.

    Args:
        path: a local path; or a URL: root or https, plain http on this machine alone.
        access: how remote files are reached.

    Returns:
        uproot's directory, to be closed.

    Raises:
        InputFileError: no such scheme, or the package for it is not installed.
        Exception: whatever uproot and what it calls raise; `oddjets.io.remote.failures.cause_of` says what it means.
    """
    if not is_remote(path):
        # a dictionary: no part of the name is taken for a name inside the file
        return uproot.open({path: None})
    _check_scheme(path)
    access = access or RemoteAccess()
    if access.cache is not None:
        return uproot.open({str(local_copy(path, access.cache, access.timeout_s)): None})
    return uproot.open({path: None}, handler=RemoteSource, timeout_s=access.timeout_s)


def _check_scheme(url: str) -> None:
    scheme = url.partition("://")[0]
    if scheme not in _NEEDS:
        raise InputFileError(f"{url}: '{scheme}://' cannot be read; use root:// or https://")
    if is_unencrypted(url):
        raise InputFileError(
            f"{url}: http is read from this machine only, because its content could be changed during transfer; use https"
        )
    package, extra = _NEEDS[scheme]
    if importlib.util.find_spec(package) is None:
        raise InputFileError(f"{url}: {scheme}:// needs the package {package}: pip install 'oddjets[{extra}]'")


class RemoteSource(FSSpecSource):  # type: ignore[misc]
    """A source for uproot that reads bytes through fsspec, with timeouts and checked answers."""

    def __init__(self, file_path: str, *, timeout_s: int, **options: Any) -> None:
        super().__init__(file_path, **options, **timeout_options(file_path, timeout_s))

    def chunk(self, start: int, stop: int) -> Chunk:
        """Read a range of bytes, or what there is of it."""
        self._num_requests += 1
        self._num_requested_chunks += 1
        self._num_requested_bytes += stop - start
        try:
            answer = self._fs.cat_file(self._file_path, start=start, end=stop)
            self._check(answer, start, stop)
        except Exception:
            discard_handle(self._fs, self._file_path)
            raise
        return Chunk(self, start, stop, TrivialFuture(answer))

    def chunks(self, ranges: list[tuple[int, int]], notifications: queue.Queue[Any]) -> list[Chunk]:
        """Ask for ranges of bytes, neighbours together; they arrive in the background."""
        self._num_requests += 1
        self._num_requested_chunks += len(ranges)
        self._num_requested_bytes += sum(stop - start for start, stop in ranges)

        def submit(asked: list[tuple[int, int]]) -> Future[Any]:
            future: Future[Any] = self._executor.submit(self._read(asked))
            return future

        chunks: list[Chunk] = coalesce_requests(ranges, submit, self, notifications, config=self._coalesce_config)
        return chunks

    async def _read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read ranges of bytes; an error that fsspec returns in place of bytes is raised."""
        starts, stops = (list(ends) for ends in zip(*ranges, strict=True))
        try:
            answers = await self._fs._cat_ranges([self._file_path] * len(starts), starts, stops)
            for answer, start, stop in zip(answers, starts, stops, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                self._check(answer, start, stop)
        except Exception:
            discard_handle(self._fs, self._file_path)
            raise
        return list(answers)

    def _check(self, answer: Any, start: int, stop: int) -> None:
        """Refuse the whole file in answer to a range; less than was asked for is uproot's to judge."""
        if len(answer) > stop - start:
            raise InputFileError(
                f"{self._file_path_orig}: the server sent {len(answer)} bytes where {stop - start} were asked for, so it"
                " does not support byte ranges; set execution.cache to a folder to download whole files",
                cause="no byte ranges",
            )
