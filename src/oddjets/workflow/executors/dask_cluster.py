"""Dask clusters: on this machine, at a scheduler's address, or of a class by import path."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from oddjets.config.execution import Cluster, Execution
from oddjets.core.console import console, log
from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors.base import ALLOWED_WORKER_DEATHS
from oddjets.workflow.executors.import_path import import_class, instantiate

__all__ = ["LOCAL", "check", "connected", "require"]

LOCAL = Cluster().class_
#: seconds to wait for a scheduler's answer
_TIMEOUT_S = 10


def require(execution: Execution) -> None:
    """Refuse what is not installed, before anything is started.

    Raises:
        OddjetsError: names the extra.
    """
    import_class("distributed", "Client", _where(execution))
    if execution.executor == "dask-awkward":
        import_class("dask_awkward", "from_map", _where(execution))


def check(execution: Execution) -> None:
    """Refuse what is not installed, and a scheduler that does not answer.

    Raises:
        OddjetsError: says what to install, or which scheduler it is.
    """
    require(execution)
    if execution.cluster is not None:
        _cluster_class(execution.cluster)
    if execution.scheduler is not None:
        with _client_of_running(execution):
            pass


def _where(execution: Execution) -> str:
    return f"execution.executor '{execution.executor}'"


@contextmanager
def connected(execution: Execution) -> Iterator[Any]:
    """Connect to the cluster that an analysis asks for; one that is started here is stopped at the end.

    Yields:
        The ``distributed.Client``.

    Raises:
        OddjetsError: the cluster's class cannot be had or built, or no scheduler answers.
    """
    client_class = import_class("distributed", "Client", _where(execution))
    with _quiet_dask_logs(), ExitStack() as stack:
        if execution.scheduler is not None:
            client = stack.enter_context(_client_of_running(execution))
        else:
            cluster = stack.enter_context(_started(execution))
            client = stack.enter_context(client_class(cluster, set_as_default=False))
        _print_cluster(client)
        yield client


@contextmanager
def _quiet_dask_logs() -> Iterator[None]:
    """Silence dask's own log messages, unless ``--debug`` asks for them."""
    dask_log = logging.getLogger("distributed")
    before = dask_log.level
    if not log.isEnabledFor(logging.DEBUG):
        dask_log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        dask_log.setLevel(before)


def _client_of_running(execution: Execution) -> Any:
    """Connect to a running scheduler."""
    client_class = import_class("distributed", "Client", _where(execution))
    try:
        return client_class(execution.scheduler, timeout=_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise OddjetsError(
            f"execution.scheduler: no dask scheduler answers at {execution.scheduler} within {_TIMEOUT_S} s ({error});"
            " start one with `dask scheduler`, or leave 'scheduler' out for workers on this machine"
        ) from error


def _cluster_class(spec: Cluster) -> Any:
    module, _, name = spec.class_.rpartition(".")
    return import_class(module, name, "execution.cluster.class")


@contextmanager
def _started(execution: Execution) -> Iterator[Any]:
    spec = execution.cluster if execution.cluster is not None else Cluster()
    make = _cluster_class(spec)
    options = {**(_local_cluster_options(execution) if spec.class_ == LOCAL else {}), **spec.options}
    import dask

    # a scheduler that is started here gives work up after as many deaths as processes do
    with dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_WORKER_DEATHS}):
        cluster = instantiate(make, options, "execution.cluster.options")
    with cluster:
        if spec.adaptive is not None:
            cluster.adapt(minimum=spec.adaptive.minimum, maximum=spec.adaptive.maximum)
        elif not getattr(cluster, "worker_spec", None):
            # it was not built with workers, as batch systems' clusters are not
            cluster.scale(execution.workers)
        yield cluster


def _local_cluster_options(execution: Execution) -> dict[str, Any]:
    """Return options of a cluster on this machine: processes of one thread, on the loopback interface only."""
    spec = execution.cluster if execution.cluster is not None else Cluster()
    return {
        "n_workers": 0 if spec.adaptive is not None else execution.workers,
        "threads_per_worker": 1,
        # a limit would stop workers that hold a large chunk although the machine has room
        "memory_limit": 0,
        # threads need no address
        **({"host": "127.0.0.1"} if spec.options.get("processes", True) else {}),
        # any free port
        "dashboard_address": "127.0.0.1:0",
        # what its processes tell of themselves; what ends the run, we say
        "silence_logs": logging.CRITICAL,
    }


def _print_cluster(client: Any) -> None:
    """Print the scheduler's address and the dashboard's link."""
    workers = len(client.scheduler_info(n_workers=-1)["workers"])
    console.print(f"dask: scheduler {client.scheduler.address}, {workers} workers")
    if client.dashboard_link and importlib.util.find_spec("bokeh"):
        console.print(f"dask: dashboard {client.dashboard_link}")
    if not workers:
        console.print("dask: no worker yet; chunks wait until the first one comes")
