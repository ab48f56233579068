"""The events of a window's region in an event table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.window import Window
from oddjets.core.errors import BlindedError
from oddjets.core.expressions import evaluate
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import ThresholdResult
from oddjets.selection import regions
from oddjets.selection.decorators import HasCuts

__all__ = ["RegionEvents", "Window", "events_of_region", "refuse_blinded"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


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

    def between(self, low: float, high: float) -> RegionEvents:
        """Return the events whose observable is at ``low`` or above and below ``high``; all if both are infinite."""
        if math.isinf(low) and math.isinf(high):
            return self
        return self.select((self.values >= low) & (self.values < high))


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
    everywhere: bool = False,
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
        everywhere: take all events of the base selection, whatever their region.

    Raises:
        OddjetsError: a cut or the observable reads a column that the table lacks.
    """
    parts: list[RegionEvents] = []
    first, score = 0, threshold.score
    expression = analysis.observables[window.observable].expression
    for piece in tables:
        table = EventTable(piece)
        mask = processor.passing(table)
        if not everywhere:
            mask = mask & regions.region_mask(analysis, processor, window.region, table)
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
