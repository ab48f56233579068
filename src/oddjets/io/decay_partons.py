"""Decay products of resonances in simulated NanoAOD files: the prongs that a jet may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_r, offsets_from, positions
from oddjets.io.fileset import TREE
from oddjets.io.remote.access import open_file

__all__ = ["DecayPartons", "read_decay_partons"]

_BRANCHES = ("GenPart_pdgId", "GenPart_genPartIdxMother", "GenPart_eta", "GenPart_phi")
_IDENTITY = ("run", "luminosityBlock", "event")
#: top, Z, W, H; new particles are from `_FIRST_NEW` to `_LAST_NEW` (heavy bosons), or from `_FIRST_PARTNER` on
_KNOWN = (6, 23, 24, 25)
_FIRST_NEW, _LAST_NEW, _FIRST_PARTNER = 32, 42, 1_000_001
#: quarks, gluons and charged leptons: what can be a prong
_PRONGS = (1, 2, 3, 4, 5, 21, 11, 13, 15)


@dataclass(frozen=True)
class DecayPartons:
    """The decay products of resonances in the events of a file.

    Attributes:
        identities: run, luminosityBlock and event, (events, 3).
        offsets: where each event's partons begin and end, (events + 1).
        eta: of the partons.
        phi: of the partons.
    """

    identities: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.int64]
    eta: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]

    def prongs_near(
        self, rows: npt.NDArray[np.int64], eta: npt.NDArray[np.float64], phi: npt.NDArray[np.float64], radius: float
    ) -> npt.NDArray[np.int64]:
        """Return how many partons of an event are within a radius of a jet.

        Args:
            rows: the event of each jet, (jets,).
            eta: of the jets.
            phi: of the jets.
            radius: in (eta, phi).
        """
        counts = np.diff(self.offsets)[rows]
        jet = np.repeat(np.arange(len(rows)), counts)
        parton = positions(self.offsets[rows], counts)
        near = delta_r(self.eta[parton], self.phi[parton], eta[jet], phi[jet]) < radius
        return np.bincount(jet[near], minlength=len(rows))

    def rows_of(self, identities: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return the row of each event; -1 for those that are not in the file.

        Args:
            identities: run, luminosityBlock and event, (n, 3).
        """
        known = {tuple(one): i for i, one in enumerate(self.identities.tolist())}
        return np.array([known.get(tuple(one), -1) for one in identities.tolist()], np.int64)


def read_decay_partons(path: str, access: Any = None) -> DecayPartons | None:
    """Read the decay products of resonances of a file's events; None where it has no generator particles.

    A prong is a quark, gluon or charged lepton whose mother is a top quark, W, Z, H or a new particle; a decay product that is
    such a particle itself counts by its own.

    Args:
        path: a simulated NanoAOD or PFNano file.
        access: how remote files are reached.
    """
    with open_file(path, access) as file:
        tree = file[TREE]
        if any(name not in tree for name in _BRANCHES):
            return None
        found = tree.arrays([*_BRANCHES, *_IDENTITY])
    code = abs(found["GenPart_pdgId"])
    mother = found["GenPart_genPartIdxMother"]
    of_mother = code[ak.where(mother >= 0, mother, 0)]
    resonance = (of_mother >= _FIRST_NEW) & (of_mother <= _LAST_NEW) | (of_mother >= _FIRST_PARTNER)
    for known in _KNOWN:
        resonance = resonance | (of_mother == known)
    prong = ak.zeros_like(code, dtype=bool)
    for one in _PRONGS:
        prong = prong | (code == one)
    chosen = prong & resonance & (mother >= 0)
    return DecayPartons(
        np.stack([np.asarray(found[name], np.uint64) for name in _IDENTITY], axis=-1),
        offsets_from(np.asarray(ak.sum(chosen, axis=1), np.int64)),
        np.asarray(ak.flatten(found["GenPart_eta"][chosen]), np.float64),
        np.asarray(ak.flatten(found["GenPart_phi"][chosen]), np.float64),
    )
