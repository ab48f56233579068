"""Chunks as dask tasks: the work travels once to each worker, results come back one by one as they are done."""

from __future__ import annotations

import hashlib
import logging
import pickle
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from distributed import Future, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker

from oddjets import provenance
from oddjets.errors import OddjetsError
from oddjets.execution import Execution
from oddjets.executors.backends import dask_cluster, gpus, luggage
from oddjets.executors.backends.contract import Outcomes, WorkersLostError
from oddjets.executors.chunks import Chunk
from oddjets.executors.records import CHUNKS, Failure
from oddjets.executors.work import Work
from oddjets.stages.process import COMPUTES

__all__ = ["Dask", "Delivery", "do"]

#: what came of a chunk, and the files that must be written where the analysis's output folder is
Result = tuple[Outcomes, dict[str, bytes]]


class Delivery(WorkerPlugin):  # type: ignore[misc]
    """Brings the work to every worker, those that come later included.

    Args:
        work: to be done.
        token: a file that this machine wrote in the output folder, which workers must see too.
        luggage: instead, all files of the work, for workers that share no file system with this machine.
        of_this_machine: GPUs that the workers, all on this machine, share out.
    """

    def __init__(
        self,
        work: Work,
        token: Path | None,
        packed: luggage.Luggage | None,
        of_this_machine: tuple[str, ...],
    ) -> None:
        self.content = pickle.dumps((work if packed is None else None, packed))
        self.token = token
        self.gpus = of_this_machine
        # results are kept under the versions that this machine has
        self.versions = _versions()
        self.code = provenance.code_of(Work.__module__)
        self.name = f"oddjets-{hashlib.sha256(self.content).hexdigest()[:16]}"
        self.folder: Path | None = None
        self._work: Work | None = None
        self._lock: threading.Lock | None = None

    def setup(self, worker: Any) -> None:
        """Take place in a worker; its files are unpacked when the first chunk comes."""
        self.folder = Path(worker.local_directory) / self.name
        self._lock = threading.Lock()
        if self.gpus and isinstance(worker.name, int):
            gpus.take(self.gpus, worker.name)

    def work(self) -> Work:
        """Return the work as it is done here.

        Raises:
            OddjetsError: this worker has other versions, or does not see the output folder.
        """
        assert self._lock is not None
        with self._lock:
            if self._work is None:
                self._check()
                work, packed = pickle.loads(self.content)
                self._work = work if packed is None else packed.unpack(self.folder)
            return self._work

    def _check(self) -> None:
        where = f"the dask worker on {socket.gethostname()}"
        found = _versions()
        other = [
            f"{name} {found.get(name, 'missing')} (here {self.versions.get(name, 'missing')})"
            for name in sorted({*found, *self.versions})
            if found.get(name) != self.versions.get(name)
        ]
        if other:
            raise OddjetsError(f"{where} has other versions, and so perhaps other numbers: {', '.join(other)}")
        if provenance.code_of(Work.__module__) != self.code:
            raise OddjetsError(f"{where} has another oddjets of the same version: install the same on both sides")
        if self.token is not None and not self.token.is_file():
            raise OddjetsError(
                f"{where} does not see {self.token.parent}: say `execution: {{shared_filesystem: false}}`, or give an"
                " --out folder that workers share"
            )

    def __call__(self, chunk: Chunk) -> Result:
        """Work on a chunk in this worker."""
        try:
            work = self.work()
        except OddjetsError as error:
            return {chunk.id: Failure(chunk, "mistake", str(error))}, {}
        except OSError as error:
            message = f"{self.folder}: the analysis's files cannot be unpacked there ({error.strerror or error})"
            return {chunk.id: Failure(chunk, "output", message)}, {}
        outcomes = work(chunk)
        assert self.folder is not None
        return outcomes, {} if self.token is not None else luggage.bring_back(self.folder, chunk)

    def teardown(self, worker: Any) -> None:
        """Leave nothing behind."""
        assert self.folder is not None
        shutil.rmtree(self.folder, ignore_errors=True)


