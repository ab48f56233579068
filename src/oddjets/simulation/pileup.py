"""Pileup: a pool of minimum-bias interactions, overlaid on hard events.

The pool is made once for a simulation with seeds of its own and kept as ``pileup.npz`` in its folder. An event gets a
Poisson number of its interactions around ``Pileup_nTrueInt``; each is turned by a random angle around the beam and, half
the time, mirrored along it, so that an interaction that is used again looks like another one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.code_digests import code_sha256
from oddjets.core.console import log
from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.core.kinematics import offsets_from, positions, pt_eta_phi
from oddjets.simulation.generator import GENERATOR, initialise
from oddjets.simulation.writer import explain_full_disk

__all__ = ["BEAM_SPOT_WIDTH", "MINIMUM_BIAS", "EventsWithPileup", "PileupPool", "load_pool", "overlay", "prepare_pool"]

#: what CMS's minimum bias of 2016 consists of (cmssw, MinBias_TuneCUETP8M1_13TeV_pythia8): all inelastic but
#: central-diffractive interactions
MINIMUM_BIAS = ("SoftQCD:nonDiffractive = on", "SoftQCD:singleDiffractive = on", "SoftQCD:doubleDiffractive = on")
#: interactions in the pool; an event takes some 25 of them
POOL_SIZE = 4000
#: rms of the collisions' positions along the beam in 2016, cm (cmssw, VtxSmearedParameters,
#: Realistic25ns13TeV2016Collision: fitted to data, 3.65 cm); across it, 10 um are neglected
BEAM_SPOT_WIDTH = 3.65
#: what the detector can see: abs(eta), pT (GeV) of neutral particles, and of charged ones, as `detector` has them
_MAX_ETA, _MIN_PT, _MIN_PT_CHARGED = 5.0, 0.05, 0.3
_TRACKER_ETA = 2.5
_NEUTRINOS = (12, 14, 16)
_NEUTRAL = (22, 130, 310, 2112, 3122, 3322)

Particles = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.float64]]


class PileupPool(NamedTuple):
    """Stable particles of minimum-bias interactions at the origin."""

    #: (interactions + 1) where each one's particles begin and end
    offsets: npt.NDArray[np.int64]
    #: (particles) PDG codes
    ids: npt.NDArray[np.int32]
    #: (particles, 4) px, py, pz, E in GeV
    momenta: npt.NDArray[np.float32]
    #: (particles, 3) production points in mm
    vertices: npt.NDArray[np.float32]
    #: (interactions) charged particles above 0.3 GeV that fly into the tracker
    tracks: npt.NDArray[np.int64]


class EventsWithPileup(NamedTuple):
    """Hard events with their pileup."""

    #: offsets, PDG codes, momenta and vertices, as `detect` takes them; in each event the hard interaction's come first
    particles: Particles
    #: (events + 1) where each event's pileup interactions begin and end
    offsets: npt.NDArray[np.int64]
    #: (pileup interactions) position along the beam relative to the hard interaction, cm
    z: npt.NDArray[np.float64]
    #: (pileup interactions) charged particles above 0.3 GeV that fly into the tracker
    tracks: npt.NDArray[np.int64]


def prepare_pool(path: Path, seed: int) -> Path:
    """Generate the pool, unless it is there.

    Args:
        path: the file (npz without pickles), some MB.
        seed: of Pythia, used for nothing else.

    Returns:
        ``path``.

    Raises:
        OddjetsError: if Pythia refuses, or the disk is full.
    """
    key = _key(seed)
    if path.exists():
        with np.load(path, allow_pickle=False) as content:
            if str(content["key"]) == key:
                return path
    log.info("simulate: making %d minimum-bias interactions for pileup", POOL_SIZE)
    batch = initialise(MINIMUM_BIAS, seed, tables=None).nextBatch(POOL_SIZE, "skip")
    flat = ak.flatten(batch.prt)
    momenta = np.stack([ak.to_numpy(flat.p[c]) for c in ("px", "py", "pz", "e")], axis=-1)
    ids = ak.to_numpy(flat.id)
    pt, eta, _ = pt_eta_phi(momenta)
    charged = ~np.isin(np.abs(ids), _NEUTRAL)
    seen = (ak.to_numpy(flat.status) > 0) & ~np.isin(np.abs(ids), _NEUTRINOS) & (np.abs(eta) < _MAX_ETA)
    seen &= pt > np.where(charged, _MIN_PT_CHARGED, _MIN_PT)
    bounds = offsets_from(ak.to_numpy(ak.num(batch.prt)))
    in_tracker = seen & charged & (np.abs(eta) < _TRACKER_ETA)
    pool = PileupPool(
        offsets_from(seen)[bounds],
        ids[seen],
        momenta[seen].astype(np.float32),
        np.stack([ak.to_numpy(ak.fill_none(flat.vProd[c], 0.0))[seen] for c in ("px", "py", "pz")], axis=-1).astype(
            np.float32
        ),
        np.diff(offsets_from(in_tracker)[bounds]),
    )
    with explain_full_disk(path), atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, key=np.array(key), **pool._asdict())
    return path


def load_pool(path: Path, seed: int) -> PileupPool:
    """Read a pool.

    Args:
        path: the file.
        seed: the one that it was made from.

    Raises:
        OddjetsError: if it is not there or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            if str(content["key"]) != _key(seed):
                raise OddjetsError(f"simulate: {path} is the pileup of another simulation; remove it")
            return PileupPool(**{name: content[name] for name in PileupPool._fields})
    except FileNotFoundError:
        raise OddjetsError(f"simulate: no pileup in {path}; run `oddjets simulate` again, which makes it") from None


