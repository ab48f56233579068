"""Records of finished chunks, written after their rows."""

from __future__ import annotations

import errno
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from oddjets.core.files import sha256_of, write_json
from oddjets.workflow.executors.chunks import Chunk

__all__ = [
    "CHUNKS",
    "EVENTS",
    "NO_OUTPUT",
    "ChunkCost",
    "ChunkFailure",
    "ChunkRecord",
    "FailureKind",
    "TablePart",
    "completed_record",
    "publish",
    "save",
]

#: folders of an analysis's output: event tables of chunks that are done, with their records; and those of a whole run
CHUNKS, EVENTS = "chunks", "events"
#: nothing can be written: the disk is full, the quota is used up, the file system is read-only
NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

#: why there is no record. file: it cannot be read, or lacks something; output: nothing can be written; mistake: of the
#: user's, and not in this file; processor: an exception in its code
FailureKind = Literal["file", "output", "mistake", "processor"]


@dataclass(frozen=True)
class TablePart:
    """The rows of a chunk, in a Parquet file.

    Attributes:
        name: of the file.
        rows: events in it.
        size: bytes.
        sha256: of the file.
    """

    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class ChunkCost:
    """The time and memory that a chunk took.

    Attributes:
        seconds: elapsed.
        cpu_seconds: of the process.
        peak_MB: the largest memory of the process while the chunk was worked on.
        host: where.
        worker: the process's number there.
    """

    seconds: float
    cpu_seconds: float
    peak_MB: float
    host: str
    worker: int


@dataclass(frozen=True)
class ChunkRecord:
    """The outcome of a chunk.

    Attributes:
        key: the chunk's content key.
        dataset: what it belongs to.
        file: path of the file, as it was then.
        start: the first entry.
        stop: one past the last entry.
        part: its rows.
        counts: what it adds to the totals (`chunk_counts.ChunkCounts`).
        cost: what it took.
    """

    key: str
    dataset: str
    file: str
    start: int
    stop: int
    part: TablePart
    counts: dict[str, Any]
    cost: ChunkCost


@dataclass(frozen=True)
class ChunkFailure:
    """The reason why a chunk has no record; returned as a value, since executors hide exceptions.

    Attributes:
        chunk: which.
        kind: whose fault it is.
        message: for the user, with the file's name.
        cause: of a file's: in a word or two (`oddjets.io.remote.failures.cause_of`).
        trace: the traceback, for ``--debug``.
    """

    chunk: Chunk
    kind: FailureKind
    message: str
    cause: str = ""
    trace: str = ""


def save(folder: Path, chunk: Chunk, record: ChunkRecord) -> None:
    """Write a record, after the part that it speaks of; nobody sees half of it."""
    write_json(folder / chunk.dataset / f"{chunk.name}.json", asdict(record))


def completed_record(out: Path, chunk: Chunk, *, thorough: bool = True) -> ChunkRecord | None:
    """Return the record of a chunk that was done earlier.

    Args:
        out: the output folder.
        chunk: which.
        thorough: check the sha256 of its part; else the size alone.

    Returns:
        None where there is no record, or one that is broken, of another key, or whose part is not what was written.
    """
    try:
        content = json.loads((out / CHUNKS / chunk.dataset / f"{chunk.name}.json").read_text(encoding="utf-8"))
        record = ChunkRecord(**content | {"part": TablePart(**content["part"]), "cost": ChunkCost(**content["cost"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if record.key != chunk.key or (record.start, record.stop) != (chunk.start, chunk.stop):
        return None
    for folder in (CHUNKS, EVENTS):
        part = out / folder / chunk.dataset / record.part.name
        if part.is_file() and part.stat().st_size == record.part.size:
            return record if not thorough or sha256_of(part) == record.part.sha256 else None
    return None


def publish(out: Path, chunks: Sequence[Chunk], counting: Collection[str]) -> None:
    """Make ``events`` hold the parts of chunks that count, and those alone; forget chunks that are not of the plan.

    Parts are moved, so that a run that is killed here finds them all when it is started again.

    Args:
        out: the output folder.
        chunks: the plan.
        counting: ids of the chunks whose rows count; all of them are done.
    """
    (out / EVENTS).mkdir(exist_ok=True)
    wanted: dict[str, set[str]] = {chunk.dataset: set() for chunk in chunks}
    for chunk in chunks:
        if chunk.id in counting:
            name = f"{chunk.name}.parquet"
            wanted[chunk.dataset].add(name)
            fresh, target = (out / folder / chunk.dataset / name for folder in (CHUNKS, EVENTS))
            target.parent.mkdir(exist_ok=True)
            if fresh.is_file():
                fresh.replace(target)
    known = {name for chunk in chunks for name in (f"{chunk.name}.json", f"{chunk.name}.parquet")}
    for part in (out / EVENTS).glob("*/part-*.parquet"):
        if part.name not in wanted.get(part.parent.name, set()):
            _set_aside(out, part) if part.name in known else part.unlink()
    for file in (out / CHUNKS).glob("*/part-*"):
        if file.name not in known:
            file.unlink()
    for folder in (*(out / EVENTS).glob("*"), *(out / CHUNKS).glob("*")):
        if folder.is_dir() and folder.name not in wanted and not any(folder.iterdir()):
            folder.rmdir()


def _set_aside(out: Path, part: Path) -> None:
    """Take a part out of ``events`` whose chunk is done and does not count, since another one of its file is lost."""
    target = out / CHUNKS / part.parent.name / part.name
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
