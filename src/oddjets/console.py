"""The console: messages for people on standard error, progress bars, and the package's logger."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oddjets.redaction import redacted

__all__ = ["Tracker", "console", "log", "progress"]


class _DiscreetConsole(Console):
    """Hides secrets in the URLs of what it prints."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does."""
        super().print(*(redacted(item) if isinstance(item, str) else item for item in objects), **options)


class _Discreet(logging.Filter):
    """Hides secrets in the URLs of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


#: everything a person reads goes to standard error, so that standard output stays free for data
console: Console = _DiscreetConsole(stderr=True, highlight=False)

log = logging.getLogger("oddjets")
log.addFilter(_Discreet())


class Tracker:
    """What a long piece of work tells of its progress; see `progress`."""

    def __init__(self, description: str, total: float | None, bar: Progress | None) -> None:
        self.description = description
        self.total = total
        self.done = 0.0
        self._bar = bar
        self._task = bar.add_task(description, total=total) if bar is not None else None
        self._printed = 0

    def advance(self, amount: float = 1.0) -> None:
        """Say that ``amount`` more of the total is done."""
        self.done += amount
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
        elif self.total:
            # not a terminal: one plain line a quarter
            quarter = int(4 * self.done / self.total)
            if quarter > self._printed:
                self._printed = quarter
                console.print(f"{self.description}: {min(100, round(100 * self.done / self.total))} %")


@contextmanager
def progress(description: str, total: float | None) -> Iterator[Tracker]:
    """Show a progress bar with the time left (plain lines where standard error is no terminal).

    Args:
        description: what is being done.
        total: how much there is to do, in any unit; None if unknown.

    Yields:
        A `Tracker` whose ``advance`` is to be called.
    """
    if console.is_terminal:
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            yield Tracker(description, total, bar)
    else:
        yield Tracker(description, total, None)
