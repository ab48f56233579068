"""The truth of pseudo-experiments: expected events by pattern and by the thresholds that both scores pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.stats.closure_parts import abcd_constant
from oddjets.study.events import EventArrays, Patterns, alike
from oddjets.study.thresholds import ThresholdGrid, letter_sums, of_letters

__all__ = [
    "LEAST_RATIO",
    "Rates",
    "bank_ratio",
    "closure_counts",
    "closure_of",
    "factorised",
    "rates_of",
    "require_bank",
    "require_marginals",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: experiments drawn from events must be smaller than what they are drawn from by this
LEAST_RATIO = 10.0
#: events of a bank in B and in C, a bin, that say how often one jet passes
LEAST_IN_BIN = 3.0
#: what helps against too few events, whether there is a bank or not
LARGER = "a larger bank (that of the package, for the demo: --bank bank.parquet)"


@dataclass(frozen=True)
class Rates:
    """Expected events of an experiment, by pattern and ranks of both scores: shape (patterns, ranks, ranks) each.

    A rank is the number of thresholds that a score passes. Counts in such cells are Poisson, and independent.

    Attributes:
        codes: the patterns, (patterns,).
        qcd: of the process that ABCD estimates.
        others: of all other processes at their strengths, without the tested signal.
        signal: of the tested signal at strength 1.
        negative: expected events that were negative in a cell and are set to zero.
    """

    codes: Ints
    qcd: Floats
    others: Floats
    signal: Floats
    negative: float = 0.0

    def with_closure(self, patterns: Patterns, place: int, factors: Mapping[str, float]) -> Rates:
        """Return the same with the data-driven process in A of some regions multiplied by a factor: its closure is that.

        Args:
            patterns: the regions.
            place: which threshold of the grid says what A is.
            factors: region -> factor.
        """
        cells = patterns.cells_of(self.codes)
        by_code = np.ones(len(self.codes))
        for region, factor in factors.items():
            first = patterns.starts[region]
            there = cells[first : first + len(patterns.edges[region]) - 1].any(axis=0)
            by_code = np.where(there, by_code * factor, by_code)
        qcd = self.qcd.copy()
        qcd[:, place + 1 :, place + 1 :] *= by_code[:, None, None]
        return replace(self, qcd=qcd)

    def in_a(self, place: int) -> tuple[Floats, Floats]:
        """Return background and unit signal with both scores above a threshold of the grid, by pattern, (patterns,) each."""
        part = (slice(None), slice(place + 1, None), slice(place + 1, None))
        background = (self.qcd + self.others)[part].sum(axis=(1, 2))
        return background, self.signal[part].sum(axis=(1, 2))


def _table(events: EventArrays, weights: Floats, grid: ThresholdGrid, codes: Ints) -> Floats:
    K = len(grid) + 1
    leading, subleading = grid.ranks(events.scores)
    where = (np.searchsorted(codes, events.codes) * K + leading) * K + subleading
    return np.bincount(where, weights, len(codes) * K * K).astype(float).reshape(len(codes), K, K)


def factorised(events: EventArrays, grid: ThresholdGrid, codes: Ints) -> Floats:
    """Return expected events whose scores know nothing of each other among events alike: n(c, r1) n(c, r2) / n(c).

    Events are alike (c) if they are in the same bins of all regions and their jets pass the same cuts on single jets. All that
    one jet's score knows of its own jet stays, and so do the numbers of events in every bin; only the correlation of both
    scores beyond this is gone. A region that is a union of such classes need not close.

    Args:
        events: nominal ones of a process, with classes.
        grid: the thresholds.
        codes: all patterns, ascending, (patterns,).

    Returns:
        Shape (patterns, ranks, ranks).
    """
    K = len(grid) + 1
    place = alike(events)
    first = np.unique(place, return_index=True)[1]
    leading, subleading = (
        np.bincount(place * K + r, events.nominal, len(first) * K) for r in grid.ranks(events.scores)
    )
    total = np.bincount(place, events.nominal, len(first))
    one, other = (x.reshape(-1, K) for x in (leading, subleading))
    table = one[:, :, None] * other[:, None, :] / np.where(total > 0, total, 1.0)[:, None, None]
    found = np.zeros((len(codes), K, K))
    np.add.at(found, np.searchsorted(codes, events.codes[first]), table)
    return found


def require_marginals(events: Sequence[EventArrays], patterns: Patterns, grid: ThresholdGrid, data_driven: str) -> None:
    """Refuse a bank whose data-driven process has too few events to know how often one jet passes in each bin.

    Raises:
        OddjetsError: fewer than a few events a bin, on average, in B or C.
    """
    for part in events:
        if part.process != data_driven or NOMINAL not in part.variations:
            continue
        value, square = letter_sums(part, patterns, grid)[NOMINAL][len(grid) // 2]
        effective = value.sum(axis=1) ** 2 / np.where(square.sum(axis=1) > 0, square.sum(axis=1), np.inf)
        least = float(effective[1:3].min()) / patterns.cells
        if least < LEAST_IN_BIN:
            raise OddjetsError(
                f"the simulated events of '{data_driven}' are too few for --source independent: {least:.2g} a bin in B or C,"
                f" where {LEAST_IN_BIN:g} are needed; use {LARGER}, a looser threshold, or --source toys"
            )


def rates_of(
    events: Sequence[EventArrays],
    grid: ThresholdGrid,
    data_driven: str,
    signal: str,
    strengths: Mapping[str, float],
    *,
    variation: str = NOMINAL,
    independent: bool = False,
) -> Rates:
    """Return what experiments are drawn from.

    Args:
        events: of all processes.
        grid: the thresholds.
        data_driven: the process that ABCD estimates.
        signal: the process whose strength is tested.
        strengths: process -> strength of the others; 1 if it is not there.
        variation: which variation is true, of the processes that have it.
        independent: the scores of the data-driven process know nothing of each other (see `factorised`).

    Raises:
        OddjetsError: a process is not there.
    """
    there = {e.process for e in events}
    for needed in (data_driven, signal):
        if needed not in there:
            raise OddjetsError(
                f"there are no events of '{needed}' to draw experiments from; there are {', '.join(sorted(there))}"
            )
    has = {e.process for e in events if variation in e.variations}
    used = [(e, variation if e.process in has else NOMINAL) for e in events]
    used = [(e, name) for e, name in used if name in e.variations]
    codes = np.unique(np.concatenate([e.codes for e, _ in used]))
    K = len(grid) + 1
    parts = {"qcd": np.zeros((len(codes), K, K))}
    parts |= {name: parts["qcd"].copy() for name in ("others", "signal")}
    for part, name in used:
        kind = {data_driven: "qcd", signal: "signal"}.get(part.process, "others")
        strength = 1.0 if kind == "signal" else strengths.get(part.process, 1.0)
        if kind == "qcd" and independent:
            parts[kind] += factorised(part, grid, codes)
        else:
            parts[kind] += strength * _table(part, part.weights[:, part.variations.index(name)], grid, codes)
    negative = sum(float(-table[table < 0].sum()) for table in parts.values())
    none_negative = {name: np.maximum(table, 0.0) for name, table in parts.items()}
    return Rates(codes, **none_negative, negative=negative)


def bank_ratio(events: EventArrays) -> float:
    """Return how much larger a sample is than the experiment that it is the truth of: sum of w over sum of w squared."""
    weights = events.nominal
    return float(weights.sum() / (weights**2).sum()) if len(weights) else 0.0


def require_bank(
    events: Sequence[EventArrays], data_driven: str, least: float = LEAST_RATIO, instead: str = "independent or toys"
) -> float:
    """Return the ratio of the data-driven process, and refuse a bank that is too small for experiments drawn from it.

    Args:
        events: of all processes.
        data_driven: the process that ABCD estimates.
        least: how many times the experiment the bank has to be.
        instead: the sources of the study that need none so large.

    Raises:
        OddjetsError: it is less than that: all experiments would share its statistical error.
    """
    ratio = min((bank_ratio(e) for e in events if e.process == data_driven and NOMINAL in e.variations), default=0.0)
    # weights are sums of rounded numbers
    if ratio < least * (1 - 1e-9):
        raise OddjetsError(
            f"the simulated events of '{data_driven}' are only {ratio:.2g} times the experiment, and a source that draws from"
            f" them needs {least:g} times: all experiments would share their statistical error. Use --source"
            f" {instead}, {LARGER}, or a smaller --luminosity"
        )
    return ratio


def closure_of(rates: Rates, patterns: Patterns) -> Floats:
    """Return the constant of what is expected of the data-driven process at each threshold: see `abcd_constant`.

    Returns:
        Sum of A over the sum of B C / D of the bins of a region, shape (thresholds, regions); NaN where nothing is predicted.
    """
    cells = patterns.cells_of(rates.codes)
    found = []
    for region, start in patterns.starts.items():
        of_bins = cells[start : start + len(patterns.edges[region]) - 1]
        found.append(abcd_constant(of_letters(np.tensordot(of_bins, rates.qcd, axes=1))))
    return np.stack(found, axis=1)


def closure_counts(counts: Floats, patterns: Patterns) -> tuple[Floats, Floats]:
    """Return A and its prediction from counts of events, each summed over the bins of each region, (E, regions).

    The prediction of a bin is B C / (D + 1). For Poisson counts of means b, c and d, E[1/(D + 1)] = (1 - e^-d)/d, so that its
    mean is b c / d but for e^-d. That of B C / D without the bins that have no D is larger, by 1/d for large d, so that the
    ratio of the means would be below 1 where ABCD holds.

    Args:
        counts: events by letter and cell, (E, letters x cells).
        patterns: the regions.
    """
    a, b, c, d = np.moveaxis(counts.reshape(len(counts), 4, -1), 1, 0)
    starts = list(patterns.starts.values())
    return np.add.reduceat(a, starts, axis=1), np.add.reduceat(b * c / (d + 1), starts, axis=1)
