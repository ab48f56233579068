"""Single jets by period of running and by place: the numbers of all of them, and samples as the other inspections read them.

Rows of a table of single jets are no independent numbers: an event has up to five of them. So a sample has one row an event,
with its hardest jets as jet 1 and jet 2, and what is permuted or turned about the beam is events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.inspection.by_run import MOST_GROUPS
from oddjets.io.nanoaod_schema import IDENTITY

__all__ = ["JetsByRun", "RunPeriod", "as_events", "in_sample"]

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]

#: of the hash that samples events: the multipliers of splitmix64 (S. Vigna, public domain)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class RunPeriod:
    """Neighbouring runs, and the jets of them.

    Attributes:
        first: the first of these runs with a jet.
        last: the last one.
        jets: all jets.
        odd: those with the highest scores.
        inside: of these, those whose mass is in the window.
        mean_mass: of all jets, GeV.
        mean_mass_odd: of the odd jets, GeV; None: there are none.
        error_odd: of that mean, GeV; None: there are fewer than two.
        luminosity_pb: of the sections that were read, /pb; None: it is not known.
    """

    first: int
    last: int
    jets: int
    odd: int
    inside: int
    mean_mass: float
    mean_mass_odd: float | None
    error_odd: float | None
    luminosity_pb: float | None


class JetsByRun:
    """Numbers and masses of jets by run, added up piece by piece."""

    #: columns of the sums
    _JETS, _ODD, _INSIDE, _MASS, _ODD_MASS, _ODD_SQUARES = range(6)

    def __init__(self) -> None:
        self._sums: dict[int, npt.NDArray[np.float64]] = {}

    def add(self, run: Array, mass: Array, odd: Array, inside: Array) -> None:
        """Add jets.

        Args:
            run: shape (n,).
            mass: GeV, shape (n,).
            odd: which have a high score, shape (n,).
            inside: which of these are in the window, shape (n,).
        """
        runs, place = np.unique(np.asarray(run, np.int64), return_inverse=True)
        mass = np.asarray(mass, np.float64)
        parts = [np.ones(len(mass)), odd, inside, mass, odd * mass, odd * mass**2]
        sums = np.stack([np.bincount(place, weights=part, minlength=len(runs)) for part in parts], axis=1)
        for number, found in zip(runs.tolist(), sums, strict=True):
            self._sums[number] = self._sums.get(number, 0.0) + found

    def counts(self, which: str = "jets") -> dict[int, float]:
        """Return run to the number of ``jets``, of ``odd`` ones or of those ``inside`` the window."""
        column = {"jets": self._JETS, "odd": self._ODD, "inside": self._INSIDE}[which]
        return {run: float(sums[column]) for run, sums in sorted(self._sums.items())}

    def periods(self, luminosity: Mapping[int, float] | None = None) -> list[RunPeriod]:
        """Return neighbouring runs joined to at most eight periods with about as many jets each, the oldest first.

        Args:
            luminosity: run to /pb; None: it is not known.
        """
        runs = sorted(self._sums)
        jets = [self._sums[run][self._JETS] for run in runs]
        least = 1.0 if len(runs) <= MOST_GROUPS else sum(jets) / MOST_GROUPS
        groups: list[list[int]] = [[]]
        total = 0.0
        for run, number in zip(runs, jets, strict=True):
            if total >= least:
                groups.append([])
                total = 0.0
            groups[-1].append(run)
            total += number
        if total < least and len(groups) > 1:
            # what is left is too little for a period of its own
            groups[-2:] = [groups[-2] + groups[-1]]
        return [self._period(group, luminosity) for group in groups if group]

    def _period(self, runs: Sequence[int], luminosity: Mapping[int, float] | None) -> RunPeriod:
        sums = np.sum([self._sums[run] for run in runs], axis=0)
        jets, odd, inside, mass, odd_mass, squares = sums.tolist()
        mean = odd_mass / odd if odd else None
        error = None
        if mean is not None and odd > 1:
            error = float(np.sqrt(max(squares / odd - mean**2, 0.0) / (odd - 1)))
        return RunPeriod(
            runs[0],
            runs[-1],
            int(jets),
            int(odd),
            int(inside),
            mass / jets,
            mean,
            error,
            None if luminosity is None else float(sum(luminosity.get(run, 0.0) for run in runs)),
        )


def in_sample(columns: Columns, fraction: float) -> npt.NDArray[np.bool_]:
    """Return the jets of a sample of the events that does not depend on how a table is cut: all jets of an event, or none.

    Args:
        columns: ``run`` and ``event``, shape (n,) each.
        fraction: of the events.
    """
    if fraction >= 1:
        return np.ones(len(columns["event"]), np.bool_)
    number = np.asarray(columns["event"]).astype(np.uint64) + (
        np.asarray(columns["run"]).astype(np.uint64) << np.uint64(40)
    )
    for multiplier, shift in zip(_MIX, (30, 27), strict=True):
        number = (number ^ (number >> np.uint64(shift))) * multiplier
    number ^= number >> np.uint64(31)
    return np.asarray(number.astype(np.float64) < fraction * 2.0**64)


def as_events(columns: Columns, *, jets: int = 2) -> dict[str, Array]:
    """Return one row for each event, with its hardest jets.

    Args:
        columns: of single jets, (n,) each, with run, section, event and ``pt``.
        jets: how many of an event; 1 or 2.

    Returns:
        Run, section and event, and each other column as ``NAME_1`` and ``NAME_2``, in double precision, NaN where an event has
        one jet; events by number.
    """
    order = np.lexsort((-np.asarray(columns["pt"], np.float64), *(columns[name] for name in reversed(IDENTITY))))
    keys = np.stack([np.asarray(columns[name])[order] for name in IDENTITY])
    new = np.ones(len(order), np.bool_)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    first = np.flatnonzero(new)
    sizes = np.diff(np.append(first, len(order)))
    found: dict[str, Array] = {name: np.asarray(columns[name])[order][first] for name in IDENTITY}
    for name in (name for name in columns if name not in IDENTITY):
        values = np.asarray(columns[name], np.float64)[order]
        for j in range(1, jets + 1):
            there = sizes >= j
            found[f"{name}_{j}"] = np.where(there, values[np.minimum(first + j - 1, len(order) - 1)], np.nan)
    return found
