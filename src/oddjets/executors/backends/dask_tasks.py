"""Chunks as dask tasks: the work travels once to each worker, results come back one by one as they are done."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Future, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker

from oddjets import provenance
from oddjets.console import console
from oddjets.errors import OddjetsError
from oddjets.execution import Execution
from oddjets.executors.backends import dask_cluster, gpus, luggage
from oddjets.executors.backends.contract import Outcomes, WorkersLostError
from oddjets.executors.chunks import Chunk
from oddjets.executors.records import CHUNKS, Failure
from oddjets.executors.work import Work

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
        self.content = cloudpickle.dumps((work if packed is None else None, packed))
        self.token = token
        self.gpus = of_this_machine
        # results are kept under the versions that this machine has
        self.versions = provenance.versions()
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
                work, packed = cloudpickle.loads(self.content)
                self._work = work if packed is None else packed.unpack(self.folder)
            return self._work

    def _check(self) -> None:
        where = f"the dask worker on {socket.gethostname()}"
        found = provenance.versions()
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
        outcomes = work(chunk)
        assert self.folder is not None
        return outcomes, {} if self.token is not None else luggage.bring_back(self.folder, chunk)


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
        assert work.output is not None
        out = Path(work.output)
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
        by_key: dict[str, Chunk] = {}
        try:
            self.client.register_plugin(delivery)
            futures = self._submit(delivery.name, chunks, by_key)
            self._gather(futures, by_key, out, on_done)
        finally:
            if token is not None:
                token.unlink(missing_ok=True)

    def _submit(self, name: str, chunks: Sequence[Chunk], by_key: dict[str, Chunk]) -> list[Future]:
        """Hand the chunks to the scheduler; exceptions are bugs of ours, and no task is tried again for one."""
        if self.execution.executor == "dask-awkward":
            from oddjets.executors.backends import dask_awkward_graph

            futures = dask_awkward_graph.submit(self.client, name, chunks)
        else:
            futures = self.client.map(do, [name] * len(chunks), chunks, pure=False, retries=0)
        by_key.update({future.key: chunk for future, chunk in zip(futures, chunks, strict=True)})
        return futures
