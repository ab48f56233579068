"""Heavy hadrons in jets: NanoAOD's truth of b and c jets."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import delta_r2
from oddjets.core.kinematics import pt_eta_phi
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import FAT_RADIUS, FatJets

__all__ = ["heavy_hadrons"]

_MIN_PT = 5.0  # GeV; ours
_BOTTOM, _CHARM = 5, 4


def heavy_hadrons(batch: GeneratedBatch, jets: FatJets) -> dict[str, npt.NDArray[np.int32]]:
    """Count the weakly decaying b and c hadrons (pT > 5 GeV) within 0.8 of each jet.

    NanoAOD associates hadrons as ghosts in the clustering; a radius gives the same for isolated jets.

    Args:
        batch: the generated events.
        jets: their jets.

    Returns:
        Field of ``FatJet`` -> (jets): ``nBHadrons``, ``nCHadrons`` and ``hadronFlavour`` (5, 4 or 0).
    """
    c = batch.integers
    _, eta, phi = pt_eta_phi(jets.clustered.momenta)
    counts = {}
    for name, quark in (("nBHadrons", _BOTTOM), ("nCHadrons", _CHARM)):
        last = np.flatnonzero(_last_hadrons(batch.offsets, c["id"], c["daughter1"], c["daughter2"], quark))
        pt, hadrons_eta, hadrons_phi = pt_eta_phi(batch.momenta[last])
        counts[name] = _count(
            jets.clustered.event_offsets,
            eta,
            phi,
            np.searchsorted(last, batch.offsets),
            pt > _MIN_PT,
            hadrons_eta,
            hadrons_phi,
            FAT_RADIUS,
        )
    flavour = np.where(counts["nBHadrons"] > 0, _BOTTOM, np.where(counts["nCHadrons"] > 0, _CHARM, 0))
    return {**counts, "hadronFlavour": flavour.astype(np.int32)}


@numba.njit(cache=True)
def _has_quark(pdg, quark):  # type: ignore[no-untyped-def]
    """Tell whether a hadron's heaviest quark is this one, from its PDG code."""
    a = abs(pdg) % 10_000
    leading = a // 1000 if a >= 1000 else a // 100
    return a > 100 and leading == quark


@numba.njit(cache=True)
def _last_hadrons(offsets, ids, first_daughter, last_daughter, quark):  # type: ignore[no-untyped-def]
    """Find the hadrons with the quark none of whose daughters has it."""
    result = np.zeros(len(ids), np.bool_)
    for event in range(len(offsets) - 1):
        a = offsets[event]
        for i in range(a, offsets[event + 1]):
            if not _has_quark(ids[i], quark):
                continue
            result[i] = True
            for d in range(first_daughter[i], last_daughter[i] + 1):
                if d > 0 and _has_quark(ids[a + d], quark):
                    result[i] = False
    return result


@numba.njit(cache=True)
def _count(jet_offsets, jet_eta, jet_phi, offsets, wanted, eta, phi, radius):  # type: ignore[no-untyped-def]
    result = np.zeros(len(jet_eta), np.int32)
    for event in range(len(offsets) - 1):
        for i in range(offsets[event], offsets[event + 1]):
            if not wanted[i]:
                continue
            for jet in range(jet_offsets[event], jet_offsets[event + 1]):
                if delta_r2(eta[i], phi[i], jet_eta[jet], jet_phi[jet]) < radius**2:
                    result[jet] += 1
    return result
