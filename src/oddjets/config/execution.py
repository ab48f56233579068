"""The ``execution:`` section of an analysis YAML: where and how the processing runs. It changes no number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from oddjets.config.yaml import StrictModel
from oddjets.core.errors import nearest

__all__ = ["EXECUTORS", "AdaptiveScaling", "Cluster", "Execution", "RemoteAccess"]

#: the executors that have a name; any other is a class by its import path
EXECUTORS = ("iterative", "futures", "dask", "dask-awkward")


def _is_import_path(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _executor(value: str) -> str:
    """Accept a name, or ``package.module:Class``."""
    module, colon, name = value.partition(":")
    if value not in EXECUTORS and not (colon and _is_import_path(module) and name.isidentifier()):
        raise ValueError(
            f"no executor '{value}', and no class as in coffea.processor:FuturesExecutor; {nearest(value, EXECUTORS)}"
        )
    return value


def _scheduler(value: str) -> str:
    """Accept ``HOST:PORT``, with a protocol before it or without; what else dask may know has a protocol of its own."""
    protocol, found, _ = value.partition("://")
    if not found or protocol in ("tcp", "tls", "ws", "wss"):
        try:
            address = urlsplit(value if found else f"tcp://{value}")
            complete = bool(address.hostname and address.port)
        except ValueError:
            complete = False
        if not complete:
            raise ValueError(f"'{value}' is not an address with a port, such as tcp://HOST:8786")
    return value


def _cluster_class(value: str) -> str:
    """Accept ``package.module.Class``."""
    if "." not in value or not _is_import_path(value):
        raise ValueError(f"'{value}' is not a class with its module, such as dask_jobqueue.HTCondorCluster")
    return value


def _folder(value: str) -> str:
    """Accept the name of a folder, of which ``~`` and ``~NAME`` at the beginning are somebody's own."""
    if not value.strip() or "\0" in value:
        raise ValueError("must be the name of a folder")
    try:
        Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is nobody whose own folder is '{Path(value).parts[0]}'") from None
    return value


@dataclass(frozen=True)
class RemoteAccess:
    """Settings of the access to remote files.

    Attributes:
        timeout_s: how long a server may stay silent: while connecting, and between bytes (https) or for one request
            (root).
        cache: a folder where whole files are kept; None: only what is needed is read, each time.
    """

    timeout_s: int = 60
    cache: Path | None = None


class AdaptiveScaling(StrictModel):
    """The limits of the number of workers of an adaptive cluster."""

    minimum: int = Field(default=0, ge=0, description="smallest number of workers, kept without work as well")
    maximum: int = Field(ge=1, description="largest number of workers")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self


class Cluster(StrictModel):
    """A dask cluster class, by import path, and its arguments."""

    model_config = ConfigDict(populate_by_name=True)

    class_: Annotated[str, AfterValidator(_cluster_class)] = Field(
        default="distributed.LocalCluster",
        alias="class",
        description="import path of the class, such as dask_jobqueue.HTCondorCluster; the default runs on this machine",
    )
    options: dict[str, Any] = Field(default={}, description="keyword arguments of the class")
    adaptive: AdaptiveScaling | None = Field(
        default=None,
        description="let dask change the number of workers with the load; not given: always 'workers' of Execution",
    )


class Execution(StrictModel):
    """Settings of the processing; none of them changes a number."""

    executor: Annotated[str, AfterValidator(_executor)] = Field(
        default="futures",
        description="iterative: in this process; futures: in processes on this machine; dask, dask-awkward: on a dask"
        " cluster; or an executor class as package.module:Class",
    )
    executor_options: dict[str, Any] = Field(default={}, description="keyword arguments, if 'executor' is a class")
    workers: int = Field(
        default=2, ge=1, description="number of processes on this machine, or of workers of a dask cluster"
    )
    scheduler: Annotated[str, AfterValidator(_scheduler)] | None = Field(
        default=None,
        description="address of a running dask scheduler, such as tcp://HOST:8786; not given: dask starts one",
    )
    cluster: Cluster | None = Field(default=None, description="the dask cluster to start; not given: on this machine")
    workers_timeout_s: int = Field(
        default=3600, ge=1, description="seconds to wait, and then stop, while a dask cluster has no worker"
    )
    shared_filesystem: bool = Field(
        default=True,
        description="true: workers of a dask cluster read and write the output folder of this machine; false: what they need"
        " and their results are sent over the network",
    )
    chunk_size: int = Field(default=50_000, ge=1, description="events that a worker processes at a time")
    skip_bad_files: bool = Field(
        default=False,
        description="true: leave out files that cannot be read, list them in lost.json, and end with exit code 3; false: stop",
    )
    timeout_s: int = Field(
        default=60,
        ge=1,
        description="seconds without an answer of a server of remote files, after which it is an error",
    )
    cache: Annotated[str, AfterValidator(_folder)] | None = Field(
        default=None,
        description="folder to download remote files into; not given: only what is needed is read, without a copy",
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="device for the inference of models. auto: the GPU if it can be used, otherwise the CPU; cuda: an error"
        " without a GPU",
    )
    score_cache: bool = Field(
        default=True,
        description="true: store scores in the output folder's scores/, and use them again; false: compute them",
    )
    score_folder: Annotated[str, AfterValidator(_folder)] | None = Field(
        default=None,
        description="folder to store scores in, which several analyses, outputs and users may share; where it cannot be"
        " written, its scores are used and new ones are not stored; not given: scores/ in the output folder",
    )

    @property
    def processes(self) -> int:
        """The number of local processes for work that is not done in chunks: simulation, skims, figures."""
        elsewhere = self.scheduler is not None or self.cluster is not None or self.executor not in EXECUTORS
        return min(self.workers, os.cpu_count() or 1) if elsewhere else self.workers

    @property
    def uses_dask(self) -> bool:
        """Whether chunks go to a dask scheduler."""
        return self.executor in ("dask", "dask-awkward")

    def access(self, folder: Path) -> RemoteAccess:
        """Return the settings of the access to remote files.

        Args:
            folder: where a relative path of the cache starts.
        """
        return RemoteAccess(self.timeout_s, folder / Path(self.cache).expanduser() if self.cache is not None else None)

    def scores(self, out: Path, folder: Path) -> Path | None:
        """Return the folder in which scores are stored; None if they are not.

        Args:
            out: the output folder.
            folder: where a relative path of a shared one starts.
        """
        if not self.score_cache:
            return None
        return out / "scores" if self.score_folder is None else folder / Path(self.score_folder).expanduser()

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        of_dask: Sequence[str] = [name for name in ("scheduler", "cluster") if getattr(self, name) is not None]
        if of_dask and not self.uses_dask:
            raise ValueError(f"'{of_dask[0]}' needs the executor dask or dask-awkward, not {self.executor}")
        if len(of_dask) == 2:
            raise ValueError("give 'scheduler' (a running one) or 'cluster' (to be started), not both")
        if not self.shared_filesystem and not self.uses_dask:
            raise ValueError(f"'shared_filesystem: false' needs the executor dask or dask-awkward, not {self.executor}")
        if self.score_folder is not None and not (self.score_cache and self.shared_filesystem):
            other = "shared_filesystem" if self.score_cache else "score_cache"
            raise ValueError(f"'score_folder' is where scores are stored, and with '{other}: false' none are")
        if self.executor_options and self.executor in EXECUTORS:
            raise ValueError(
                f"'executor_options' are keyword arguments of an executor class (package.module:Class), and"
                f" {self.executor} takes none; a dask cluster's are 'cluster: {{options: ...}}'"
            )
        return self
