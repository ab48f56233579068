"""Pairs of jets of different events, and their ABCD yields.

Jets that are paired with jets of other events know nothing of each other. What A D / (B C) is off 1 for such pairs is no
correlation of the jets: it comes from the region, which is no product of cuts on each jet, or from the order in pT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import JETS, Columns, EventTable, dijet_mass
from oddjets.io.histograms import LETTERS
from oddjets.selection.binned_events import Cells, bin_events
from oddjets.selection.decorators import HasCuts
from oddjets.selection.regions import jet_masks

__all__ = [
    "PairedEvents",
    "abcd_yields",
    "abcd_yields_of_events",
    "abcd_yields_of_groups",
    "abcd_yields_of_pairs",
    "pair_jets",
    "pairings",
    "select_nominal",
]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

#: pairs that are made to count ABCD yields; with so many, the events alone limit the error
PAIRS = 400_000
#: a scale this many times larger or smaller than expected is taken for the accident of weights that cancel
_SOUND = 5.0
#: a difference of sums below this fraction of them is a rounding error, and means no event
_ROUNDING = 1e-9
#: events whose weights are multiplied by those of all replicas at once
_CHUNK = 20_000


@dataclass(frozen=True)
class PairedEvents:
    """Events whose jets are paired anew, with the replicas of a bootstrap.

    Attributes:
        columns: nominal columns of the events that pass the base selection.
        weights: of the events, shape (n,); those of what is subtracted are negative.
        replicas: how often each event is in each replica; the first has every event once, shape (replicas + 1, n).
    """

    columns: Columns
    weights: Floats
    replicas: npt.NDArray[np.uint8]

    @classmethod
    def from_columns(cls, columns: Columns, weights: Floats, replicas: int, seed: int) -> PairedEvents:
        """Return the events with replicas: each event is in each replica as often as a Poisson number of mean 1 says.

        Raises:
            OddjetsError: fewer than two events: a jet has no other event to be paired with.
        """
        if len(weights) < 2:
            raise OddjetsError(f"{len(weights)} events are too few to pair their jets with those of other events")
        drawn = np.random.default_rng(seed).poisson(1.0, (replicas, len(weights))).astype(np.uint8)
        return cls(columns, weights, np.concatenate([np.ones((1, len(weights)), np.uint8), drawn]))

    def select(self, kept: Mask) -> PairedEvents:
        """Return some of the events; ``kept`` has shape (n,)."""
        columns = {name: array[kept] for name, array in self.columns.items()}
        return replace(self, columns=columns, weights=self.weights[kept], replicas=self.replicas[:, kept])


def select_nominal(processor: HasCuts, columns: Columns) -> Columns:
    """Return the nominal columns of the events that pass the base selection with nominal jets."""
    kept = processor.passing(EventTable(columns))
    return {name: array[kept] for name, array in columns.items() if "__" not in name}


def pair_jets(columns: Mapping[str, npt.NDArray[Any]], leading: Rows, subleading: Rows) -> Columns:
    """Return events made of the leading jets of some events and the subleading jets of others.

    Each jet keeps all of its columns. The other event is turned around the beam axis so that the leading jets of both point
    the same way: the angle between the jets stays that of a pair. The jet of higher pT becomes the leading one. The dijet
    mass is computed anew; other columns of events are those of the leading jet's event.

    Args:
        columns: nominal columns of events.
        leading: rows of the events whose leading jets are taken, shape (m,).
        subleading: rows of the events whose subleading jets are taken, shape (m,).
    """
    first, second = (f"_{j}" for j in JETS)
    stems = [
        n.removesuffix(first) for n in columns if n.endswith(first) and f"{n.removesuffix(first)}{second}" in columns
    ]
    of_jets = {f"{stem}{ending}" for stem in stems for ending in (first, second)}
    paired: Columns = {name: array[leading] for name, array in columns.items() if name not in of_jets}
    taken = {f"{stem}{ending}": columns[f"{stem}{ending}"][rows]
             for stem in stems for ending, rows in ((first, leading), (second, subleading))}  # fmt: skip
    if "phi" in stems:
        turned = taken["phi_2"].astype(np.float64) + columns["phi_1"][leading] - columns["phi_1"][subleading]
        taken["phi_2"] = ((turned + np.pi) % (2 * np.pi) - np.pi).astype(taken["phi_2"].dtype)
    swap = taken["pt_2"] > taken["pt_1"]
    for stem in stems:
        one, other = taken[f"{stem}{first}"], taken[f"{stem}{second}"]
        paired[f"{stem}{first}"], paired[f"{stem}{second}"] = np.where(swap, other, one), np.where(swap, one, other)
    if "mjj" in columns:
        paired["mjj"] = dijet_mass(paired)
    return paired


def pairings(events: int, seed: int, pairs: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield rows of leading jets and of subleading jets: each event is in each of the arrays once, never with itself.

    Args:
        events: how many there are.
        seed: of the random order.
        pairs: how many pairs are made at least, unless all pairs of different events are fewer.
    """
    order = np.random.default_rng(seed).permutation(events)
    rounds = min(events - 1, -(-pairs // events))
    # by shifts of one order no pair comes twice
    for shift in np.unique(np.linspace(1, events - 1, rounds).round().astype(np.intp)):
        yield order, np.roll(order, -shift)


def abcd_yields(
    analysis: Analysis,
    processor: HasCuts,
    columns: Columns,
    weights: Floats,
    thresholds: Sequence[float],
    observable: str,
) -> dict[str, Floats]:
    """Return the ABCD yields of events in all regions, for several thresholds and sets of weights at once.

    Args:
        analysis: regions, binnings, the score.
        processor: defines the cuts.
        columns: nominal columns of the events.
        weights: shape (sets, n).
        thresholds: cuts on the scores.
        observable: whose bins are used; underflow and overflow are left out.

    Returns:
        Region -> shape (thresholds, sets, letters, bins).
    """
    asked = analysis.model_copy(update={"observables": {observable: analysis.observables[observable]}})
    cells = Cells.from_analysis(asked)
    sets, last = len(weights), len(LETTERS) - 1
    total = np.zeros((cells.size, sets))
    passing = np.zeros((len(thresholds), len(LETTERS), cells.size, sets))
    for start in range(0, weights.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        events = bin_events(asked, processor, EventTable({name: array[part] for name, array in columns.items()}), cells)
        dense = np.ascontiguousarray(weights[:, part][:, events.rows].T, dtype=np.float64)
        total += events.matrix @ dense
        for i, threshold in enumerate(thresholds):
            # most events are in D, where no score passes: what the others leave of the sum of all
            letter = events.letters(threshold, strict=analysis.threshold.strict)
            kept = letter != last
            found = events.select(kept).by_letter(letter[kept]) @ dense[kept]
            passing[i] += found.reshape(len(LETTERS), cells.size, sets)
    rest = total - passing.sum(axis=1)
    passing[:, last] = np.where(np.abs(rest) > _ROUNDING * np.abs(passing).sum(axis=1), rest, 0.0)
    return {region: np.moveaxis(passing[:, :, place], -1, 1)[..., 1:-1] for (region, _), place in cells.slices.items()}


def abcd_yields_of_pairs(
    analysis: Analysis,
    processor: HasCuts,
    events: PairedEvents,
    thresholds: Sequence[float],
    observable: str,
    *,
    seed: int,
    pairs: int = PAIRS,
    split: Callable[[Columns], Sequence[Mask]] | None = None,
) -> dict[str, Floats]:
    """Return `abcd_yields` of jets paired with jets of other events, for all replicas.

    A pair weighs the product of its events' weights, and is in a replica as often as the product of its events' numbers
    says: so the replicas scatter as samples of events would. A bootstrap, and not the scatter of several pairings, gives the
    error, because all pairings are of the same events.

    Not all pairs are made, but of each kind some, or all where there are few: kinds are the thresholds and the cuts that the
    two jets pass. Those of a kind are scaled to what all pairs of the kind weigh, in each replica, so that the choice of pairs
    matters for the bins alone.

    Args:
        analysis: regions, binnings, the score.
        processor: defines the cuts.
        events: to pair.
        thresholds: cuts on the scores.
        observable: whose bins are used.
        seed: of the choice of pairs.
        pairs: how many pairs are made at most.
        split: gives the masks of groups of pairs that are counted apart; None: all pairs are one group.

    Returns:
        Region -> shape (groups, thresholds, replicas + 1, letters, bins), in arbitrary units; without ``split`` there is no
        axis of groups.
    """
    table = EventTable(events.columns)
    levels = np.stack([_level(table[f"score_{analysis.threshold.score}_{j}"], thresholds, analysis) for j in JETS])
    kinds = levels
    for mask in jet_masks(analysis, processor, table).values():
        kinds = 2 * kinds + mask
    total: dict[str, Floats] = {}
    for one, other, weights in _in_chunks(_weighted_pairs(events, kinds, np.random.default_rng(seed), pairs)):
        paired = pair_jets(events.columns, one, other)
        found = abcd_yields_of_groups(
            analysis, processor, paired, weights, thresholds, observable, None if split is None else split(paired)
        )
        total = {region: total.get(region, 0.0) + yields for region, yields in found.items()}
    return total


def _level(scores: npt.NDArray[Any], thresholds: Sequence[float], analysis: Analysis) -> npt.NDArray[np.int64]:
    """Return how many thresholds each score passes."""
    passes = np.greater if analysis.threshold.strict else np.greater_equal
    return np.asarray(np.sum([passes(scores, threshold) for threshold in thresholds], axis=0), np.int64)


def _weighted_pairs(
    events: PairedEvents, kinds: npt.NDArray[np.int64], rng: np.random.Generator, pairs: int
) -> Iterator[tuple[Rows, Rows, Floats]]:
    """Yield leading jets, subleading jets and weights in all replicas, (replicas + 1, m), of pairs of each kind.

    Args:
        events: to pair.
        kinds: of the leading and of the subleading jets, shape (2, n).
        rng: chooses the pairs.
        pairs: how many are made at most.
    """
    rows = [{int(kind): np.flatnonzero(of_jet == kind) for kind in np.unique(of_jet)} for of_jet in kinds]
    strata = [(one, other) for one in rows[0].values() for other in rows[1].values()]
    sizes = [len(one) * len(other) for one, other in strata]
    # half of them by size, so that large kinds fill all bins, and half in equal shares, so that rare kinds do
    each, share = _most_of_each(sizes, pairs // 2), min(1.0, pairs / 2 / sum(sizes))
    numbers = events.replicas * events.weights
    for (one, other), size in zip(strata, sizes, strict=True):
        most = each + int(share * size)
        if size <= most:
            first, second = np.repeat(one, len(other)), np.tile(other, len(one))
        else:
            first, second = (rng.permutation(np.resize(rng.permutation(of_jet), most)) for of_jet in (one, other))
        different = first != second
        first, second = first[different], second[different]
        if not len(first):
            continue
        weights = numbers[:, first] * numbers[:, second]
        both = np.intersect1d(one, other, assume_unique=True)
        all_pairs = numbers[:, one].sum(axis=1) * numbers[:, other].sum(axis=1) - np.square(numbers[:, both]).sum(
            axis=1
        )
        made = weights.sum(axis=1)
        plain = (len(one) * len(other) - len(both)) / len(first)
        scale = np.divide(all_pairs, made, out=np.full(len(made), plain), where=made != 0)
        # weights of both signs may cancel, and leave nothing that a scale could be taken from
        sound = (scale > plain / _SOUND) & (scale < plain * _SOUND)
        yield first, second, weights * np.where(sound, scale, plain)[:, None]


def _most_of_each(sizes: Sequence[int], pairs: int) -> int:
    """Return how many pairs of each kind can be made, if there are not more in all."""
    low, high = 1, max(sizes)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(min(size, middle) for size in sizes) <= pairs else (low, middle - 1)
    return low


def abcd_yields_of_events(
    analysis: Analysis,
    processor: HasCuts,
    events: PairedEvents,
    thresholds: Sequence[float],
    observable: str,
    *,
    split: Callable[[Columns], Sequence[Mask]] | None = None,
) -> dict[str, Floats]:
    """Return `abcd_yields` of events as they are, for all replicas; see `abcd_yields_of_pairs` for arguments and shapes."""
    total: dict[str, Floats] = {}
    for start in range(0, len(events.weights), _CHUNK):
        part = slice(start, start + _CHUNK)
        columns = {name: array[part] for name, array in events.columns.items()}
        weights = events.replicas[:, part].astype(np.float64) * events.weights[part]
        groups = None if split is None else split(columns)
        found = abcd_yields_of_groups(analysis, processor, columns, weights, thresholds, observable, groups)
        total = {region: total.get(region, 0.0) + yields for region, yields in found.items()}
    return total


def abcd_yields_of_groups(
    analysis: Analysis,
    processor: HasCuts,
    columns: Columns,
    weights: Floats,
    thresholds: Sequence[float],
    observable: str,
    groups: Sequence[Mask] | None,
) -> dict[str, Floats]:
    """Return `abcd_yields` of groups of events, shape (groups, thresholds, sets, letters, bins); see there.

    Args:
        analysis: regions, binnings, the score.
        processor: defines the cuts.
        columns: nominal columns of the events.
        weights: shape (sets, n).
        thresholds: cuts on the scores.
        observable: whose bins are used.
        groups: masks of shape (n,); None: all events, without the axis of groups.
    """
    if groups is None:
        return abcd_yields(analysis, processor, columns, weights, thresholds, observable)
    found = [
        abcd_yields(
            analysis,
            processor,
            {name: array[mask] for name, array in columns.items()},
            weights[:, mask],
            thresholds,
            observable,
        )
        for mask in groups
    ]
    return {region: np.stack([of_group[region] for of_group in found]) for region in analysis.regions}


def _in_chunks(pairs: Iterator[tuple[Rows, Rows, Floats]]) -> Iterator[tuple[Rows, Rows, Floats]]:
    """Yield the same pairs, about `_CHUNK` at once."""
    waiting: list[tuple[Rows, Rows, Floats]] = []
    for one in pairs:
        waiting.append(one)
        if sum(len(rows) for rows, _, _ in waiting) >= _CHUNK:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: Sequence[tuple[Rows, Rows, Floats]]) -> tuple[Rows, Rows, Floats]:
    first, second, weights = zip(*parts, strict=True)
    return np.concatenate(first), np.concatenate(second), np.concatenate(weights, axis=1)
