"""Questions in a process of their own that may take a given CPU time; `fit.py`, `library.py` and `workspaces.py` use it."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

Answers = dict[str, Any]


def _send(questions: Callable[..., Iterator[Answers]], arguments: tuple[Any, ...], cap: int, out: Any) -> None:
    """Send answers as they come; the system kills this process at the cap."""
    resource.setrlimit(resource.RLIMIT_CPU, (cap, cap + 5))
    warnings.simplefilter("ignore")
    for answers in questions(*arguments):
        out.send(answers)


def ask_capped(cap: int, questions: Callable[..., Iterator[Answers]], *arguments: Any) -> Answers:
    """Ask in a process of its own.

    Args:
        cap: CPU seconds that the process may take, imports included.
        questions: a function of a module that yields answers, one or more at a time.
        arguments: for it.

    Returns:
        All answers that came before the cap; with ``failed`` where the process ended by an error of its own.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(questions, arguments, cap, sender))
    process.start()
    sender.close()
    result: Answers = {}
    try:
        while True:
            result |= receiver.recv()
    except EOFError:
        process.join()
    if process.exitcode not in (0, -signal.SIGXCPU, -signal.SIGKILL):
        result.setdefault("failed", f"exit code {process.exitcode}")
    return result
