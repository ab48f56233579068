"""The dask plugin that brings the chunk worker to every dask worker."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker

from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors import chunk_worker, gpus, shipped_files
from oddjets.workflow.executors.base import Outcomes
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.records import ChunkFailure

__all__ = ["ChunkWorkerPlugin", "Result", "process_chunk"]

#: what came of a chunk, and the files that must be written where the analysis's output folder is
Result = tuple[Outcomes, dict[str, bytes]]


class ChunkWorkerPlugin(WorkerPlugin):  # type: ignore[misc]
    """A plugin that brings the chunk worker to every dask worker, also to later ones.

    Args:
        work: to be done.
        token: a file that this machine wrote in the output folder, which workers must see too.
        packed: instead, all files of the work, for workers that share no file system with this machine.
        of_this_machine: GPUs that the workers, all on this machine, share out.
    """

    def __init__(
        self,
        work: ChunkWorker,
        token: Path | None,
        packed: shipped_files.ShippedFiles | None,
        of_this_machine: tuple[str, ...],
    ) -> None:
        self.content = pickle.dumps((work if packed is None else None, packed))
        self.token = token
        self.gpus = of_this_machine
        # results are kept under the versions that this machine has
        self.versions = chunk_worker.versions()
        self.code = chunk_worker.code()
        self.name = f"oddjets-{hashlib.sha256(self.content).hexdigest()[:16]}"
        self.folder: Path | None = None
        self._work: ChunkWorker | None = None
        self._lock: threading.Lock | None = None

    def setup(self, worker: Any) -> None:
        """Register in a dask worker; files are unpacked when the first chunk comes."""
        self.folder = Path(worker.local_directory) / self.name
        self._lock = threading.Lock()
        if self.gpus and isinstance(worker.name, int):
            gpus.use_gpu(self.gpus, worker.name)

    def work(self) -> ChunkWorker:
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
        found = chunk_worker.versions()
        other = [
            f"{name} {found.get(name, 'missing')} (here {self.versions.get(name, 'missing')})"
            for name in sorted({*found, *self.versions})
            if found.get(name) != self.versions.get(name)
        ]
        if other:
            raise OddjetsError(f"{where} has other package versions, which may change the results: {', '.join(other)}")
        if chunk_worker.code() != self.code:
            raise OddjetsError(
                f"{where} has different oddjets code with the same version: install the same code on both machines"
            )
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
            return {chunk.id: ChunkFailure(chunk, "mistake", str(error))}, {}
        except OSError as error:
            message = f"{self.folder}: the analysis's files cannot be unpacked there ({error.strerror or error})"
            return {chunk.id: ChunkFailure(chunk, "output", message)}, {}
        outcomes = work(chunk)
        assert self.folder is not None
        return outcomes, {} if self.token is not None else shipped_files.collect_outputs(self.folder, chunk)

    def teardown(self, worker: Any) -> None:
        """Remove the unpacked files."""
        assert self.folder is not None
        shutil.rmtree(self.folder, ignore_errors=True)


def process_chunk(name: str, chunk: Chunk) -> Result:
    """Process a chunk; this is the task that dask runs.

    Args:
        name: of the `ChunkWorkerPlugin` that this worker got.
        chunk: the chunk.
    """
    return get_worker().plugins[name](chunk)  # type: ignore[no-any-return]
