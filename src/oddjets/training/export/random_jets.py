"""Random jets for numerical tests; they are no physics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oddjets.core.errors import OddjetsError
from oddjets.training.export.pairs import MAX_CONSTITUENTS
from oddjets.training.validate.reference import PaddedJets

__all__ = ["load_jets", "multiplicities", "random_jets"]


def multiplicities(n_jets: int, rng: np.random.Generator) -> list[int]:
    """Draw numbers of constituents like those of energetic jets: 55 on average, 1 to 150."""
    return [int(n) for n in np.clip(np.rint(rng.normal(55, 20, n_jets)), 1, MAX_CONSTITUENTS)]


def random_jets(counts: Sequence[int], rng: np.random.Generator, spacing: float = 0.0) -> PaddedJets:
    """Draw jets of one to four prongs with constituents at distances from 0.001 to 1 of them.

    Args:
        counts: the number of constituents of each.
        rng: the generator.
        spacing: positions are rounded to multiples of it, so that distances tie and constituents coincide; 0 for none.

    Returns:
        The jets, padded to the longest; constituents in descending pT.
    """
    shape = (len(counts), max(counts))
    real = np.arange(shape[1]) < np.asarray(counts)[:, np.newaxis]
    prong = np.floor(rng.random(shape) * rng.integers(1, 5, (shape[0], 1))).astype(int)
    axes = np.take_along_axis(rng.normal(0, 0.25, (shape[0], 4, 2)), prong[..., np.newaxis], axis=1)
    radius, angle = np.exp(rng.normal(-3, 1.2, shape)), rng.uniform(0, 2 * np.pi, shape)
    position = axes + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    if spacing:
        position = np.round(position / spacing) * spacing
    pt = np.where(real, 0.3 + np.exp(rng.normal(0.8, 1.3, shape)), 0)
    pt = -np.sort(-pt * rng.uniform(300, 900, (shape[0], 1)) / pt.sum(axis=1, keepdims=True), axis=1)
    energy = pt * np.cosh(position[..., 0] + rng.uniform(-2, 2, (shape[0], 1)))
    with np.errstate(divide="ignore"):
        x = np.stack([position[..., 0], position[..., 1], np.log(pt), np.log(energy)], axis=-1)
    errors = np.abs(rng.normal(0, 0.05, (*shape, 2)))
    impact = np.tanh(rng.normal(0, 0.1, (*shape, 2)))
    add = np.stack([impact[..., 0], errors[..., 0], impact[..., 1], errors[..., 1]], axis=-1)
    charged = real & (rng.random(shape) < 0.6)
    return PaddedJets(
        np.where(real[..., np.newaxis], x, 0).astype(np.float32),
        np.where(real, rng.integers(1, 9, shape), 0),
        np.where(charged[..., np.newaxis], add, 0).astype(np.float32),
    )


def load_jets(path: Path, n_jets: int) -> PaddedJets:
    """Read prepared jets.

    Args:
        path: an npz file with ``x``, ``pid`` and ``add``.
        n_jets: how many to read at most.

    Returns:
        Jets spread evenly over the file, which may be sorted by kind.

    Raises:
        OddjetsError: no such file, or other arrays in it.
    """
    if not path.is_file():
        raise OddjetsError(f"no file of jets {path}")
    try:
        # opened here: NumPy leaves a file open that it cannot read
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            x, pid, add = (data[name] for name in ("x", "pid", "add"))
    except Exception as error:  # NumPy's, zipfile's and zlib's errors have no common base
        raise OddjetsError(f"{path} is not an npz file with x, pid and add: {error}") from error
    if x.ndim != 3 or x.shape[2] != 4 or add.shape != x.shape or pid.shape != x.shape[:2]:
        raise OddjetsError(f"{path}: x, pid and add have shapes {x.shape}, {pid.shape} and {add.shape}")
    rows = np.arange(min(n_jets, len(x))) * len(x) // max(1, min(n_jets, len(x)))
    return PaddedJets(x[rows].astype(np.float32), pid[rows].astype(np.int64), add[rows].astype(np.float32))
