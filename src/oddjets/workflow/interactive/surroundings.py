"""The surroundings of work that a notebook starts: its stop button, and threads of worker processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from oddjets.core.console import console
from oddjets.core.interrupts import Interrupted, interruptible

__all__ = ["single_threaded_workers", "stops_at_interrupt"]

#: set to 1 in worker processes, which share the cores, so that threads of libraries do not compete
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def stops_at_interrupt() -> Iterator[None]:
    """Let Ctrl-C, and a notebook's stop button, stop the work and its processes at once; finished work is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        with interruptible():
            yield
    except Interrupted as stopped:
        console.print(f"stopped ({stopped}); finished work is kept, and the same call resumes")
        if str(stopped) == "SIGINT":
            raise KeyboardInterrupt from None
        raise SystemExit(stopped.exit_code) from None


@contextmanager
def single_threaded_workers() -> Iterator[None]:
    """Start worker processes whose libraries use one thread each, unless the environment sets another number."""
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
