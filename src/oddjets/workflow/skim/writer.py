"""The writer of skims: selected events and branches, with sums of weights and luminosity sections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from oddjets.core.kinematics import offsets_from
from oddjets.io import nanoaod_schema, weight_order
from oddjets.io.branches import FlatBranches
from oddjets.io.fileset import TREE, Dataset, FileInfo
from oddjets.io.layouts import CandidateLayout
from oddjets.workflow.skim.branches import RequiredBranches, chunk_of

__all__ = ["write_skim"]

Integers = npt.NDArray[np.int64]
Columns = dict[str, Any]

#: a basket's events: baskets of fewer compress worse, and more of them must be held
EVENTS_A_BASKET = 2000
_RUNS, _SECTIONS = "Runs", "LuminosityBlocks"


def write_skim(
    target: Path, file: Any, dataset: Dataset, info: FileInfo, needs: RequiredBranches, chunk_size: int, note: str
) -> None:
    """Write a skim of one file, ZSTD-compressed.

    Args:
        target: the new file; its folder exists.
        file: of uproot, the one to skim.
        dataset: what it belongs to.
        info: what it holds.
        needs: which of its events and branches.
        chunk_size: events that are looked at together.
        note: kept in the file under the name ``skim``.
    """
    with uproot.recreate(target, compression=uproot.ZSTD(5)) as out:
        tree = _make_tree(out, TREE, file[TREE].arrays(sorted(needs.branches), entry_stop=0, how=dict))
        for block in _joined(_blocks(file, dataset, info, needs, chunk_size)):
            tree.extend(_collections(block))
        if _RUNS in file:
            _write_tree(out, _RUNS, _numbers(file[_RUNS]))
        # without the tree, the sections with an event are those that were read
        sections = file[_SECTIONS].arrays if _SECTIONS in file else file[TREE].arrays
        columns = sections(["run", "luminosityBlock"], library="np")
        pairs = np.unique(np.stack([columns["run"], columns["luminosityBlock"]], axis=1), axis=0)
        _write_tree(out, _SECTIONS, {"run": pairs[:, 0], "luminosityBlock": pairs[:, 1]})
        titles = {name: nanoaod_schema.title_in(file, name) for name in weight_order.BRANCHES if name in needs.branches}
        out[nanoaod_schema.TITLES] = json.dumps(titles)
        out["skim"] = note


# ---- reading -----------------------------------------------------------------------------------------------------


def _blocks(file: Any, dataset: Dataset, info: FileInfo, needs: RequiredBranches, chunk_size: int) -> Iterator[Columns]:
    """Read the wanted events, a few at a time."""
    tree = file[TREE]
    layout = needs.linked
    of_candidates = () if layout is None else (f"{layout.candidates}_", f"{layout.links}_")
    plain = sorted(name for name in needs.branches if not name.startswith(of_candidates))
    for start in range(0, info.entries, chunk_size):
        stop = min(start + chunk_size, info.entries)
        wanted = needs.entries[slice(*np.searchsorted(needs.entries, [start, stop]))]
        events = chunk_of(file, dataset, info, start, stop) if len(wanted) and layout is not None else None
        for entries in np.split(wanted, range(EVENTS_A_BASKET, len(wanted), EVENTS_A_BASKET)):
            if len(entries) == 0:
                continue
            first, last = int(entries[0]), int(entries[-1])
            read = tree.arrays(plain, entry_start=first, entry_stop=last + 1, how=dict)
            block = {name: array[entries - first] for name, array in read.items()}
            if layout is not None:
                block |= _linked_candidates(events, layout, entries - start, needs.branches)
            yield block


def _linked_candidates(events: Any, layout: CandidateLayout, rows: Integers, branches: frozenset[str]) -> Columns:
    """Read the links from AK8 jets to PF candidates, and of the candidates those that a jet links, numbered anew."""
    links, candidates = (FlatBranches(events, name, rows) for name in (layout.links, layout.candidates))
    jet, place = links[layout.jet_index][:], links[layout.candidate_index][:]
    event = np.repeat(np.arange(len(rows)), links.counts)
    # what a link of no jet says, or one to a candidate that its event lacks, stays senseless
    valid = (jet >= 0) & (place >= 0) & (place < candidates.counts[event])
    linked = np.zeros(candidates.offsets[-1], dtype=bool)
    linked[candidates.offsets[event[valid]] + place[valid]] = True
    before = offsets_from(linked)
    offsets = before[candidates.offsets]
    new_place = np.full(len(place), -1, dtype=place.dtype)
    new_place[valid] = before[candidates.offsets[event[valid]] + place[valid]] - offsets[event[valid]]

    positions = np.flatnonzero(linked)
    counts = np.diff(offsets)
    columns: Columns = {}
    for name in branches:
        collection, _, inner = name.partition("_")
        if collection == layout.candidates:
            columns[name] = ak.unflatten(candidates[inner][positions], counts)
        elif collection == layout.links:
            values = new_place if inner == layout.candidate_index else links[inner][:]
            columns[name] = ak.unflatten(values, links.counts)
    return columns


def _joined(blocks: Iterator[Columns]) -> Iterator[Columns]:
    """Join blocks until they are worth a basket."""
    held: list[Columns] = []
    for block in blocks:
        held.append(block)
        if sum(len(b["event"]) for b in held) >= EVENTS_A_BASKET:
            yield {name: ak.concatenate([b[name] for b in held]) for name in block}
            held = []
    if held:
        yield {name: ak.concatenate([b[name] for b in held]) for name in held[0]}


def _numbers(tree: Any) -> Columns:
    """Read the branches of a small tree that hold numbers, or lists of numbers."""
    arrays = tree.arrays(how=dict)
    return {name: array for name, array in arrays.items() if _is_numeric(ak.type(array).content)}


def _is_numeric(kind: Any) -> bool:
    inner = kind.content if isinstance(kind, ak.types.ListType) and not kind.parameters else kind
    return isinstance(inner, ak.types.NumpyType) and not inner.parameters


# ---- writing -----------------------------------------------------------------------------------------------------


def _collections(columns: Mapping[str, Any]) -> Columns:
    """Zip jagged branches to collections and leave their counters out, as uproot's writer of trees wants it."""
    jagged: dict[str, dict[str, Any]] = {}
    for name, array in columns.items():
        if array.ndim > 1:
            collection, _, inner = name.partition("_")
            jagged.setdefault(collection, {})[inner] = ak.to_packed(array)
    out = {
        name: ak.to_numpy(array)
        for name, array in columns.items()
        if array.ndim == 1 and not (name.startswith("n") and name[1:] in jagged)
    }
    return out | {name: fields[""] if "" in fields else ak.zip(fields) for name, fields in jagged.items()}


def _make_tree(out: Any, name: str, columns: Mapping[str, Any]) -> Any:
    """Make an empty tree with the types of the columns; assigning a dictionary would make an RNTuple."""
    found = _collections(columns)
    types = {key: ak.type(value).content if value.ndim > 1 else value.dtype for key, value in found.items()}
    return out.mktree(name, types, counter_name=lambda collection: f"n{collection}")


def _write_tree(out: Any, name: str, columns: Mapping[str, Any]) -> None:
    """Write a small tree at once."""
    arrays = {key: ak.Array(value) for key, value in columns.items()}
    tree = _make_tree(out, name, arrays)
    if arrays and len(next(iter(arrays.values()))):
        tree.extend(_collections(arrays))
