"""Selective reading of jagged branches: only the entries that are needed.

coffea's virtual arrays read a branch for the whole chunk and hold it until the chunk is done. PF candidates are nearly
all of a file, and a chunk needs those of two jets of its few surviving events: here a branch is read basket by basket,
baskets without a wanted event are passed over, and of the others only the wanted values are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot
from uproot.interpretation.jagged import AsJagged
from uproot.interpretation.numerical import AsDtype

from oddjets.core.kinematics import offsets_from
from oddjets.io import nanoaod_schema

__all__ = ["FlatBranch", "FlatBranches"]

Integers = npt.NDArray[np.int64]

#: decompressed bytes that are held at a time: large enough for few requests to a remote file
_BYTES_AT_A_TIME = 64_000_000


class FlatBranches(Mapping[str, "FlatBranch"]):
    """The branches of a collection, flat over some events of a chunk.

    Args:
        events: a chunk, with coffea's metadata of the file and the range of entries that it is.
        name: the collection.
        rows: the events, rising rows of the chunk.

    Attributes:
        counts: each event's entries, shape (len(rows),).
        offsets: where each event's entries begin in the flat arrays, shape (len(rows) + 1,).
    """

    def __init__(self, events: Any, name: str, rows: Integers) -> None:
        self._events, self._name = events, name
        # the handle that the chunk holds open, with its parsed tree: parsing 1800 branches takes seconds
        handle = events.attrs["@events_factory"].file_handle
        self._tree = (handle if isinstance(handle, uproot.ReadOnlyDirectory) else handle.root_directory)["Events"]
        self.counts: Integers = np.asarray(ak.num(nanoaod_schema.collection(events, name), axis=1), np.int64)[rows]
        self.offsets: Integers = offsets_from(self.counts)
        self._entries = rows + int(events.metadata.get("entrystart", 0))
        self._located: tuple[Any, Integers, Integers] = (None, self._entries, self._entries)

    def __getitem__(self, inner: str) -> FlatBranch:
        nanoaod_schema.field(self._events, self._name, inner)  # names what is missing
        return FlatBranch(self._tree[f"{self._name}_{inner}"], self._locate)

    def _locate(self, positions: Integers | slice) -> tuple[Integers, Integers]:
        """Return the entry in the file of flat positions, and their places in it; one branch after another asks the same."""
        asked, entries, places = self._located
        if asked is not positions:
            flat = np.arange(self.offsets[-1])[positions] if isinstance(positions, slice) else positions
            event = np.searchsorted(self.offsets, flat, side="right") - 1
            entries, places = self._entries[event], flat - self.offsets[event]
            self._located = (positions, entries, places)
        return entries, places

    def __iter__(self) -> Iterator[str]:
        return iter(nanoaod_schema.collection(self._events, self._name).fields)

    def __len__(self) -> int:
        return len(nanoaod_schema.collection(self._events, self._name).fields)


class FlatBranch:
    """One branch, read when it is indexed."""

    def __init__(self, branch: Any, locate: Callable[[Integers | slice], tuple[Integers, Integers]]) -> None:
        self._branch, self._locate = branch, locate

    def __getitem__(self, positions: Integers | slice) -> npt.NDArray[Any]:
        """Return the values at flat positions over the events.

        Args:
            positions: in events that do not fall; or a slice.
        """
        entries, places = self._locate(positions)
        whole = getattr(self._branch, "interpretation", None)
        if isinstance(whole, AsJagged) and type(whole.content) is AsDtype:
            return _read_from_baskets(self._branch, whole, entries, places)
        return _read_from_arrays(self._branch, entries, places)


def _read_from_baskets(branch: Any, whole: AsJagged, entries: Integers, places: Integers) -> npt.NDArray[Any]:
    """Pick values out of the baskets of a TTree's branch that hold a wanted entry."""
    limits = np.asarray(branch.entry_offsets)
    bounds = np.searchsorted(entries, limits)
    needed = np.flatnonzero(np.diff(bounds))
    parts = [np.empty(0, whole.content.to_dtype)]
    for first, last in _contiguous_runs(needed, np.array([branch.basket_uncompressed_bytes(i) for i in needed])):
        here = slice(bounds[first], bounds[last + 1])
        picked = _SelectedEntries(whole, entries[here], places[here])
        # uproot's cache knows an interpretation by its type and would take this one for the whole array
        parts.append(branch.array(picked, limits[first], limits[last + 1], library="np", array_cache=None))
    return np.concatenate(parts)


def _contiguous_runs(baskets: Integers, sizes: Integers) -> Iterator[tuple[int, int]]:
    """Split rising basket numbers into runs of neighbours that fit into memory together: first and last of each."""
    begin, held = 0, 0
    for i, size in enumerate(sizes):
        if i > begin and (baskets[i] != baskets[i - 1] + 1 or held + size > _BYTES_AT_A_TIME):
            yield int(baskets[begin]), int(baskets[i - 1])
            begin, held = i, 0
        held += size
    if len(baskets):
        yield int(baskets[begin]), int(baskets[-1])


class _SelectedEntries(AsJagged):  # type: ignore[misc]
    """uproot's interpretation of a jagged branch, ending in some of its values instead of an array of all."""

    def __init__(self, whole: AsJagged, entries: Integers, places: Integers) -> None:
        super().__init__(whole.content, whole.header_bytes, whole.typename)
        self._entries, self._places = entries, places

    def final_array(
        self,
        basket_arrays: Mapping[int, Any],
        entry_start: int,
        entry_stop: int,
        entry_offsets: Any,
        library: Any,
        branch: Any,
        options: Any,
    ) -> npt.NDArray[Any]:
        """Copy the wanted values out of the decompressed baskets; bytes are swapped of these alone."""
        picked = np.empty(len(self._entries), self.content.to_dtype)
        for number, basket in basket_arrays.items():
            start, stop = entry_offsets[number], entry_offsets[number + 1]
            here = slice(*np.searchsorted(self._entries, [start, stop]))
            picked[here] = basket.content[basket.offsets[self._entries[here] - start] + self._places[here]]
        return picked


def _read_from_arrays(branch: Any, entries: Integers, places: Integers) -> npt.NDArray[Any]:
    """Pick values out of the whole array between the first and the last wanted entry; for RNTuple."""
    if len(entries) == 0:
        return np.empty(0, np.float32)
    start, stop = int(entries[0]), int(entries[-1]) + 1
    array = branch.array(entry_start=start, entry_stop=stop)
    positions = nanoaod_schema.offsets_of(array)[entries - start] + places
    return np.asarray(nanoaod_schema.flatten(array)[positions])
