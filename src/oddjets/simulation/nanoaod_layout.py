"""Conversion of flat columns to the jagged collections of NanoAOD."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

__all__ = ["jagged", "truncate_mantissa"]


def jagged(counts: npt.NDArray[np.integer], **columns: npt.NDArray[Any]) -> ak.Array:
    """Return a collection (events, entries) of records from flat columns.

    Args:
        counts: (events) entries of each event.
        columns: (entries of all events) each; floats become float32 and integers int32, as in NanoAOD.

    Returns:
        Records with one field a column.
    """
    narrow = {np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32}
    flat = {name: np.asarray(column, narrow.get(column.dtype)) for name, column in columns.items()}
    return ak.unflatten(ak.zip(flat), counts)


def truncate_mantissa(values: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float32]:
    """Round float32 to ``bits`` bits of mantissa, as NanoAOD does to make files small.

    Args:
        values: any shape.
        bits: mantissa bits kept, 1 to 22.

    Returns:
        Values within 2^-(bits + 1) of the given, relatively.
    """
    drop = 23 - bits
    rounded = values.view(np.uint32) + np.uint32(1 << (drop - 1))
    return ((rounded >> np.uint32(drop)) << np.uint32(drop)).view(np.float32)
