"""The window that is inspected, and the events of its region in an event table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.inspect import Inspect
from oddjets.core.errors import BlindedError, OddjetsError, nearest
from oddjets.core.expressions import evaluate
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import DATA, ThresholdResult
from oddjets.selection import regions
from oddjets.selection.decorators import HasCuts

__all__ = ["RegionEvents", "Window", "events_of_region", "refuse_blinded"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """Events of a region and letter, with an observable between two values.

    Attributes:
        region: its name.
        letter: A, B, C or D.
        observable: its name.
        low: lower end, in the observable's unit; events at it are inside.
        high: upper end; events at it are outside, as in the bins of a histogram.
        of: whose events: ``data``, the name of a simulated process, or that of a dataset.
    """

    region: str
    letter: str
    observable: str
    low: float = -math.inf
    high: float = math.inf
    of: str = DATA

    @classmethod
    def of_analysis(cls, analysis: Analysis, asked: Inspect) -> Window:
        """Return the window that is asked for, with what is left open filled in.

        Args:
            analysis: its regions and observables.
            asked: the section ``inspect``, or options of the command line.

        Raises:
            OddjetsError: no such region or observable; the message has the nearest.
        """
        fit = analysis.fit
        region = asked.region or (fit.regions[0] if fit is not None else next(iter(analysis.regions)))
        observable = asked.observable or (fit.observable if fit is not None else next(iter(analysis.observables)))
        for what, name, known in (
            ("region", region, analysis.regions),
            ("observable", observable, analysis.observables),
        ):
            if name not in known:
                raise OddjetsError(f"inspect: no {what} '{name}'; {nearest(name, known)}")
        low, high = asked.bins or (-math.inf, math.inf)
        return cls(region, asked.letter, observable, low, high, asked.dataset or asked.process or DATA)

    @property
    def name(self) -> str:
        """A name for files: ``SR_A``, ``SR_A_leading_mass_140_170``, ``SR_A_top``."""
        span = ""
        if self.is_bounded:
            span = f"_{self.observable}_{self.low:g}_{self.high:g}"
        return f"{self.region}_{self.letter}{span}{'' if self.of == DATA else f'_{self.of}'}"

    @property
    def is_bounded(self) -> bool:
        """Whether the observable is bounded at all."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    def contains(self, values: npt.ArrayLike) -> Mask:
        """Return which values of the observable are inside, (n,); NaN is not, unless there are no bounds."""
        values = np.asarray(values, np.float64)
        return (values >= self.low) & (values < self.high) if self.is_bounded else np.ones(values.shape, bool)

    def edges(self, analysis: Analysis) -> list[float]:
        """Return the bin edges of the observable in the region, in the observable's unit."""
        return analysis.binning(self.observable, self.region)

    def off_edges(self, analysis: Analysis) -> list[float]:
        """Return the ends that are no bin edges, where counts of bins and of events differ."""
        edges = self.edges(analysis)
        return [
            end
            for end in (self.low, self.high)
            if math.isfinite(end) and not any(math.isclose(end, edge, rel_tol=1e-9, abs_tol=1e-9) for edge in edges)
        ]

    def inner_bins(self, analysis: Analysis) -> npt.NDArray[np.intp]:
        """Return the numbers, from 0, of the bins that are inside as a whole."""
        edges = np.asarray(self.edges(analysis))
        slack = 1e-9 * np.maximum(1.0, np.abs(edges))
        inside = (edges[:-1] >= self.low - slack[:-1]) & (edges[1:] <= self.high + slack[1:])
        return np.flatnonzero(inside)

    def describe(self, analysis: Analysis) -> str:
        """Return the window in words: ``SR, letter A, leading_mass 140 to 170 GeV``."""
        unit = analysis.observables[self.observable].unit
        words = f"{self.region}, letter {self.letter}"
        if self.is_bounded:
            words += f", {self.observable} {self.low:g} to {self.high:g} {unit}".rstrip()
        return words


