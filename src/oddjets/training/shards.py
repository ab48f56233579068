"""One shard of training jets: made from seeds of its own, in OmniLearned's HDF5 layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.cards import ModelCard
from oddjets.features import ConstituentIndex, JetConstituents, prepare, take_constituents
from oddjets.provenance import code_of, content_key, versions
from oddjets.simulation.detector import detect
from oddjets.simulation.generator import (
    GeneratedBatch,
    initialise,
    join_batches,
    particle_columns,
    require_pythia,
)
from oddjets.simulation.jets import build_fat_jets
from oddjets.simulation.reconstruction import candidate_momenta, stable_particles, stored_candidates, stored_jets
from oddjets.simulation.writer import replacing
from oddjets.training.filters import contained_hook, massive_hook
from oddjets.training.matching import match_partons, match_resonances
from oddjets.training.pairs import MAX_CONSTITUENTS
from oddjets.training.published import published_description
from oddjets.training.recipes import RECIPES
from oddjets.training.requirements import require

__all__ = [
    "INFO",
    "MAX_ABS_ETA",
    "MIN_MASS",
    "MIN_PT",
    "TABLES",
    "Jets",
    "Shard",
    "is_whole",
    "make_jets",
    "make_shard",
]

#: jets that are kept: pT and soft-drop mass in GeV; the selection of the analysis is inside
MIN_PT, MAX_ABS_ETA, MIN_MASS = 400.0, 2.4, 20.0
#: columns of the dataset ``info``; masses and pT in GeV
INFO = (
    "pt",
    "eta",
    "phi",
    "msoftdrop",
    "mass",
    "tau1",
    "tau2",
    "tau3",
    "tau4",
    "n_constituents",
    "label",
    "resonance_mass",
    "n_b_hadrons",
    "n_c_hadrons",
    "event",
)
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

    @property
    def key(self) -> str:
        """Hash of all that decides the jets: seeds, settings, code and packages."""
        recipe = RECIPES[self.recipe]
        settings = [recipe.pythia, recipe.tries, sorted((*pair, label) for pair, label in recipe.labels.items())]
        packages = {name: version for name, version in versions().items() if name in _PACKAGES}
        return content_key([asdict(self), settings, code_of("oddjets.training.shards"), packages])


class Jets(NamedTuple):
    """Jets with their constituents as model inputs; rows are jets."""

    #: (jets, 150, 9) float32, zero beyond the last constituent
    data: npt.NDArray[np.float32]
    #: (jets, columns of `INFO`) float64
    info: npt.NDArray[np.float64]


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
    with replacing(folder / shard.name) as temporary, require("h5py").File(temporary, "w") as file:
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


def is_whole(shard: Shard, folder: Path) -> int | None:
    """Return how many jets a shard's file has; None where it is missing or was made by other code or settings."""
    try:
        with require("h5py").File(folder / shard.name, "r") as file:
            return len(file["pid"]) if file.attrs.get("key") == shard.key else None
    except OSError:
        return None


def make_jets(shard: Shard, tables: Path, tries: int) -> Iterator[Jets]:
    """Make the jets of a shard.

    Args:
        shard: which.
        tables: file of `oddjets.simulation.generator.prepare_multiparton_tables`.
        tries: hard events to try.

    Yields:
        Jets of some events each.
    """
    recipe = RECIPES[shard.recipe]
    rng = np.random.default_rng([shard.seed, shard.held_out, shard.index])
    n_events = 0
    for batch in _events(shard, tables, tries):
        candidates = detect(*stable_particles(batch), rng)
        jets = build_fat_jets(candidate_momenta(candidates), candidates.offsets, MIN_PT)
        truth = match_resonances(batch, jets, recipe.labels) if recipe.labels else match_partons(batch, jets)
        stored = stored_jets(jets, {}, {})
        column = {name: ak.to_numpy(ak.flatten(stored[name])).astype(np.float64) for name in stored.fields}
        event = np.repeat(np.arange(len(stored)), ak.to_numpy(ak.num(stored))) + n_events
        n_events += len(stored)
        column |= {
            "n_constituents": column["nConstituents"],
            "label": truth.label,
            "resonance_mass": truth.resonance_mass,
            "n_b_hadrons": truth.b_hadrons,
            "n_c_hadrons": truth.c_hadrons,
            "event": shard.index * _EVENTS_PER_SHARD + event,
        }
        chosen = (column["pt"] > MIN_PT) & (np.abs(column["eta"]) < MAX_ABS_ETA) & (column["msoftdrop"] > MIN_MASS)
        rows = np.flatnonzero(chosen & (truth.label >= 0))
        constituents = stored_candidates(candidates, jets)
        info = np.stack([column[name] for name in INFO], axis=-1, dtype=np.float64)[rows]
        yield Jets(_features(constituents, jets.clustered.constituent_offsets, rows, column), info)


def _features(
    candidates: ak.Array,
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    column: dict[str, npt.NDArray[np.float64]],
) -> npt.NDArray[np.float32]:
    """The inputs that scoring would prepare for these jets, (jets, 150, 9)."""
    flat = ak.flatten(candidates)
    branches = {name: ak.to_numpy(flat[name]) for name in flat.fields}
    counts = np.diff(offsets)[rows]
    first = np.cumsum(counts) - counts
    taken = np.arange(counts.sum()) + np.repeat(offsets[:-1][rows] - first, counts)
    index = ConstituentIndex(taken, np.append(first, counts.sum()))
    jets: JetConstituents = take_constituents(index, branches, column["eta"][rows], column["phi"][rows])
    tensors = prepare(jets, _card()).tensors(np.arange(len(rows)), MAX_CONSTITUENTS)
    species = tensors["pid"][..., np.newaxis].astype(np.float32)
    return np.concatenate([tensors["x"], species, tensors["add"]], axis=-1)


@cache
def _card() -> ModelCard:
    """How OmniLearned takes constituents; the model that it would describe does not exist yet."""
    content: dict[str, Any] = {
        "name": "training",
        "file": "training.onnx",
        "sha256": "0" * 64,
        "opset": 20,
        "output": {"name": "logits", "kind": "logits", "n_classes": 210, "softmax": "0-199"},
        "numerics": {"reference": "none", "tolerance": 0.0},
    }
    return ModelCard.model_validate(published_description("small") | content)


def _events(shard: Shard, tables: Path, tries: int) -> Iterator[GeneratedBatch]:
    """The events of a shard that its filter keeps."""
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
