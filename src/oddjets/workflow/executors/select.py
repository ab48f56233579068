"""The choice of the executor: this process, local processes, dask, or a custom class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oddjets.config.execution import EXECUTORS, Execution
from oddjets.workflow.executors import local
from oddjets.workflow.executors.base import ExecutionBackend

__all__ = ["check", "execution_backend"]


def check(execution: Execution) -> None:
    """Refuse an ``execution`` that cannot work, before anything is done for it.

    Raises:
        OddjetsError: a package that it needs is not installed, no such class, or no scheduler answers.
    """
    if execution.uses_dask:
        from oddjets.workflow.executors import dask_cluster

        dask_cluster.check(execution)
    elif execution.executor not in EXECUTORS:
        from oddjets.workflow.executors.custom import class_of

        class_of(execution)


@contextmanager
def execution_backend(execution: Execution) -> Iterator[ExecutionBackend]:
    """Start what an analysis's ``execution`` asks for, and stop it at the end.

    Raises:
        OddjetsError: a package that it needs is not installed, no such class, or no scheduler answers.
    """
    # dask and what executor classes need are no dependencies of the package: imported where they are asked for
    if execution.executor == "iterative" or (execution.executor == "futures" and execution.workers == 1):
        yield local.run_in_this_process
    elif execution.executor == "futures":
        yield local.LocalBackend(execution)
    elif execution.uses_dask:
        from oddjets.workflow.executors.dask_cluster import connected, require

        require(execution)
        from oddjets.workflow.executors.dask import DaskBackend

        with connected(execution) as client:
            yield DaskBackend(client, execution)
    else:
        from oddjets.workflow.executors.custom import CustomBackend

        yield CustomBackend(execution)
