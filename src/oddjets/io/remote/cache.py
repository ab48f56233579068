"""Local copies of remote files, downloaded once and checked."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock

from oddjets.core.errors import InputFileError
from oddjets.io.remote.timeouts import discard_handle, timeout_options

__all__ = ["local_copy"]

_BLOCK = 8 << 20
#: what servers say of a file that changes when its content does
_VERSION = ("size", "mtime", "ETag", "Content-MD5", "Digest")


def local_copy(url: str, folder: Path, timeout_s: int) -> Path:
    """Return a local copy of a remote file, downloading it if there is none of what the server has now.

    Args:
        url: root or https.
        folder: of the copies; workers may share it. Nothing in it is ever removed.
        timeout_s: how long the server may stay silent.

    Raises:
        InputFileError: what came is not what the server says it has.
        Exception: what fsspec raises; `oddjets.io.remote.failures.cause_of` says what it means.
    """
    filesystem, path = fsspec.core.url_to_fs(url, **timeout_options(url, timeout_s))
    stated = filesystem.info(path)
    version = [str(stated.get(key)) for key in _VERSION]
    # without the query: it may hold a token, which is another one tomorrow
    address = url.partition("?")[0]
    key = hashlib.sha256(json.dumps([address, version]).encode()).hexdigest()[:24]
    target = folder / f"{key}-{Path(address).name}"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    # one worker at a time downloads, and the system takes the lock from one that dies; what that one left is overwritten
    with FileLock(part.with_suffix(".lock"), fallback_to_soft=False):
        if not target.is_file():
            try:
                filesystem.get_file(path, str(part), chunk_size=_BLOCK)
            except Exception:
                discard_handle(filesystem, path)
                raise
            _verify(url, part, stated.get("size"), _checksum(filesystem, path) if url.startswith("root://") else None)
            part.replace(target)
    return target


def _checksum(filesystem: Any, path: str) -> str | None:
    """Return the file's adler32 as the server knows it; many servers know none."""
    try:
        algorithm, value = filesystem.checksum(path)
    except OSError:
        return None
    return str(value) if algorithm == "adler32" else None


def _verify(url: str, part: Path, size: int | None, adler32: str | None) -> None:
    """Check that a download has the size and the checksum that the server stated; delete it otherwise."""
    found = part.stat().st_size
    if size is not None and found != size:
        part.unlink()
        raise InputFileError(
            f"{url}: received {found} bytes, but the server says {size}; the download is deleted", cause="interrupted"
        )
    if adler32 is None:
        return
    running = 1
    with part.open("rb") as stream:
        while block := stream.read(_BLOCK):
            running = zlib.adler32(block, running)
    if running != int(adler32, 16):
        part.unlink()
        raise InputFileError(
            f"{url}: adler32 is {running:08x}, but the server says {adler32}; the download is deleted",
            cause="interrupted",
        )
