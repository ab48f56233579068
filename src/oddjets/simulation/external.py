"""Simulation of the detector for events that another generator made: LHE through Pythia's shower, or HepMC as they are.

The files are those of `oddjets.simulation.run`: PFNano with the sums of all weights in the tree Runs. No generator filter is
applied, so that the acceptance is that of all events.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.code_digests import code_parts
from oddjets.core.console import progress
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import atomic_write, sha256_of, write_json
from oddjets.core.worker_pool import run_tasks
from oddjets.simulation.generator import (
    BATCH,
    GENERATOR,
    SHOWER_VARIATIONS,
    GeneratedBatch,
    initialise,
    particle_columns,
    require_pythia,
)
from oddjets.simulation.hepmc_files import HepmcFile, read_batches, read_hepmc
from oddjets.simulation.lhe_files import LheFile, read_lhe
from oddjets.simulation.pileup import load_pool, prepare_pool
from oddjets.simulation.reconstruction import reconstruct
from oddjets.simulation.weight_sums import WeightSums
from oddjets.simulation.writer import explain_full_disk, write_nano

__all__ = ["ExternalSample", "is_generator_file", "read_generator_file", "simulate_external"]

_LHE, _HEPMC = (".lhe",), (".hepmc", ".hepmc2", ".hepmc3")
_POOL = "pileup.npz"
_MAX_SEED = 900_000_000


@dataclass(frozen=True)
class ExternalSample:
    """Simulated files of a generator's events.

    Attributes:
        files: the ROOT files.
        events: generated, all in the file.
        lost: of these, events that Pythia could not shower; they count as events that pass no cut.
        written: events with two AK8 jets of more than 300 GeV.
        generator: what made them, in words.
    """

    files: tuple[Path, ...]
    events: int
    lost: int
    written: int
    generator: str


@dataclass(frozen=True)
class _Block:
    """Events of the file that make one ROOT file."""

    source: str
    index: int
    first: int
    sums: WeightSums
    showered: bool
    settings: tuple[str, ...]
    seed: int
    pileup_seed: int | None

    def seed_for(self, use: str) -> int:
        """Return the seed of Pythia, or of the detector."""
        text = json.dumps([self.seed, self.index, use])
        return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % _MAX_SEED


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def is_generator_file(path: Path) -> bool:
    """Tell by its name whether a file holds events of a generator: ``.lhe`` or ``.hepmc``, ``.gz`` too."""
    return _kind(path) in (*_LHE, *_HEPMC)


def read_generator_file(path: Path) -> LheFile | HepmcFile:
    """Read a generator's file to its end, without keeping its events.

    Raises:
        InputFileError: it is not there, damaged or ends early, or its events have no weights.
        OddjetsError: HepMC, and pyhepmc is not installed.
    """
    if not path.is_file():
        raise InputFileError(f"{path}: no such file", cause="missing file")
    return read_lhe(path) if _kind(path) in _LHE else read_hepmc(path)


def simulate_external(
    source: LheFile | HepmcFile,
    out: Path,
    *,
    settings: tuple[str, ...] = (),
    seed: int = 1,
    pileup: bool = False,
    workers: int = 1,
) -> ExternalSample:
    """Shower a generator's events, if they are not showered, and simulate our detector.

    Args:
        source: from `read_generator_file`.
        out: the folder of the ROOT files; what is there of the same events, settings and code is kept.
        settings: lines for Pythia, such as ``25:onMode = off``; for LHE files only.
        seed: of the shower and the detector.
        pileup: overlay interactions, as `oddjets simulate` does.
        workers: processes; the events do not depend on it.

    Raises:
        OddjetsError: Pythia is missing or refuses a line, settings for a file that is not showered, a full disk.
    """
    showered = isinstance(source, HepmcFile)
    if showered and settings:
        raise OddjetsError(f"{source.path}: --pythia has no effect on HepMC, whose events are showered; leave it out")
    require_pythia()
    out.mkdir(parents=True, exist_ok=True)
    plain = _unpacked(source.path, out)
    starts = np.cumsum([0, *(block.events for block in source.blocks)])
    plan = [
        _Block(str(plain), i, int(starts[i]), sums, showered, settings, seed, seed if pileup else None)
        for i, sums in enumerate(source.blocks)
    ]
    keys = {block.index: _key(block, sha256_of(plain)) for block in plan}
    todo = [block for block in plan if _summary(block, out).get("key") != keys[block.index]]
    if pileup and todo:
        prepare_pool(out / _POOL, seed)
    with progress("simulate (events)", sum(block.sums.events for block in todo)) as bar:
        for block in run_tasks(todo, functools.partial(_simulate_block, out=out, keys=keys), workers, "simulate"):
            bar.advance(block.sums.events)
    summaries = [_summary(block, out) for block in plan]
    made = "HepMC" if showered else f"LHE and {GENERATOR}"
    return ExternalSample(
        files=tuple(out / _name(block) for block in plan),
        events=sum(block.sums.events for block in plan),
        lost=sum(found["lost"] for found in summaries),
        written=sum(found["written"] for found in summaries),
        generator=f"{made}, oddjets' parametric detector{', pileup overlaid' if pileup else ''}",
    )


def _unpacked(path: Path, out: Path) -> Path:
    """Return the file, or what is in it where it is packed: Pythia may not be able to unpack it."""
    if path.suffix != ".gz":
        return path
    plain = out / path.stem
    with (
        explain_full_disk(plain),
        atomic_write(plain) as temporary,
        gzip.open(path, "rb") as packed,
        temporary.open("wb") as file,
    ):
        shutil.copyfileobj(packed, file)
    return plain


def _name(block: _Block) -> str:
    return f"signal-{block.index:04d}.root"


def _key(block: _Block, content: str) -> str:
    """Return the hash of all that decides a file's content."""
    told = {name: value for name, value in asdict(block).items() if name != "source"}
    text = json.dumps({"block": told, "content": content, "code": code_parts(__name__)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _summary(block: _Block, out: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((out / _name(block)).with_suffix(".json").read_text(encoding="utf-8"))
        return found if (out / _name(block)).exists() else {}
    except (OSError, ValueError):
        return {}


def _simulate_block(block: _Block, out: Path, keys: dict[int, str]) -> None:
    summary: dict[str, Any] = {"key": keys[block.index], "lost": block.sums.events, "written": 0}
    runs: dict[str, npt.NDArray[Any]] = {
        "run": np.array([1], np.uint32),
        "genEventCount": np.array([block.sums.events], np.int64),
        "genEventSumw": np.array([block.sums.total]),
        "genEventSumw2": np.array([block.sums.squares]),
    }
    write_nano(out / _name(block), _pieces(block, out, summary), runs)
    write_json((out / _name(block)).with_suffix(".json"), summary)


def _pieces(block: _Block, out: Path, summary: dict[str, Any]) -> Iterator[ak.Array]:
    """Yield the events of a file, and fill the summary; the empty start gives the branches their types."""
    rng = np.random.default_rng(block.seed_for("detector"))
    pool = None if block.pileup_seed is None else load_pool(out / _POOL, block.pileup_seed)
    none = reconstruct(GeneratedBatch.empty(), np.random.default_rng(0), is_data=False)
    yield _numbered(none, block, 0)
    for batch in read_batches(Path(block.source)) if block.showered else _showered(block):
        events = reconstruct(batch, rng, is_data=False, pool=pool)
        summary["lost"] -= len(batch.offsets) - 1
        yield _numbered(events, block, summary["written"])
        summary["written"] += len(events)


def _showered(block: _Block) -> Iterator[GeneratedBatch]:
    """Yield the events of a block of an LHE file, through Pythia's shower."""
    variations = ", ".join(f"{name} {change}" for name, change in SHOWER_VARIATIONS.items())
    lines = [
        "Beams:frameType = 4",
        f"Beams:nSkipLHEFatInit = {block.first}",
        "UncertaintyBands:doVariations = on",
        f"UncertaintyBands:List = {{{variations}}}",
        *block.settings,
    ]
    pythia = initialise(lines, block.seed_for("pythia"), None, source=block.source)
    for first in range(0, block.sums.events, BATCH):
        count = min(BATCH, block.sums.events - first)
        found = pythia.nextBatch(count, "skip")
        names = list(pythia.infoPython().weightNameVector())
        part = particle_columns(found, count, [names.index(name) for name in SHOWER_VARIATIONS])
        # +1 or -1 with strategy 3, XWGTUP (pb) with strategy 4
        weights = ak.to_numpy(found.info.weights)[:, 0] if len(found) else np.zeros(0)
        # how the hard process depends on its scales is not known of a file
        yield part._replace(scale_weights=np.ones((len(found), 1)), weights=weights)


def _numbered(events: ak.Array, block: _Block, first: int) -> ak.Array:
    """Add run, block and number of events; the file has ``first`` events before them."""
    n = len(events)
    events["run"] = np.ones(n, np.uint32)
    events["luminosityBlock"] = np.full(n, block.index + 1, np.uint32)
    events["event"] = np.arange(n, dtype=np.uint64) + np.uint64(block.first + first + 1)
    return events
