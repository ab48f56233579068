"""Batches on a device: the choice of jets, padding, and random rotations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from oddjets.training.train.jet_dataset import JetSet
from oddjets.training.train.settings import MAX_CONSTITUENTS

__all__ = ["Bucket", "DeviceJets", "buckets", "epoch_order", "rotate"]

#: shares of a batch, sorted by multiplicity, that are padded to one length each; few, since each is compiled
_SHARES = (0.5, 0.35, 0.15)
#: lengths leave room for a batch that has more long jets than most
_ROOM = 0.03
#: lengths are multiples of it, and at least twice as much: more than there are neighbours
_STEP = 8
#: a track farther away is as far as tanh can say
_TANH_LIMIT = 1 - 1e-6


class Bucket(NamedTuple):
    """A part of a batch: so many jets, padded to (or, rarely, cut to) so many constituents."""

    jets: int
    length: int


def buckets(counts: NDArray[np.int64], batch: int) -> list[Bucket]:
    """Divide a batch that is sorted by multiplicity into parts of fixed shapes.

    Args:
        counts: multiplicities of the jets that batches are drawn from.
        batch: jets of a batch.

    Returns:
        The parts, shortest first; together they hold `batch` jets.
    """
    ends = np.round(np.cumsum(_SHARES) * batch).astype(int)
    sizes = np.diff(ends, prepend=0)
    parts = []
    for size, share in zip(sizes, np.cumsum(_SHARES), strict=True):
        length = float(np.quantile(np.minimum(counts, MAX_CONSTITUENTS), min(1.0, share + _ROOM)))
        parts.append(Bucket(int(size), max(2 * _STEP, -(-int(length) // _STEP) * _STEP)))
    return [part for part in parts if part.jets]


def epoch_order(weights: NDArray[np.float64], n_draws: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw jets by their weights for an epoch, each as often as its weight says, give or take one.

    Args:
        weights: of the jets, shape (n_jets,).
        n_draws: how many to draw.
        seed: the training's.
        epoch: its number.

    Returns:
        Numbers of jets in random order, shape (n_draws,).
    """
    rng = np.random.default_rng([seed, epoch])
    edges = np.cumsum(weights)
    drawn = np.searchsorted(edges / edges[-1], (np.arange(n_draws) + rng.random()) / n_draws, side="right")
    # rounding may lead past the last jet with a weight
    result: NDArray[np.int64] = rng.permutation(np.minimum(drawn, np.flatnonzero(weights)[-1]))
    return result


class DeviceJets:
    """The jets of a set in a device's memory, 33 bytes a constituent."""

    def __init__(self, jets: JetSet, device: Any) -> None:
        self._start = torch.from_numpy(jets.offsets[:-1]).to(device)
        self._counts = torch.from_numpy(jets.counts).to(device)
        self._x = torch.from_numpy(jets.x).to(device)
        self._pid = torch.from_numpy(jets.pid).to(device)
        self._add = torch.from_numpy(jets.add).to(device)
        self._eta = torch.from_numpy(jets.column("eta").astype(np.float32)).to(device)
        self._device = device

    def padded(self, rows: Any, length: int) -> tuple[Any, Any, Any, Any]:
        """Gather jets.

        Args:
            rows: their numbers, shape (B,).
            length: M; of jets with more constituents the hardest are taken.

        Returns:
            x (B, M, 4), species (B, M), tracks (B, M, 4), zero where there is no constituent, and the jets' eta (B,).
        """
        place = torch.arange(length, device=self._device)
        real = place < self._counts[rows, None]
        source = torch.where(real, self._start[rows, None] + place, 0)
        mask = real.unsqueeze(-1)
        return self._x[source] * mask, self._pid[source].long() * real, self._add[source] * mask, self._eta[rows]


def rotate(x: Any, add: Any, eta: Any, angle: Any, mirrored: Any) -> tuple[Any, Any]:
    """Rotate jets about their axes, and mirror them.

    Positions (d_eta, d_phi) turn. So do impact parameters: across the jet, a track passes the vertex at (dz / cosh eta,
    d0), which is a vector in the same plane; without this, displaced tracks would point to arbitrary sides. Errors are
    propagated. The energy follows the new eta at the same pT. For the plane (eta, phi) this is exact where jets are
    small; neither the granularity of the detector nor its edges turn.

    Args:
        x: as of `DeviceJets.padded`.
        add: likewise.
        eta: of the jets, shape (B,).
        angle: in rad, shape (B,).
        mirrored: 1, or -1 for jets whose phi is mirrored first, shape (B,).

    Returns:
        New x and add.
    """
    cos, sin, sign = torch.cos(angle)[:, None], torch.sin(angle)[:, None], mirrored[:, None]
    d_eta, d_phi = x[..., 0], sign * x[..., 1]
    new_eta = cos * d_eta - sin * d_phi
    before, after = torch.cosh(eta[:, None] + d_eta), torch.cosh(eta[:, None] + new_eta)
    real = x[..., 2] != 0
    ln_energy = torch.where(real, x[..., 3] + torch.log(after / before), 0.0)
    positions = torch.stack([new_eta, sin * d_eta + cos * d_phi, x[..., 2], ln_energy], -1)

    d0, dz = (torch.atanh(add[..., i].clamp(-_TANH_LIMIT, _TANH_LIMIT)) for i in (0, 2))
    along_eta, along_phi = dz / before, sign * d0
    error_eta, error_phi = add[..., 3] / before, add[..., 1]
    tracks = [
        torch.tanh(sin * along_eta + cos * along_phi),
        torch.hypot(sin * error_eta, cos * error_phi),
        torch.tanh((cos * along_eta - sin * along_phi) * after),
        torch.hypot(cos * error_eta, sin * error_phi) * after,
    ]
    return positions, torch.stack(tracks, -1)
