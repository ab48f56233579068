"""Weights that give QCD and signal the same spectra of mass and pT."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["MASS_EDGES", "PT_EDGES", "balanced_weights", "effective_number"]

#: GeV; the last bins are open
PT_EDGES = np.array([400, 430, 460, 500, 540, 580, 640, 700, 780, 880, 1000, 1200])
MASS_EDGES = np.array(
    [20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170, 180, 200, 220, 250, 300]
)
#: alternations of the two conditions below; they settle to a per mille within ten
_ROUNDS = 20


def balanced_weights(
    pt: NDArray[np.float64],
    mass: NDArray[np.float64],
    label: NDArray[np.int64],
    groups: tuple[Mapping[int, float], Mapping[int, float]],
) -> NDArray[np.float64]:
    """Weight jets so that neither pT nor mass tells QCD from signal.

    The two groups get one common spectrum in (pT, soft-drop mass), and each class of a group, with its share, the pT
    spectrum of the group. The common spectrum is q s / (q + s) of the two groups' own spectra q and s: no bin asks for
    more of a group than it has, and bins that only one group reaches have weight zero. The two conditions are imposed
    in turn (iterative proportional fitting); the last word is the groups'.

    Args:
        pt: GeV, shape (n,).
        mass: soft-drop masses in GeV, shape (n,).
        label: classes, shape (n,).
        groups: for QCD and for signal, the share of each class in its group.

    Returns:
        Weights, shape (n,), with sum 1/2 in each group; 0 for jets of other classes.
    """
    in_pt, in_mass = _bins(pt, PT_EDGES), _bins(mass, MASS_EDGES)
    cell = in_pt * len(MASS_EDGES) + in_mass
    n_cells = len(PT_EDGES) * len(MASS_EDGES)
    members = [np.flatnonzero(np.isin(label, list(group))) for group in groups]
    classes = [
        (np.flatnonzero(label == index), share / sum(group.values()))
        for group in groups
        for index, share in group.items()
    ]
    weight = np.zeros(len(label))
    for rows, share in classes:
        weight[rows] = share / max(1, len(rows))
    qcd, signal = (_spectrum(cell[rows], weight[rows], n_cells) for rows in members)
    qcd, signal = qcd / max(float(qcd.sum()), 1e-300), signal / max(float(signal.sum()), 1e-300)
    common = _ratio(qcd * signal, qcd + signal)
    common /= 2 * max(float(common.sum()), 1e-300)  # each group sums to a half
    common_pt = common.reshape(len(PT_EDGES), -1).sum(axis=1)
    for _ in range(_ROUNDS):
        for rows, share in classes:
            found = _spectrum(in_pt[rows], weight[rows], len(PT_EDGES))
            weight[rows] *= _ratio(share * common_pt, found)[in_pt[rows]]
        for rows in members:
            found = _spectrum(cell[rows], weight[rows], n_cells)
            weight[rows] *= _ratio(common, found)[cell[rows]]
    return weight


def effective_number(weights: NDArray[np.float64]) -> float:
    """Return how many jets of equal weight would fluctuate as much: (sum w)^2 / sum w^2."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _bins(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 1)


def _spectrum(bins: NDArray[np.int64], weight: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    return np.bincount(bins, weight, n_bins).astype(np.float64)


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; 0 where the denominator is zero."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
