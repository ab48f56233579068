"""The interface of all executors, `ExecutionBackend`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.records import ChunkFailure, ChunkRecord

__all__ = ["ALLOWED_WORKER_DEATHS", "ExecutionBackend", "Outcomes", "WorkersLostError"]

#: chunk's id to what came of it; a mapping, since that is what coffea's executors merge
Outcomes = dict[str, ChunkRecord | ChunkFailure]

#: how many workers may die on the same work before it is given up: one can be chance, four are not
ALLOWED_WORKER_DEATHS = 3


class ExecutionBackend(Protocol):
    """A backend that runs a function on chunks, in any order."""

    def __call__(self, chunks: Sequence[Chunk], work: ChunkWorker, on_done: Callable[[Outcomes], None]) -> None:
        """Work on all chunks.

        Args:
            chunks: each is worked on until something came of it; more than once only where a worker dies.
            work: returns errors as values; it can be pickled.
            on_done: is told what came of each chunk, in this process, soon after it is done. If it raises, no further
                chunk is begun, and its exception comes out.

        Raises:
            WorkersLostError: workers died, or are out of reach.
        """


class WorkersLostError(OddjetsError):
    """Workers that died or cannot be reached; what they had recorded is kept."""
