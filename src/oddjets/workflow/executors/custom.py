"""Executor classes with coffea's interface, by import path: TaskVine, Parsl and others.

Such an executor is called with items, a function and an accumulator, and adds up what the function returns. Results come
all at once, but the work records every chunk as it is done, so that a stopped run resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coffea.processor.executor import ExecutorBase
from coffea.util import coffea_console

from oddjets.config.execution import Execution
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors.base import Outcomes, WorkersLostError
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.import_path import import_class, instantiate

__all__ = ["CustomBackend", "class_of"]


def class_of(execution: Execution) -> Any:
    """Return the class that an ``execution`` names.

    Raises:
        OddjetsError: its package is not installed, or there is no such class.
    """
    module, _, name = execution.executor.partition(":")
    return import_class(module, name, "execution.executor")


class CustomBackend:
    """An executor of another package."""

    def __init__(self, execution: Execution) -> None:
        self.name = execution.executor
        make = class_of(execution)
        options = dict(execution.executor_options)
        if isinstance(make, type) and issubclass(make, ExecutorBase):
            # coffea draws its bars on standard output, which belongs to data, and draws them asked or not
            coffea_console.stderr, coffea_console.quiet = True, not console.is_terminal
            fields = getattr(make, "__dataclass_fields__", {})
            usual = {"status": console.is_terminal, "desc": "processing", "unit": "chunk", "workers": execution.workers}
            options = {key: value for key, value in usual.items() if key in fields} | options
        self.executor = instantiate(make, options, "execution.executor_options")

    def __call__(self, chunks: Sequence[Chunk], work: ChunkWorker, on_done: Callable[[Outcomes], None]) -> None:
        """Work on all chunks; see `ExecutionBackend`."""
        try:
            answer = self.executor(list(chunks), work, {})
        except OddjetsError:
            raise
        except Exception as error:  # errors of the work come back as values: this is the executor's own
            raise WorkersLostError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        # coffea's return what they added up and an exception or 0
        outcomes = answer[0] if isinstance(answer, tuple) else answer
        on_done(outcomes)
        if missing := [chunk for chunk in chunks if chunk.id not in outcomes]:
            raise WorkersLostError(
                f"{self.name} gave no answer for {len(missing)} chunks, the first being {missing[0]}"
            )
