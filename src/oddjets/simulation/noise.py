"""A noisy calorimeter tower in pseudo-data: a fault of the detector, to see whether one finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.core.kinematics import momenta
from oddjets.io.fileset import TREE
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.simulation.generator import (
    BATCH,
    GeneratedBatch,
    initialise,
    particle_columns,
    prepare_multiparton_tables,
    require_pythia,
)
from oddjets.simulation.job_plan import DATA, EVENTS_PER_BLOCK, Block, GeneratorStream, make_plan
from oddjets.simulation.pileup import load_pool
from oddjets.simulation.processes import load_processes
from oddjets.simulation.pythia_hooks import lacks_jets, mass_acceptance_hook, partons_hook
from oddjets.simulation.reconstruction import reconstruct
from oddjets.simulation.writer import write_nano

__all__ = ["NoisyTower", "with_noisy_tower"]

#: what the detector measures as a neutral hadron: a neutron, stable in Pythia's record
_NEUTRON, _STABLE = 2112, 91
#: edge of a tower, as in `oddjets.simulation.detector`
_EDGE = 0.087
#: place in Pythia's records of a particle of the hard process; showers leave it as it is there
_HARD = 5


@dataclass(frozen=True)
class NoisyTower:
    """A tower that shows energy that no particle has left.

    Attributes:
        eta: pseudorapidity of its middle.
        phi: azimuth of its middle.
        pt: smallest and largest pT of what it shows, GeV; uniform between them.
        fraction: part of the collisions in which it does so.
        files: the first and the last file of the data in which it does so, from 0.
        seed: of which collisions these are, and of the pT.
    """

    eta: float
    phi: float
    pt: tuple[float, float] = (60.0, 120.0)
    fraction: float = 0.5
    files: tuple[int, int] = (0, 10_000)
    seed: int = 1

    def shows(self, collision: float) -> npt.NDArray[np.float64] | None:
        """Return px, py, pz and E of what it shows in a collision, (4,) in GeV; None: nothing.

        What it shows is a function of the collision, so that the generator's filter and the detector see the same.

        Args:
            collision: a number that no other collision has.
        """
        rng = np.random.default_rng([self.seed, int(np.float64(collision).view(np.uint64))])
        if rng.random() >= self.fraction:
            return None
        eta, phi = (middle + rng.uniform(-_EDGE / 2, _EDGE / 2) for middle in (self.eta, self.phi))
        return np.asarray(momenta(*(np.array([x]) for x in (rng.uniform(*self.pt), eta, phi, 0.0)))[0], np.float64)


def with_noisy_tower(
    spec: SimulationSpec, simulation: Path, out: Path, tower: NoisyTower | None, *, files_per_run: int | None = None
) -> Path:
    """Make the pseudo-data of a simulation again, with a noisy tower in some of the files; templates stay where they are.

    Files without the tower are copies. Those with it are generated again, from the same number of hard collisions: the early
    veto sees the tower, too, so that collisions are kept whose jets are massive because of it.

    Args:
        spec: what was simulated.
        simulation: the folder of `oddjets simulate`, with ``fileset.json``.
        out: the folder for the new files and their ``fileset.json``; made if it does not exist.
        tower: the tower; None: there is none.
        files_per_run: so many files get a run number of their own, from 1, as runs of data have; None: the numbers stay.

    Returns:
        The path of the new ``fileset.json``.

    Raises:
        InputFileError: there is no simulation.
        OddjetsError: its pseudo-data are not those that ``spec`` asks for.
    """
    listed = simulation / "fileset.json"
    try:
        fileset: dict[str, Any] = json.loads(listed.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{listed}: no fileset of a simulation ({type(error).__name__})") from None
    blocks = {block.path: block for block in make_plan(spec) if block.is_data}
    if not blocks or set(fileset.get(DATA, {}).get("files", ())) != set(blocks):
        raise OddjetsError(f"{listed}: its pseudo-data are not those that are asked for; run `oddjets simulate` first")
    for name, entry in fileset.items():
        own = {
            (_made(blocks[file], simulation, out, tower, files_per_run) if name == DATA else simulation / file): tree
            for file, tree in entry["files"].items()
        }
        entry["files"] = {str(file.resolve()): tree for file, tree in own.items()}
    write_json(out / "fileset.json", fileset)
    return out / "fileset.json"


def _made(block: Block, simulation: Path, out: Path, tower: NoisyTower | None, files_per_run: int | None) -> Path:
    """Write a file, with the tower or without, and return it."""
    truth: dict[str, npt.NDArray[Any]] = {}
    if tower is not None and tower.files[0] <= block.index <= tower.files[1]:
        events, processes = _simulated(block, simulation, tower)
        runs, truth = {"run": np.array([1], np.uint32)}, {"process": processes}
    else:
        kept = simulation / "truth" / f"{Path(block.path).stem}.npz"
        if kept.is_file():
            with np.load(kept, allow_pickle=False) as stored:
                truth = {"process": stored["process"]}
        with uproot.open(simulation / block.path) as opened:
            events = _collections(opened[TREE].arrays())
            runs = {name: values.to_numpy() for name, values in opened["Runs"].arrays(library="ak", how=dict).items()}
    if files_per_run is not None:
        run = 1 + block.index // files_per_run
        events["run"] = np.full(len(events), run, np.uint32)
        runs["run"] = np.array([run], np.uint32)
    (out / block.path).parent.mkdir(parents=True, exist_ok=True)
    write_nano(out / block.path, [events[:0], events], runs)
    if truth:
        truth |= {name: ak.to_numpy(events[name]) for name in IDENTITY}
        (out / "truth").mkdir(exist_ok=True)
        np.savez_compressed(out / "truth" / f"{Path(block.path).stem}.npz", allow_pickle=False, **truth)
    return out / block.path


def _collections(flat: ak.Array) -> ak.Array:
    """Return branches as the collections that `write_nano` takes."""
    counters = {name[1:] for name in flat.fields if name.startswith("n") and name[1:2].isupper()}
    found: dict[str, ak.Array] = {}
    for name in flat.fields:
        owner = next((c for c in sorted(counters, key=len, reverse=True) if name.startswith(f"{c}_")), None)
        if owner is not None and flat[name].ndim == 2:
            found.setdefault(owner, {})[name[len(owner) + 1 :]] = flat[name]
        elif not (name.startswith("n") and name[1:] in counters):
            found[name] = flat[name]
    return ak.zip({n: ak.zip(v) if isinstance(v, dict) else v for n, v in found.items()}, depth_limit=1)


def _simulated(block: Block, simulation: Path, tower: NoisyTower) -> tuple[ak.Array, npt.NDArray[np.str_]]:
    """Return the events of a file with the tower, in random order, and the process of each."""
    tables = prepare_multiparton_tables(simulation / "multiparton.dat")
    pool = None if block.pileup_seed is None else load_pool(simulation / "pileup.npz", block.pileup_seed)
    parts = [reconstruct(GeneratedBatch.empty(), np.random.default_rng(0), is_data=True)]
    processes: list[str] = []
    for stream in block.streams:
        rng = np.random.default_rng(stream.detector_seed)
        for batch in _collisions(stream, tower, tables, early_veto=block.early_veto):
            parts.append(reconstruct(_with_tower(batch, tower), rng, is_data=True, pool=pool))
            processes += [stream.process] * len(parts[-1])
    events = ak.concatenate(parts)
    n = len(events)
    order = np.random.default_rng(block.shuffle_seed).permutation(n)
    events = ak.to_packed(events[order])
    events["run"] = np.ones(n, np.uint32)
    events["luminosityBlock"] = np.full(n, block.index + 1, np.uint32)
    events["event"] = np.arange(n, dtype=np.uint64) + np.uint64(block.index * EVENTS_PER_BLOCK + 1)
    return events, np.array(processes, np.str_)[order]


def _collisions(
    stream: GeneratorStream, tower: NoisyTower, tables: Path, *, early_veto: bool
) -> Iterator[GeneratedBatch]:
    """Yield collisions that survive, as `oddjets.simulation.generator.generate`, but with the tower in the early veto."""
    pythia8, process = require_pythia(), load_processes()[stream.process]
    # Pythia holds no reference to the Python side of a hook: they live as long as this function's frame
    hooks = [_veto_with_tower(tower, pythia8)] if early_veto else []
    if process.mass_acceptance is not None:
        hooks.append(mass_acceptance_hook(process.mass_acceptance, stream.pythia_seed, pythia8))
    lines = [*process.pythia, f"PhaseSpace:pTHatMin = {process.pt_hat_min}"]
    pythia = initialise(lines, stream.pythia_seed, tables, hooks)
    for first in range(0, stream.tries, BATCH):
        tries = min(BATCH, stream.tries - first)
        yield particle_columns(pythia.nextBatch(tries, "skip"), tries)


def _veto_with_tower(tower: NoisyTower, pythia8: Any) -> Any:
    """Return a hook that drops collisions whose partons, with what the tower shows, do not make two hard, massive jets."""

    def drops(partons: npt.NDArray[np.float64], pythia: Any) -> bool:
        shown = tower.shows(pythia.process[_HARD].px())
        return lacks_jets(partons if shown is None else np.concatenate([partons, shown[None]]))

    return partons_hook(drops, pythia8)


def _with_tower(batch: GeneratedBatch, tower: NoisyTower) -> GeneratedBatch:
    """Return collisions with what the tower shows in each as one more stable particle, at the end."""
    shown = [tower.shows(px) for px in batch.momenta[batch.offsets[:-1] + _HARD, 0].tolist()]
    rows = np.flatnonzero([one is not None for one in shown])
    if not len(rows):
        return batch
    ends = batch.offsets[rows + 1]
    added = {"id": _NEUTRON, "status": _STABLE}
    more = np.zeros(len(batch.offsets), np.int64)
    more[rows + 1] = 1
    return batch._replace(
        offsets=batch.offsets + np.cumsum(more),
        integers={name: np.insert(column, ends, added.get(name, 0)) for name, column in batch.integers.items()},
        momenta=np.insert(batch.momenta, ends, np.array([one for one in shown if one is not None]), axis=0),
        vertices=np.insert(batch.vertices, ends, 0.0, axis=0),
    )
