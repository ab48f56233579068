"""Luminosity sections: lists in CMS's JSON format, as intervals, and the sections of a file.

A section is the number ``run * 2**32 + section`` in int64, so that masks, unions and intersections are NumPy's. A list may
say that a run is good to its end, whatever that is; its intervals are never expanded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.execution import RemoteAccess
from oddjets.core.errors import InputFileError
from oddjets.io.remote.access import open_file
from oddjets.io.remote.failures import cause_of, with_retries

__all__ = [
    "LAST_RUN",
    "LAST_SECTION",
    "RUN",
    "SectionIntervals",
    "Sections",
    "in_intervals",
    "intervals_of",
    "read_sections",
    "sections_of",
    "sections_of_file",
]

Sections = npt.NDArray[np.int64]

#: what a section's number has a run's in front of it
RUN = 1 << 32
#: largest numbers of a section (32 bits in NanoAOD) and of a run (what fits in front of it)
LAST_SECTION, LAST_RUN = RUN - 1, (1 << 31) - 1
#: sections take 23 s: a run of so many would take 65 hours, and no fill of the LHC lasts half of that
_OPEN_END = 9999


@dataclass(frozen=True)
class SectionIntervals:
    """Sections as intervals within runs, sorted, none touching another.

    Attributes:
        first: the first section of each.
        last: the last section of each; it belongs to it.
    """

    first: Sections
    last: Sections

    def contains(self, sections: Sections) -> npt.NDArray[np.bool_]:
        """Return which of the sections lie in an interval."""
        if not len(self.first):
            return np.zeros(len(sections), dtype=bool)
        place = np.searchsorted(self.first, sections, side="right") - 1
        return np.asarray((place >= 0) & (sections <= self.last[np.maximum(place, 0)]))

    @property
    def runs(self) -> npt.NDArray[np.int64]:
        """The run of each interval, sorted."""
        return self.first // RUN

    def count(self, of_runs: npt.NDArray[np.bool_]) -> int:
        """Return how many sections the chosen intervals have."""
        return int((self.last - self.first + 1)[of_runs].sum())

    def open_ended_run(self, of_runs: npt.NDArray[np.bool_]) -> int | None:
        """Return a run among those of the chosen intervals that is good to an end that no run reaches, if there is one."""
        found = self.runs[of_runs & (self.last % RUN >= _OPEN_END)]
        return int(found[0]) if len(found) else None


def intervals_of(ranges: Iterable[tuple[int, int, int]]) -> SectionIntervals:
    """Return the union of ranges (run, first section, last section), in any order, overlapping or not."""
    firsts: list[int] = []
    lasts: list[int] = []
    for run, first, last in sorted(ranges):
        start, stop = run * RUN + first, run * RUN + last
        if lasts and start <= lasts[-1] + 1 and firsts[-1] // RUN == run:
            lasts[-1] = max(lasts[-1], stop)
        else:
            firsts.append(start)
            lasts.append(stop)
    return SectionIntervals(np.array(firsts, dtype=np.int64), np.array(lasts, dtype=np.int64))


def sections_of(run: npt.ArrayLike, section: npt.ArrayLike) -> Sections:
    """Return the sections of pairs of numbers, each once, sorted."""
    return np.unique(np.asarray(run).astype(np.int64) * RUN + np.asarray(section).astype(np.int64))


def in_intervals(intervals: SectionIntervals, run: npt.ArrayLike, section: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which events lie in the intervals.

    Args:
        intervals: of a list.
        run: shape (events,).
        section: likewise.
    """
    return intervals.contains(np.asarray(run).astype(np.int64) * RUN + np.asarray(section).astype(np.int64))


def read_sections(path: Path) -> SectionIntervals:
    """Read a list of sections in CMS's format, ``{"run": [[first, last], ...]}``: a golden JSON, processedLumis.json.

    Raises:
        InputFileError: missing, or of another format: a run twice, numbers that are none of runs and sections.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_pairs)
        ranges = [_range(_run(run), span) for run, spans in content.items() for span in spans]
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such file with luminosity sections") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputFileError(
            f'{path}: not a list of luminosity sections {{"run": [[first, last]]}} ({error})'
        ) from None
    if not ranges:
        raise InputFileError(f"{path}: the list of luminosity sections is empty")
    for run, first, last in ranges:
        if last < first:
            raise InputFileError(f"{path}: the range [{first}, {last}] of run {run} ends before it begins")
    return intervals_of(ranges)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read an object, and refuse one that has a run twice: JSON would keep the last one without a word."""
    content: dict[str, Any] = {}
    seen: set[int] = set()
    for key, value in pairs:
        run = _run(key)
        if run in seen:
            raise ValueError(f"run {run} appears twice")
        seen.add(run)
        content[key] = value
    return content


def _run(key: str) -> int:
    """Read a run's number: digits alone, where Python's own reading would take ``0_1`` for 1."""
    if re.fullmatch(r"[0-9]+", key) is None:
        raise ValueError(f"'{key}' is not a run number")
    return int(key)


def _range(run: int, span: Any) -> tuple[int, int, int]:
    """Check a range of a run."""
    if len(span) != 2:
        raise ValueError(f"run {run}: {span} is not a pair [first, last]")
    first, last = (_number(end, LAST_SECTION, f"section of run {run}") for end in span)
    return _number(run, LAST_RUN, "run"), first, last


def _number(value: Any, largest: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise ValueError(f"{value!r} is not a valid {what}")
    if not 0 <= value <= largest:
        raise ValueError(f"{value!r} is not a valid {what}: these are 0 to {largest}")
    return int(value)


def sections_of_file(path: str, access: RemoteAccess | None = None) -> Sections:
    """Return the sections that a file of data was made from.

    The tree LuminosityBlocks has them, also those without an event left; where it is absent, those of the events count.

    Args:
        path: a local path or a URL.
        access: how remote files are reached.

    Raises:
        InputFileError: the file can't be read.
    """

    def read() -> Sections:
        with open_file(path, access) as file:
            tree = file["LuminosityBlocks" if "LuminosityBlocks" in file else "Events"]
            arrays = tree.arrays(["run", "luminosityBlock"], library="np")
        return sections_of(arrays["run"], arrays["luminosityBlock"])

    try:
        return with_retries(read, path)
    except Exception as error:  # uproot raises many kinds for truncated and corrupt files
        raise InputFileError(
            f"{path}: its luminosity sections can't be read ({type(error).__name__}: {error})", cause=cause_of(error)
        ) from None
