"""The constituents of stored AK8 jets in files without an index: jets clustered again and matched.

CMS makes its AK8 jets from all PF candidates, each momentum times its PUPPI weight. The same is done here, so that the
jets come out again but for the rounding of the stored momenta; jet energy corrections move pT, not the axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_r, momenta, offsets_from, pt_eta_phi
from oddjets.core.substructure import ClusteredJets, cluster_jets
from oddjets.scoring.inputs import ConstituentIndex

__all__ = ["MATCH_RADIUS", "MIN_PT", "RADIUS", "FlatCandidates", "constituents_of", "match", "recluster"]

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]

#: of the AK8 jets
RADIUS = 0.8
#: GeV, uncorrected; NanoAOD stores AK8 jets above 170 GeV, corrected
MIN_PT = 100.0
#: a clustered jet farther than this from a stored one is another jet; half the radius, as usual
MATCH_RADIUS = 0.4


class FlatCandidates(NamedTuple):
    """PF candidates of some events, flat; momenta in GeV, before the PUPPI weights.

    Attributes:
        offsets: where each event's candidates begin and end, shape (events + 1,); the others (candidates,).
    """

    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats
    puppi_weight: Floats
    offsets: Integers

    def usable(self) -> Integers:
        """Return the positions of candidates of positive weight and pT whose momentum is finite."""
        # where pT is stored with the weight (NanoAODv15), pileup has a pT of 0 and no direction that fastjet could use
        momentum = np.stack([self.pt, self.eta, self.phi, self.mass, self.puppi_weight])
        return np.flatnonzero((self.puppi_weight > 0) & (self.pt > 0) & np.isfinite(momentum).all(axis=0))


def recluster(candidates: FlatCandidates) -> ClusteredJets:
    """Cluster AK8 jets from PUPPI-weighted candidates.

    Returns:
        The jets above `MIN_PT`; ``constituents`` are positions in the given candidates.
    """
    used = candidates.usable()
    pt, eta, phi, mass, weight = (column[used] for column in candidates[:5])
    # the weight scales the whole four-momentum
    p = momenta(pt, eta, phi, mass) * np.asarray(weight, np.float64)[:, None]
    jets = cluster_jets(p, np.searchsorted(used, candidates.offsets), RADIUS, MIN_PT)
    return jets._replace(constituents=used[jets.constituents])


def match(jets: ClusteredJets, eta: Floats, phi: Floats, offsets: Integers) -> Integers:
    """Match stored jets to clustered ones, one to one: the closest two first.

    Args:
        jets: the clustered jets.
        eta: pseudorapidities of the stored jets, (stored,).
        phi: azimuths of the stored jets, (stored,).
        offsets: where each event's stored jets begin and end, (events + 1,).

    Returns:
        The row of the clustered jet of each stored one, (stored,); -1 where none is within `MATCH_RADIUS`.
    """
    matched = np.full(len(eta), -1, np.int64)
    _, jet_eta, jet_phi = pt_eta_phi(jets.momenta)
    for event in range(len(offsets) - 1):
        stored = slice(offsets[event], offsets[event + 1])
        clustered = slice(jets.event_offsets[event], jets.event_offsets[event + 1])
        distance = delta_r(eta[stored, None], phi[stored, None], jet_eta[clustered], jet_phi[clustered])
        while distance.size and distance.min() < MATCH_RADIUS:
            i, j = np.unravel_index(distance.argmin(), distance.shape)
            matched[stored.start + i] = clustered.start + j
            distance[i, :] = distance[:, j] = np.inf
    return matched


def constituents_of(
    candidates: FlatCandidates, eta: Floats, phi: Floats, offsets: Integers, events: Integers, places: Integers
) -> tuple[ConstituentIndex, int]:
    """Find the constituents of stored jets without an index: of the matched clustered jet.

    A jet without a match gets the candidates within the radius around its axis.

    Args:
        candidates: of the events.
        eta: pseudorapidities of all stored jets of the events, flat.
        phi: azimuths of all stored jets of the events, flat.
        offsets: where each event's stored jets begin and end, (events + 1,).
        events: the wanted jets' events, (jets,).
        places: the wanted jets' places in their events, (jets,).

    Returns:
        Positions in the candidates; and how many of the wanted jets had no match.
    """
    jets = recluster(candidates)
    stored = offsets[events] + places
    matched = match(jets, np.asarray(eta, np.float64), np.asarray(phi, np.float64), offsets)[stored]
    used = candidates.usable()
    used_offsets = np.searchsorted(used, candidates.offsets)
    parts = []
    for jet, row, event in zip(matched, stored, events, strict=True):
        if jet >= 0:
            parts.append(jets.constituents[jets.constituent_offsets[jet] : jets.constituent_offsets[jet + 1]])
        else:
            near = used[used_offsets[event] : used_offsets[event + 1]]
            distance = delta_r(eta[row], phi[row], candidates.eta[near], candidates.phi[near])
            parts.append(near[distance < RADIUS])
    counts = np.array([len(part) for part in parts], np.int64)
    index = ConstituentIndex(np.concatenate([np.empty(0, np.int64), *parts]), offsets_from(counts))
    return index, int(np.count_nonzero(matched < 0))
