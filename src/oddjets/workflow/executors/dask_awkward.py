"""Chunks as the partitions of a dask-awkward array, one opaque call for each.

dask-awkward follows array operations to know which branches they read, and can't follow them through NumPy and ONNX. So
the graph is one layer, and a partition is what came of its chunk, as bytes.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Sequence
from typing import Any

import awkward as ak
import dask_awkward

from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.dask_plugin import Result, process_chunk

__all__ = ["graph", "result_of", "submit"]


def graph(name: str, chunks: Sequence[Chunk]) -> Any:
    """Return the array whose partitions are what came of the chunks.

    Args:
        name: of the `ChunkWorkerPlugin` that the workers got.
        chunks: one a partition.
    """
    meta = ak.Array(ak.Array([b""]).layout.to_typetracer(forget_length=True))
    # a token of its own: results of another run are not taken for this one's
    return dask_awkward.from_map(_partition, chunks, args=(name,), meta=meta, label="oddjets", token=uuid.uuid4().hex)


def submit(client: Any, name: str, chunks: Sequence[Chunk]) -> list[Any]:
    """Compute the graph on a cluster, each partition a future, in the order of the chunks."""
    return list(client.compute(list(graph(name, chunks).to_delayed()), retries=0))


def result_of(partition: ak.Array) -> Result:
    """Return what came of a chunk."""
    found: Result = pickle.loads(partition[0])
    return found


def _partition(chunk: Chunk, name: str) -> ak.Array:
    return ak.Array([pickle.dumps(process_chunk(name, chunk))])
