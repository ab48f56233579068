"""The prongs of a jet, and which of its constituents belong to each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import fastjet
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_phi

__all__ = ["LEAST_SHARE", "MIN_DISTANCE", "MOST_PRONGS", "NO_PRONG", "RADIUS", "Z_CUT", "Prongs", "find_prongs"]

#: of soft drop with beta = 0, as CMS has it for the masses of AK8 jets
Z_CUT, RADIUS = 0.1, 0.8
#: subjets nearer to each other than this are one prong, unless soft drop itself stops there
MIN_DISTANCE = 0.2
#: a part with less of the soft-dropped jet's pT is no prong of its own
LEAST_SHARE = 0.05
#: as many as the classes of the models have
MOST_PRONGS = 4
#: of a constituent that soft drop removes
NO_PRONG = -1

Floats = npt.NDArray[np.float64]

#: a radius in which everything is one jet
_ALL = 1000.0

# fastjet (arXiv:1111.6097) would print a banner to standard output, which belongs to data
fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)


class Prongs(NamedTuple):
    """The prongs of a jet, by falling pT.

    Attributes:
        members: number of each constituent's prong, `NO_PRONG` for those that are groomed away, (constituents,).
        momenta: px, py, pz, E of the prongs in GeV, (prongs, 4); their sum is that of the soft-dropped jet.
    """

    members: npt.NDArray[np.int8]
    momenta: Floats


def find_prongs(p: Floats, *, z_cut: float = Z_CUT, most: int = MOST_PRONGS) -> Prongs:
    """Find the prongs of a jet by soft drop (beta = 0), and by declustering what it leaves.

    The Cambridge/Aachen history is undone until a splitting passes min(pT1, pT2) / (pT1 + pT2) > z_cut (Larkoski et al.,
    arXiv:1402.2657). Then subjets are split further, at the largest angle first as in recursive soft drop (Dreyer et al.,
    arXiv:1804.03657), where both parts pass the same condition, are at least `MIN_DISTANCE` apart and have `LEAST_SHARE` of the
    jet's pT. After the first splitting nothing is removed: soft parts stay with the harder prong, so that the prongs add up to
    the soft-dropped jet.

    Args:
        p: px, py, pz, E of the constituents in GeV, (constituents, 4); each has a transverse momentum.
        z_cut: the share of momentum that a prong needs.
        most: the largest number of prongs.

    Returns:
        The prongs; one if no splitting passes, none of a jet without constituents.
    """
    if len(p) == 0:
        return Prongs(np.empty(0, np.int8), np.empty((0, 4)))
    particles = []
    for number, momentum in enumerate(np.asarray(p, np.float64).tolist()):
        particle = fastjet.PseudoJet(*momentum)
        particle.set_user_index(number)
        particles.append(particle)
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, _ALL)
    history = fastjet.ClusterSequence(particles, definition)
    jet = max(history.inclusive_jets(), key=lambda found: found.pt())
    first = next(_splittings(jet, z_cut, 0.0, 0.0), None)
    if first is None:
        # nothing passes: all the way down the harder branch, as soft drop goes
        return _numbered([_hardest_line(jet)[-1]], [], len(p))
    least_pt = LEAST_SHARE * math.hypot(first.hard.px() + first.soft.px(), first.hard.py() + first.soft.py())
    prongs: list[_Prong] = [_Prong(first.hard, []), _Prong(first.soft, [])]
    while len(prongs) < most:
        choices = [(prong, split) for prong in prongs if (split := _next_splitting(prong, z_cut, least_pt)) is not None]
        if not choices:
            break
        prong, split = max(choices, key=lambda choice: choice[1].angle)
        place = prongs.index(prong)
        prongs[place : place + 1] = [_Prong(split.hard, [*prong.kept, *split.dropped]), _Prong(split.soft, [])]
    return _numbered([prong.jet for prong in prongs], [prong.kept for prong in prongs], len(p))


class _Prong(NamedTuple):
    """A subjet, and the soft parts that stay with it."""

    jet: Any
    kept: list[Any]


class _Splitting(NamedTuple):
    """A splitting that passes, and the softer parts on the way to it."""

    hard: Any
    soft: Any
    angle: float
    dropped: list[Any]


def _next_splitting(prong: _Prong, z_cut: float, least_pt: float) -> _Splitting | None:
    return next(_splittings(prong.jet, z_cut, MIN_DISTANCE, least_pt), None)


def _parents(jet: Any) -> tuple[Any, Any] | None:
    """Return what a jet was merged of, the harder first; None of a constituent."""
    one, other = fastjet.PseudoJet(), fastjet.PseudoJet()
    if not jet.has_parents(one, other):
        return None
    return (one, other) if one.pt2() >= other.pt2() else (other, one)


def _hardest_line(jet: Any) -> list[Any]:
    line = [jet]
    while (parents := _parents(line[-1])) is not None:
        line.append(parents[0])
    return line


def _splittings(jet: Any, z_cut: float, least_angle: float, least_pt: float) -> Iterator[_Splitting]:
    """Yield the splittings along the harder branch that pass, from the last merging on."""
    dropped: list[Any] = []
    while (parents := _parents(jet)) is not None:
        hard, soft = parents
        angle = math.hypot(hard.rap() - soft.rap(), delta_phi(hard.phi(), soft.phi()))
        passes = soft.pt() > z_cut * (hard.pt() + soft.pt()) and soft.pt() >= least_pt
        if passes and angle >= least_angle:
            yield _Splitting(hard, soft, angle, [*dropped])
        dropped.append(soft)
        jet = hard


def _numbered(jets: list[Any], kept: list[list[Any]], size: int) -> Prongs:
    """Return the prongs by falling pT, with the numbers of their constituents."""
    members = np.full(size, NO_PRONG, np.int8)
    found = []
    for place, jet in enumerate(jets):
        parts = [jet, *(kept[place] if kept else ())]
        numbers = [
            c.user_index() for part in parts for c in (part.constituents() if part.has_constituents() else [part])
        ]
        momentum = np.sum([[q.px(), q.py(), q.pz(), q.E()] for q in parts], axis=0)
        found.append((float(np.hypot(momentum[0], momentum[1])), numbers, momentum))
    found.sort(key=lambda prong: -prong[0])
    for number, (_, constituents, _) in enumerate(found):
        members[constituents] = number
    return Prongs(members, np.array([momentum for _, _, momentum in found]).reshape(-1, 4))
