"""HepMC files: showered and hadronised events of any generator, as Pythia would have given them.

pyhepmc reads them, of version 2 and 3. The record that our detector takes is Pythia's: its first entry is the event as a whole,
and the daughters of a particle stand one after the other.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.kinematics import offsets_from
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.weight_sums import WeightSums, add_up

__all__ = ["HepmcFile", "read_batches", "read_hepmc", "require_pyhepmc"]

#: the last line of a whole file of version 3, and of version 2
_ENDS = (b"HepMC::Asciiv3-END_EVENT_LISTING", b"HepMC::IO_GenEvent-END_EVENT_LISTING")
_FINAL, _DECAYED, _BEAM = 1, 2, 4
#: Pythia's codes of the event as a whole, of beams and of decayed hadrons
_SYSTEM, _SYSTEM_STATUS, _BEAM_STATUS, _DECAYED_STATUS, _FINAL_STATUS = 90, -11, -12, -83, 91
#: quarks and gluons: final ones are those of an event that is not hadronised
_COLOURED = (1, 2, 3, 4, 5, 6, 21)
#: events that are handed on at once: a full one is about 0.2 MB
BATCH = 200


@dataclass(frozen=True)
class HepmcFile:
    """The content of a HepMC file, as it says itself.

    Attributes:
        path: the file.
        energy_TeV: of both beams together; None: its events have no beams.
        cross_section_pb: as the last event states it; None: it does not.
        cross_section_error_pb: its error.
        blocks: events and their weights, one block; of several weights the first counts.
        weight_names: as the file calls its weights.
    """

    path: Path
    energy_TeV: float | None
    cross_section_pb: float | None
    cross_section_error_pb: float
    blocks: tuple[WeightSums, ...]
    weight_names: tuple[str, ...]


def require_pyhepmc() -> Any:
    """Import pyhepmc.

    Raises:
        OddjetsError: where it is not installed.
    """
    try:
        import pyhepmc
    except ImportError as error:
        raise OddjetsError("HepMC files need pyhepmc; install it with `pip install 'oddjets[hepmc]'`") from error
    return pyhepmc


def read_hepmc(path: Path) -> HepmcFile:
    """Read a HepMC file to its end, without keeping its events.

    Args:
        path: of version 2 or 3, in ASCII; ``.gz`` too.

    Raises:
        InputFileError: it is none, ends early, has no events, or events without weights or that are not hadronised.
        OddjetsError: pyhepmc is not installed.
    """
    listed = _require_end(path)
    weights: list[float] = []
    energy: float | None = None
    section: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    for number, event in enumerate(_events(path), start=1):
        weights.append(_weight_of(event, path, number))
        if number == 1:
            energy, names = _energy_of(event), tuple(event.run_info.weight_names) if event.run_info else ()
        if event.cross_section is not None:
            section = float(event.cross_section.xsec()), float(event.cross_section.xsec_err())
    if len(weights) < listed:
        # pyhepmc takes an event that it cannot read for the end of the file
        raise InputFileError(
            f"{path}: event {len(weights) + 1} of {listed} cannot be read: it is damaged; write the file again",
            cause="damaged",
        )
    blocks = add_up(weights, None, path)
    stated = section is not None and math.isfinite(section[0]) and section[0] > 0
    return HepmcFile(
        path=path,
        energy_TeV=energy,
        cross_section_pb=section[0] if section is not None and stated else None,
        cross_section_error_pb=section[1] if section is not None and stated else 0.0,
        blocks=blocks,
        weight_names=names,
    )


def read_batches(path: Path, size: int = BATCH) -> Iterator[GeneratedBatch]:
    """Yield the events of a HepMC file that `read_hepmc` has found whole.

    Args:
        path: the file.
        size: events of a batch.

    Yields:
        Batches whose ``tried`` add up to the events of the file. Weights of showers and of scales are absent.
    """
    held: list[tuple[dict[str, npt.NDArray[np.int32]], npt.NDArray[np.float64], npt.NDArray[np.float64], float]] = []
    for number, event in enumerate(_events(path), start=1):
        held.append((*_record(event, path, number), _weight_of(event, path, number)))
        if len(held) == size:
            yield _batch(held)
            held = []
    if held:
        yield _batch(held)


def _require_end(path: Path) -> int:
    """Return how many events a file has; refuse one whose last line is not that of a whole one, where a reader just stops."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            first, last, events = b"", b"", 0
            for line in file:
                first = first or line.strip()
                last = line.strip() or last
                events += line.startswith(b"E ")
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise InputFileError(f"{path}: cannot be read to its end ({error}); get it again", cause="truncated") from None
    if not first.startswith(b"HepMC::"):
        raise InputFileError(f"{path}: is no HepMC file in ASCII: it does not begin with HepMC::Version")
    if last not in _ENDS:
        raise InputFileError(
            f"{path}: ends early: its last line is not {_ENDS[0].decode()} (or that of version 2), so that events are missing,"
            " and its cross section and sum of weights are those of more events; get the whole file",
            cause="truncated",
        )
    return events


