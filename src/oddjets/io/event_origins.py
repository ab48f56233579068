"""The source files of rows of event tables: which file, and which of its entries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from oddjets.core.errors import InputFileError
from oddjets.core.redaction import redacted
from oddjets.io import event_table
from oddjets.io.remote.access import is_remote

__all__ = ["SourceRange", "sources_of"]


@dataclass(frozen=True)
class SourceRange:
    """The part of a source file that some rows of an event table come from.

    Attributes:
        path: as the fileset names it; "" if nobody knows.
        uuid: the ROOT file's own, as it was when it was processed; "" for rows that are of no ROOT file.
        start: the first entry.
        stop: one past the last entry.
    """

    path: str
    uuid: str
    start: int
    stop: int

    @property
    def shown(self) -> str:
        """The path without secrets, for people."""
        return redacted(self.path)


def sources_of(
    folder: Path, dataset: str, rows: npt.NDArray[np.int64], records: Path, files: Sequence[str]
) -> list[SourceRange]:
    """Return where rows of an event table come from.

    Args:
        folder: ``out/events``.
        dataset: its name.
        rows: numbers of rows, in the order of `oddjets.io.event_table.stream`, (n,).
        records: ``out/chunks``, whose records name the files.
        files: paths of the dataset's files in the fileset, with their secrets.

    Returns:
        One entry a row.

    Raises:
        InputFileError: a part is broken, or there are fewer rows.
    """
    ranges: list[SourceRange] = []
    counts = []
    known = {redacted(file): file for file in files}
    for part in event_table.parts(folder, dataset):
        try:
            metadata = pq.read_metadata(part)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputFileError(
                f"{part}: broken event table ({error}); `oddjets process --force` makes it again"
            ) from None
        counts.append(metadata.num_rows)
        ranges.append(_range_of(metadata.metadata or {}, records / dataset / f"{part.stem}.json", known))
    ends = np.cumsum(counts, dtype=np.int64)
    if len(rows) and (not len(ends) or rows.max() >= ends[-1]):
        raise InputFileError(
            f"{folder / dataset}: the event table has changed since it was read; run the command again"
        )
    return [ranges[place] for place in np.searchsorted(ends, rows, side="right")]


def _range_of(metadata: Mapping[bytes, bytes], record: Path, known: Mapping[str, str]) -> SourceRange:
    note = json.loads(metadata.get(b"oddjets", b"{}"))
    # imported event files have no entries
    path = str(note.get("file", ""))
    if not path:
        try:
            path = str(json.loads(record.read_text(encoding="utf-8"))["file"])
        except (OSError, ValueError, KeyError, TypeError):
            # rows of one file alone need no record
            path = next(iter(known)) if len(known) == 1 else ""
    return SourceRange(
        _where_now(path, known),
        str(note.get("fileuuid", "")),
        int(note.get("entrystart", 0)),
        int(note.get("entrystop", 0)),
    )


def _where_now(path: str, known: Mapping[str, str]) -> str:
    """Return where a file is now: as recorded, or, if its folder was moved, the fileset's only file of its name.

    Who reads it compares the file's own number, so another file of the same name is found out.
    """
    if path in known or not path or is_remote(path) or Path(path).is_file():
        return known.get(path, path)
    same = [file for file in known.values() if not is_remote(file) and Path(file).name == Path(path).name]
    return same[0] if len(same) == 1 and Path(same[0]).is_file() else path
