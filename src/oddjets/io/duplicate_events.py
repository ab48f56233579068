"""A search for events that are in two event tables, for 10^8 events in little memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from oddjets.io.event_table import parts

__all__ = ["find_duplicate"]


def find_duplicate(folder: Path, names: Sequence[str]) -> tuple[tuple[int, int, int], str, str] | None:
    """Look for an event that is in the tables twice.

    Args:
        folder: ``out/events``.
        names: datasets that must not share events.

    Returns:
        (run, luminosityBlock, event) of the first one, and the UUIDs of the two files that it comes from; None where
        there is none.
    """
    files = [file for name in names for file in parts(folder, name)]
    # eight bytes an event, so that 10^8 of them fit into memory
    hashes = np.empty(sum(pq.read_metadata(file).num_rows for file in files), np.uint64)
    filled = 0
    for file in files:
        found = _hashes(_identities(file))
        hashes[filled : filled + len(found)] = found
        filled += len(found)
    hashes.sort()
    suspicious = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(suspicious):
        return None
    seen: dict[tuple[int, int, int], list[str]] = {}
    for file in files:
        identities = _identities(file)
        metadata = json.loads(pq.read_schema(file).metadata[b"oddjets"])
        for row in np.flatnonzero(np.isin(_hashes(identities), suspicious)):
            run, block, event = (int(column[row]) for column in identities)
            seen.setdefault((run, block, event), []).append(metadata.get("fileuuid", file.name))
    # two events may share a hash
    twice = {event: uuids for event, uuids in seen.items() if len(uuids) > 1}
    if not twice:
        return None
    first = min(twice)
    return first, twice[first][0], twice[first][1]


def _identities(file: Path) -> list[npt.NDArray[np.uint64]]:
    keys = ["run", "luminosityBlock", "event"]
    table = pq.read_table(file, columns=keys, memory_map=False)
    return [table[key].to_numpy().astype(np.uint64) for key in keys]


def _hashes(identities: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each event's identity: rounds of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = np.zeros(len(identities[0]), np.uint64)
    for column in identities:
        mixed += column + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
