"""The console: messages for people on standard error, progress bars, and the package's logger."""

from __future__ import annotations

import html
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oddjets.core.redaction import redacted

__all__ = ["NotebookBar", "ProgressReporter", "RedactingFormatter", "console", "log", "progress", "quiet"]


#: characters in a line where nobody sees a width: in a file, in a pipe
_MAX_WIDTH = 1_000_000


class _RedactingConsole(Console):
    """A console that hides secrets in URLs and breaks no line that may be copied.

    A message is one line: a terminal breaks it itself, so that a path in it can still be copied. Tables and bars fit a
    terminal; where there is none, nothing has a width.
    """

    @property
    def size(self) -> ConsoleDimensions:
        """What a terminal shows; without one, whatever COLUMNS says, a line without end."""
        if getattr(self.file, "isatty", lambda: False)():
            return super().size
        return ConsoleDimensions(_MAX_WIDTH, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, but break no line."""
        if all(isinstance(item, str) for item in objects):
            options.setdefault("soft_wrap", True)
        super().print(*(redacted(item) if isinstance(item, str) else item for item in objects), **options)


class _RedactingFilter(logging.Filter):
    """A log filter that hides secrets in URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


class RedactingFormatter(logging.Formatter):
    """A log formatter that hides secrets in the URLs of other packages' messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as ever."""
        return redacted(super().format(record))


#: everything a person reads goes to standard error, so that standard output stays free for data
console: Console = _RedactingConsole(stderr=True, highlight=False, emoji=False)

log = logging.getLogger("oddjets")
log.addFilter(_RedactingFilter())


#: seconds between two lines of progress: at least, and about at most
_FLOOD_S, _SILENCE_S = 5.0, 30.0
#: and between two pictures of a bar in a notebook
_NOTEBOOK_S = 0.2


class NotebookBar:
    """A bar in a notebook's output, which is drawn anew as the work goes on; as text, a line.

    Args:
        description: what is being done.
        total: how much there is to do; None if unknown.
    """

    def __init__(self, description: str, total: float | None) -> None:
        from IPython.display import display  # where there is a notebook, there is IPython

        self.description, self.total, self.done = description, total, 0.0
        self._started = self._drawn = time.monotonic()
        self._handle: Any = display(self, display_id=True)  # type: ignore[no-untyped-call]

    def advance(self, amount: float) -> None:
        """Say that more is done; drawn a few times a second at most, and at the end."""
        self.done += amount
        now = time.monotonic()
        if now - self._drawn > _NOTEBOOK_S or (self.total and self.done >= self.total):
            self._drawn = now
            self._handle.update(self)

    def __repr__(self) -> str:
        elapsed = time.monotonic() - self._started
        if not self.total:
            return f"{self.description}: {self.done:g}, {_duration(elapsed)} elapsed"
        share = self.done / self.total
        left = f", about {_duration(elapsed * (1 / share - 1))} left" if 0 < share < 1 - 1e-9 else ""
        return f"{self.description}: {int(100 * share + 1e-9)} %, {_duration(elapsed)} elapsed{left}"

    def _repr_html_(self) -> str:
        value = f' value="{self.done:g}" max="{self.total:g}"' if self.total else ""
        return f'<progress{value} style="width:12em"></progress> {html.escape(repr(self))}'


class ProgressReporter:
    """The progress of a long piece of work; see `progress`."""

    def __init__(self, description: str, total: float | None, advance: Callable[[float], None] | None) -> None:
        self.description = description
        self.total = total
        self.done = 0.0
        self._advance = advance
        self._started = self._said = time.monotonic()
        self._tenth = 0

    def advance(self, amount: float = 1.0) -> None:
        """Add ``amount`` to what is done of the total."""
        self.done += amount
        if self._advance is not None:
            self._advance(amount)
        elif self.total and self.done:
            # not a terminal: a plain line a tenth, but neither a flood nor a long silence
            now, tenth = time.monotonic(), int(10 * self.done / self.total + 1e-9)
            silence = now - self._said
            if (tenth > self._tenth and (silence > _FLOOD_S or tenth >= 10)) or silence > _SILENCE_S:
                self._said, self._tenth = now, tenth
                elapsed = now - self._started
                left = f", about {_duration(elapsed * (self.total / self.done - 1))} left" if tenth < 10 else ""
                percent = int(100 * self.done / self.total + 1e-9)
                console.print(f"{self.description}: {percent} %, {_duration(elapsed)} elapsed{left}")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(description: str, total: float | None) -> Iterator[ProgressReporter]:
    """Show a progress bar with the time left (plain lines where standard error is neither a terminal nor a notebook).

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
            task = bar.add_task(description, total=total)
            yield ProgressReporter(description, total, lambda amount: bar.advance(task, amount))
    elif console.is_jupyter and not console.quiet:
        yield ProgressReporter(description, total, NotebookBar(description, total).advance)
    else:
        yield ProgressReporter(description, total, None)


#: of those who are inside `quiet`, whether they asked for silence
_quiet_calls: list[bool] = []
_quiet_lock = threading.Lock()


@contextmanager
def quiet(on: bool = True) -> Iterator[None]:
    """Keep messages for people and bars away for a while; errors are raised all the same.

    Args:
        on: False: let them be.
    """
    with _quiet_lock:
        _quiet_calls.append(on)
        console.quiet = any(_quiet_calls)
    try:
        yield
    finally:
        # threads may leave in another order than they came
        with _quiet_lock:
            _quiet_calls.remove(on)
            console.quiet = any(_quiet_calls)
