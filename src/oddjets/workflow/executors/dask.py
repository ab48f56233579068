"""Chunks as dask tasks, with results in the order in which they finish."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from distributed import Future, as_completed
from distributed.scheduler import KilledWorker

from oddjets.config.execution import Execution
from oddjets.core.console import log
from oddjets.workflow.executors import dask_cluster, gpus, shipped_files
from oddjets.workflow.executors.base import Outcomes, WorkersLostError
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.dask_plugin import ChunkWorkerPlugin, Result, process_chunk
from oddjets.workflow.executors.records import CHUNKS
from oddjets.workflow.executors.worker_monitor import WorkerMonitor

__all__ = ["DaskBackend"]

#: seconds between two looks for results
_PAUSE_S = 0.1
#: how often the work is brought to workers that leave meanwhile, and seconds between
_ROUNDS, _ROUND_S = 3, 1.0


class DaskBackend:
    """Workers of a dask cluster; where one dies, dask gives its chunks to others."""

    def __init__(self, client: Any, execution: Execution) -> None:
        self.client = client
        self.execution = execution

    def __call__(self, chunks: Sequence[Chunk], work: ChunkWorker, on_done: Callable[[Outcomes], None]) -> None:
        """Work on all chunks; see `ExecutionBackend`."""
        work = _with_absolute_paths(work)
        out = Path(str(work.output))
        shared = self.execution.shared_filesystem
        token = out / CHUNKS / f".shared-{socket.gethostname()}" if shared else None
        if token is not None:
            shipped_files.write_file(token, b"")
        on_this_machine = self.execution.scheduler is None and (
            self.execution.cluster is None or self.execution.cluster.class_ == dask_cluster.LOCAL
        )
        delivery = ChunkWorkerPlugin(
            work,
            token,
            None if shared else shipped_files.pack(work),
            gpus.local_gpus(self.execution) if on_this_machine else (),
        )
        submit, result_of = self._graph_backend()
        try:
            with self._with_worker(delivery):
                futures = submit(self.client, delivery.name, chunks)
                with closing(self._results(futures, chunks, result_of)) as results:
                    for outcomes, files in results:
                        for path, content in files.items():
                            shipped_files.write_file(out / path, content)
                        on_done(outcomes)
        finally:
            if token is not None:
                token.unlink(missing_ok=True)

    @contextmanager
    def _with_worker(self, delivery: ChunkWorkerPlugin) -> Iterator[None]:
        """Send the chunk worker to the dask workers, and remove it at the end."""
        try:
            self._send_worker(delivery)
            yield
        finally:
            if self.client.status == "running":
                try:
                    self.client.unregister_worker_plugin(delivery.name)
                except Exception as error:
                    # a worker that leaves just now breaks the scheduler's round; what was done, or went wrong, counts alone
                    log.debug("the chunk worker could not be removed from all dask workers: %s", error)

    def _send_worker(self, delivery: ChunkWorkerPlugin) -> None:
        for tries_left in reversed(range(_ROUNDS)):
            try:
                self.client.register_plugin(delivery)
            except Exception as error:  # of any worker, as plain text
                # workers come and go: one that leaves while it is told breaks the round, and is not in the next one
                if isinstance(error, OSError) and self.client.status == "running" and tries_left:
                    time.sleep(_ROUND_S)
                    continue
                raise WorkersLostError(
                    f"the chunk worker cannot be sent to the dask workers ({error}); they need the same oddjets as this machine"
                ) from error
            return

    def _graph_backend(self) -> tuple[Callable[[Any, str, Sequence[Chunk]], list[Future]], Callable[[Any], Result]]:
        if self.execution.executor == "dask-awkward":
            from oddjets.workflow.executors import dask_awkward

            return dask_awkward.submit, dask_awkward.result_of
        return _submit, lambda result: result

    def _results(
        self, futures: list[Future], chunks: Sequence[Chunk], result_of: Callable[[Any], Result]
    ) -> Generator[Result, None, None]:
        """Yield results as they come, each once; what is left is cancelled."""
        by_key = {future.key: chunk for future, chunk in zip(futures, chunks, strict=True)}
        coming = as_completed(futures, loop=self.client.loop, with_results=True, raise_errors=False)
        vigil = WorkerMonitor(self.client, self.execution.workers_timeout_s)
        try:
            while not coming.is_empty():
                if not coming.has_ready():
                    vigil.check_workers(coming.count())
                    time.sleep(_PAUSE_S)
                    continue
                future, result = next(coming)
                if future.status == "cancelled":
                    self._scheduler_gone()
                elif future.status == "error":
                    _raise(result[1], by_key[future.key])
                yield result_of(result)
                future.release()
        finally:
            if self.client.status == "running":
                self.client.cancel([future for future in futures if not future.done()])

    def _scheduler_gone(self) -> NoReturn:
        # it would log that it cannot reconnect, with a traceback
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        address = self.client.scheduler.address
        raise WorkersLostError(f"the dask scheduler at {address} is gone, or stopped this work")


def _with_absolute_paths(work: ChunkWorker) -> ChunkWorker:
    """Return the work with absolute paths: workers run in folders of their own."""
    assert work.output is not None
    analysis = work.analysis.model_copy(update={"path": work.analysis.folder.resolve() / "analysis.yaml"})
    kept = str(Path(work.score_cache).resolve()) if work.score_cache is not None else None
    return replace(work, analysis=analysis, output=str(Path(work.output).resolve()), score_cache=kept)


def _submit(client: Any, name: str, chunks: Sequence[Chunk]) -> list[Future]:
    """Hand chunks to a scheduler; what `process_chunk` raises is a bug of ours, for which nothing is tried again."""
    return list(client.map(process_chunk, [name] * len(chunks), chunks, pure=False, retries=0))


def _raise(error: BaseException, chunk: Chunk) -> NoReturn:
    if isinstance(error, KilledWorker):
        raise WorkersLostError(
            f"{error.last_worker.address if error.last_worker else 'workers'}: {error.allowed_failures + 1} workers died"
            f" while they had {chunk}: perhaps because memory ran out (try a smaller chunk_size), or the batch system took them"
        ) from error
    raise error
