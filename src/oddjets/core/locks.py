"""Locks of output folders, so that only one run writes there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.redaction import redacted
from oddjets.core.worker_pool import is_importing_main

__all__ = ["LockedError", "lock_holder", "locked"]

_NAME = ".lock"
#: how long a run is waited for that is just ending, or a `lock_holder` that only asks
_TIMEOUT_S = 0.2
#: what flock answers on file systems without locks
_LOCKS_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


class LockedError(OddjetsError):
    """An output folder on which another run works."""


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock an output folder, so that no other run works there.

    The lock is the kernel's: it ends with the process, however that ends, and what stands in the file ``.lock`` is only to
    say who holds it. On file systems without locks the file says when a run began, and nobody is kept off.

    Args:
        out: the folder; made if need be.

    Raises:
        LockedError: another run holds it; the message says which.
        OddjetsError: it cannot be made, or nothing can be written there.
        SystemExit: a worker process is importing the script that started it, and got here: the script has no guard.
    """
    if is_importing_main():
        # no traceback, which each worker would show
        raise SystemExit(
            "this worker process imports the script that started it: what the script runs must stand under `if __name__ =="
            ' "__main__":`'
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    with ExitStack() as stack:
        try:
            # no soft lock where there are none: it would outlive a run that is killed on another machine
            stack.enter_context(FileLock(out / _NAME, timeout=_TIMEOUT_S, fallback_to_soft=False))
        except Timeout:
            with (out / _NAME).open(encoding="utf-8") as file:
                who = _holder(file)
            raise LockedError(
                f"{out}: another run works here ({who}); wait for it, or give another folder with --out"
            ) from None
        except OSError as error:
            if error.errno not in _LOCKS_UNSUPPORTED:
                raise _unwritable(out, error) from error
            console.print(f"{escape(str(out))}: this file system has no locks: make sure that no other run works here")
        _write_holder(out / _NAME)
        try:
            yield
        finally:
            # the file stays: removing it would let two runs hold a lock each, on the old file and on a new one
            with suppress(OSError):
                os.truncate(out / _NAME, 0)


def _unwritable(out: Path, error: OSError) -> OddjetsError:
    if out.is_file():
        return OddjetsError(f"{out}: is a file, and results need a folder; give another folder with --out")
    return OddjetsError(
        f"{out}: nothing can be written there ({error.strerror or error}); give another folder with --out"
    )


def lock_holder(out: Path) -> str | None:
    """Return who works on a folder now; None if nobody does, or if the file system does not tell."""
    # filelock's locks are exclusive, and need the right to write: one that only asks keeps nobody off, nor makes a file
    try:
        with (out / _NAME).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(file)
    except OSError:
        return None
    return None


def _write_holder(file: Path) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    command = redacted(" ".join(sys.argv))[:200]
    content = {"host": socket.gethostname(), "process": os.getpid(), "since": now, "command": command}
    file.write_text(json.dumps(content), encoding="utf-8")


def _holder(file: IO[str]) -> str:
    """Say who holds the lock, as far as the file tells."""
    try:
        found: dict[str, Any] = json.load(file)
        return f"process {found['process']} on {found['host']}, since {found['since']}: {found['command']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown process"
