from .base import ExecutionBackend as ExecutionBackend
from .base import WorkersLostError as WorkersLostError
from .bookkeeping import ChunkError as ChunkError
from .bookkeeping import Ledger as Ledger
from .chunk_worker import ChunkWorker as ChunkWorker
from .chunks import Chunk as Chunk

__all__ = ["Chunk", "ChunkError", "ChunkWorker", "ExecutionBackend", "Ledger", "WorkersLostError"]
