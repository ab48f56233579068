"""The prongs of a jet, constituent by constituent: recursive soft drop."""

from __future__ import annotations

import fastjet
import numpy as np
import numpy.typing as npt

# its import silences fastjet's banner, which would go to standard output
from oddjets.core import substructure as _substructure  # noqa: F401
from oddjets.core.kinematics import pt_eta_phi

__all__ = ["LEAST_ANGLE", "MOST_PRONGS", "Z_CUT", "find_prongs"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: of soft drop, as for the groomed mass of CMS (beta = 0)
Z_CUT = 0.1
#: two prongs nearer than this in (rapidity, azimuth) count as one: within it, QCD splits in nearly every jet
LEAST_ANGLE = 0.1
#: as many as the classes of the model have
MOST_PRONGS = 4
#: larger than any distance, so that all constituents end in one jet
_ALL = 1000.0


def find_prongs(
    p: Floats, z_cut: float = Z_CUT, least_angle: float = LEAST_ANGLE, most_prongs: int = MOST_PRONGS
) -> Integers:
    """Find the prong that each constituent of a jet belongs to.

    Recursive soft drop (Dreyer, Necib, Soyez and Thaler, arXiv:1804.03657) with beta = 0: of all branches, that with the widest
    last Cambridge/Aachen merging is undone; where min(pT1, pT2) / (pT1 + pT2) > z_cut, both go on as branches, else the
    softer is dropped. It ends with ``most_prongs`` branches, or where no merging is wider than ``least_angle``. With
    two prongs at most these are those of `oddjets.core.substructure.soft_drop`, if they are so far apart.

    Args:
        p: (n, 4) px, py, pz, E of the constituents in GeV.
        z_cut: the momentum fraction that a prong needs.
        least_angle: distance in (rapidity, azimuth).
        most_prongs: how many prongs at most.

    Returns:
        (n,): 1 for constituents of the prong with the largest pT, 2 for the next, ...; 0 for those that were dropped.
    """
    labels = np.zeros(len(p), np.int64)
    if not len(p):
        return labels
    particles = []
    for place, momentum in enumerate(np.asarray(p, np.float64).tolist()):
        particles.append(fastjet.PseudoJet(*momentum))
        particles[-1].set_user_index(place)
    # the jets refer to it: it has to live as long as they do
    sequence = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.cambridge_algorithm, _ALL))
    branches = [_Branch(sequence.inclusive_jets()[0])]
    while len(branches) < most_prongs:
        widest = max(branches, key=lambda branch: branch.angle)
        if widest.angle <= least_angle:
            break
        branches.remove(widest)
        branches.append(_Branch(widest.harder))
        if widest.softer.pt() > z_cut * (widest.harder.pt() + widest.softer.pt()):
            branches.append(_Branch(widest.softer))
    members = [np.array([particle.user_index() for particle in branch.jet.constituents()]) for branch in branches]
    # a sum of their momenta, and not the branch's pT, so that the order is that of what is there
    pt = [float(pt_eta_phi(np.asarray(p, np.float64)[of].sum(axis=0, keepdims=True))[0][0]) for of in members]
    for number, place in enumerate(np.argsort(pt)[::-1], 1):
        labels[members[place]] = number
    return labels


class _Branch:
    """A branch of the history, and what its last merging joined."""

    def __init__(self, jet: fastjet.PseudoJet) -> None:
        first, second = fastjet.PseudoJet(), fastjet.PseudoJet()
        self.jet = jet
        #: of the last merging; below every limit for a single constituent
        self.angle = -1.0
        if jet.has_parents(first, second):
            self.angle = first.delta_R(second)
        self.harder, self.softer = (first, second) if first.pt() >= second.pt() else (second, first)
