"""A pool of worker processes for work on files, and what all worker processes need."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Literal, TypeVar

from oddjets.core.errors import OddjetsError

__all__ = ["available_cores", "is_importing_main", "missing_main_guard", "pool_context", "prepare_worker", "run_tasks"]

Task = TypeVar("Task")


def pool_context(method: Literal["fork", "spawn"]) -> BaseContext:
    """Return what makes the processes of a pool, and the locks between them.

    Args:
        method: how a process starts. Not ``fork`` where libraries have threads: it would copy their locks.

    Raises:
        OddjetsError: the system has no locks between processes, as where ``/dev/shm`` cannot be written; the message says
            what to do.
    """
    context = multiprocessing.get_context(method)
    try:
        context.Lock()
    except (OSError, ImportError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OddjetsError(
            f"worker processes cannot be started, because the system refuses locks between them ({reason}): make /dev/shm"
            " writable (in a container: give it shared memory), or work in one process with 'execution: {executor:"
            " iterative, workers: 1}' (--executor iterative --workers 1)"
        ) from error
    return context


def run_tasks(tasks: Sequence[Task], work: Callable[[Task], object], workers: int, verb: str) -> Iterator[Task]:
    """Run all tasks and yield each when it is done, in no particular order.

    Args:
        tasks: what is done; they travel to other processes, as does `work`.
        work: does one.
        workers: processes; 1: in this one.
        verb: what is going on, for messages.

    Raises:
        OddjetsError: a process was killed, or none can be started; what `work` raises, after which no further task is begun.
    """
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            work(task)
            yield task
        return
    with ProcessPoolExecutor(min(workers, len(tasks)), pool_context("spawn"), prepare_worker) as pool:
        try:
            futures = {pool.submit(work, task): task for task in tasks}
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool as error:
            if script := missing_main_guard():
                raise OddjetsError(f"{verb}: {script}") from error
            raise OddjetsError(
                f"{verb}: a worker process was killed, perhaps because memory ran out; finished files are kept, run it again"
                " (with fewer workers)"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def available_cores() -> int:
    """Return how many cores this process may use; all of the machine's where the system cannot say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_importing_main() -> bool:
    """Tell whether this is a worker process that is importing the script which started it."""
    # the mark by which Python itself refuses to start processes then
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def missing_main_guard() -> str | None:
    """Say that workers cannot start, where the script that runs does its work also when it is imported; else None."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not file.endswith(".py"):
        return None
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if "__name__" in text:
        return None
    return (
        f'worker processes could not start: each imports {file} again, whose work must stand under `if __name__ == "__main__":`'
        " (or take the executor 'iterative', which needs no processes)"
    )


def prepare_worker() -> None:
    """Prepare a worker process: it ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End a worker whose parent was killed, since nothing else would end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
