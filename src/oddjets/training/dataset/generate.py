"""The generation of training jets, in shards on many processes; missing shards are added."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from oddjets.core.console import progress
from oddjets.core.optional_imports import require
from oddjets.core.worker_pool import run_tasks
from oddjets.simulation.generator import prepare_multiparton_tables, require_pythia
from oddjets.training.dataset.processes import HELD_OUT, RECIPES, TRAINING, recipe_names
from oddjets.training.dataset.shards import TABLES, Shard, count_jets, make_jets, make_shard

__all__ = ["generate", "shard_sequence"]


def generate(folder: Path, n_jets: int, workers: int, seed: int = 1, held_out: bool = False) -> list[Path]:
    """Make simulated jets until there are enough; shards of an earlier, interrupted call are kept.

    The sequence of shards is fixed by the seed, whatever `n_jets` and `workers`: more jets are the same and some more.

    Args:
        folder: gets ``shards/*.h5``; `oddjets.training.dataset.shards` says what is in them.
        n_jets: jets of all classes, at least.
        workers: processes.
        seed: of the sequence.
        held_out: jets to test on, from other seeds: inclusive QCD, the generic resonances, and W, Z, H and top, which
            are never in training jets.

    Returns:
        The shards in order, as few as have `n_jets`.

    Raises:
        OddjetsError: Pythia or h5py is missing, the disk is full, or a worker was killed.
    """
    require("h5py")
    require_pythia()
    shards = folder / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    tables = prepare_multiparton_tables(folder / TABLES)
    jets: dict[Shard, int] = {}
    with progress("generate (jets)", n_jets) as bar:
        while True:
            wanted = _needed_shards(shards, n_jets, seed, held_out, jets)
            bar.advance(sum(jets.values()) - bar.done)
            missing = [shard for shard in wanted if shard not in jets]
            if not missing:
                return [shards / shard.name for shard in wanted]
            if workers > 1:
                _compile(tables)
            for shard in run_tasks(missing, functools.partial(make_shard, folder=shards), workers, "generate"):
                jets[shard] = count_jets(shard, shards) or 0
                bar.advance(jets[shard])


def _needed_shards(folder: Path, n_jets: int, seed: int, held_out: bool, jets: dict[Shard, int]) -> list[Shard]:
    """Return the first shards of the sequence that should have enough jets; add the numbers of whole shards to ``jets``."""
    wanted, expected = [], 0
    for shard in shard_sequence(seed, held_out):
        if expected >= n_jets:
            break
        if shard not in jets and (found := count_jets(shard, folder)) is not None:
            jets[shard] = found
        expected += jets.get(shard, RECIPES[shard.recipe].jets)
        wanted.append(shard)
    return wanted


def shard_sequence(seed: int, held_out: bool) -> Iterator[Shard]:
    """Yield the shards that a seed decides, without end; any beginning has all classes in their shares."""
    for index, name in enumerate(recipe_names(HELD_OUT if held_out else TRAINING)):
        yield Shard(index, name, seed, held_out)


def _compile(tables: Path) -> None:
    """Fill Numba's cache on disk here once, and not in every worker at the same time."""
    for name in ("qcd", "two_prong"):
        for _ in make_jets(Shard(0, name, 0, False), tables, 5):
            pass
