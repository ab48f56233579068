"""Files of random jets in the layout of the generation: classes differ in a way that a small network finds soon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from oddjets.training.class_labels import CLASSES, KNOWN, QCD

COLUMNS = ("pt", "eta", "phi", "msoftdrop", "mass", "tau1", "tau2", "tau3", "tau4", "n_constituents", "label", "event")


def write_toy_jets(path: Path, n_jets: int, seed: int, known: bool = False) -> Path:
    """Write jets whose number of constituents, species and mass depend on their class."""
    import h5py

    from oddjets.training.export.random_jets import random_jets

    rng = np.random.default_rng(seed)
    names = [name for name in CLASSES if known or name not in KNOWN]
    chosen = rng.choice(len(names), n_jets)
    label = np.array([CLASSES[name] for name in names])[chosen]
    is_qcd = np.isin(label, list(QCD.values()))
    jets: Any = random_jets(rng.integers(5, 17, n_jets).tolist(), rng).padded(150)
    species = np.where(is_qcd[:, np.newaxis], np.minimum(jets.pid, 4), jets.pid)
    info = {name: np.zeros(n_jets) for name in COLUMNS}
    info["pt"] = 400 + rng.exponential(np.where(is_qcd, 100, 150))
    info["eta"] = rng.uniform(-2, 2, n_jets)
    info["msoftdrop"] = 20 + rng.exponential(np.where(is_qcd, 60, 90))
    for n in (1, 2, 3):
        info[f"tau{n}"] = rng.uniform(0.1, 0.9, n_jets) / n
    info["label"] = label
    info["event"] = np.arange(n_jets) // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["data"] = np.concatenate([jets.x, species[..., np.newaxis], jets.add], axis=-1).astype(np.float32)
        file["pid"] = label
        file["info"] = np.stack([info[name] for name in COLUMNS], axis=-1)
        file["info"].attrs["columns"] = COLUMNS
    return path
