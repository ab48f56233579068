"""A monitor of dask workers: it warns when there is none, and ends the run after a timeout."""

from __future__ import annotations

import time
from typing import Any

from oddjets.core.console import console
from oddjets.workflow.executors.base import WorkersLostError

__all__ = ["WorkerMonitor"]

#: seconds between two looks, and until it is said that nobody is there; then after twice as long, and so on
_LOOK_S, _SILENCE_S = 5.0, 60.0


class WorkerMonitor:
    """A monitor of a cluster whose workers may be gone, or have not come yet.

    Args:
        client: of the cluster.
        timeout_s: how long to wait while there is no worker, s.
    """

    def __init__(self, client: Any, timeout_s: float) -> None:
        self.client = client
        self._where = client.scheduler.address
        self.timeout_s = timeout_s
        self._looked = self._seen = time.monotonic()
        self._silence_s = _SILENCE_S

    def check_workers(self, waiting: int) -> None:
        """Check that a worker is there; to be called regularly while no result comes.

        Args:
            waiting: how many chunks have no result yet.

        Raises:
            WorkersLostError: there has been none for too long.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        if self._workers():
            self._seen, self._silence_s = now, _SILENCE_S
            return
        alone = now - self._seen
        if alone > self.timeout_s:
            raise WorkersLostError(
                f"no dask worker seen for {alone:.0f} s at {self._where}, and {waiting} chunks wait: look at the workers' logs,"
                " or at the batch system's queue; `execution.workers_timeout_s` says how long to wait"
            )
        if alone > self._silence_s:
            self._silence_s = 2 * alone
            console.print(
                f"dask: no worker seen for {alone:.0f} s; {waiting} chunks wait until one comes to {self._where}, for"
                f" {self.timeout_s} s at most",
            )

    def _workers(self) -> int:
        """Count the workers; 0 where the scheduler gives no answer."""
        if self.client.status != "running":
            return 0
        try:
            return len(self.client.sync(self.client.scheduler.ncores, workers=None, callback_timeout=_LOOK_S))
        except OSError:  # a scheduler that is gone is found out by its tasks
            return 0
