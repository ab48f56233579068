"""Pythia 8: set-up, the early veto, and batches of events after an exact number of tries.

Counting is exact by construction. With ``Check:abortIfVeto`` Pythia's ``nextBatch(n)`` tries n hard processes and
returns those that survived, so the tries need no counter of ours and a block ends after exactly the tries it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.errors import OddjetsError
from oddjets.simulation.processes import EarlyVeto, Process
from oddjets.simulation.veto import leading_jets

if TYPE_CHECKING:
    import pythia8mc

__all__ = ["GENERATOR", "GeneratedBatch", "generate", "prepare_multiparton_tables", "require_pythia"]


#: tries handed to Pythia at once; bounds the memory (a full event is about 0.2 MB)
BATCH = 400
#: events that are handed on at once, where so many survive: what follows has a cost for each call
ENOUGH_EVENTS = 200
GENERATOR = "Pythia 8.317, Monash 2013 tune"
#: Pythia's code for showers of resonance decays, see its page on user hooks
_RESONANCE_SHOWER = 5
#: common to all processes; particles with c tau > 10 mm are stable, as experiments take them
_COMMON = (
    "Print:quiet = on",
    "Tune:pp = 14",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10.",
    "Check:abortIfVeto = on",
    "Random:setSeed = on",
)


_INTEGERS = ("id", "status", "mother1", "daughter1", "daughter2")


class GeneratedBatch(NamedTuple):
    """Events that survived some tries, all particles of the record."""

    #: tries that gave these events
    tried: int
    #: (events + 1) where each event's particles begin and end
    offsets: npt.NDArray[np.int64]
    #: (particles) columns: id, status, mother1, daughter1, daughter2
    integers: dict[str, npt.NDArray[np.int32]]
    #: (particles, 4) px, py, pz, E in GeV
    momenta: npt.NDArray[np.float64]
    #: (particles, 3) production vertex in mm
    vertices: npt.NDArray[np.float64]

    @classmethod
    def empty(cls) -> GeneratedBatch:
        """No tries, no events."""
        integers = {name: np.zeros(0, np.int32) for name in _INTEGERS}
        return cls(0, np.zeros(1, np.int64), integers, np.zeros((0, 4)), np.zeros((0, 3)))


def require_pythia() -> Any:
    """Import Pythia.

    Raises:
        OddjetsError: where it is not installed or its data folder is missing.
    """
    try:
        import pythia8mc
    except ImportError as error:
        raise OddjetsError("simulate: needs Pythia 8; install it with `pip install 'oddjets[simulate]'`") from error
    return pythia8mc


def generate(process: Process, tries: int, seed: int, *, early_veto: bool, tables: Path) -> Iterator[GeneratedBatch]:
    """Try hard events of a process and yield those that survive.

    Args:
        process: what to generate.
        tries: exact number of hard events to try.
        seed: 1 to 900 000 000.
        early_veto: whether the process's early veto is applied.
        tables: file of `prepare_multiparton_tables`.

    Yields:
        Batches whose ``tried`` add up to ``tries``.

    Raises:
        OddjetsError: if Pythia refuses its settings.
    """
    # Pythia holds no reference to the Python side of a hook: it lives as long as this function's frame
    hook = _veto_hook(process.early_veto) if early_veto and process.early_veto else None
    pythia = _initialised([*process.pythia, f"PhaseSpace:pTHatMin = {process.pt_hat_min}"], seed, tables, hook)
    parts: list[GeneratedBatch] = []
    for first in range(0, tries, BATCH):
        count = min(BATCH, tries - first)
        parts.append(_columns(pythia.nextBatch(count, "skip"), count))
        if first + count == tries or sum(len(part.offsets) - 1 for part in parts) >= ENOUGH_EVENTS:
            yield _joined(parts)
            parts = []


def prepare_multiparton_tables(path: Path) -> Path:
    """Write Pythia's tables of multiparton interactions, which are the same for all processes.

    Reading them takes half of the initialisation away. Every block reads them, so that an event never depends on
    whether its process was the one that wrote them.

    Args:
        path: the file to write; kept if it exists.

    Returns:
        ``path``.
    """
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        _initialised(["HardQCD:all = on", "PhaseSpace:pTHatMin = 400."], 1, temporary)
        temporary.replace(path)
    return path


def _initialised(lines: list[str], seed: int, tables: Path, hook: Any = None) -> pythia8mc.Pythia:
    pythia = require_pythia().Pythia("", False)
    settings = [
        *_COMMON,
        "Beams:eCM = 13000.",
        f"Random:seed = {seed}",
        "MultipartonInteractions:reuseInit = 3",
        f"MultipartonInteractions:initFile = {tables}",
        *lines,
    ]
    for line in settings:
        if not pythia.readString(line):
            raise OddjetsError(f"simulate: Pythia does not know the setting '{line}'")
    if hook is not None:
        pythia.setUserHooksPtr(hook)
    if not pythia.init():
        raise OddjetsError(f"simulate: Pythia could not be initialised with {lines}")
    return pythia


def _veto_hook(veto: EarlyVeto) -> Any:
    """Return a Pythia user hook that asks `leading_jets` once an event's showers have come down to the veto's scale."""

    class Hook(require_pythia().UserHooks):  # type: ignore[misc]
        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return veto.scale

        def doVetoPT(self, position: int, event: Any) -> bool:
            if position == _RESONANCE_SHOWER:  # asked again in the shower of decayed tops and bosons
                return False
            partons = [
                (p.px(), p.py(), p.pz(), p.e())
                for p in (event[i] for i in range(event.size()))
                if p.isFinal() and p.idAbs() not in (12, 14, 16)
            ]
            if len(partons) < 2:
                return True
            pt, mass = leading_jets(np.array(partons))
            return not (pt[1] > veto.min_pt and mass.min() > veto.min_mass)

    return Hook()


def _columns(batch: Any, tried: int) -> GeneratedBatch:
    if len(batch) == 0:
        return GeneratedBatch.empty()._replace(tried=tried)
    flat = ak.flatten(batch.prt)
    counts = ak.to_numpy(ak.num(batch.prt))
    return GeneratedBatch(
        tried,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        {name: ak.to_numpy(flat[name]) for name in _INTEGERS},
        np.stack([ak.to_numpy(flat.p[c]) for c in ("px", "py", "pz", "e")], axis=-1),
        np.stack([ak.to_numpy(ak.fill_none(flat.vProd[c], 0.0)) for c in ("px", "py", "pz")], axis=-1),
    )


def _joined(parts: list[GeneratedBatch]) -> GeneratedBatch:
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return GeneratedBatch(
        sum(part.tried for part in parts),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        {name: np.concatenate([part.integers[name] for part in parts]) for name in _INTEGERS},
        np.concatenate([part.momenta for part in parts]),
        np.concatenate([part.vertices for part in parts]),
    )
