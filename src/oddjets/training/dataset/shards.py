"""Shards of training jets: files in OmniLearned's HDF5 layout, each from its own seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from oddjets.core.code_digests import code_sha256
from oddjets.core.files import atomic_write
from oddjets.core.optional_imports import require
from oddjets.core.provenance import content_key, versions
from oddjets.simulation.generator import GeneratedBatch, initialise, join_batches, particle_columns, require_pythia
from oddjets.simulation.writer import explain_full_disk
from oddjets.training.dataset.event_filters import contained_hook, massive_hook
from oddjets.training.dataset.processes import RECIPES
from oddjets.training.dataset.reconstruction import INFO, TrainingJets, reconstruct_jets

__all__ = ["TABLES", "Shard", "count_jets", "events_of", "make_jets", "make_shard"]

#: columns of ``global``, which conditions OmniLearned where it is asked to
_GLOBAL = ("log_pt", "eta", "log_msoftdrop", "n_constituents")
#: columns of ``data``
_DATA = ("d_eta", "d_phi", "log_pt", "log_energy", "species", "tanh_d0", "d0_error", "tanh_dz", "dz_error")
#: tries handed to Pythia at once, and events that are reconstructed at once; they bound the memory
_BATCH, _ENOUGH_EVENTS = 400, 200
#: Pythia's tables of multiparton interactions, beside the folder of the shards
TABLES = "multiparton.dat"
_EVENTS_PER_SHARD = 1_000_000
#: whose versions can change jets
_PACKAGES = ("fastjet", "numpy", "pythia8mc")
_MAX_SEED = 900_000_000  # Pythia's


@dataclass(frozen=True)
class Shard:
    """One file of the fixed sequence that a seed decides."""

    index: int
    recipe: str
    seed: int
    held_out: bool

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{'heldout' if self.held_out else 'training'}-{self.index:05d}-{self.recipe}.h5"

    @property
    def pythia_seed(self) -> int:
        """Even for training, odd for held-out jets; different for all shards of a sequence."""
        first = int(content_key([self.seed, "jets"])[:8], 16)
        return 2 + 2 * ((first + self.index) % (_MAX_SEED // 2 - 1)) + self.held_out

    def rng(self) -> np.random.Generator:
        """Return the random generator of the detector."""
        return np.random.default_rng([self.seed, self.held_out, self.index])

    @property
    def key(self) -> str:
        """Hash of all that decides the jets: seeds, settings, code and packages."""
        recipe = RECIPES[self.recipe]
        settings = [recipe.pythia, recipe.tries, sorted((*pair, label) for pair, label in recipe.labels.items())]
        packages = {name: version for name, version in versions().items() if name in _PACKAGES}
        return content_key([asdict(self), settings, code_sha256(__name__), packages])


def make_shard(shard: Shard, folder: Path) -> None:
    """Make the jets of a shard and write them; the file appears under its name when it is whole.

    Args:
        shard: which.
        folder: of the shards; its parent has the tables of `prepare_multiparton_tables`.
    """
    parts = list(make_jets(shard, folder.parent / TABLES, RECIPES[shard.recipe].tries))
    data, info = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    column = {name: info[:, k] for k, name in enumerate(INFO)}
    summary = [np.log(column["pt"]), column["eta"], np.log(column["msoftdrop"]), column["n_constituents"]]
    with (
        explain_full_disk(folder / shard.name),
        atomic_write(folder / shard.name) as temporary,
        require("h5py").File(temporary, "w") as file,
    ):
        chunks = None if len(data) == 0 else (min(64, len(data)), *data.shape[1:])
        file.create_dataset("data", data=data, compression="lzf", shuffle=True, chunks=chunks)
        file["pid"] = column["label"].astype(np.int64)
        file["global"] = np.stack(summary, axis=-1).astype(np.float32)
        file["info"] = info
        for name, columns in (("data", _DATA), ("global", _GLOBAL), ("info", INFO)):
            file[name].attrs["columns"] = columns
        file.attrs.update(
            {
                "key": shard.key,
                "recipe": shard.recipe,
                "pythia": RECIPES[shard.recipe].pythia,
                "seed": shard.seed,
                "pythia_seed": shard.pythia_seed,
                "held_out": shard.held_out,
                "events_tried": RECIPES[shard.recipe].tries,
            }
        )


def count_jets(shard: Shard, folder: Path) -> int | None:
    """Return how many jets a shard's file has; None where it is missing or was made by other code or settings."""
    try:
        with require("h5py").File(folder / shard.name, "r") as file:
            return len(file["pid"]) if file.attrs.get("key") == shard.key else None
    except OSError:
        return None


def make_jets(shard: Shard, tables: Path, tries: int) -> Iterator[TrainingJets]:
    """Make the jets of a shard.

    Args:
        shard: which.
        tables: file of `oddjets.simulation.generator.prepare_multiparton_tables`.
        tries: hard events to try.

    Yields:
        Jets of some events each.
    """
    rng, event = shard.rng(), shard.index * _EVENTS_PER_SHARD
    for batch in events_of(shard, tables, tries):
        yield reconstruct_jets(batch, RECIPES[shard.recipe].labels, rng, event)
        event += len(batch.offsets) - 1


def events_of(shard: Shard, tables: Path, tries: int) -> Iterator[GeneratedBatch]:
    """Generate the events of a shard that its filter keeps.

    Args:
        shard: which.
        tables: see `make_jets`.
        tries: hard events to try.

    Yields:
        Batches of events.
    """
    recipe, pythia8 = RECIPES[shard.recipe], require_pythia()
    # Pythia holds no reference to the Python side of a hook: it lives as long as this function's frame
    hook = contained_hook(recipe.resonances, pythia8) if recipe.labels else massive_hook(shard.pythia_seed, pythia8)
    pythia = initialise(recipe.pythia, shard.pythia_seed, tables, [hook])
    parts: list[GeneratedBatch] = []
    for first in range(0, tries, _BATCH):
        count = min(_BATCH, tries - first)
        parts.append(particle_columns(pythia.nextBatch(count, "skip"), count))
        is_last = first + count == tries
        if is_last or sum(len(part.offsets) - 1 for part in parts) >= _ENOUGH_EVENTS:
            yield join_batches(parts)
            parts = []
