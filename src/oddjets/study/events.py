"""Selected events as arrays: what a pseudo-experiment needs of them, whatever its threshold is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.expressions import evaluate
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.event_table import JETS, Columns, EventTable
from oddjets.selection import regions
from oddjets.selection.binned_events import bin_numbers
from oddjets.selection.decorators import HasCuts
from oddjets.selection.tracked_events import TrackedEvents
from oddjets.stats.cell_bins import channels_of

__all__ = ["EventArrays", "JetClasses", "Patterns", "Scores", "alike", "read_events", "scores_of_table"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: the scores of the leading and the subleading jet of events, shape (2, n): how `read_events` gets them
Scores = Callable[[EventTable], Floats]
#: a number for each event's cuts on single jets, of each jet, shape (2, n): see `independence`
JetClasses = Callable[[EventTable], Ints]


@dataclass(frozen=True)
class Patterns:
    """Numbers for the bins of all regions of the fit that an event is in.

    Attributes:
        edges: region -> its bin edges, (bins + 1,).
    """

    edges: Mapping[str, Floats]

    @classmethod
    def from_analysis(cls, analysis: Analysis) -> Patterns:
        """Return the patterns of the regions of an analysis's fit, or of their product cells where it has them."""
        assert analysis.fit is not None
        observable = analysis.fit.observable
        channels = [channel for region in analysis.fit.regions for channel in channels_of(analysis, region)]
        return cls({r: np.array(analysis.binning(observable, r), np.float64) for r in channels})

    @property
    def starts(self) -> dict[str, int]:
        """Region -> the number of its first cell; all regions' bins, without flow, one after the other."""
        sizes = np.cumsum([0, *(len(edges) - 1 for edges in self.edges.values())])
        return dict(zip(self.edges, sizes.tolist(), strict=False))

    @property
    def cells(self) -> int:
        """The number of bins of all regions."""
        return sum(len(edges) - 1 for edges in self.edges.values())

    def codes(self, inside: Mapping[str, npt.NDArray[np.bool_]], values: Floats) -> Ints:
        """Return the pattern of each event, shape (n,); 0 is in no region.

        Args:
            inside: region -> mask of the events in it, (n,).
            values: the observable, (n,).
        """
        code = np.zeros(len(values), np.int64)
        for region, edges in self.edges.items():
            # 0: not in the region; then underflow, the bins, overflow
            code = code * (len(edges) + 2) + np.where(inside[region], bin_numbers(values, edges) + 1, 0)
        return code

    def shared(self, codes: Ints) -> dict[tuple[str, str], int]:
        """Return how many events two regions share, for pairs that share any; the events' patterns have shape (n,)."""
        rest, inside = np.array(codes), {}
        for region, edges in reversed(list(self.edges.items())):
            rest, place = np.divmod(rest, len(edges) + 2)
            inside[region] = place > 0
        both = {pair: int((inside[pair[0]] & inside[pair[1]]).sum()) for pair in combinations(self.edges, 2)}
        return {pair: number for pair, number in both.items() if number}

    def cells_of(self, codes: Ints) -> Floats:
        """Return which cells patterns fill, 1 or 0, shape (cells, n)."""
        filled = np.zeros((self.cells, len(codes)))
        rest = np.array(codes)
        for region, edges in reversed(list(self.edges.items())):
            rest, place = np.divmod(rest, len(edges) + 2)
            used = np.flatnonzero((place >= 2) & (place <= len(edges)))
            filled[self.starts[region] + place[used] - 2, used] = 1.0
        return filled


@dataclass(frozen=True)
class EventArrays:
    """The events of a process that pass the base selection, for variations that have the same ones in the same bins.

    Attributes:
        process: its name.
        variations: their names.
        codes: the events' patterns (see `Patterns`), (n,).
        classes: the events' cuts on single jets, by jet, (2, n); zero if nobody asked.
        scores: of the leading and the subleading jet, -inf where one is no number, (2, n).
        weights: normalised to the luminosity, (n, variations).
        rows: the rows of the process's event tables, which are the same event in all variations, (n,).
    """

    process: str
    variations: tuple[str, ...]
    codes: Ints
    classes: Ints
    scores: Floats
    weights: Floats
    rows: Ints

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nominal(self) -> Floats:
        """The nominal weights, (n,)."""
        return np.asarray(self.weights[:, self.variations.index(NOMINAL)])

    @classmethod
    def joined(cls, parts: Sequence[EventArrays]) -> EventArrays:
        """Return parts of one process and the same variations as one."""
        first = parts[0]
        return cls(
            first.process,
            first.variations,
            np.concatenate([p.codes for p in parts]),
            np.concatenate([p.classes for p in parts], axis=1),
            np.concatenate([p.scores for p in parts], axis=1),
            np.concatenate([p.weights for p in parts]),
            np.concatenate([p.rows for p in parts]),
        )


