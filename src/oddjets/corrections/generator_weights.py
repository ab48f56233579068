"""Weights that the generator knows: parton showers, scales of the matrix element, top quarks' pT.

A sample without these weights stores a single 1.0 or nothing; it then has no such variation, which `weight_of` says by None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.io import nanoaod_schema
from oddjets.io.nanoaod_schema import SCALES, SHOWER

__all__ = ["NAMES", "scale_weight", "shower_weight", "top_pt_weight", "weight_of"]

Array = npt.NDArray[np.float64]

_NOMINAL_OF_9 = 4
_IS_LAST_COPY = 1 << 13  # of GenPart_statusFlags


def _table(weights: Any, lengths: tuple[int, ...]) -> Array | None:
    """Return jagged weights as (events, n), n the same for all events; None unless n is one of ``lengths``."""
    counts = np.unique(np.asarray(ak.num(weights, axis=1)))
    if len(counts) != 1 or int(counts[0]) not in lengths:
        return None
    return np.asarray(ak.flatten(weights, axis=1), dtype=np.float64).reshape(-1, int(counts[0]))


def shower_weight(weights: Any, variation: str) -> Array | None:
    """Return the relative weight of a parton shower's variation.

    Args:
        weights: the branch PSWeight, jagged: ISR up, FSR up, ISR down, FSR down, each relative to nominal.
        variation: ``isrUp``, ``isrDown``, ``fsrUp`` or ``fsrDown``.

    Returns:
        Shape (events,); None where the sample has no such weights.
    """
    table = _table(weights, (4,))
    return None if table is None else table[:, SHOWER[variation]]


def scale_weight(weights: Any, member: int) -> Array | None:
    """Return the relative weight of one of six choices of the renormalisation and factorisation scales.

    Args:
        weights: the branch LHEScaleWeight, jagged, 9 or 8 entries an event.
        member: 0 to 5.

    Returns:
        Shape (events,); None where the sample has no such weights.
    """
    table = _table(weights, tuple(SCALES))
    if table is None:
        return None
    entries = table.shape[1]
    varied = table[:, SCALES[entries][member]]
    if entries == 8:
        return varied
    nominal = table[:, _NOMINAL_OF_9]
    return np.divide(varied, nominal, out=np.ones_like(varied), where=nominal != 0)


def top_pt_weight(pdg_id: Any, status_flags: Any, pt: Any) -> Array | None:
    """Return the weight that brings the pT of top quarks from POWHEG + Pythia 8 to data.

    sqrt(w(t) w(tbar)) with w = 0.103 exp(-0.0118 pT) - 0.000134 pT + 0.973, pT in GeV of the last copies: CMS TOP PAG,
    NNLO QCD + NLO EW over POWHEG.

    Args:
        pdg_id: GenPart_pdgId, jagged; so are the others.
        status_flags: GenPart_statusFlags.
        pt: GenPart_pt, GeV.

    Returns:
        Shape (events,), 1 where an event has no pair of top quarks; None where no event has one.
    """
    last = (status_flags & _IS_LAST_COPY) != 0
    weight, pair = np.ones(len(pt)), np.ones(len(pt), dtype=bool)
    for code in (6, -6):
        momenta = pt[last & (pdg_id == code)]
        one = np.asarray(ak.num(momenta, axis=1)) == 1
        p = np.asarray(ak.fill_none(ak.firsts(momenta), 0.0), dtype=np.float64)
        weight *= 0.103 * np.exp(-0.0118 * p) - 0.000134 * p + 0.973
        pair &= one
    return np.where(pair, np.sqrt(np.maximum(weight, 0.0)), 1.0) if pair.any() else None


def _shower(name: str) -> Callable[[Any, npt.NDArray[np.int64], str], Array | None]:
    def weight(events: Any, rows: npt.NDArray[np.int64], direction: str) -> Array | None:
        if not nanoaod_schema.has(events, ["PSWeight"]):
            return None
        return shower_weight(events["PSWeight"][rows], name + direction)

    return weight


def _scale(events: Any, rows: npt.NDArray[np.int64], direction: str) -> Array | None:
    if not nanoaod_schema.has(events, ["LHEScaleWeight"]):
        return None
    return scale_weight(events["LHEScaleWeight"][rows], int(direction))


def _top_pt(events: Any, rows: npt.NDArray[np.int64], direction: str) -> Array | None:
    if not nanoaod_schema.has(events, ["GenPart_pdgId", "GenPart_statusFlags", "GenPart_pt"]):
        return None
    particles = events["GenPart"]
    up = top_pt_weight(*(particles[name][rows] for name in ("pdgId", "statusFlags", "pt")))
    if up is None:
        return None
    # nominal is not weighted; down mirrors up (our choice)
    return up if direction == "Up" else 2 - up


#: systematic to what computes its weights
NAMES: dict[str, Callable[[Any, npt.NDArray[np.int64], str], Array | None]] = {
    "isr": _shower("isr"),
    "fsr": _shower("fsr"),
    "scale": _scale,
    "toppt": _top_pt,
}


def weight_of(systematic: str, direction: str, events: Any, rows: npt.NDArray[np.int64]) -> Array | None:
    """Return what multiplies the nominal weight under a variation of the generator.

    Args:
        systematic: one of `NAMES`.
        direction: ``Up``, ``Down``, or the number of an envelope's member.
        events: a chunk.
        rows: which of its events.

    Returns:
        Shape (rows,); None where the sample has no such weights.
    """
    return NAMES[systematic](events, rows, direction)
