"""Causes of failed reads in words, and retries of those that may pass."""

from __future__ import annotations

import errno
import random
import re
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar

import uproot

from oddjets.core.console import log
from oddjets.core.errors import Cause, InputFileError, OddjetsError
from oddjets.core.redaction import redacted

__all__ = ["ATTEMPTS", "advice_on", "cause_of", "is_transient", "with_retries"]

T = TypeVar("T")

#: what may be gone in a moment
_TRANSIENT: frozenset[str] = frozenset({"timeout", "refused", "unreachable host", "interrupted", "server error"})

#: tries of one piece of reading; the waits between them are 1, 2 and 4 s, half of each random
ATTEMPTS = 4
_FIRST_WAIT_S = 1.0

_BY_ERRNO: dict[int, Cause] = {
    errno.EHOSTUNREACH: "unreachable host",
    errno.ENETUNREACH: "unreachable host",
    errno.EHOSTDOWN: "unreachable host",
    # of network file systems
    errno.EIO: "interrupted",
    errno.ESTALE: "interrupted",
    errno.EREMOTEIO: "interrupted",
}

_BY_STATUS: dict[int, Cause] = {
    401: "no permission",
    403: "no permission",
    404: "missing file",
    408: "timeout",
    410: "missing file",
    416: "truncated",
    429: "server error",
}

#: what XrdCl says; it has no exceptions of its own (XrdCl::Status::ToString, and the protocol's kXR errors)
_BY_XROOTD_TEXT: tuple[tuple[str, Cause], ...] = (
    (r"\[3011\]", "missing file"),
    (r"\[3010\]|Auth failed", "no permission"),
    (r"\[(3005|3007|3008|3012|3024)\]", "server error"),
    (r"Operation expired|Timeout", "timeout"),
    (r"Invalid address|Connection error", "unreachable host"),
    (r"[Ss]ocket|[Ss]tream|Poller|Operation interrupted", "interrupted"),
)


def is_transient(error: BaseException) -> bool:
    """Tell whether the same reading may succeed in a moment: a server's or network's failure, never one of our own code."""
    return cause_of(error) in _TRANSIENT


def cause_of(error: BaseException) -> Cause:
    """Return in words why a file could not be read.

    Args:
        error: as raised by reading, or by what wraps it (``raise ... from error``).
    """
    for link in _chain(error):
        if isinstance(link, InputFileError) and link.cause is not None:
            return link.cause
        if isinstance(link, OddjetsError):
            continue
        if (cause := _cause_of_one(link)) is not None:
            return cause
    return next((cause for link in _chain(error) if (cause := _cause_by_place(link)) is not None), "unknown")


def advice_on(cause: Cause) -> str:
    """Return what a user can do about a file that could not be read."""
    if cause in _TRANSIENT:
        return "it was tried several times: try later, or leave the file out"
    return "get it again or leave it out"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Follow what an error was raised from; not what was being handled, which may be a bug met on the way."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _cause_of_one(error: BaseException) -> Cause | None:
    """Say what an error means by itself; None where its type and text don't tell."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and _is_of_aiohttp(error):
        return _BY_STATUS.get(status, "server error" if status >= 500 else None)
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, socket.gaierror):
        return "unreachable host"
    if isinstance(error, ConnectionError):
        return "interrupted"
    if isinstance(error, FileNotFoundError):
        # fsspec says so of any failure to ask for a file's size
        below = error.__cause__
        return (_cause_of_one(below) if below is not None else None) or "missing file"
    if isinstance(error, PermissionError):
        return "no permission"
    if _is_of_aiohttp(error):
        if isinstance(error, OSError):
            inner = getattr(error, "os_error", None)
            return (_cause_of_one(inner) if isinstance(inner, OSError) else None) or "unreachable host"
        return "interrupted"
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0) or _cause_by_text(str(error))
    return None


def _cause_by_place(error: BaseException) -> Cause | None:
    """Say what an error means that was raised by uproot, or by what it calls; None for others, and for our own bugs.

    Decompression fails in as many ways as there are codecs: what tells is who called it.
    """
    if isinstance(error, (MemoryError, OSError)) and getattr(error, "errno", 0) is not None:
        # the machine's trouble, such as a full disk, says nothing of the file
        return None
    if isinstance(error, uproot.KeyInFileError):
        return "missing branch"
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    callers = [name for name in modules if name.startswith(("uproot.", "oddjets"))]
    if not callers or not callers[-1].startswith("uproot."):
        return None
    return "corrupt basket" if any("Basket" in name for name in callers) else "damaged"


def _cause_by_text(text: str) -> Cause | None:
    if "[ERROR]" in text or "[FATAL]" in text:
        return next((cause for pattern, cause in _BY_XROOTD_TEXT if re.search(pattern, text)), "server error")
    # uproot's, of local files too
    return "truncated" if re.search(r"expected Chunk of length \d+,\s+received \d+ bytes", text) else None


def _is_of_aiohttp(error: BaseException) -> bool:
    """Tell whether an error is aiohttp's, which need not be installed."""
    return any(kind.__module__.split(".")[0] == "aiohttp" for kind in type(error).__mro__)


def with_retries(function: Callable[[], T], what: str, *, attempts: int = ATTEMPTS) -> T:
    """Call a function, and again after a while when it fails for a transient reason.

    Args:
        function: reads something; is called again from its beginning.
        what: it does, for the log.
        attempts: calls at most.

    Raises:
        Exception: what the last call raised, or the first that is not transient.
    """
    for attempt in range(1, attempts):
        try:
            return function()
        except Exception as error:
            if not is_transient(error):
                raise
            wait = _FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            log.warning(
                "%s: %s; again in %.1f s (attempt %d of %d)",
                redacted(what),
                cause_of(error),
                wait,
                attempt + 1,
                attempts,
            )
            time.sleep(wait)
    return function()