def do(name: str, chunk: Chunk) -> Result:
    """Work on a chunk; this is the task that dask sees.

    Args:
        name: of the `Delivery` that this worker got.
        chunk: the chunk.
    """
    return get_worker().plugins[name](chunk)  # type: ignore[no-any-return]


class Dask:
    """Workers of a dask cluster; where one dies, dask gives its chunks to others."""

    def __init__(self, client: Any, execution: Execution) -> None:
        self.client = client
        self.execution = execution

    def __call__(self, chunks: Sequence[Chunk], work: Work, on_done: Callable[[Outcomes], None]) -> None:
        """Work on all chunks; see `Carrier`."""
        work = _from_anywhere(work)
        out = Path(str(work.output))
        shared = self.execution.shared_filesystem
        token = out / CHUNKS / f".shared-{socket.gethostname()}" if shared else None
        if token is not None:
            luggage.put(token, b"")
        on_this_machine = self.execution.scheduler is None and (
            self.execution.cluster is None or self.execution.cluster.class_ == dask_cluster.LOCAL
        )
        delivery = Delivery(
            work,
            token,
            None if shared else luggage.pack(work),
            gpus.gpus_of_this_machine(self.execution) if on_this_machine else (),
        )
        submit, result_of = self._kind_of_graph()
        try:
            with self._delivered(delivery):
                futures = submit(self.client, delivery.name, chunks)
                for outcomes, files in self._results(futures, chunks, result_of):
                    for path, content in files.items():
                        luggage.put(out / path, content)
                    on_done(outcomes)
        finally:
            if token is not None:
                token.unlink(missing_ok=True)

    @contextmanager
    def _delivered(self, delivery: Delivery) -> Iterator[None]:
        """Bring the work to the workers, and take it away again."""
        try:
            self.client.register_plugin(delivery)
        except Exception as error:  # of any worker, as plain text
            raise WorkersLostError(
                f"the work cannot be brought to the dask workers ({error}); they need the same oddjets as this machine"
            ) from error
        try:
            yield
        finally:
            if self.client.status == "running":
                self.client.unregister_worker_plugin(delivery.name)

    def _kind_of_graph(self) -> tuple[Callable[[Any, str, Sequence[Chunk]], list[Future]], Callable[[Any], Result]]:
        if self.execution.executor == "dask-awkward":
            from oddjets.executors.backends import dask_awkward_graph

            return dask_awkward_graph.submit, dask_awkward_graph.result_of
        return _submit, lambda result: result

    def _results(
        self, futures: list[Future], chunks: Sequence[Chunk], result_of: Callable[[Any], Result]
    ) -> Iterator[Result]:
        """Yield results as they come, each once; what is left is cancelled."""
        by_key = {future.key: chunk for future, chunk in zip(futures, chunks, strict=True)}
        try:
            for future, result in as_completed(futures, loop=self.client.loop, with_results=True, raise_errors=False):
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


def _from_anywhere(work: Work) -> Work:
    """Return the work with absolute paths: workers run in folders of their own."""
    assert work.output is not None
    analysis = work.analysis.model_copy(update={"path": work.analysis.folder.resolve() / "analysis.yaml"})
    kept = str(Path(work.score_cache).resolve()) if work.score_cache is not None else None
    return replace(work, analysis=analysis, output=str(Path(work.output).resolve()), score_cache=kept)


def _versions() -> dict[str, str]:
    return {name: version for name, version in provenance.versions().items() if name in COMPUTES}


def _submit(client: Any, name: str, chunks: Sequence[Chunk]) -> list[Future]:
    """Hand chunks to a scheduler; what `do` raises is a bug of ours, for which nothing is tried again."""
    return list(client.map(do, [name] * len(chunks), chunks, pure=False, retries=0))


def _raise(error: BaseException, chunk: Chunk) -> NoReturn:
    if isinstance(error, KilledWorker):
        raise WorkersLostError(
            f"{error.last_worker.address if error.last_worker else 'workers'}: {error.allowed_failures + 1} workers died"
            f" while they had {chunk}: perhaps for want of memory (try a smaller chunk_size), or the batch system took them"
        ) from error
    raise error
