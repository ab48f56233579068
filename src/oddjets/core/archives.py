"""Archives (.tar.gz): the same bytes for the same files, and safe reading of those from outside."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from oddjets.core.errors import InputFileError
from oddjets.core.files import atomic_write
from oddjets.core.paths import is_file_name

__all__ = ["LARGEST", "archive_bytes", "read_archive", "write_archive"]

#: bytes that an archive may have when it is unpacked, all files together
LARGEST = 2_000_000_000


def archive_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return files as an archive without dates, users and modes of this machine: the same files have the same bytes.

    Args:
        files: name, without folders, to content.
    """
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(files[name]), 0, 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def write_archive(file: Path, files: Mapping[str, bytes]) -> None:
    """Write an archive atomically; see `archive_bytes`."""
    with atomic_write(file) as temporary:
        temporary.write_bytes(archive_bytes(files))


def read_archive(file: Path, packed: bytes | None = None) -> dict[str, bytes]:
    """Read an archive into memory. Nothing is unpacked, so that no name in it can lead anywhere.

    Args:
        file: where it is.
        packed: its content, if it is not there yet; ``file`` is then its name in messages.

    Returns:
        Name to content.

    Raises:
        InputFileError: it is missing, no archive, ends early, is damaged or too large; or it holds something else than plain
            files without folders: links, devices, absolute paths, paths with ``..``, one name twice.
    """
    found: dict[str, bytes] = {}
    left = LARGEST
    try:
        stored = None if packed is None else io.BytesIO(packed)
        with tarfile.open(file, "r|gz", fileobj=stored) as archive:
            for entry in archive:
                entry.name = entry.name.removeprefix("./")
                if entry.isdir() and entry.name in ("", "."):
                    # a folder that was packed again by hand
                    continue
                _check(file, entry, found)
                left -= entry.size
                if left < 0:
                    raise InputFileError(f"{file}: has more than {LARGEST / 1e9:g} GB when unpacked, so it is not read")
                stream = archive.extractfile(entry)
                assert stream is not None
                found[entry.name] = stream.read()
    except FileNotFoundError:
        raise InputFileError(f"{file}: no such file", cause="missing file") from None
    except (tarfile.ReadError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputFileError(
            f"{file}: cannot be read as an archive (.tar.gz): {error}; it may be another kind of file, or have ended early:"
            " copy it again",
            cause="truncated" if found else "damaged",
        ) from None
    return found


def _check(file: Path, entry: tarfile.TarInfo, known: Mapping[str, bytes]) -> None:
    """Refuse what no archive of ours has."""
    if not entry.isfile():
        raise InputFileError(f"{file}: '{entry.name}' is a link, a folder or a device; such an archive is not read")
    if not is_file_name(entry.name):
        raise InputFileError(f"{file}: '{entry.name}' is a path that can leave its folder; such an archive is not read")
    if entry.name in known:
        raise InputFileError(f"{file}: '{entry.name}' is there twice; such an archive is not read")
