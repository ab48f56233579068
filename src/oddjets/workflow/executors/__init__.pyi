from .base import Carrier as Carrier
from .base import WorkersLostError as WorkersLostError
from .bookkeeping import ChunkError as ChunkError
from .bookkeeping import Ledger as Ledger
from .chunk_worker import Work as Work
from .chunks import Chunk as Chunk

__all__ = ["Carrier", "Chunk", "ChunkError", "Ledger", "Work", "WorkersLostError"]
