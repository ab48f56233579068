"""Orderly interruption by Ctrl-C and by the SIGTERM of batch systems: workers end, finished results stay."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["Interrupted", "interruptible"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: how dask calls workers that it starts: its cluster ends them, and would replace one that is killed
_DASK_WORKER = "Dask Worker"


class Interrupted(BaseException):
    """A request to end the program; it is no error, and error handling does not catch it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        #: what shells call an end by this signal
        self.exit_code = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on SIGINT and SIGTERM inside the block, and end its worker processes.

    What is on its way out is not stopped again: a second signal has the system's own effect, which is the end.
    """
    # a job in the background of a shell ignores Ctrl-C; what is not Python's (None) could not be put back
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in found.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    # nobody waits for what they have in hand: it is done again
    for child in multiprocessing.active_children():
        if not child.name.startswith(_DASK_WORKER):
            child.kill()
    raise Interrupted(number)
