"""Jets that contain a whole W, Z, Higgs boson or top quark, by generator truth."""

from __future__ import annotations

import awkward as ak
import numba
import numpy as np
import numpy.typing as npt

from oddjets.core.kernels import delta_r2
from oddjets.core.kinematics import offsets_from

__all__ = ["MASSES", "NEEDED_BRANCHES", "matched_masses"]

#: PDG code: mass that Pythia generates, GeV
MASSES = {24: 80.4, 23: 91.2, 25: 125.0, 6: 172.5}
#: branches of PFNano that `matched_masses` takes
NEEDED_BRANCHES = (
    *(f"GenPart_{name}" for name in ("pdgId", "statusFlags", "genPartIdxMother", "eta", "phi")),
    *(f"FatJet_{name}" for name in ("pt", "eta", "phi", "msoftdrop")),
)
_LAST_COPY = 1 << 13
#: a jet of radius 0.8 holds what is this close to its axis
_RADIUS = 0.6


def matched_masses(events: ak.Array, pdg_id: int, min_pt: float = 450.0) -> npt.NDArray[np.float64]:
    """Return the soft-drop masses of jets that hold all quarks of one resonance.

    Args:
        events: with the branches of ``NEEDED_BRANCHES``.
        pdg_id: of the resonance: 6, 23, 24 or 25, without sign. A W from a top quark is a W.
        min_pt: of the jets, GeV.

    Returns:
        (jets) masses in GeV, of jets with all quarks of a hadronic decay within 0.6 of their axis.
    """
    particles, flags, jets = (
        tuple(ak.to_numpy(ak.flatten(events[f"{collection}_{name}"])) for name in names)
        for collection, names in (
            ("GenPart", ("pdgId", "genPartIdxMother", "eta", "phi")),
            ("GenPart", ("statusFlags",)),
            ("FatJet", ("pt", "eta", "phi", "msoftdrop")),
        )
    )
    last = (flags[0] & _LAST_COPY) > 0
    offsets = (_offsets(events.GenPart_pdgId), _offsets(events.FatJet_pt))
    return np.array(_matched(abs(pdg_id), min_pt, *offsets, last, *particles, *jets), np.float64)


def _offsets(lists: ak.Array) -> npt.NDArray[np.int64]:
    return offsets_from(ak.to_numpy(ak.num(lists)))


@numba.njit(cache=True)
def _matched(  # type: ignore[no-untyped-def]
    pdg_id, min_pt, offsets, jet_offsets, last, ids, mothers, eta, phi, jet_pt, jet_eta, jet_phi, jet_mass
):
    masses = []
    for event in range(len(offsets) - 1):
        first, end = offsets[event], offsets[event + 1]
        for k in range(first, end):
            if abs(ids[k]) != pdg_id or not last[k]:
                continue
            products = []
            hadronic = True
            for q in range(first, end):
                if abs(ids[q]) in (6, 23, 24, 25, 35):
                    continue
                m = mothers[q]
                while m >= 0 and first + m != k:
                    m = mothers[first + m]
                if m >= 0:
                    products.append(q)
                    hadronic = hadronic and abs(ids[q]) <= 5
            if len(products) < 2 or not hadronic:
                continue
            for j in range(jet_offsets[event], jet_offsets[event + 1]):
                farthest = 0.0
                for q in products:
                    farthest = max(farthest, delta_r2(eta[q], phi[q], jet_eta[j], jet_phi[j]))
                if jet_pt[j] > min_pt and farthest < _RADIUS**2:
                    masses.append(jet_mass[j])
    return masses
