"""Pairs of jets with columns whose distributions are known, for tests of learnt scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.learning.folds import event_hash, fold_of


class MadePairs(NamedTuple):
    """Events of two jets: some are of a signal with both jets odd."""

    features: npt.NDArray[np.float32]
    seed: npt.NDArray[np.float64]
    pt: npt.NDArray[np.float64]
    hashes: npt.NDArray[np.uint64]
    folds: npt.NDArray[np.int8]
    is_signal: npt.NDArray[np.bool_]


def made_pairs(n: int, signal: float = 0.02, columns: int = 4, folds: int = 5, seed: int = 1) -> MadePairs:
    """Events whose jets know nothing of each other but whether the event is signal; the seed score sees half of a column."""
    random = np.random.default_rng(seed)
    is_signal = random.random(n) < signal
    features = random.normal(size=(n, 2, columns))
    features[..., :2] += 1.5 * is_signal[:, None, None]
    score = features[..., 0] + 0.5 * random.normal(size=(n, 2)) + is_signal[:, None]
    features[random.random(features.shape) < 0.01] = np.nan
    hashes = event_hash(np.ones(n, np.int64), np.arange(n) // 100, np.arange(n))
    pt = 400 + random.exponential(100, size=(n, 2))
    return MadePairs(features.astype(np.float32), score, pt, hashes, fold_of(hashes, folds), is_signal)
