"""Atomic writing of files, and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_write", "sha256_of", "write_json"]


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Write a file under a temporary name beside it, and rename it when it is whole.

    Args:
        file: what appears, or is replaced, at the end. Its folder must exist.

    Yields:
        The temporary name, ``.NAME.<process>.<random>``. It is removed if anything fails.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(file: Path, content: Any) -> None:
    """Write JSON atomically."""
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file, as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
