"""The order of the entries of PSWeight and LHEScaleWeight: from the branch's title, else CMS's usual order.

NanoAOD documents the entries in the title of the branch, ``[0] is ISR=2 FSR=1; ...`` or ``[0] is renscfact=0.5d0
facscfact=0.5d0 ; ...``. What is written here of lengths and orders is what CMSSW's `GenWeightsTableProducer` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["BRANCHES", "LENGTHS_WITHOUT_WEIGHTS", "WeightOrder", "order_of"]

#: those whose title matters
BRANCHES = ("PSWeight", "LHEScaleWeight")

#: lengths that say that there are no weights: nothing, or a single 1
LENGTHS_WITHOUT_WEIGHTS = (0, 1)

#: the usual four of PSWeight
_SHOWER = {"isrUp": 0, "fsrUp": 1, "isrDown": 2, "fsrDown": 3}
#: factors of (ISR, FSR) in a title -> variation
_SHOWER_FACTORS = {(2.0, 1.0): "isrUp", (1.0, 2.0): "fsrUp", (0.5, 1.0): "isrDown", (1.0, 0.5): "fsrDown"}
#: factors of (renormalisation, factorisation) scale of the members; the two where the scales move apart are left out
_MEMBERS = ((0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0))
_NOMINAL = (1.0, 1.0)
_NINE = tuple((r, f) for r in (0.5, 1.0, 2.0) for f in (0.5, 1.0, 2.0))
#: the usual orders of LHEScaleWeight by length; with 8 entries the nominal one is not stored
_SCALES = {9: _NINE, 8: tuple(pair for pair in _NINE if pair != _NOMINAL)}
#: where all weights of a shower with three sets of variations are kept, the first four are the reduced ones (factors of
#: sqrt 2), and the usual four come next
_ALL_SHOWER = {name: 4 + place for name, place in _SHOWER.items()}
_ALL_SHOWER_LENGTH, _ALL_SHOWER_TITLE = 12, "All PS weights"

_NUMBER = r"""\s*=\s*["']?([\d.]+(?:[deDE][+-]?\d+)?)"""
_ISR, _FSR = (re.compile(rf"\b{kind}(?:[.:]murfac)?{_NUMBER}", re.IGNORECASE) for kind in ("isr", "fsr"))
_MU_R = re.compile(rf"\b(?:mu_?r|renscfact){_NUMBER}", re.IGNORECASE)
_MU_F = re.compile(rf"\b(?:mu_?f|facscfact){_NUMBER}", re.IGNORECASE)


class WeightOrder(NamedTuple):
    """The positions of the variations in a list of weights.

    Attributes:
        positions: variation (``isrUp``, ``scale0``) to its entry.
        nominal: the entry that the others are divided by; None: they are relative to nominal already.
        usual: False where the title states another order than CMS's usual one for this length.
    """

    positions: Mapping[str, int]
    nominal: int | None = None
    usual: bool = True


def order_of(branch: str, length: int, title: str = "") -> WeightOrder | None:
    """Return where the variations are in an event's list of weights.

    Args:
        branch: ``PSWeight`` or ``LHEScaleWeight``.
        length: entries of the list.
        title: the branch's title in the file; what names no entries says nothing.

    Returns:
        None where there are no weights (`LENGTHS_WITHOUT_WEIGHTS`), or where neither the title nor a usual order identifies
        the entries.
    """
    if length in LENGTHS_WITHOUT_WEIGHTS:
        return None
    return _shower(length, title) if branch == "PSWeight" else _scales(length, title)


def _shower(length: int, title: str) -> WeightOrder | None:
    stated = {
        place: variation
        for place, factors in _factors(title, _ISR, _FSR, otherwise=1.0).items()
        if (variation := _SHOWER_FACTORS.get(factors)) is not None
    }
    if stated and max(stated) < length:
        found = {variation: place for place, variation in reversed(stated.items())}
        if len(found) == len(_SHOWER):
            return WeightOrder(found, usual=length != len(_SHOWER) or found == _SHOWER)
        if any(_SHOWER[variation] != place for place, variation in stated.items()):
            return None
    if length == _ALL_SHOWER_LENGTH and _ALL_SHOWER_TITLE in title:
        return WeightOrder(_ALL_SHOWER)
    return WeightOrder(_SHOWER) if length == len(_SHOWER) else None


def _scales(length: int, title: str) -> WeightOrder | None:
    stated = _factors(title, _MU_R, _MU_F)
    usual = _SCALES.get(length)
    if stated and max(stated) < length:
        order = _scales_at(stated)
        if order is not None:
            return order._replace(usual=usual is None or order.positions == _usual_scales(usual).positions)
        if usual is None or any(usual[place] != pair for place, pair in stated.items()):
            return None
    return None if usual is None else _usual_scales(usual)


def _usual_scales(pairs: tuple[tuple[float, float], ...]) -> WeightOrder:
    order = _scales_at(dict(enumerate(pairs)))
    assert order is not None
    return order


def _scales_at(pairs: Mapping[int, tuple[float, float]]) -> WeightOrder | None:
    """Return the order that these entries have; None if a member is not among them.

    A pair that is there several times stands for other choices of what the scale is, or other PDFs, and the first one is the
    default (CMSSW sorts by pair, then by number). If nominal is there once less than a member, it is its default that is
    not stored, as with 8 entries: weights are relative to it already.
    """
    first = {pair: place for place, pair in sorted(pairs.items(), reverse=True)}
    if not set(_MEMBERS) <= set(first):
        return None
    times = Counter(pairs.values())
    nominal = first.get(_NOMINAL) if times[_NOMINAL] >= times[_MEMBERS[0]] else None
    return WeightOrder({f"scale{i}": first[pair] for i, pair in enumerate(_MEMBERS)}, nominal)


def _factors(
    title: str, one: re.Pattern[str], other: re.Pattern[str], otherwise: float | None = None
) -> dict[int, tuple[float, float]]:
    """Return entry to the two factors that a title states of it; ``otherwise``: of the one that it leaves out."""
    parts = re.split(r"\[(\d+)\]", title)
    found = {}
    for place, text in zip(parts[1::2], parts[2::2], strict=True):
        values = [_number(match[1]) if (match := name.search(text)) else None for name in (one, other)]
        if values == [None, None]:
            continue
        first, second = (otherwise if value is None else value for value in values)
        if first is not None and second is not None:
            found[int(place)] = (first, second)
    return found


def _number(text: str) -> float | None:
    """Read a number that Fortran may have written: ``0.5d0``."""
    try:
        return float(re.sub("[dD]", "e", text))
    except ValueError:
        return None
