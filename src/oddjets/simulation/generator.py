"""Event generation by Pythia 8: settings, early veto, and batches after an exact number of tries.

Counting is exact by construction. With ``Check:abortIfVeto`` Pythia's ``nextBatch(n)`` tries n hard processes and
returns those that survived, so the tries need no counter of ours and a block ends after exactly the tries it was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.core.kinematics import offsets_from
from oddjets.simulation.processes import SimulatedProcess
from oddjets.simulation.pythia_hooks import early_veto_hook, mass_acceptance_hook
from oddjets.simulation.scales import SCALE_FACTORS, scale_weights

if TYPE_CHECKING:
    import pythia8mc

__all__ = [
    "GENERATOR",
    "SHOWER_VARIATIONS",
    "GeneratedBatch",
    "generate",
    "initialise",
    "join_batches",
    "particle_columns",
    "prepare_multiparton_tables",
    "require_pythia",
]


#: tries handed to Pythia at once; bounds the memory (a full event is about 0.2 MB)
BATCH = 400
#: events that are handed on at once, where so many survive: what follows has a cost for each call
ENOUGH_EVENTS = 200
GENERATOR = "Pythia 8.317, Monash 2013 tune"
#: common to all processes; particles with c tau > 10 mm are stable, as experiments take them
_COMMON = (
    "Tune:pp = 14",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10.",
    "Check:abortIfVeto = on",
    "Random:setSeed = on",
)


#: NanoAOD's order of PSWeight; a renormalisation scale smaller by sqrt(2) is up. CMS's factor of 2 gives Pythia's own
#: reweighting wild weights in jets of this pT
SHOWER_VARIATIONS = {
    "isr_up": "isr:muRfac=0.7071",
    "fsr_up": "fsr:muRfac=0.7071",
    "isr_down": "isr:muRfac=1.4142",
    "fsr_down": "fsr:muRfac=1.4142",
}
_PROTON = 2212
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
    #: (events, 4) weights of the shower variations in the order of ``SHOWER_VARIATIONS``; (events, 1) ones without
    shower_weights: npt.NDArray[np.float64]
    #: (events, 9) weights of other scales of the hard process in the order of ``SCALE_FACTORS``; (events, 1) ones without
    scale_weights: npt.NDArray[np.float64]
    #: (events) weights of the events themselves, of any sign; none: all are 1
    weights: npt.NDArray[np.float64] | None = None

    @classmethod
    def empty(cls) -> GeneratedBatch:
        """Return a batch without tries and events."""
        integers = {name: np.zeros(0, np.int32) for name in _INTEGERS}
        scales = np.ones((0, len(SCALE_FACTORS)))
        return cls(0, np.zeros(1, np.int64), integers, np.zeros((0, 4)), np.zeros((0, 3)), np.ones((0, 1)), scales)


def require_pythia() -> Any:
    """Import Pythia.

    Raises:
        OddjetsError: where it is not installed.
    """
    try:
        import pythia8mc
    except ImportError as error:
        raise OddjetsError("simulate: needs Pythia 8; install it with `pip install 'oddjets[simulate]'`") from error
    return pythia8mc


def generate(
    process: SimulatedProcess, tries: int, seed: int, *, early_veto: bool, tables: Path, shower_variations: bool = False
) -> Iterator[GeneratedBatch]:
    """Try hard events of a process and yield those that survive.

    Args:
        process: what to generate.
        tries: exact number of hard events to try.
        seed: 1 to 900 000 000.
        early_veto: whether `oddjets.simulation.parton_veto` is applied.
        tables: file of `prepare_multiparton_tables`.
        shower_variations: whether the weights of ``SHOWER_VARIATIONS`` are computed.

    Yields:
        Batches whose ``tried`` add up to ``tries``.

    Raises:
        OddjetsError: if Pythia refuses its settings or misses its data folder.
    """
    # Pythia holds no reference to the Python side of a hook: they live as long as this function's frame
    hooks = [early_veto_hook(require_pythia())] if early_veto else []
    if process.mass_acceptance is not None:
        hooks.append(mass_acceptance_hook(process.mass_acceptance, seed, require_pythia()))
    lines = [*process.pythia, f"PhaseSpace:pTHatMin = {process.pt_hat_min}"]
    if shower_variations:
        variations = ", ".join(f"{name} {change}" for name, change in SHOWER_VARIATIONS.items())
        lines += ["UncertaintyBands:doVariations = on", f"UncertaintyBands:List = {{{variations}}}"]
    pythia = initialise(lines, seed, tables, hooks)
    proton = pythia.getPDFPtr(_PROTON)
    parts: list[GeneratedBatch] = []
    for first in range(0, tries, BATCH):
        count = min(BATCH, tries - first)
        batch = pythia.nextBatch(count, "skip")
        names = list(pythia.infoPython().weightNameVector())
        part = particle_columns(batch, count, [names.index(n) for n in SHOWER_VARIATIONS] if shower_variations else [0])
        if len(batch):
            scales = scale_weights(batch.info, process.alpha_s_order, pythia.coupSM.alphaS, proton.xf)
            part = part._replace(scale_weights=scales)
        parts.append(part)
        if first + count == tries or sum(len(part.offsets) - 1 for part in parts) >= ENOUGH_EVENTS:
            yield join_batches(parts)
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
        with atomic_write(path) as temporary:
            initialise(["HardQCD:all = on", "PhaseSpace:pTHatMin = 400."], 1, temporary)
    return path


def initialise(
    lines: Sequence[str], seed: int, tables: Path | None, hooks: Iterable[Any] = (), *, source: str | None = None
) -> pythia8mc.Pythia:
    """Return a generator of 13 TeV proton collisions, ready to run.

    Args:
        lines: settings of the process.
        seed: 1 to 900 000 000.
        tables: file of `prepare_multiparton_tables`, made if it does not exist; none: neither read nor written.
        hooks: user hooks; Pythia holds no reference to their Python side.
        source: an LHE file that the hard events are read from; its beams have the energy that it states.

    Raises:
        OddjetsError: if Pythia refuses its settings or misses its data folder.
    """
    pythia = require_pythia().Pythia("", False)
    if not pythia.readString("Print:quiet = on"):
        folder = os.environ.get("PYTHIA8DATA", "share/Pythia8 of the Python environment")
        raise OddjetsError(
            f"simulate: Pythia finds no settings in its data folder ({folder});"
            " unset PYTHIA8DATA or install pythia8mc again"
        )
    settings = [
        *_COMMON,
        "Beams:eCM = 13000.",
        f"Random:seed = {seed}",
        *lines,
    ]
    if tables is not None:
        settings.append("MultipartonInteractions:reuseInit = 3")
    for line in settings:
        if not pythia.readString(line):
            raise OddjetsError(f"simulate: Pythia does not know the setting '{line}'")
    if tables is not None:
        # a path in a line would end at its first blank
        pythia.settings.word("MultipartonInteractions:initFile", str(tables))
    if source is not None:
        pythia.settings.word("Beams:LHEF", source)
    for hook in hooks:
        hook.pythia = pythia
        pythia.addUserHooksPtr(hook)
    if not pythia.init():
        raise OddjetsError(f"simulate: Pythia could not be initialised with {lines}")
    return pythia


def particle_columns(batch: Any, tried: int, weights: Sequence[int] = (0,)) -> GeneratedBatch:
    """Take a batch of Pythia's apart.

    Args:
        batch: what ``nextBatch`` returned.
        tried: events that were tried.
        weights: indices of the shower weights that are wanted.

    Returns:
        The events, with scale weights of 1.
    """
    if len(batch) == 0:
        return GeneratedBatch.empty()._replace(tried=tried, shower_weights=np.ones((0, len(weights))))
    flat = ak.flatten(batch.prt)
    counts = ak.to_numpy(ak.num(batch.prt))
    # all weights are relative to the nominal one, the first
    table = ak.to_numpy(batch.info.weights)
    return GeneratedBatch(
        tried,
        offsets_from(counts),
        {name: ak.to_numpy(flat[name]) for name in _INTEGERS},
        np.stack([ak.to_numpy(flat.p[c]) for c in ("px", "py", "pz", "e")], axis=-1),
        np.stack([ak.to_numpy(ak.fill_none(flat.vProd[c], 0.0)) for c in ("px", "py", "pz")], axis=-1),
        table[:, list(weights)] / table[:, :1],
        np.ones((len(batch), len(SCALE_FACTORS))),
    )


def join_batches(parts: Sequence[GeneratedBatch]) -> GeneratedBatch:
    """Return the events of all parts, at least one, as one batch."""
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return GeneratedBatch(
        sum(part.tried for part in parts),
        offsets_from(counts),
        {name: np.concatenate([part.integers[name] for part in parts]) for name in _INTEGERS},
        np.concatenate([part.momenta for part in parts]),
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.shower_weights for part in parts]),
        np.concatenate([part.scale_weights for part in parts]),
        None
        if parts[0].weights is None
        else np.concatenate([part.weights for part in parts if part.weights is not None]),
    )
