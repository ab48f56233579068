"""A search for places in (eta, phi) where the jets of a window are more, or fewer, than elsewhere: noise and dead regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from oddjets.io.event_table import JETS

__all__ = ["ETA_STEP", "PHI_CELLS", "Spot", "cells_of", "places_of", "scan", "scan_turned", "strongest"]

Floats = npt.NDArray[np.float64]

#: the grid: 0.1 in eta, 2 pi / 64 in phi
ETA_STEP, PHI_CELLS = 0.1, 64
#: edges of the squares that are tried, in cells: about 0.2, 0.4 and 0.8 (the radius of the jets)
SIZES = (2, 4, 8)
#: for the azimuths of all events also the diameter of a jet: a tower makes jets massive whose axes are 0.2 to 0.8 away
TURNED_SIZES = (*SIZES, 16)


@dataclass(frozen=True)
class Spot:
    """A square in (eta, phi).

    Attributes:
        eta: of its middle.
        phi: of its middle, -pi to pi.
        size: length of its edges, about.
        found: jets of the window in it.
        expected: by all jets in it, times the part of events that are in the window; or by all jets of its eta.
    """

    eta: float
    phi: float
    size: float
    found: int
    expected: float


def places_of(columns: Mapping[str, npt.NDArray[Any]]) -> tuple[Floats, Floats] | None:
    """Return eta and phi of the jets of events, (N, jets) each: of both, or of the first where there is one alone.

    Args:
        columns: ``eta_j`` and ``phi_j``, (N,) each; NaN: there is no such jet.

    Returns:
        None where there is no place of any jet.
    """
    jets = [j for j in JETS if f"eta_{j}" in columns and f"phi_{j}" in columns]
    if not jets:
        return None
    eta, phi = (
        np.stack([np.asarray(columns[f"{axis}_{j}"], np.float64) for j in jets], axis=1) for axis in ("eta", "phi")
    )
    return eta, phi


def cells_of(eta: npt.ArrayLike, phi: npt.ArrayLike) -> tuple[npt.NDArray[np.int32], tuple[int, int], float]:
    """Return the cells of jets, (jets,), -1 where a jet is not there; the shape of the grid; and where it begins in eta."""
    eta, phi = np.asarray(eta, np.float64), np.asarray(phi, np.float64)
    there = np.isfinite(eta) & np.isfinite(phi)
    if not there.any():
        return np.full(eta.shape, -1, np.int32), (1, PHI_CELLS), 0.0
    start = float(np.floor(eta[there].min() / ETA_STEP))
    row = np.floor(np.where(there, eta, 0.0) / ETA_STEP) - start
    column = np.floor((np.where(there, phi, 0.0) + np.pi) / (2 * np.pi) * PHI_CELLS) % PHI_CELLS
    cells = np.where(there, row * PHI_CELLS + column, -1).astype(np.int32)
    return cells, (int(row[there].max()) + 1, PHI_CELLS), start * ETA_STEP


def scan(cells: npt.NDArray[np.int32], shape: tuple[int, int], drawn: npt.NDArray[np.int32]) -> Floats:
    """Return the largest local excess and the largest local deficit of the first sample, of each division.

    Squares of three sizes are moved over the grid in steps of half their size; phi is a circle. With k jets of the first sample
    where mu are expected of it, the statistic is that of Poisson counts, 2 (k ln(k/mu) - k + mu).

    Args:
        cells: of the jets of the joined samples, (N, jets of an event); see `cells_of`.
        shape: of the grid, (eta, phi).
        drawn: the events of the first sample in each division, (divisions, n).

    Returns:
        Shape (divisions, 2).
    """
    return np.asarray(_scan(np.atleast_2d(cells), shape[0], shape[1], drawn, np.array(SIZES))[0])


def strongest(
    cells: npt.NDArray[np.int32], shape: tuple[int, int], start: float, drawn: npt.NDArray[np.int32]
) -> tuple[Spot, Spot]:
    """Return the squares of the largest excess and of the largest deficit of the first division.

    Args:
        cells: as for `scan`.
        shape: likewise.
        start: where the grid begins in eta.
        drawn: likewise.
    """
    _, places, numbers = _scan(np.atleast_2d(cells), shape[0], shape[1], drawn[:1], np.array(SIZES))
    return _spots(places, numbers, start)


def scan_turned(
    cells: npt.NDArray[np.int32], shape: tuple[int, int], start: float, number: int, rng: np.random.Generator
) -> tuple[Floats, tuple[Spot, Spot]]:
    """Search for squares with more, or fewer, jets than others of the same eta: collisions know nothing of the azimuth.

    The statistic is that of `scan`, where mu is the mean over all azimuths. Each event is turned about the beam by a random
    angle, its jets together, which says how large the statistic is without a spot.

    Args:
        cells: of the jets, (N, jets of an event); see `cells_of`.
        shape: of the grid, (eta, phi).
        start: where the grid begins in eta.
        number: how many times all events are turned.
        rng: source of randomness.

    Returns:
        The statistics of the events as they are, then as turned, (1 + number, 2); the squares of excess and deficit.
    """
    found, places, numbers = _scan_turned(np.atleast_2d(cells), shape[0], shape[1], number, rng, np.array(TURNED_SIZES))
    return np.asarray(found), _spots(places, numbers, start)


def _spots(places: npt.NDArray[np.int64], numbers: Floats, start: float) -> tuple[Spot, Spot]:
    spots = []
    for (row, column, size), (found, expected) in zip(places.tolist(), numbers.tolist(), strict=True):
        phi = (column + size / 2) / PHI_CELLS * 2 * np.pi - np.pi
        phi = (phi + np.pi) % (2 * np.pi) - np.pi
        spots.append(Spot(start + (row + size / 2) * ETA_STEP, phi, size * ETA_STEP, int(found), expected))
    return spots[0], spots[1]


@numba.njit(cache=True)
def _sums(counts, n_eta, n_phi, widest):  # type: ignore[no-untyped-def]
    """Return sums from the corner, with the first columns in phi repeated behind the last: (eta + 1, phi + widest + 1)."""
    sums = np.zeros((n_eta + 1, n_phi + widest + 1), np.int64)
    for a in range(n_eta):
        row = 0
        for b in range(n_phi + widest):
            row += counts[a, b % n_phi]
            sums[a + 1, b + 1] = sums[a, b + 1] + row
    return sums


@numba.njit(cache=True)
def _scan(cells, n_eta, n_phi, drawn, sizes):  # type: ignore[no-untyped-def]
    total, jets = cells.shape
    n = drawn.shape[1]
    widest = sizes[-1]
    every = np.zeros((n_eta, n_phi), np.int64)
    for i in range(total):
        for j in range(jets):
            if cells[i, j] >= 0:
                every[cells[i, j] // n_phi, cells[i, j] % n_phi] += 1
    of_all = _sums(every, n_eta, n_phi, widest)
    found = np.zeros((len(drawn), 2))
    places, numbers = np.zeros((2, 3), np.int64), np.zeros((2, 2))
    counts = np.zeros((n_eta, n_phi), np.int64)
    for r in range(len(drawn)):
        counts[:] = 0
        for i in range(n):
            for j in range(jets):
                cell = cells[drawn[r, i], j]
                if cell >= 0:
                    counts[cell // n_phi, cell % n_phi] += 1
        sums = _sums(counts, n_eta, n_phi, widest)
        for size in sizes:
            step = size // 2
            for a in range(0, max(n_eta - size, 0) + step, step):
                end = min(a + size, n_eta)
                for b in range(0, n_phi, step):
                    k = sums[end, b + size] - sums[a, b + size] - sums[end, b] + sums[a, b]
                    joined = of_all[end, b + size] - of_all[a, b + size] - of_all[end, b] + of_all[a, b]
                    mu = joined * (n / total)
                    if mu == 0.0 or k == mu:
                        continue
                    value = 2 * (mu - k + (k * np.log(k / mu) if k > 0 else 0.0))
                    kind = 0 if k > mu else 1
                    if value > found[r, kind]:
                        found[r, kind] = value
                        if r == 0:
                            places[kind, 0], places[kind, 1], places[kind, 2] = a, b, size
                            numbers[kind, 0], numbers[kind, 1] = k, mu
    return found, places, numbers


@numba.njit(cache=True)
def _scan_turned(cells, n_eta, n_phi, number, rng, sizes):  # type: ignore[no-untyped-def]
    total, jets = cells.shape
    widest = sizes[-1]
    of_eta = np.zeros(n_eta + 1, np.int64)
    for i in range(total):
        for j in range(jets):
            if cells[i, j] >= 0:
                of_eta[cells[i, j] // n_phi + 1] += 1
    of_eta = np.cumsum(of_eta)
    found = np.zeros((number + 1, 2))
    places, numbers = np.zeros((2, 3), np.int64), np.zeros((2, 2))
    counts = np.zeros((n_eta, n_phi), np.int64)
    for r in range(number + 1):
        counts[:] = 0
        for i in range(total):
            turn = int(rng.random() * n_phi) if r > 0 else 0
            for j in range(jets):
                if cells[i, j] >= 0:
                    counts[cells[i, j] // n_phi, (cells[i, j] + turn) % n_phi] += 1
        sums = _sums(counts, n_eta, n_phi, widest)
        for size in sizes:
            step = size // 2
            for a in range(0, max(n_eta - size, 0) + step, step):
                end = min(a + size, n_eta)
                mu = (of_eta[end] - of_eta[a]) * (size / n_phi)
                if mu == 0.0:
                    continue
                for b in range(0, n_phi, step):
                    k = sums[end, b + size] - sums[a, b + size] - sums[end, b] + sums[a, b]
                    if k == mu:
                        continue
                    value = 2 * (mu - k + (k * np.log(k / mu) if k > 0 else 0.0))
                    kind = 0 if k > mu else 1
                    if value > found[r, kind]:
                        found[r, kind] = value
                        if r == 0:
                            places[kind, 0], places[kind, 1], places[kind, 2] = a, b, size
                            numbers[kind, 0], numbers[kind, 1] = k, mu
    return found, places, numbers