def _events(path: Path) -> Iterator[Any]:
    pyhepmc = require_pyhepmc()
    number = 0
    try:
        with pyhepmc.open(path) as file:
            for event in file:
                number += 1
                yield event
    except (RuntimeError, OSError, EOFError) as error:
        raise InputFileError(
            f"{path}: cannot be read after event {number} ({' '.join(str(error).split())[:150]}); get it again",
            cause="damaged",
        ) from None


def _weight_of(event: Any, path: Path, number: int) -> float:
    weights = event.weights
    if not len(weights):
        raise InputFileError(
            f"{path}: event {number} has no weight, so that the sample has no normalisation; write events with weights (1 where"
            " they are unweighted)"
        )
    weight = float(weights[0])
    if not math.isfinite(weight):
        raise InputFileError(f"{path}: event {number} has the weight {weight}")
    return weight


def _energy_of(event: Any) -> float | None:
    """Return the energy of the two beams, TeV; None where there are none."""
    pyhepmc = require_pyhepmc()
    event.set_units(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    beams = [p.momentum for p in event.particles if p.status == _BEAM]
    if len(beams) != 2:
        return None
    total = [sum(getattr(p, name) for p in beams) for name in ("e", "px", "py", "pz")]
    return math.sqrt(max(total[0] ** 2 - sum(x**2 for x in total[1:]), 0.0)) / 1000


def _record(
    event: Any, path: Path, number: int
) -> tuple[dict[str, npt.NDArray[np.int32]], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return an event's particles in Pythia's order: integers, momenta (GeV) and production vertices (mm)."""
    pyhepmc = require_pyhepmc()
    event.set_units(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    particles, vertices = event.numpy.particles, event.numpy.vertices
    produced = {p.id for v in event.vertices for p in v.particles_out}
    # beams first, then vertex after vertex: so the daughters of each stand together
    order = [p.id for p in event.particles if p.id not in produced]
    spans: list[tuple[int, int]] = []
    origin = [-1] * len(order)
    for row, vertex in enumerate(event.vertices):
        first = len(order) + 1
        order += [p.id for p in vertex.particles_out]
        spans.append((first, len(order)))
        origin += [row] * (len(order) + 1 - first)
    place = {identity: index for index, identity in enumerate(order, start=1)}
    n = len(order) + 1
    rows = np.asarray(order, np.int64) - 1
    integers = {name: np.zeros(n, np.int32) for name in ("id", "status", "mother1", "daughter1", "daughter2")}
    integers["id"][0], integers["status"][0] = _SYSTEM, _SYSTEM_STATUS
    integers["id"][1:] = particles.pid[rows]
    integers["status"][1:] = _statuses(particles.status[rows])
    for (first, last), vertex in zip(spans, event.vertices, strict=True):
        incoming = [place[p.id] for p in vertex.particles_in]
        for mother in incoming:
            integers["daughter1"][mother], integers["daughter2"][mother] = first, last
        if incoming:
            integers["mother1"][first : last + 1] = incoming[0]
    momenta, points = np.zeros((n, 4)), np.zeros((n, 3))
    for axis, name in enumerate(("px", "py", "pz", "e")):
        momenta[1:, axis] = getattr(particles, name)[rows]
    from_vertex = np.asarray(origin, np.int64)
    for axis, name in enumerate(("x", "y", "z")):
        points[1:, axis] = np.where(from_vertex >= 0, getattr(vertices, name)[from_vertex], 0.0)
    final = integers["status"] > 0
    if bare := np.isin(np.abs(integers["id"][final]), _COLOURED).sum():
        raise InputFileError(
            f"{path}: event {number} has {bare} quarks or gluons among its final particles: it is not hadronised; shower it"
            " first, or give the events of the hard process as LHE"
        )
    return integers, momenta, points


def _statuses(status: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
    """Return Pythia's status codes for HepMC's; codes of the generator's own keep their number."""
    known = {_FINAL: _FINAL_STATUS, _DECAYED: _DECAYED_STATUS, _BEAM: _BEAM_STATUS}
    made = -np.abs(np.asarray(status, np.int32))
    for code, ours in known.items():
        made[status == code] = ours
    return made


def _batch(
    held: list[tuple[dict[str, npt.NDArray[np.int32]], npt.NDArray[np.float64], npt.NDArray[np.float64], float]],
) -> GeneratedBatch:
    n = len(held)
    return GeneratedBatch(
        n,
        offsets_from(np.array([len(momenta) for _, momenta, _, _ in held])),
        {name: np.concatenate([integers[name] for integers, *_ in held]) for name in held[0][0]},
        np.concatenate([momenta for _, momenta, _, _ in held]),
        np.concatenate([points for _, _, points, _ in held]),
        np.ones((n, 1)),
        np.ones((n, 1)),
        np.array([weight for *_, weight in held]),
    )
