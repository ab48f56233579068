"""Who works on chunks: this process, or others on this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol

from oddjets.errors import OddjetsError
from oddjets.execution import Execution
from oddjets.executors.chunks import Chunk
from oddjets.executors.records import Failure, Record

__all__ = ["Carrier", "Outcomes", "WorkersLostError", "carrier"]

#: chunk's id to what came of it; a mapping, since that is what coffea's executors merge
Outcomes = dict[str, Record | Failure]


class Carrier(Protocol):
    """Lets a function work on items, somewhere, in any order."""

    def __call__(
        self, items: Sequence[Chunk], function: Callable[[Chunk], Outcomes], on_done: Callable[[Outcomes], None]
    ) -> None:
        """Work on all items.

        Args:
            items: each is worked on once.
            function: returns errors as values; it can be pickled.
            on_done: is told what came of each item, in this process, soon after it is done. If it raises, no further item
                is begun, and its exception comes out.

        Raises:
            WorkersLostError: a worker died.
        """


class WorkersLostError(OddjetsError):
    """A worker died, or is out of reach; what it had recorded is kept."""


@contextmanager
def carrier(execution: Execution) -> Iterator[Carrier]:
    """Start what an analysis's ``execution`` asks for, and stop it at the end."""
    if execution.executor == "iterative" or execution.workers == 1:
        yield _here
    else:
        yield _Processes(execution.workers)


def _here(items: Sequence[Chunk], function: Callable[[Chunk], Outcomes], on_done: Callable[[Outcomes], None]) -> None:
    for item in items:
        on_done(function(item))


class _Processes:
    """Processes of this machine."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(
        self, items: Sequence[Chunk], function: Callable[[Chunk], Outcomes], on_done: Callable[[Outcomes], None]
    ) -> None:
        # spawn: a fork would copy the threads' locks of libraries that are loaded here
        context = multiprocessing.get_context("spawn")
        workers = min(self.workers, len(items))
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
            try:
                for future in as_completed([pool.submit(function, item) for item in items]):
                    on_done(future.result())
            except BrokenProcessPool as error:
                raise WorkersLostError("a worker process was killed, perhaps for want of memory") from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _end_with_parent() -> None:
    """End a worker whose parent was killed: nobody else would, and it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
