"""Events read again from their source files: the constituents of both jets, and all that is beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from coffea.nanoevents import NanoEventsFactory

from oddjets.config.execution import RemoteAccess
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.kinematics import delta_r, offsets_from, positions
from oddjets.io import nanoaod_schema
from oddjets.io.event_origins import SourceRange
from oddjets.io.event_table import JETS
from oddjets.io.fileset import TREE
from oddjets.io.layouts import CandidateColumns, find_layout
from oddjets.io.nanoaod_schema import IDENTITY, PFNano
from oddjets.io.remote.access import is_remote, open_file
from oddjets.io.remote.failures import cause_of, with_retries
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents
from oddjets.selection.constituents import read_pair_constituents

__all__ = ["SourceEvent", "joined_jets", "read_events", "take_jets"]

#: a jet of the table is the jet of the file that is nearer than this, in (eta, phi): both are stored in single precision
_SAME = 1e-3
#: of AK8 jets, whose soft-drop mass is drawn
_FAT_JET = ("pt", "eta", "phi", "msoftdrop")

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SourceEvent:
    """An event as its source file has it; without jets where it could not be read.

    Attributes:
        source: where it was looked for.
        entry: of the file's tree; None where it was not found.
        problem: why there is nothing, or less than there could be; "" where all is there.
        layout: of the file's PF candidates, for people.
        jets: the two jets of the pair with their constituents; None where the file has no PF candidates.
        candidates: pt (GeV, with the PUPPI weight), eta, phi and pdg_id of all PF candidates of the event, (n,) each; None
            where there are none.
        all_stored: whether these are all of the event's PF candidates, and not those of its jets alone.
        fat_jets: pt, eta, phi and msoftdrop of all AK8 jets, (jets,) each; GeV.
        pair: places of the two jets among these.
    """

    source: SourceRange
    entry: int | None = None
    problem: str = ""
    layout: str = ""
    jets: JetConstituents | None = None
    candidates: Mapping[str, npt.NDArray[Any]] | None = None
    all_stored: bool = True
    fat_jets: Mapping[str, npt.NDArray[Any]] | None = None
    pair: tuple[int, int] | None = None


def take_jets(jets: JetConstituents, which: npt.ArrayLike) -> JetConstituents:
    """Return some jets with their constituents.

    Args:
        jets: of any number.
        which: their places, (n,).
    """
    places = np.asarray(which, np.int64)
    counts = np.diff(jets.offsets)[places]
    rows = positions(jets.offsets[places], counts)
    return replace(
        jets,
        offsets=offsets_from(counts),
        jet_eta=jets.jet_eta[places],
        jet_phi=jets.jet_phi[places],
        **{name: getattr(jets, name)[rows] for name in CANDIDATE_BRANCHES},
    )


def joined_jets(parts: Sequence[JetConstituents]) -> JetConstituents:
    """Return the jets of several, one after the other; at least one is given."""
    names = (*CANDIDATE_BRANCHES, "jet_eta", "jet_phi")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return JetConstituents(offsets=offsets_from(np.concatenate([np.diff(part.offsets) for part in parts])), **columns)


def read_events(
    sources: Sequence[SourceRange],
    columns: Mapping[str, npt.NDArray[Any]],
    access: RemoteAccess | None = None,
    *,
    anomalies: Counter[str] | None = None,
) -> list[SourceEvent]:
    """Read events of an event table again from their source files.

    A file that is gone, that has changed or that cannot be read costs its own events alone: these have a `problem`, with the
    file's name.

    Args:
        sources: where each event comes from, (n,).
        columns: ``run``, ``luminosityBlock``, ``event``, and ``eta_j`` and ``phi_j`` of the two jets, of each event, (n,).
        access: how remote files are reached.
        anomalies: counts what was odd and dealt with (`oddjets.selection.input_anomalies`).

    Returns:
        One entry an event, in the order given.
    """
    counter: Counter[str] = Counter() if anomalies is None else anomalies
    found = [SourceEvent(source) for source in sources]
    by_file: dict[tuple[str, str], list[int]] = {}
    for number, source in enumerate(sources):
        if not source.path or not source.uuid:
            reason = f"{source.shown}: holds no constituents" if source.path else "its source file is not recorded"
            found[number] = SourceEvent(source, problem=reason)
            continue
        by_file.setdefault((source.path, source.uuid), []).append(number)
    for (path, _), numbers in by_file.items():
        wanted = [sources[number] for number in numbers]
        here = {name: np.asarray(values)[numbers] for name, values in columns.items()}
        try:
            read = _of_file(path, wanted, here, access, counter)
        except OddjetsError as error:
            read = [SourceEvent(source, problem=str(error)) for source in wanted]
        for number, event in zip(numbers, read, strict=True):
            found[number] = event
    return found


def _of_file(
    path: str,
    sources: Sequence[SourceRange],
    columns: Mapping[str, npt.NDArray[Any]],
    access: RemoteAccess | None,
    anomalies: Counter[str],
) -> list[SourceEvent]:
    """Read the events of one file; see `read_events`."""
    if not is_remote(path) and not Path(path).is_file():
        raise InputFileError(f"{path}: is not there any more", cause="missing file")

    def read() -> list[SourceEvent]:
        # counted once, also where a reading has to be repeated
        counted: Counter[str] = Counter()
        with open_file(path, access) as file:
            if str(file.file.uuid) != sources[0].uuid:
                raise InputFileError(f"{path}: is another file than the one that was processed")
            found = _of_open_file(file, path, sources, columns, counted)
        anomalies.update(counted)
        return found

    try:
        return with_retries(read, path)
    except OddjetsError:
        raise
    except Exception as error:  # uproot raises many kinds for truncated and corrupt files
        cause = cause_of(error)
        said = " ".join(str(error).split())[:200]
        raise InputFileError(f"{path}: cannot be read ({cause}; {type(error).__name__}: {said})", cause=cause) from None


def _of_open_file(
    file: Any,
    path: str,
    sources: Sequence[SourceRange],
    columns: Mapping[str, npt.NDArray[Any]],
    anomalies: Counter[str],
) -> list[SourceEvent]:
    entries = _entries(file[TREE], sources, columns)
    there = [number for number, entry in enumerate(entries) if entry is not None]
    missing = f"{path}: has no such event any more"
    found = [SourceEvent(source, problem=missing) for source in sources]
    if not there:
        return found
    # rising entries, as baskets are read
    there.sort(key=lambda number: entries[number] or 0)
    chosen = np.array([entries[number] for number in there], np.int64)
    first, last = int(chosen[0]), int(chosen[-1]) + 1
    about = {"filename": path, "fileuuid": sources[0].uuid, "treename": TREE, "entrystart": first, "entrystop": last}
    factory = NanoEventsFactory.from_root(
        file,
        treepath=TREE,
        schemaclass=PFNano,
        mode="virtual",
        entry_start=first,
        entry_stop=last,
        metadata=about,
    )
    events = factory.events()
    rows, unique = np.unique(chosen - first, return_inverse=True)
    eta, phi = (np.stack([columns[f"{axis}_{j}"][there] for j in JETS], axis=1) for axis in ("eta", "phi"))
    read = _EventsOfFile(events, rows)
    pair = read.find_pair(unique, np.asarray(eta, np.float64), np.asarray(phi, np.float64))
    for place, number in enumerate(there):
        where = int(unique[place])
        if (pair[place] < 0).any():
            found[number] = SourceEvent(
                sources[number],
                int(chosen[place]),
                problem=f"{path}: entry {chosen[place]} has other jets than those that were processed",
            )
            continue
        found[number] = read.event(sources[number], int(chosen[place]), where, pair[place], anomalies)
    return found


def _entries(tree: Any, sources: Sequence[SourceRange], columns: Mapping[str, npt.NDArray[Any]]) -> list[int | None]:
    """Find the entries of events by their identity; None where the range of entries has none, or more than one."""
    found: list[int | None] = [None] * len(sources)
    ranges: dict[tuple[int, int], list[int]] = {}
    for number, source in enumerate(sources):
        ranges.setdefault((source.start, source.stop), []).append(number)
    for (start, stop), numbers in ranges.items():
        stored = tree.arrays(list(IDENTITY), entry_start=start, entry_stop=stop, library="np")
        for number in numbers:
            same = np.ones(len(stored["event"]), bool)
            for name, kind in IDENTITY.items():
                same &= np.asarray(stored[name]).astype(kind) == columns[name][number]
            places = np.flatnonzero(same)
            # an event that is stored twice is the first of them
            found[number] = start + int(places[0]) if len(places) else None
    return found


class _EventsOfFile:
    """Some events of a file, read lazily, with what all of them share.

    Args:
        events: a chunk.
        rows: of the wanted events, rising.
    """

    def __init__(self, events: Any, rows: Integers) -> None:
        self.events, self.rows = events, rows
        jets = {name: nanoaod_schema.field(events, "FatJet", name)[rows] for name in _FAT_JET}
        self._offsets = nanoaod_schema.offsets_of(jets["pt"])
        self._jets = {name: np.asarray(nanoaod_schema.flatten(values), np.float64) for name, values in jets.items()}

        def has(name: str) -> bool:
            return nanoaod_schema.has(events, [name])

        self.layout = find_layout(has)
        self._candidates: dict[str, npt.NDArray[Any]] | None = None
        if self.layout is not None and self.layout.candidates:
            stored = CandidateColumns(events, self.layout, rows)
            self._candidate_offsets = stored.stored.offsets
            values = {name: stored[name][:] for name in ("pt", "eta", "phi", "pdg_id", "puppi_weight")}
            values["pt"] = np.asarray(values["pt"], np.float64) * values.pop("puppi_weight")
            self._candidates = values

    def fat_jets(self, where: int) -> dict[str, npt.NDArray[Any]]:
        """Return the AK8 jets of an event, by its place among the rows."""
        own = slice(self._offsets[where], self._offsets[where + 1])
        return {name: values[own] for name, values in self._jets.items()}

    def find_pair(self, where: Integers, eta: Floats, phi: Floats) -> Integers:
        """Return places of jets in their events, (n, 2), by their axes; -1 where there is none so near.

        Args:
            where: places of the events among the rows, (n,).
            eta: pseudorapidities of the two jets, (n, 2).
            phi: azimuths, (n, 2).
        """
        pair = np.full(eta.shape, -1, np.int64)
        for number, place in enumerate(where):
            jets = self.fat_jets(int(place))
            for j in range(eta.shape[1]):
                distance = delta_r(jets["eta"], jets["phi"], eta[number, j], phi[number, j])
                if len(distance) and np.nanmin(distance) < _SAME:
                    pair[number, j] = int(np.nanargmin(distance))
        return pair

    def event(
        self, source: SourceRange, entry: int, where: int, pair: Integers, anomalies: Counter[str]
    ) -> SourceEvent:
        """Return one event, by its place among the rows, with the constituents of a pair of its jets."""
        jets = self.fat_jets(where)
        layout = self.layout
        found = SourceEvent(
            source,
            entry,
            layout="" if layout is None else layout.label,
            fat_jets=jets,
            pair=(int(pair[0]), int(pair[1])),
        )
        if layout is None or self._candidates is None:
            return replace(found, problem=f"{source.shown}: has no PF candidates")
        own = slice(self._candidate_offsets[where], self._candidate_offsets[where + 1])
        eta, phi = jets["eta"][pair][None], jets["phi"][pair][None]
        constituents = read_pair_constituents(
            self.events, self.rows[where : where + 1], pair[None], eta, phi, anomalies
        )
        return replace(
            found,
            jets=constituents,
            candidates={name: values[own] for name, values in self._candidates.items()},
            # NanoAODv15 stores candidates of jets alone
            all_stored=not layout.weighted,
        )
