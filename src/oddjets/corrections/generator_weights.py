"""Weights of the generator: parton-shower variations, matrix-element scales, top-quark pT.

Whether an event has them is decided event by event: one without them is as nominal under the variation, and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import offsets_from
from oddjets.io import nanoaod_schema
from oddjets.io.weight_order import LENGTHS_WITHOUT_WEIGHTS, order_of

__all__ = ["GENERATOR_SYSTEMATICS", "RelativeWeights", "scale_weight", "shower_weight", "top_pt_weight", "weight_of"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: part of the largest varied weight below which a nominal one is none; varied scales move a weight by factors of a few
NEGLIGIBLE = 1e-6
_IS_LAST_COPY = 1 << 13  # of GenPart_statusFlags


class RelativeWeights(NamedTuple):
    """The factors on the nominal weight of events under a variation.

    Attributes:
        values: shape (events,); 1 where an event has no such weight.
        present: which events have one, shape (events,).
        anomalies: events whose lists are odd, counted (`oddjets.selection.input_anomalies`, after the systematic's name).
    """

    values: Array
    present: Mask
    anomalies: Counter[str]


def _unit_weights(events: int) -> RelativeWeights:
    return RelativeWeights(np.ones(events), np.zeros(events, dtype=bool), Counter())


def _entry(weights: Any, branch: str, title: str, variation: str, generator: Any = None) -> RelativeWeights:
    """Take each event's entry for a variation, where the length of its list and the title tell which one it is.

    Relative to a nominal entry that is next to nothing beside the others, or of a sign that the event's weight does not
    have, an entry says nothing: such an event is one without.
    """
    counts = np.asarray(ak.num(weights, axis=1), dtype=np.int64)
    offsets, flat = offsets_from(counts)[:-1], np.asarray(ak.flatten(weights, axis=1), dtype=np.float64)
    found = _unit_weights(len(counts))
    for length in np.unique(counts):
        rows = np.flatnonzero(counts == length)
        order = order_of(branch, int(length), title)
        if order is None:
            if length not in LENGTHS_WITHOUT_WEIGHTS:
                found.anomalies[f"of_{length}_weights"] += len(rows)
            continue
        if not order.usual:
            found.anomalies["in_another_order"] += len(rows)
        varied = flat[offsets[rows] + order.positions[variation]]
        if order.nominal is None:
            found.values[rows], found.present[rows] = varied, True
            continue
        nominal = flat[offsets[rows] + order.nominal]
        members = np.abs(flat[offsets[rows][:, None] + np.array(list(order.positions.values()))])
        largest = np.where(np.isfinite(members), members, 0.0).max(axis=1)
        negative = np.zeros(len(rows), dtype=bool) if generator is None else np.asarray(generator)[rows] < 0
        # a nominal entry that is no number is the error of one, and no event without
        usable = ~(np.abs(nominal) < NEGLIGIBLE * largest) & (nominal != 0) & ~((nominal < 0) & ~negative)
        finite = np.isfinite(nominal)
        ratio = np.divide(varied, nominal, out=np.full_like(varied, np.nan), where=finite & usable)
        found.values[rows] = np.where(usable | ~finite, ratio, 1.0)
        found.present[rows] = usable
    return found


def shower_weight(weights: Any, variation: str, title: str = "") -> RelativeWeights:
    """Return the relative weight of a parton shower's variation.

    Args:
        weights: the branch PSWeight, jagged, each entry relative to nominal.
        variation: ``isrUp``, ``isrDown``, ``fsrUp`` or ``fsrDown``.
        title: of the branch; states the entries, see `oddjets.io.weight_order`.
    """
    return _entry(weights, "PSWeight", title, variation)


def scale_weight(weights: Any, member: int, title: str = "", generator: Any = None) -> RelativeWeights:
    """Return the relative weight of one of six choices of the renormalisation and factorisation scales.

    Args:
        weights: the branch LHEScaleWeight, jagged.
        member: 0 to 5.
        title: of the branch; states the entries, see `oddjets.io.weight_order`.
        generator: the events' genWeight, shape (events,): where it is negative, so may the nominal entry be.
    """
    return _entry(weights, "LHEScaleWeight", title, f"scale{member}", generator)


def top_pt_weight(pdg_id: Any, status_flags: Any, pt: Any) -> RelativeWeights:
    """Return the weight that brings the pT of top quarks from POWHEG + Pythia 8 to data.

    sqrt(w(t) w(tbar)) with w = 0.103 exp(-0.0118 pT) - 0.000134 pT + 0.973, pT in GeV of the last copies: CMS TOP PAG,
    NNLO QCD + NLO EW over POWHEG.

    Args:
        pdg_id: GenPart_pdgId, jagged; so are the others.
        status_flags: GenPart_statusFlags.
        pt: GenPart_pt, GeV.

    Returns:
        Present where an event has a pair of top quarks.
    """
    last = (status_flags & _IS_LAST_COPY) != 0
    weight, pair = np.ones(len(pt)), np.ones(len(pt), dtype=bool)
    for code in (6, -6):
        momenta = pt[last & (pdg_id == code)]
        one = np.asarray(ak.num(momenta, axis=1)) == 1
        p = np.asarray(ak.fill_none(ak.firsts(momenta), 0.0), dtype=np.float64)
        weight *= 0.103 * np.exp(-0.0118 * p) - 0.000134 * p + 0.973
        pair &= one
    return RelativeWeights(np.where(pair, np.sqrt(np.maximum(weight, 0.0)), 1.0), pair, Counter())


def _shower(name: str) -> Callable[[Any, npt.NDArray[np.int64], str], RelativeWeights]:
    def weight(events: Any, rows: npt.NDArray[np.int64], direction: str) -> RelativeWeights:
        if not nanoaod_schema.has(events, ["PSWeight"]):
            return _unit_weights(len(rows))
        title = nanoaod_schema.title_of(events, "PSWeight")
        return shower_weight(events["PSWeight"][rows], name + direction, title)

    return weight


def _scale(events: Any, rows: npt.NDArray[np.int64], direction: str) -> RelativeWeights:
    if not nanoaod_schema.has(events, ["LHEScaleWeight"]):
        return _unit_weights(len(rows))
    title = nanoaod_schema.title_of(events, "LHEScaleWeight")
    return scale_weight(events["LHEScaleWeight"][rows], int(direction), title, events["genWeight"][rows])


def _top_pt(events: Any, rows: npt.NDArray[np.int64], direction: str) -> RelativeWeights:
    if not nanoaod_schema.has(events, ["GenPart_pdgId", "GenPart_statusFlags", "GenPart_pt"]):
        return _unit_weights(len(rows))
    particles = events["GenPart"]
    flags = nanoaod_schema.bits(events, "GenPart_statusFlags", particles["statusFlags"][rows])
    up = top_pt_weight(particles["pdgId"][rows], flags, particles["pt"][rows])
    # nominal is not weighted; down mirrors up (our choice)
    return up if direction == "Up" else up._replace(values=2 - up.values)


#: systematic to what computes its weights
GENERATOR_SYSTEMATICS: dict[str, Callable[[Any, npt.NDArray[np.int64], str], RelativeWeights]] = {
    "isr": _shower("isr"),
    "fsr": _shower("fsr"),
    "scale": _scale,
    "toppt": _top_pt,
}


def weight_of(systematic: str, direction: str, events: Any, rows: npt.NDArray[np.int64]) -> RelativeWeights:
    """Return the factors on the nominal weight under a variation of the generator.

    Args:
        systematic: one of `GENERATOR_SYSTEMATICS`.
        direction: ``Up``, ``Down``, or the number of an envelope's member.
        events: a chunk.
        rows: which of its events.
    """
    return GENERATOR_SYSTEMATICS[systematic](events, rows, direction)
