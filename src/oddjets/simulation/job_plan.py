"""The plan of a simulation: its files, with their numbers of tries and seeds.

The plan depends on the specification only, never on the number of workers, and every file can be made alone from its
entry: that is what makes a simulation reproducible and resumable.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np

from oddjets.config.simulation import SimulationSpec
from oddjets.core.code_digests import code_parts
from oddjets.simulation.processes import check_processes, load_processes

__all__ = ["DATA", "Block", "GeneratorStream", "make_plan"]

#: name of the pseudo-data's dataset
DATA = "data"
#: tries that make a file of comfortable size, with the early veto and without: some 20 s. They bound the memory, too: the
#: events of a file of pseudo-data are shuffled, so all of them are held at once
TRIES_PER_BLOCK, TRIES_PER_BLOCK_WITHOUT_VETO = 20_000, 2000
#: events of a block are numbered from block x this
EVENTS_PER_BLOCK = 10_000_000
#: Pythia's seeds are 1 to this
_MAX_SEED = 900_000_000


@dataclass(frozen=True)
class GeneratorStream:
    """The events of one process in one file."""

    process: str
    #: hard events to try
    tries: int
    pythia_seed: int
    detector_seed: int


@dataclass(frozen=True)
class Block:
    """One file."""

    dataset: str
    index: int
    streams: tuple[GeneratorStream, ...]
    early_veto: bool
    shuffle_seed: int
    #: Pythia's seed of the pool that pileup is drawn from, the same in all files; none: no pileup
    pileup_seed: int | None = None

    @property
    def is_data(self) -> bool:
        """Whether the block is pseudo-data."""
        return self.dataset == DATA

    @property
    def path(self) -> str:
        """The file, relative to the simulation's folder."""
        return f"{self.dataset}/{self.dataset}-{self.index:04d}.root"

    @property
    def tries(self) -> int:
        """Hard events tried, all processes."""
        return sum(stream.tries for stream in self.streams)

    @property
    def key(self) -> str:
        """Hash of all that decides the file's content: seeds, tries, processes, and the code that simulates."""
        processes = load_processes()
        content = {
            "block": asdict(self),
            "processes": [processes[s.process].model_dump(exclude={"cost"}) for s in self.streams],
        }
        text = json.dumps({**content, "code": _code()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code() -> dict[str, str]:
    """Return all code that simulates; the processes of a block stand in its own key."""
    return {name: digest for name, digest in code_parts("oddjets.simulation.run").items() if not name.endswith(".yaml")}


def make_plan(spec: SimulationSpec) -> list[Block]:
    """Return every file of a simulation.

    Args:
        spec: what is asked.

    Returns:
        Pseudo-data first, then the templates in the order given. No two streams have the same Pythia seed.

    Raises:
        OddjetsError: see `oddjets.simulation.processes.check_processes`.
    """
    check_processes(spec)
    seeds = _Seeds(spec.seed)
    pileup_seed = seeds.stream("pileup", "", 0, 0).pythia_seed if spec.pileup else None
    blocks = [] if spec.luminosity is None else _data_blocks(spec, spec.luminosity, seeds)
    for process, tries in spec.templates.items():
        size = _tries_per_block(spec)
        for index in range(math.ceil(tries / size)):
            part = min(size, tries - index * size)
            stream = seeds.stream("template", process, index, part)
            blocks.append(
                Block(process, index, (stream,), spec.early_veto, seeds.hash("template", process, index, "-"))
            )
    return [replace(block, pileup_seed=pileup_seed) for block in blocks]


def _data_blocks(spec: SimulationSpec, luminosity: float, seeds: _Seeds) -> list[Block]:
    processes = load_processes()
    expected = {
        name: processes[name].cross_section_pb * processes[name].k_factor * strength * luminosity
        for name, strength in spec.strengths.items()
    }
    n_blocks = spec.blocks or max(1, math.ceil(sum(expected.values()) / _tries_per_block(spec)))
    blocks = []
    for index in range(n_blocks):
        streams = []
        for name, mean in expected.items():
            rng = np.random.default_rng(seeds.hash("data", name, index, "poisson"))
            if tries := int(rng.poisson(mean / n_blocks)):
                streams.append(seeds.stream("data", name, index, tries))
        shuffle = seeds.hash("data", "", index, "shuffle")
        blocks.append(Block(DATA, index, tuple(streams), spec.early_veto, shuffle))
    return blocks


def _tries_per_block(spec: SimulationSpec) -> int:
    return TRIES_PER_BLOCK if spec.early_veto else TRIES_PER_BLOCK_WITHOUT_VETO


class _Seeds:
    """Seeds by purpose, process and block, such that no two Pythia streams share one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._used: set[int] = set()

    def hash(self, purpose: str, process: str, block: int, use: str) -> int:
        text = json.dumps([self._seed, purpose, process, block, use])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def stream(self, purpose: str, process: str, block: int, tries: int) -> GeneratorStream:
        pythia = 1 + self.hash(purpose, process, block, "pythia") % _MAX_SEED
        while pythia in self._used:  # folded into Pythia's range, hashes can meet
            pythia = 1 + pythia % _MAX_SEED
        self._used.add(pythia)
        return GeneratorStream(process, tries, pythia, self.hash(purpose, process, block, "detector"))