def scores_of_table(score: str) -> Scores:
    """Return the usual `Scores`: the columns of a score."""

    def read(table: EventTable) -> Floats:
        return np.stack([np.asarray(table[f"score_{score}_{j}"], np.float64) for j in JETS])

    return read


def read_events(
    analysis: Analysis,
    processor: HasCuts,
    tables: Iterable[Columns],
    process: str,
    factors: Mapping[str, float],
    *,
    scores: Scores | None = None,
    classes: JetClasses | None = None,
    first: int = 0,
) -> list[EventArrays]:
    """Read the events of a process that pass the base selection.

    Args:
        analysis: regions and observable of its fit.
        processor: defines the cuts.
        tables: parts of the event table.
        process: its name.
        factors: variation, ``nominal`` first, -> what its weights are multiplied by.
        scores: the scores of events; None: the columns of the threshold's score.
        classes: the cuts on single jets.
        first: the number of the first row.

    Returns:
        One entry for each group of variations that have the same events in the same bins, the nominal one first.

    Raises:
        OddjetsError: a weight is not finite.
    """
    assert analysis.fit is not None
    patterns, read = Patterns.from_analysis(analysis), scores or scores_of_table(analysis.threshold.score)
    observable = analysis.observables[analysis.fit.observable]
    found: dict[tuple[str, ...], list[EventArrays]] = {}
    start = first

    def add(table: EventTable, names: Sequence[str], weights: Mapping[str, npt.ArrayLike]) -> None:
        base = processor.passing(table)
        rows = np.flatnonzero(base)
        inside = {r: mask[rows] for r, mask in regions.region_masks(analysis, processor, table).items()}
        values = np.broadcast_to(evaluate(observable.expression, table), base.shape)[rows]
        both = read(table)[:, rows]
        scaled = np.empty((len(rows), len(names)))
        for i, name in enumerate(names):
            scaled[:, i] = np.asarray(weights[name], np.float64)[rows] * factors[name]
        if not np.isfinite(scaled).all():
            raise OddjetsError(f"'{process}': some of its weights are not finite, so that nothing can be drawn from it")
        of_jets = np.zeros((2, len(rows)), np.int64) if classes is None else classes(table)[:, rows]
        both = np.where(np.isnan(both), -np.inf, both)
        codes = patterns.codes(inside, np.asarray(values, np.float64))
        found.setdefault(tuple(names), []).append(
            EventArrays(process, tuple(names), codes, of_jets, both, np.ascontiguousarray(scaled), start + rows)
        )

    for columns in tables:
        if not len(columns["event"]):
            continue
        tracked = TrackedEvents(columns)
        processor.passing(tracked)
        regions.region_masks(analysis, processor, tracked)
        evaluate(observable.expression, tracked)
        own = tracked.used_variation
        views = {name: EventTable.under(tracked, name) if name != NOMINAL else tracked for name in factors}
        shared = [name for name, view in views.items() if name == NOMINAL or not (own or view.varies_jets)]
        add(tracked, shared, {name: views[name]["weight"] for name in shared})
        for name in factors:
            if name not in shared:
                add(views[name], [name], {name: views[name]["weight"]})
        start += len(columns["event"])
    return [EventArrays.joined(parts) for parts in found.values()]


def alike(events: EventArrays) -> npt.NDArray[np.intp]:
    """Return a number for each event, (n,), which is the same for events in the same bins whose jets pass the same cuts."""
    kinds = np.unique(np.stack([events.codes, *events.classes], axis=1), axis=0, return_inverse=True)[1]
    return kinds.ravel()