@dataclass(frozen=True, eq=False)
class RegionEvents:
    """The events of a dataset that are in a region, in the order of the event table.

    Attributes:
        dataset: its name.
        process: of the dataset; ``data`` for data.
        is_data: whether it is data.
        rows: row of each event in the dataset's event table, in the order of `oddjets.io.event_table.stream`, (n,).
        letters: of the events, (n,).
        values: of the window's observable, (n,).
        columns: name to values, (n,): those of the event table that are not of variations; ``weight`` is normalised.
        score: the name of the threshold's score.
    """

    dataset: str
    process: str
    is_data: bool
    rows: npt.NDArray[np.int64]
    letters: npt.NDArray[np.str_]
    values: Floats
    columns: Mapping[str, npt.NDArray[Any]]
    score: str

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lower_score(self) -> Floats:
        """The lower score of the two jets, by which events are odd, (n,); NaN counts as the least."""
        lower = np.minimum(*(np.asarray(self.columns[f"score_{self.score}_{j}"], np.float64) for j in JETS))
        return np.where(np.isnan(lower), -np.inf, lower)

    def select(self, kept: Mask | npt.NDArray[np.intp]) -> RegionEvents:
        """Return some of the events, by a mask or by their places."""
        columns = {name: values[kept] for name, values in self.columns.items()}
        return RegionEvents(
            self.dataset,
            self.process,
            self.is_data,
            self.rows[kept],
            self.letters[kept],
            self.values[kept],
            columns,
            self.score,
        )

    def inside(self, window: Window) -> RegionEvents:
        """Return the events in a window of this region: of its letter, and of its observable's range."""
        return self.select((self.letters == window.letter) & window.contains(self.values))

    def beside(self, window: Window) -> RegionEvents:
        """Return the events of the window's letter that are outside of its observable's range."""
        return self.select((self.letters == window.letter) & ~window.contains(self.values))


def refuse_blinded(window: Window, *, is_data: bool, hidden: ThresholdResult | None) -> None:
    """Refuse a window that is made of blinded data.

    Args:
        window: which.
        is_data: whether its events are data.
        hidden: the cut on the scores at and above which data are hidden; None: none are.

    Raises:
        BlindedError: all of its events are.
    """
    if hidden is not None and is_data and window.letter == "A":
        raise BlindedError(
            f"the events of data in {window.region}, letter A, are blinded: no event of them is shown. Look at another letter,"
            " at simulation (--process NAME), or use --unblind"
        )


def events_of_region(
    analysis: Analysis,
    processor: HasCuts,
    tables: Iterable[Mapping[str, npt.NDArray[Any]]],
    window: Window,
    threshold: ThresholdResult,
    *,
    dataset: str,
    process: str,
    is_data: bool,
    factor: float = 1.0,
    hidden: ThresholdResult | None = None,
) -> RegionEvents:
    """Return the events of a dataset that are in the window's region, of all letters and all values of the observable.

    Args:
        analysis: regions, observables, threshold.
        processor: has the cuts.
        tables: pieces of the dataset's event table in order, with all columns.
        window: its region and its observable count.
        threshold: divides events into letters.
        dataset: its name.
        process: the name of its process; ``data`` for data.
        is_data: whether it is data.
        factor: what weights are multiplied by.
        hidden: the cut on the scores at and above which data are blinded: these are left out; None: none are.

    Raises:
        OddjetsError: a cut or the observable reads a column that the table lacks.
    """
    parts: list[RegionEvents] = []
    first, score = 0, threshold.score
    expression = analysis.observables[window.observable].expression
    for piece in tables:
        table = EventTable(piece)
        mask = processor.passing(table) & regions.region_mask(analysis, processor, window.region, table)
        scores = [np.asarray(table[f"score_{score}_{j}"], np.float64) for j in JETS]
        if hidden is not None and is_data:
            lower = np.minimum(*(table[f"score_{hidden.score}_{j}"] for j in JETS))
            # a NaN score passes no threshold
            mask = mask & ~(lower >= hidden.value)
        rows = np.flatnonzero(mask)
        values = np.broadcast_to(evaluate(expression, table), mask.shape)
        columns = {name: np.asarray(array)[rows] for name, array in piece.items() if "__" not in name}
        columns["weight"] = np.asarray(columns["weight"], np.float64) * factor
        parts.append(
            RegionEvents(
                dataset,
                process,
                is_data,
                first + rows,
                regions.letters(scores[0][rows], scores[1][rows], threshold.value, strict=analysis.threshold.strict),
                np.asarray(values, np.float64)[rows],
                columns,
                score,
            )
        )
        first += table.size
    return _joined(parts, dataset, process, is_data, score)


def _joined(parts: Sequence[RegionEvents], dataset: str, process: str, is_data: bool, score: str) -> RegionEvents:
    if not parts:
        none = {f"score_{score}_{j}": np.empty(0) for j in JETS} | {"weight": np.empty(0)}
        return RegionEvents(
            dataset,
            process,
            is_data,
            np.empty(0, np.int64),
            np.empty(0, "U1"),
            np.empty(0),
            none,
            score,
        )
    return RegionEvents(
        dataset,
        process,
        is_data,
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.letters for part in parts]),
        np.concatenate([part.values for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        score,
    )
