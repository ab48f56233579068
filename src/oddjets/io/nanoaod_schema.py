"""PFNano events as coffea reads them, with clear errors for missing branches."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot
from coffea.nanoevents import PFNanoAODSchema

from oddjets.core.errors import InputFileError, nearest
from oddjets.core.kinematics import offsets_from

__all__ = [
    "IDENTITY",
    "TITLES",
    "PFNano",
    "bits",
    "branch",
    "branches_of",
    "collection",
    "field",
    "flags",
    "flatten",
    "has",
    "identifiers",
    "indices",
    "location_of",
    "offsets_of",
    "title_in",
    "title_of",
    "whole_numbers",
]


#: the branches that tell an event from all others, with NanoAOD's types
IDENTITY: dict[str, type[np.unsignedinteger[Any]]] = {
    "run": np.uint32,
    "luminosityBlock": np.uint32,
    "event": np.uint64,
}
#: under which a skim keeps the titles of branches, which uproot cannot write
TITLES = "branch_titles"


class PFNano(PFNanoAODSchema):  # type: ignore[misc]
    """A coffea schema for PFNano, without warnings about unused cross references, photons and event numbers."""

    warn_missing_crossrefs = False
    #: they are looked for by `identifiers`, whose error names the file
    error_missing_event_ids = False
    #: coffea's vertices cannot be looked at without x, y and z; a file may have their number alone
    mixins: ClassVar[dict[str, str]] = {k: v for k, v in PFNanoAODSchema.mixins.items() if k != "PV"}

    def __init__(self, base_form: Any, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore",
                message="Branch Photon_(mass|charge) already exists|Missing event_ids",
                category=RuntimeWarning,
            )
            super().__init__(base_form, *args, **kwargs)


def location_of(events: Any) -> str:
    """Return the name of the file that a chunk comes from."""
    return str(events.metadata.get("filename", "the file")) if hasattr(events, "metadata") else "the file"


def branches_of(events: Any) -> list[str]:
    """Return the names of all branches of a chunk, as in the file: ``FatJet_pt``, ``run``."""
    names = []
    for name in events.fields:
        inner = events[name].fields
        names += [f"{name}_{f}" for f in inner] if inner else [name]
    return names


def collection(events: Any, name: str) -> Any:
    """Return a collection such as FatJet.

    Raises:
        InputFileError: the file has no such collection; the message has the nearest names.
    """
    if name not in events.fields:
        raise InputFileError(
            f"{location_of(events)}: no collection '{name}'; {nearest(name, events.fields)}", cause="missing branch"
        )
    return events[name]


def field(events: Any, name: str, inner: str) -> Any:
    """Return a branch of a collection.

    Raises:
        InputFileError: the file has no such branch; the message has the nearest names.
    """
    records = collection(events, name)
    if inner not in records.fields:
        near = nearest(f"{name}_{inner}", [f"{name}_{f}" for f in records.fields])
        raise InputFileError(f"{location_of(events)}: no branch '{name}_{inner}'; {near}", cause="missing branch")
    return records[inner]


def branch(events: Any, name: str) -> Any:
    """Return a branch by its name in the file, such as ``Pileup_nTrueInt``.

    Raises:
        InputFileError: the file has no such branch; the message has the nearest names.
    """
    if name in events.fields:
        return events[name]
    head, _, tail = name.partition("_")
    if head in events.fields and tail in events[head].fields:
        return events[head][tail]
    near = nearest(name, branches_of(events))
    raise InputFileError(f"{location_of(events)}: no branch '{name}'; {near}", cause="missing branch")


def flags(events: Any, name: str, inner: str) -> npt.NDArray[np.bool_]:
    """Return a branch of one decision an event, such as ``HLT_PFHT800``.

    Raises:
        InputFileError: it is missing, or neither boolean nor integer; floats that are all whole numbers will do.
    """
    values = field(events, name, inner)
    if ak.to_layout(values).purelist_depth != 1:
        raise InputFileError(
            f"{location_of(events)}: branch '{name}_{inner}' has lists, and should have one decision per event"
        )
    return whole_numbers(events, f"{name}_{inner}", values).astype(bool)


def indices(events: Any, name: str, inner: str) -> Any:
    """Return a branch that points at entries of a collection, jagged as it is, in int64.

    Raises:
        InputFileError: it is missing, or no integer; floats that are all whole numbers will do.
    """
    values = field(events, name, inner)
    if ak.to_layout(values).purelist_depth != 2:
        raise InputFileError(f"{location_of(events)}: branch '{name}_{inner}' should have a list of numbers per event")
    counts = ak.num(values, axis=1)
    return ak.unflatten(whole_numbers(events, f"{name}_{inner}", ak.flatten(values, axis=1)).astype(np.int64), counts)


def identifiers(events: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of `IDENTITY`, in NanoAOD's types; each of shape (events,).

    Raises:
        InputFileError: one is missing, or has a value that its type cannot hold: a fraction, NaN, a negative number, or one
            too large. Cast, it would be that of another event.
    """
    columns = {}
    for name, kind in IDENTITY.items():
        values = whole_numbers(events, name, branch(events, name))
        if values.dtype.kind == "b":
            raise InputFileError(f"{location_of(events)}: branch '{name}' is bool, and should be a number per event")
        # as floats 2^32 and 2^64 are exact, and the largest numbers of the types are not
        largest = np.iinfo(kind).max
        above = values >= float(largest) + 1 if values.dtype.kind == "f" else values > largest
        wrong = (values < 0) | above
        if wrong.any():
            raise InputFileError(
                f"{location_of(events)}: branch '{name}' has {values[wrong][0]} in {int(wrong.sum())} event(s): these are whole"
                f" numbers from 0 to {largest}; the file is damaged, or was not made with the standard NanoAOD tools"
            )
        columns[name] = values.astype(kind)
    return columns


