"""The console: messages for people on standard error, progress bars, and the package's logger."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oddjets.core.redaction import redacted

__all__ = ["ProgressReporter", "RedactingFormatter", "console", "log", "progress"]


#: characters in a line where nobody sees a width: in a file, in a pipe
_UNBROKEN = 1_000_000


class _RedactingConsole(Console):
    """Hides secrets in the URLs of what it prints, and breaks no line that may be copied.

    A message is one line: a terminal breaks it itself, so that a path in it can still be copied. Tables and bars fit a
    terminal; where there is none, nothing has a width.
    """

    @property
    def size(self) -> ConsoleDimensions:
        """What a terminal shows; without one, whatever COLUMNS says, a line without end."""
        if getattr(self.file, "isatty", lambda: False)():
            return super().size
        return ConsoleDimensions(_UNBROKEN, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, but break no text."""
        if all(isinstance(item, str) for item in objects):
            options.setdefault("soft_wrap", True)
        super().print(*(redacted(item) if isinstance(item, str) else item for item in objects), **options)


class _RedactingFilter(logging.Filter):
    """Hides secrets in the URLs of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


class RedactingFormatter(logging.Formatter):
    """Hides secrets in the URLs of what other packages log, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as ever."""
        return redacted(super().format(record))


#: everything a person reads goes to standard error, so that standard output stays free for data
console: Console = _RedactingConsole(stderr=True, highlight=False, emoji=False)

log = logging.getLogger("oddjets")
log.addFilter(_RedactingFilter())


#: seconds between two lines of progress: at least, and about at most
_FLOOD_S, _SILENCE_S = 5.0, 30.0


class ProgressReporter:
    """What a long piece of work tells of its progress; see `progress`."""

    def __init__(self, description: str, total: float | None, bar: Progress | None) -> None:
        self.description = description
        self.total = total
        self.done = 0.0
        self._bar = bar
        self._task = bar.add_task(description, total=total) if bar is not None else None
        self._started = self._said = time.monotonic()
        self._tenth = 0

    def advance(self, amount: float = 1.0) -> None:
        """Say that ``amount`` more of the total is done."""
        self.done += amount
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
        elif self.total and self.done:
            # not a terminal: a plain line a tenth, but neither a flood nor a long silence
            now, tenth = time.monotonic(), int(10 * self.done / self.total + 1e-9)
            silence = now - self._said
            if (tenth > self._tenth and (silence > _FLOOD_S or tenth >= 10)) or silence > _SILENCE_S:
                self._said, self._tenth = now, tenth
                gone = now - self._started
                left = f", about {_duration(gone * (self.total / self.done - 1))} left" if tenth < 10 else ""
                percent = int(100 * self.done / self.total + 1e-9)
                console.print(f"{self.description}: {percent} %, {_duration(gone)} gone{left}")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(description: str, total: float | None) -> Iterator[ProgressReporter]:
    """Show a progress bar with the time left (plain lines where standard error is no terminal).

    Args:
        description: what is being done.
        total: how much there is to do, in any unit; None if unknown.

    Yields:
        A `ProgressReporter` whose ``advance`` is to be called.
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
            yield ProgressReporter(description, total, bar)
    else:
        yield ProgressReporter(description, total, None)
