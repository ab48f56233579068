"""The events of files of Aspen Open Jets: where they begin, which are there twice, and how a file is divided."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError
from oddjets.io import aspen

__all__ = ["chunks_of", "event_info_of", "events_of_earlier_files", "repeated_events"]

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

#: largest numbers of a run, a luminosity section (32 bits in NanoAOD) and an event
_LARGEST = np.array([(1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1])
#: events of luminosity sections of several files that are compared at a time, some 50 bytes each
_AT_ONCE = 4_000_000
#: more jets than this are of no one event, whatever the makers kept
_MOST_JETS = 100
#: a file with a larger share of events of files before it is a copy, and no file with some events too many
_COPY = 0.5


def event_info_of(file: Path) -> npt.NDArray[np.int64]:
    """Read `event_info` of a whole file, shape (jets, 3), and check its numbers.

    Raises:
        InputFileError: numbers that no run, section or event has, or see `oddjets.io.aspen.open_datasets`.
    """
    with aspen.open_datasets(file) as datasets:
        found = datasets["event_info"][:]
    # unsigned numbers of 64 bits that are too large become negative
    event_info = np.asarray(found).astype(np.int64)
    wrong = np.flatnonzero(((event_info < 0) | (event_info > _LARGEST)).any(axis=1))
    if len(wrong):
        raise InputFileError(
            f"{file}: row {wrong[0]} of 'event_info' is {found[wrong[0]].tolist()}, which is no run, section and event"
            f" ({len(wrong)} such rows)"
        )
    starts = _starts(event_info)
    jets = np.diff([*starts, len(event_info)])
    if (jets > _MOST_JETS).any():
        place = int(np.argmax(jets))
        raise InputFileError(
            f"{file}: {jets[place]} rows from row {starts[place]} on are of one event, {event_info[starts[place]].tolist()},"
            f" and an event has up to {aspen.JETS_PER_EVENT}: 'event_info' does not say which jets belong together"
        )
    return event_info


def repeated_events(event_info: Array) -> npt.NDArray[np.bool_]:
    """Return the rows of events that were there before in a file, with rows of other events between.

    Args:
        event_info: of a whole file, shape (jets, 3).
    """
    starts = _starts(event_info)
    events = event_info[starts]
    # the first of equal events stays in front of the others
    order = np.lexsort(events.T)
    repeated = np.zeros(len(starts), dtype=bool)
    repeated[order[1:]] = (events[order[1:]] == events[order[:-1]]).all(axis=1)
    return np.repeat(repeated, np.diff([*starts, len(event_info)]))


def events_of_earlier_files(files: Sequence[aspen.AspenFile]) -> dict[int, Rows]:
    """Look for events that are in several files: all but the first file's are one too many.

    An event is of one luminosity section, so that only sections that several files have are compared, some at a time: the
    memory does not depend on the number of events.

    Args:
        files: in the order in which they are read.

    Returns:
        The number of a file to its rows, ascending, of events that a file before it has; nothing of the others.

    Raises:
        InputFileError: see `event_info_of`; or most events of a file are in files before it.
    """
    if len(files) < 2:
        return {}
    sections, counts, total = [], [], []
    for file in files:
        event_info = event_info_of(file.path)
        found, number = np.unique(_section_numbers(event_info), return_counts=True)
        sections.append(found)
        counts.append(number)
        total.append(len(event_info))
    extra: dict[int, list[Rows]] = {}
    for some in _shared(sections, counts):
        for place, rows in _repeated_in(files, sections, some):
            extra.setdefault(place, []).append(rows)
    joined = {place: np.sort(np.concatenate(rows)) for place, rows in extra.items()}
    for place, rows in joined.items():
        if len(rows) > _COPY * total[place]:
            raise InputFileError(
                f"{files[place].path}: {len(rows)} of its {total[place]} jets are of events that files before it have; it is a"
                " copy, perhaps with another compression: leave one of the two out"
            )
    return joined


def _section_numbers(event_info: Array) -> npt.NDArray[np.uint64]:
    run, section = (event_info[:, i].astype(np.uint64) for i in (0, 1))
    return (run << np.uint64(32)) | section


def _shared(sections: Sequence[Array], counts: Sequence[Array]) -> Iterator[Array]:
    """Yield sections that several files have, as many at a time as can be compared at once."""
    known, place = np.unique(np.concatenate([*sections, np.empty(0, np.uint64)]), return_inverse=True)
    files = np.bincount(place, minlength=len(known))
    rows = np.bincount(place, np.concatenate([*counts, np.empty(0)]), minlength=len(known))
    several = files > 1
    group = np.cumsum(rows[several]) // _AT_ONCE
    for number in np.unique(group):
        yield known[several][group == number]


def _repeated_in(
    files: Sequence[aspen.AspenFile], sections: Sequence[Array], some: Array
) -> Iterator[tuple[int, Rows]]:
    """Yield the number of a file and its rows of events that files before it have, in some sections."""
    keys, rows, places = [], [], []
    for place, (file, own) in enumerate(zip(files, sections, strict=True)):
        if not np.isin(own, some).any():
            continue
        event_info = event_info_of(file.path)
        number = _section_numbers(event_info)
        here = np.flatnonzero(np.isin(number, some))
        keys.append(np.stack([number[here], event_info[here, 2].astype(np.uint64)]))
        rows.append(here)
        places.append(np.full(len(here), place, np.int32))
    key, row, of_file = np.concatenate(keys, axis=1), np.concatenate(rows), np.concatenate(places)
    # events in order, and of one event those of the first file in front
    order = np.lexsort((of_file, key[1], key[0]))
    begins = np.append(True, (np.diff(key[:, order], axis=1) != 0).any(axis=0))
    first = of_file[order][np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    later = of_file[order] != first
    for place in np.unique(of_file[order][later]):
        yield int(place), row[order][later & (of_file[order] == place)]


def _starts(event_info: Array) -> npt.NDArray[np.int64]:
    """Return the first row of each run of rows of one event."""
    if not len(event_info):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.concatenate([[True], (np.diff(event_info, axis=0) != 0).any(axis=1)]))


def chunks_of(event_info: Array, size: int) -> list[tuple[int, int]]:
    """Divide a file into ranges of rows that end where an event ends.

    Args:
        event_info: of a whole file, shape (jets, 3).
        size: rows of a range, about; an event is never divided.
    """
    starts = _starts(event_info)
    if not len(starts):
        return []
    aims = np.arange(size, len(event_info), size)
    cuts = np.unique([0, *starts[np.searchsorted(starts, aims, side="right") - 1], len(event_info)])
    return [(int(first), int(last)) for first, last in itertools.pairwise(cuts)]
