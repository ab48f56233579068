"""Copies of NanoAOD files with something changed, and chunks of files as coffea's runner makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from coffea.nanoevents import NanoEventsFactory

from oddjets import schema

Columns = dict[str, ak.Array]


def chunk_of(path: Path, start: int = 0, stop: int | None = None, log: list[Any] | None = None, **metadata: Any) -> Any:
    """A chunk of a file, its virtual branches noted in ``log`` when they are read."""
    known = {"dataset": "test", "filename": str(path), "fileuuid": "0", "entrystart": start, "entrystop": stop}
    factory = NanoEventsFactory.from_root(
        uproot.open(path),
        treepath="Events",
        schemaclass=schema.PFNano,
        mode="virtual",
        entry_start=start,
        entry_stop=stop,
        metadata=known | metadata,
        access_log=log,
    )
    return factory.events()


def copy(
    source: Path,
    target: Path,
    change: Callable[[Columns], None] | None = None,
    *,
    stop: int | None = None,
    branches: Any = None,
    rntuple: bool = False,
) -> Path:
    """Copy Events and Runs of a file.

    Args:
        source: NanoAOD.
        target: the new file.
        change: adds, removes or replaces branches, by their flat names.
        stop: copy the first events alone.
        branches: uproot's filter of names.
        rntuple: write RNTuples instead of TTrees.
    """
    with uproot.open(source) as file:
        events = file["Events"].arrays(filter_name=branches, entry_stop=stop, how=dict)
        runs = file["Runs"].arrays(["genEventSumw"], how=dict) if "Runs" in file else {}
    if change is not None:
        change(events)
    with uproot.recreate(target) as out:
        if rntuple:
            out["Events"] = events
            if runs:
                out["Runs"] = runs
            return target
        columns = _collections(events)
        types = {k: v.type.content if v.ndim > 1 else ak.to_numpy(v).dtype for k, v in columns.items()}
        tree = out.mktree("Events", types, counter_name=lambda collection: f"n{collection}")
        if len(events["event"]):
            tree.extend({k: v if v.ndim > 1 else ak.to_numpy(v) for k, v in columns.items()})
        if runs:
            out.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.asarray(runs["genEventSumw"])})
    return target


def _collections(events: Columns) -> Columns:
    """Jagged branches zipped to collections, counters left out, as uproot's writer of TTrees wants it."""
    flat = {k: v for k, v in events.items() if v.ndim == 1 and f"{k[1:]}" not in _jagged(events)}
    for name in _jagged(events):
        fields = {k.removeprefix(f"{name}_"): v for k, v in events.items() if v.ndim > 1 and k.split("_")[0] == name}
        flat[name] = events[name] if name in events else ak.zip(fields)
    return flat


def _jagged(events: Columns) -> set[str]:
    return {k.split("_")[0] for k, v in events.items() if v.ndim > 1}