def overlay(
    hard: Particles, true_interactions: npt.NDArray[np.floating], pool: PileupPool, rng: np.random.Generator
) -> EventsWithPileup:
    """Add pileup to hard events.

    Args:
        hard: offsets, PDG codes, momenta (GeV) and vertices (mm) of the stable particles of the hard interactions.
        true_interactions: (events) mean number of pileup interactions, ``Pileup_nTrueInt``.
        pool: what they are drawn from.
        rng: source of randomness.
    """
    n_events = len(hard[0]) - 1
    numbers = rng.poisson(true_interactions)
    total = int(numbers.sum())
    event = np.repeat(np.arange(n_events), numbers)
    chosen = rng.integers(len(pool.tracks), size=total)
    angle, mirror = rng.uniform(-np.pi, np.pi, total), rng.choice([-1.0, 1.0], total)
    z = rng.normal(0.0, BEAM_SPOT_WIDTH, total) - rng.normal(0.0, BEAM_SPOT_WIDTH, n_events)[event]

    sizes = np.diff(pool.offsets)[chosen]
    owner = np.repeat(np.arange(total), sizes)
    rows = positions(pool.offsets[chosen], sizes)
    momenta, vertices = pool.momenta[rows].astype(np.float64), pool.vertices[rows].astype(np.float64)
    cos, sin = np.cos(angle)[owner], np.sin(angle)[owner]
    for vectors in (momenta, vertices):
        x, y = vectors[:, 0].copy(), vectors[:, 1].copy()
        vectors[:, 0], vectors[:, 1] = cos * x - sin * y, sin * x + cos * y
        vectors[:, 2] *= mirror[owner]
    vertices[:, 2] += 10 * z[owner]  # cm to mm

    # the hard interaction's particles before those of pileup, event after event
    events = np.concatenate([np.repeat(np.arange(n_events), np.diff(hard[0])), event[owner]])
    order = np.argsort(events, kind="stable")
    particles = (
        offsets_from(np.bincount(events, minlength=n_events)),
        np.concatenate([hard[1], pool.ids[rows]])[order],
        np.concatenate([hard[2], momenta])[order],
        np.concatenate([hard[3], vertices])[order],
    )
    return EventsWithPileup(particles, offsets_from(numbers), z, pool.tracks[chosen])


def _key(seed: int) -> str:
    """Return the key of all that decides what the pool contains."""
    text = repr((GENERATOR, MINIMUM_BIAS, POOL_SIZE, seed)).encode()
    return hashlib.sha256(text + code_sha256(__name__).encode()).hexdigest()
