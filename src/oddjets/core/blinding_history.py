"""The record of when the data in A of an output folder were blinded and unblinded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from oddjets.core.errors import InputFileError

__all__ = [
    "BLINDED",
    "FILE",
    "OPEN_BEFORE",
    "UNBLINDED",
    "BlindingEvent",
    "OpenPeriod",
    "describe_history",
    "format_time",
    "open_periods",
    "read_history",
]

#: in the output folder; not there where nothing was ever blind
FILE = "blinding.json"

#: `Act.state`: hidden; opened after that; open before they were ever hidden
BLINDED, UNBLINDED, OPEN_BEFORE = "blinded", "unblinded", "open before"


class BlindingEvent(TypedDict):
    """A change of the blinding: ``blinded``, ``unblinded`` or ``open before``, when (UTC, to the second), and by what."""

    state: str
    on: str
    by: str


#: when the data in A could be seen: ``from``, ``to`` (when they were hidden again) and ``by``
OpenPeriod = TypedDict("OpenPeriod", {"from": str, "to": str, "by": str})


def read_history(out: Path) -> list[BlindingEvent]:
    """Return the blinding events of an output folder, the last one last.

    Raises:
        InputFileError: the record cannot be read.
    """
    file = out / FILE
    if not file.is_file():
        return []
    try:
        events: list[BlindingEvent] = json.loads(file.read_text(encoding="utf-8"))["history"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{file}: broken blinding record ({error}); correct it, or remove it") from None
    return events


def open_periods(events: Sequence[BlindingEvent]) -> list[OpenPeriod]:
    """Return from when to when the data in A were open; what is open still is not among them."""
    periods: list[OpenPeriod] = []
    opened: BlindingEvent | None = None
    for act in events:
        if act["state"] != BLINDED:
            opened = opened or act
        elif opened is not None:
            periods.append({"from": opened["on"], "to": act["on"], "by": opened["by"]})
            opened = None
    return periods


def format_time(on: str) -> str:
    """Return a time in words, to the minute."""
    return f"{on.replace('T', ' ')[:16]} UTC"


def describe_history(events: Sequence[BlindingEvent]) -> str:
    """Return the blinding history in one line; "" where it is empty.

    >>> describe_history([{"state": "unblinded", "on": "2026-01-02T03:04:05+00:00", "by": "--unblind"},
    ...       {"state": "blinded", "on": "2026-01-02T04:05:06+00:00", "by": "fit.blind: true in a.yaml"}])
    'blinded since 2026-01-02 04:05 UTC by fit.blind: true in a.yaml; was open from 2026-01-02 03:04 UTC to 2026-01-02 04:05 UTC (--unblind)'
    """  # noqa: E501
    if not events:
        return ""
    last = events[-1]
    since = "since" if last["state"] == BLINDED else "on"
    said = f"{last['state']} {since} {format_time(last['on'])} by {last['by']}"
    for period in open_periods(events):
        said += f"; was open from {format_time(period['from'])} to {format_time(period['to'])} ({period['by']})"
    return said
