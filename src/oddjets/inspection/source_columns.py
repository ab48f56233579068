"""Columns of events that event tables do not have, from the source files: vertices, bunch crossings, jets between 2.5 and 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.io.event_origins import SourceRange
from oddjets.io.fileset import TREE
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.io.remote.access import is_remote, open_file

__all__ = ["HORNS", "SOURCE_COLUMNS", "source_columns"]

Floats = npt.NDArray[np.float64]

#: where jets are noisy in data: between the end of the tracker and that of the fine calorimeter
HORNS = (2.5, 3.0)


def _plain(branch: str) -> Callable[[Mapping[str, ak.Array]], Floats]:
    return lambda events: np.asarray(ak.to_numpy(events[branch]), np.float64)


def _in_horns(collection: str) -> Callable[[Mapping[str, ak.Array]], Floats]:
    def count(events: Mapping[str, ak.Array]) -> Floats:
        eta = np.abs(events[f"{collection}_eta"])
        return np.asarray(ak.to_numpy(ak.sum((eta > HORNS[0]) & (eta < HORNS[1]), axis=1)), np.float64)

    return count


#: column -> branches that it needs, and its function of them; the first whose branches a file has is taken
SOURCE_COLUMNS: dict[str, list[tuple[tuple[str, ...], Callable[[Mapping[str, ak.Array]], Floats]]]] = {
    "n_vertices": [(("PV_npvs",), _plain("PV_npvs"))],
    "bunch_crossing": [(("bunchCrossing",), _plain("bunchCrossing"))],
    "rho": [((name,), _plain(name)) for name in ("fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll")],
    "met": [((name,), _plain(name)) for name in ("PuppiMET_pt", "MET_pt")],
    "n_jets_in_horns": [((f"{name}_eta",), _in_horns(name)) for name in ("Jet", "FatJet")],
}


def source_columns(
    sources: Sequence[SourceRange], identity: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, Floats], dict[str, int]]:
    """Return columns of events from their source files, NaN where a file does not have them, and why some have none.

    Files on this machine are read; each is read once, and only the branches that are needed. Files on other machines are not,
    for this would read parts of all of them.

    Args:
        sources: where each event comes from, (n,).
        identity: ``run``, ``luminosityBlock`` and ``event``, (n,) each.

    Returns:
        Column to values, (n,), without those that no file has; and reason to the number of events.
    """
    n = len(sources)
    found = {name: np.full(n, np.nan) for name in SOURCE_COLUMNS}
    problems: dict[str, int] = {}
    by_range: dict[SourceRange, list[int]] = {}
    for number, source in enumerate(sources):
        by_range.setdefault(source, []).append(number)
    for source, numbers in by_range.items():
        rows = np.array(numbers)
        problem = _unreadable(source)
        if not problem:
            try:
                _read(source, {name: np.asarray(identity[name])[rows] for name in IDENTITY}, rows, found)
                continue
            except (OddjetsError, OSError, ValueError, KeyError) as error:
                problem = f"{source.shown}: cannot be read ({' '.join(str(error).split())[:200]})"
        problems[problem] = problems.get(problem, 0) + len(rows)
    return {name: values for name, values in found.items() if not np.isnan(values).all()}, problems


def _unreadable(source: SourceRange) -> str:
    if not source.path:
        return "the source file is not recorded"
    if not source.uuid:
        return "imported event files have no further columns"
    if is_remote(source.path):
        return "the source files are on other machines"
    return "" if Path(source.path).is_file() else f"{source.shown}: is not there any more"


def _read(
    source: SourceRange, identity: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.intp], found: dict[str, Floats]
) -> None:
    with open_file(source.path) as file:
        if str(file.file.uuid) != source.uuid:
            raise OddjetsError("it is another file than the one that was processed")
        tree = file[TREE]
        branches = set(tree.keys())
        used = {}
        for name, choices in SOURCE_COLUMNS.items():
            for needed, function in choices:
                if branches.issuperset(needed):
                    used[name] = (needed, function)
                    break
        wanted = {*IDENTITY, *(branch for needed, _ in used.values() for branch in needed)}
        events = tree.arrays(sorted(wanted), entry_start=source.start, entry_stop=source.stop, how=dict)
    stored = np.stack([ak.to_numpy(events[name]).astype(np.int64) for name in IDENTITY], axis=1)
    places = {tuple(key): place for place, key in enumerate(stored.tolist())}
    asked = np.stack([identity[name].astype(np.int64) for name in IDENTITY], axis=1).tolist()
    here = np.array([places.get(tuple(key), -1) for key in asked], np.int64)
    for name, (_, function) in used.items():
        values = function(events)
        found[name][rows] = np.where(here >= 0, values[np.maximum(here, 0)], np.nan)
