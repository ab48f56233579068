"""Downloads of an era's official correction files from their publishers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.corrections import lookups
from oddjets.corrections.lookups import Era
from oddjets.io.download import download

__all__ = ["fetch"]


def fetch(era: Era, folder: Path, names: Sequence[str] = ()) -> Iterator[tuple[str, Path, bool]]:
    """Download the official files of an era into the cache, those already there and right left alone.

    A file that the era calls unchecked is taken as it is, and left alone wherever there is one.

    Args:
        era: names the files.
        folder: where its relative paths start.
        names: which of its files; empty: all official ones.

    Yields:
        The file's name, where it is, and whether it was downloaded now.

    Raises:
        FetchError: see `download`.
        OddjetsError: the era has no such file, or it is not official.
    """
    official = [name for name, file in era.files.items() if file.official]
    for name in names:
        if name not in official:
            raise OddjetsError(f"era '{era.name}' has no official file '{name}'; {nearest(name, official)}")
    for name in names or official:
        path = lookups.locate(era, folder, name)
        try:
            lookups.verified_path(era, folder, name)
        except InputFileError:
            file = era.files[name]
            download(file.source, path, file.sha256 if file.checked else None)
            yield name, path, True
        else:
            yield name, path, False
