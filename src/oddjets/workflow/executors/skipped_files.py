"""Files that could not be read and are left out as a whole, so that events, luminosity and sums of weights agree.

A file's sum of weights and its luminosity sections are known for the file alone, and not for a range of its entries. So
where a chunk is lost, its whole file is left out; chunks of it that could be read are kept for the next time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.core.provenance import lost_files
from oddjets.core.redaction import redacted
from oddjets.io.fileset import FileInfo
from oddjets.workflow.executors.chunks import Fileset

__all__ = ["FILE", "LostEventsError", "SkippedFile", "close_ledger", "raise_if_skipped", "without_files", "write"]

FILE = "lost.json"


@dataclass(frozen=True)
class SkippedFile:
    """A file or a chunk that could not be read.

    Attributes:
        dataset: what it belongs to.
        file: path.
        cause: in a word or two, see `oddjets.io.remote.failures.cause_of`.
        message: for the user.
        start: the first entry; None: the whole file.
        stop: one past the last entry, or None.
    """

    dataset: str
    file: str
    cause: str
    message: str
    start: int | None = None
    stop: int | None = None


class LostEventsError(OddjetsError):
    """Finished work with some files left out."""

    exit_code = 3


def without_files(fileset: Fileset, lost: Iterable[str]) -> dict[str, tuple[Any, list[FileInfo]]]:
    """Return a fileset without some files."""
    left_out = set(lost)
    return {name: (d, [info for info in files if info.path not in left_out]) for name, (d, files) in fileset.items()}


def close_ledger(fileset: Fileset, losses: Sequence[SkippedFile], done: Mapping[str, int]) -> dict[str, Any]:
    """Check that planned = done + lost events for every dataset, and return the sums.

    Args:
        fileset: all files that could be opened.
        losses: of them, and of others, which could not be opened and whose events nobody knows.
        done: dataset to events that were read and count.

    Returns:
        What goes into ``lost.json`` and the manifest: by dataset, ``planned``, ``done`` and ``lost`` events, and
        ``files`` that were left out, with their events (None: unknown) and causes; ``fraction``: the part of the events
        that was read, where files of unknown size count as the mean of the others.

    Raises:
        OddjetsError: the event counts do not add up, or nothing of a dataset was read.
    """
    datasets = {}
    for name, (_, files) in fileset.items():
        mine = [loss for loss in losses if loss.dataset == name]
        sizes = {info.path: info.entries for info in files}
        gone = {loss.file: sizes.get(loss.file) for loss in mine}
        planned, lost = sum(sizes.values()), sum(size or 0 for size in gone.values())
        if planned != done[name] + lost:
            raise OddjetsError(
                f"dataset '{name}': {planned} events planned, {done[name]} done and {lost} lost: the event counts do not add up"
            )
        if mine and not set(sizes) - set(gone):
            messages = "\n".join(dict.fromkeys(loss.message for loss in mine[:5]))
            raise OddjetsError(f"dataset '{name}': none of its files could be read\n{messages}")
        unknown = sum(size is None for size in gone.values()) * (planned / len(sizes) if sizes else 0.0)
        datasets[name] = {
            "planned": planned,
            "done": done[name],
            "lost": lost,
            "fraction": done[name] / (planned + unknown) if planned else 1.0,
            "files": [
                {
                    "file": redacted(file),
                    "events": size,
                    "lost": [
                        {"start": x.start, "stop": x.stop, "cause": x.cause, "message": redacted(x.message)}
                        for x in mine
                        if x.file == file
                    ],
                }
                for file, size in gone.items()
            ],
        }
    return datasets


def write(out: Path, datasets: Mapping[str, Any]) -> None:
    """Write ``lost.json`` where something is lost, and remove it where nothing is."""
    if any(found["files"] for found in datasets.values()):
        write_json(out / FILE, {"datasets": datasets})
    else:
        (out / FILE).unlink(missing_ok=True)


def raise_if_skipped(processed: Mapping[str, Any] | None, out: Path) -> None:
    """Raise, with another exit code, where files were left out.

    Raises:
        LostEventsError: says how much is lost, and where the list is.
    """
    lost = lost_files(processed)
    if lost:
        assert processed is not None
        events = sum(found["lost"] for found in processed["ledger"].values())
        planned = sum(found["planned"] for found in processed["ledger"].values())
        raise LostEventsError(
            f"{len(lost)} file(s) could not be read and were left out: {events} of {planned} events, the first file being"
            f" {lost[0]}; {out / FILE} lists them with their causes. The same command tries them again"
        )
