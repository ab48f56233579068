"""Variations of the constituents of jets: the same change of all constituents of both jets of an event.

Random numbers depend on the event, the constituent's momentum and the variation alone: not on chunks, the order of
constituents, or how they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from oddjets.config.score_variations import ScoreVariations, TrackEfficiency
from oddjets.core.kinematics import delta_phi, momenta, offsets_from
from oddjets.core.substructure import n_subjettiness
from oddjets.corrections.jet_resolution import standard_normal
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents

__all__ = ["EventNumbers", "changed_jets", "in_dense_cores", "subjettiness", "varied_constituents"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: codes of electrons, muons and taus, whose scales and efficiencies other uncertainties are of
_LEPTONS = (11, 13, 15)
#: photons, and photons of the forward calorimeter, as CMS codes them
_PHOTONS = (22, 2)
#: how many N of tau_N files have
_MOST_AXES = 4


@dataclass(frozen=True)
class EventNumbers:
    """The identifiers of the events of jets, from which random numbers are made.

    Attributes:
        run, block, event: run, luminosity section and event of each jet, shape (n_jets,).
    """

    run: npt.NDArray[Any]
    block: npt.NDArray[Any]
    event: npt.NDArray[Any]


def varied_constituents(
    jets: JetConstituents, numbers: EventNumbers, section: ScoreVariations, name: str, sign: int
) -> JetConstituents:
    """Return jets with varied constituents; the jets' axes stay.

    * ``charged_scale``, ``neutral_scale``, ``photon_scale``: pT and mass, and so the energy, of the species times 1 +- size.
    * ``track_efficiency``: charged hadrons in dense cores (`in_dense_cores`) are dropped with the probability ``size``.
    * ``impact_parameters``: d0 and dz of candidates with a track are smeared by ``sqrt((1 + size)^2 - 1)`` of their errors,
      so that the resolution grows by 1 + size, and the errors are multiplied by 1 + size.
    * ``puppi_weights``: ln(w / (1 - w)) is shifted by +- size; weights of 0 and 1 stay.

    Args:
        jets: the nominal jets.
        numbers: of their events.
        section: sizes.
        name: of a variation that the section lists.
        sign: +1 for up, -1 for down; without a meaning for one-sided ones.

    Returns:
        The same object where the size is 0.
    """
    size = section.size_of(name)
    if size == 0:
        return jets
    if name in _SPECIES:
        factor = np.where(_SPECIES[name](jets), 1.0 + sign * size, 1.0)
        return replace(jets, pt=_scaled(jets.pt, factor), mass=_scaled(jets.mass, factor))
    if name == "track_efficiency":
        found = section.listed[name]
        assert isinstance(found, TrackEfficiency)
        lost = in_dense_cores(jets, found.radius) & (ndtr(_normal(jets, numbers, name)) < size)
        return _without(jets, lost)
    if name == "puppi_weights":
        w = np.asarray(jets.puppi_weight, np.float64)
        odds = w * np.exp(sign * size)
        return replace(jets, puppi_weight=(odds / (1 - w + odds)).astype(jets.puppi_weight.dtype))
    assert name == "impact_parameters"
    changed = {}
    for quantity in ("d0", "dz"):
        value, error = (np.asarray(getattr(jets, key), np.float64) for key in (quantity, f"{quantity}_error"))
        # a negative error stands for no track
        tracked = error > 0
        smeared = value + np.sqrt((1 + size) ** 2 - 1) * error * _normal(jets, numbers, quantity)
        for key, new, old in ((quantity, smeared, value), (f"{quantity}_error", (1 + size) * error, error)):
            changed[key] = np.where(tracked, new, old).astype(getattr(jets, key).dtype)
    return replace(jets, **changed)


def in_dense_cores(jets: JetConstituents, radius: float) -> Mask:
    """Return which constituents are charged hadrons with a harder charged constituent of their jet near them.

    Args:
        jets: the jets. Constituents of PUPPI weight 0 count: their tracks are there.
        radius: the largest distance in (eta, phi).

    Returns:
        Shape (n_constituents,).
    """
    dense = np.zeros(len(jets.pt), np.bool_)
    charged = np.asarray(jets.charge) != 0
    for first, last in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        rows = first + np.flatnonzero(charged[first:last])
        pt, eta, phi = (np.asarray(values, np.float64)[rows] for values in (jets.pt, jets.eta, jets.phi))
        distance = np.hypot(eta[:, None] - eta, delta_phi(phi[:, None], phi))
        dense[rows] = ((distance < radius) & (pt > pt[:, None])).any(axis=1)
    return dense & _charged_hadrons(jets)


def changed_jets(jets: JetConstituents, varied: JetConstituents) -> int:
    """Return how many jets have another number of constituents, or other constituents, than before."""
    if varied is jets:
        return 0
    counts, new = np.diff(jets.offsets), np.diff(varied.offsets)
    different = counts != new
    owner = np.repeat(np.arange(jets.n_jets), counts)
    kept, kept_new = ~different[owner], ~different[np.repeat(np.arange(jets.n_jets), new)]
    for name in CANDIDATE_BRANCHES:
        unequal = getattr(jets, name)[kept] != getattr(varied, name)[kept_new]
        different[owner[kept][unequal]] = True
    return int(np.count_nonzero(different))


def subjettiness(jets: JetConstituents) -> Floats:
    """Return tau_1 to tau_4 of the constituents with their PUPPI weights, as CMS computes them, shape (n_jets, 4)."""
    weight = np.asarray(jets.puppi_weight, np.float64)
    used = weight * np.asarray(jets.pt, np.float64) > 0
    pt, eta, phi, mass, weight = (
        np.asarray(values, np.float64)[used] for values in (jets.pt, jets.eta, jets.phi, jets.mass, weight)
    )
    offsets = offsets_from(used)[jets.offsets]
    return n_subjettiness(momenta(pt * weight, eta, phi, mass * weight), offsets, _MOST_AXES)


def _codes(jets: JetConstituents) -> npt.NDArray[np.int64]:
    # 8 bits have no room for the absolute value of the lowest number
    return np.abs(np.asarray(jets.pdg_id).astype(np.int64))


def _charged_hadrons(jets: JetConstituents) -> Mask:
    return np.asarray((jets.charge != 0) & ~np.isin(_codes(jets), _LEPTONS))


def _photons(jets: JetConstituents) -> Mask:
    return np.isin(_codes(jets), _PHOTONS)


def _neutral_hadrons(jets: JetConstituents) -> Mask:
    return np.asarray((jets.charge == 0) & ~_photons(jets))


_SPECIES: Mapping[str, Callable[[JetConstituents], Mask]] = MappingProxyType(
    {"charged_scale": _charged_hadrons, "neutral_scale": _neutral_hadrons, "photon_scale": _photons}
)


def _scaled(values: npt.NDArray[Any], factor: Floats) -> npt.NDArray[Any]:
    return (np.asarray(values, np.float64) * factor).astype(values.dtype)


def _normal(jets: JetConstituents, numbers: EventNumbers, stream: str) -> Floats:
    """Return a standard normal number for each constituent."""
    owner = np.repeat(np.arange(jets.n_jets), np.diff(jets.offsets))
    # the bits of the momentum stand for the constituent: its place depends on how constituents were found
    pt, eta, phi = (
        np.asarray(values, np.float32).view(np.uint32).astype(np.uint64) for values in (jets.pt, jets.eta, jets.phi)
    )
    constituent = (pt << np.uint64(32)) ^ eta ^ (phi << np.uint64(16))
    run, block, event = (np.asarray(values)[owner] for values in (numbers.run, numbers.block, numbers.event))
    return standard_normal(run, block, event, constituent, f"constituents: {stream}")


def _without(jets: JetConstituents, dropped: Mask) -> JetConstituents:
    kept = ~dropped
    return replace(
        jets,
        offsets=offsets_from(kept)[jets.offsets],
        **{name: getattr(jets, name)[kept] for name in CANDIDATE_BRANCHES},
    )
