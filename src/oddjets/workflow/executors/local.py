"""Execution in this process, or in several on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from oddjets.config.execution import Execution
from oddjets.core.console import console
from oddjets.core.worker_pool import missing_main_guard, pool_context, prepare_worker
from oddjets.workflow.executors import gpus
from oddjets.workflow.executors.base import ALLOWED_WORKER_DEATHS, Outcomes, WorkersLostError
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk

__all__ = ["LocalBackend", "run_in_this_process"]


def run_in_this_process(chunks: Sequence[Chunk], work: ChunkWorker, on_done: Callable[[Outcomes], None]) -> None:
    """Work in this process, chunk by chunk."""
    for chunk in chunks:
        on_done(work(chunk))


class LocalBackend:
    """Processes of this machine; where one is killed, others take over its chunks."""

    def __init__(self, execution: Execution) -> None:
        self.workers = execution.workers
        self.gpus = gpus.local_gpus(execution)

    def __call__(self, chunks: Sequence[Chunk], work: ChunkWorker, on_done: Callable[[Outcomes], None]) -> None:
        """Work on all chunks; see `ExecutionBackend`."""
        waiting = {chunk.id: chunk for chunk in chunks}
        for _ in range(ALLOWED_WORKER_DEATHS):
            try:
                self._round(waiting, work, on_done)
                return
            except BrokenProcessPool as error:
                if script := missing_main_guard():
                    raise WorkersLostError(script) from error
                console.print(
                    f"a worker process was killed, perhaps because memory ran out: new ones take over the"
                    f" other {len(waiting)} chunks"
                )
        try:
            self._round(waiting, work, on_done)
        except BrokenProcessPool as error:
            raise WorkersLostError(
                f"worker processes were killed {ALLOWED_WORKER_DEATHS + 1} times, perhaps because memory ran out: try fewer"
                " workers or a smaller chunk_size. They were working on\n  "
                + "\n  ".join(str(chunk) for chunk in list(waiting.values())[: self.workers])
                + "\n"
            ) from error

    def _round(self, waiting: dict[str, Chunk], work: ChunkWorker, on_done: Callable[[Outcomes], None]) -> None:
        """Do what is waiting, until all is done or a worker dies."""
        context = pool_context("spawn")
        workers = min(self.workers, len(waiting))
        begin = (_initialise_worker, (context.Value("i", 0), self.gpus))
        with ProcessPoolExecutor(workers, context, *begin) as pool:
            try:
                for future in as_completed([pool.submit(work, chunk) for chunk in waiting.values()]):
                    outcomes = future.result()
                    for name in outcomes:
                        del waiting[name]
                    on_done(outcomes)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _initialise_worker(counter: Any, of_this_machine: tuple[str, ...]) -> None:
    """Prepare a worker, which takes its GPU."""
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    gpus.use_gpu(of_this_machine, number)
    prepare_worker()