def bits(events: Any, name: str, values: Any) -> Any:
    """Return a jagged branch whose bits are asked for, such as ``FatJet_jetId``, in an integer type.

    Raises:
        InputFileError: it is boolean, so that it has one bit only, or not all its numbers are whole.
    """
    found = whole_numbers(events, name, flatten(values))
    if found.dtype.kind == "b":
        raise InputFileError(
            f"{location_of(events)}: branch '{name}' is bool, and should have the bits of a whole number; the file was not made"
            " with the standard NanoAOD tools"
        )
    if found.dtype.kind != "f":
        return values
    return ak.unflatten(found.astype(np.int64), np.asarray(ak.num(values, axis=1)))


def whole_numbers(events: Any, name: str, values: Any) -> npt.NDArray[Any]:
    """Return the values of a branch, which must be whole by their type, or each of them.

    Raises:
        InputFileError: they are not.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "biu" and (found.dtype.kind != "f" or not (found == np.trunc(found)).all()):
        raise InputFileError(
            f"{location_of(events)}: branch '{name}' is {found.dtype} with values that are not whole numbers, and should be"
            " of an integer type; the file was not made with the standard NanoAOD tools"
        )
    return found


def has(events: Any, names: Iterable[str]) -> bool:
    """Tell whether a chunk has all of these branches."""
    for name in names:
        head, _, tail = name.partition("_")
        if name not in events.fields and not (head in events.fields and tail in events[head].fields):
            return False
    return True


def title_of(events: Any, name: str) -> str:
    """Return what the file says of a branch: its title, or its description in an RNTuple; "" where it says nothing.

    A skim has the titles of the file that it was made from, under the name `TITLES`.
    """
    factory = getattr(events, "attrs", {}).get("@events_factory")
    if factory is not None:
        handle = factory.file_handle
        root = handle if isinstance(handle, uproot.ReadOnlyDirectory) else handle.root_directory
        if TITLES in root:
            return title_in(root, name)
    return str(branch(events, name).layout.purelist_parameter("__doc__") or "")


def title_in(file: Any, name: str) -> str:
    """Return what an open file says of a branch of its events, as `title_of` does of a chunk."""
    if TITLES in file:
        return str(json.loads(str(file[TITLES])).get(name, ""))
    found = file["Events"][name]
    return str(getattr(found, "title", None) or getattr(found, "description", None) or "")


def flatten(array: Any) -> npt.NDArray[Any]:
    """Return the content of a jagged array as one NumPy array."""
    return np.asarray(ak.flatten(array, axis=1))


def offsets_of(array: Any) -> npt.NDArray[np.int64]:
    """Return where each event's entries start in the flat content, shape (events + 1,)."""
    return offsets_from(np.asarray(ak.num(array, axis=1)))
