"""Single jets without signal: the fits of the mass of the oddest jets, repeated in experiments, for all choices at once.

A choice is a score and a fraction of the jets. The jets that several choices have in common are the same ones in an
experiment: jets are divided into cells, those that the same choices select, and the cells fluctuate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.stats import dijet_function

__all__ = [
    "SOURCES",
    "JetCells",
    "JetChoice",
    "Searched",
    "Source",
    "count_cells",
    "draw",
    "search_all",
    "smooth_cells",
]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Source = Literal["sidebands", "mixed-masses"]

SOURCES: tuple[Source, ...] = ("sidebands", "mixed-masses")
#: steps in pT within which masses are exchanged, relative; joined until a step has so many jets
PT_STEP, LEAST_IN_STEP = 0.02, 200
#: steps from the lowest pT: to 14 times of it
_STEPS = 133
#: numbers drawn at a time
_DRAWN = 4_000_000


class JetChoice(NamedTuple):
    """A score and the fraction of jets with its highest values.

    Attributes:
        score: its name.
        efficiency: the fraction.
        cut: jets at or above it are selected.
    """

    score: str
    efficiency: float
    cut: float


@dataclass(frozen=True)
class JetCells:
    """The jets that at least one choice selects, counted.

    Attributes:
        choices: the choices.
        member: which choices select the jets of a cell, shape (cells, choices).
        counts: jets by cell, step of pT and bin of mass, shape (cells, steps, bins + 1); the last bin is all other masses.
        pool: all jets by step of pT and bin of mass, selected or not, shape (steps, bins + 1).
        edges: of the bins, GeV, shape (bins + 1,).
        window: mask of the bins, shape (bins,).
        steps: lower ends of the steps of pT, GeV, shape (steps,).
    """

    choices: tuple[JetChoice, ...]
    member: npt.NDArray[np.bool_]
    counts: Counts
    pool: Counts
    edges: Floats
    window: npt.NDArray[np.bool_]
    steps: Floats

    @property
    def spectra(self) -> Floats:
        """The spectrum of each choice, shape (choices, bins)."""
        return np.asarray(self.member.T @ self.counts.sum(axis=1)[:, :-1], np.float64)

    @property
    def width(self) -> int:
        """Bins of the window."""
        return int(self.window.sum())

    def fitted(self) -> JetCells:
        """Return the cells with those choices alone whose spectrum can be fitted."""
        kept = [k for k, counts in enumerate(self.spectra) if dijet_function.is_spectrum(counts, self.window)]
        return JetCells(
            tuple(self.choices[k] for k in kept),
            self.member[:, kept],
            self.counts,
            self.pool,
            self.edges,
            self.window,
            self.steps,
        )


class Searched(NamedTuple):
    """Local p-values of T experiments in K choices.

    Attributes:
        local: in the window, shape (T, K).
        smallest: of all positions of a window of this width (`oddjets.stats.dijet_function.scan`), shape (T, K).
        place: the first bin of that position, shape (T, K).
        quality: p of chi2 of the fit outside the window, shape (T, K).
    """

    local: Floats
    smallest: Floats
    place: Counts
    quality: Floats


def count_cells(
    tables: Iterable[Mapping[str, npt.NDArray[Any]]],
    choices: Sequence[JetChoice],
    edges: Floats,
    window: npt.NDArray[np.bool_],
    lowest_pt: float,
) -> JetCells:
    """Count jets by cell, pT and mass, in memory that does not depend on their number.

    Args:
        tables: pieces of a table of single jets, with ``pt`` and ``mass`` (GeV) and ``score_NAME``, shape (n,) each.
        choices: scores and their cuts.
        edges: of the bins of mass, GeV, shape (bins + 1,).
        window: mask of the bins, shape (bins,).
        lowest_pt: GeV, where the steps begin.
    """
    names = list(dict.fromkeys(choice.score for choice in choices))
    cuts = {name: np.sort([choice.cut for choice in choices if choice.score == name]) for name in names}
    levels = [len(cuts[name]) + 1 for name in names]
    bins = len(edges)
    shape = (int(np.prod(levels)), _STEPS, bins)
    counts = np.zeros(shape, np.int64)
    for table in tables:
        code = np.zeros(len(table["mass"]), np.int64)
        for name, number in zip(names, levels, strict=True):
            # a score that is no number passes nothing
            score = np.nan_to_num(np.asarray(table[f"score_{name}"], np.float64), nan=-np.inf)
            code = code * number + np.searchsorted(cuts[name], score, side="right")
        step = np.log(np.maximum(table["pt"], lowest_pt) / lowest_pt) // np.log1p(PT_STEP)
        # the upper edge belongs to the last bin, as for np.histogram
        mass = np.searchsorted(edges, table["mass"], side="right") - 1
        mass = np.where(np.asarray(table["mass"]) == edges[-1], bins - 2, mass)
        mass = np.where((mass < 0) | (mass > bins - 2), bins - 1, mass)
        place = np.ravel_multi_index((code, np.minimum(step, _STEPS - 1).astype(np.int64), mass), shape)
        counts += np.bincount(place, minlength=counts.size).reshape(shape)
    level = np.stack(np.unravel_index(np.arange(shape[0]), levels), axis=1)
    passed = [[level[:, names.index(c.score)] > np.searchsorted(cuts[c.score], c.cut)] for c in choices]
    member = np.concatenate(passed).T.astype(bool)
    starts = _joined(counts.sum(axis=(0, 2)))
    counts = np.add.reduceat(counts, starts, axis=1)
    kept = member.any(axis=1) & (counts.sum(axis=(1, 2)) > 0)
    lower = lowest_pt * (1 + PT_STEP) ** np.asarray(starts, np.float64)
    return JetCells(tuple(choices), member[kept], counts[kept], counts.sum(axis=0), edges, window, lower)


def _joined(jets: Counts) -> list[int]:
    """Return where steps of pT begin, neighbours joined until each has jets enough."""
    starts, total = [0], 0
    for place, number in enumerate(jets.tolist()):
        if total >= LEAST_IN_STEP and jets[place:].sum() >= LEAST_IN_STEP:
            starts.append(place)
            total = 0
        total += number
    return starts


def smooth_cells(cells: JetCells) -> Floats:
    """Return what the sidebands let expect in each cell, window included: the dijet function of the F-tests, (cells, bins).

    Cells with few jets share the shape of all of them.

    Args:
        cells: the jets.
    """
    counts = cells.counts.sum(axis=1)[:, :-1].astype(float)
    outside = ~cells.window
    few = np.array([not dijet_function.is_spectrum(found, cells.window) for found in counts], dtype=bool)
    expected = np.zeros_like(counts)
    for place in np.flatnonzero(~few):
        expected[place] = _smooth(counts[place], cells)
    if few.any():
        together = counts[few].sum(axis=0)
        # even together they may be too few: then they have the shape of all selected jets
        model = together if dijet_function.is_spectrum(together, cells.window) else counts.sum(axis=0)
        shape = _smooth(model, cells)
        expected[few] = counts[few][:, outside].sum(axis=1)[:, None] * shape / shape[outside].sum()
    return np.asarray(expected, np.float64)


def _smooth(counts: Floats, cells: JetCells) -> Floats:
    centres = (cells.edges[:-1] + cells.edges[1:]) / 2
    order, _ = dijet_function.choose_order(counts, centres, ~cells.window)
    found = dijet_function.fit(counts, dijet_function.design(centres, order), ~cells.window)
    return np.asarray(found.expected[0])


def draw(cells: JetCells, source: Source, number: int, rng: np.random.Generator) -> Floats:
    """Return spectra of experiments without signal, shape (number, choices, bins).

    Args:
        cells: the jets.
        source: ``sidebands``: Poisson counts of what the sidebands of each cell let expect. ``mixed-masses``: each selected jet
            gets the mass of a jet of the same step of pT, drawn from all jets with replacement.
        number: of experiments.
        rng: source of randomness.
    """
    expected = smooth_cells(cells) if source == "sidebands" else None
    jets, pool = cells.counts.sum(axis=2), cells.pool.astype(float)
    chance = pool / np.maximum(pool.sum(axis=1, keepdims=True), 1.0)
    # exactly one, as multinomial wants it; steps without jets have none to give a mass to
    chance[:, -1] = np.maximum(1.0 - chance[:, :-1].sum(axis=1), 0.0)
    size = max(1, _DRAWN // (cells.counts.size if expected is None else expected.size))
    made: list[Counts] = []
    for start in range(0, number, size):
        n = min(size, number - start)
        if expected is not None:
            drawn = rng.poisson(expected, (n, *expected.shape))
        else:
            drawn = rng.multinomial(jets, chance, (n, *jets.shape)).sum(axis=2)[:, :, :-1]
        made.append(np.einsum("tcb,ck->tkb", drawn, cells.member.astype(np.int64)))
    return np.asarray(np.concatenate(made), np.float64)


def search_all(spectra: Floats, cells: JetCells) -> Searched:
    """Make the analysis's search in each choice of each experiment: F-tests, fits outside the window, all positions.

    Args:
        spectra: shape (T, choices, bins).
        cells: the window and the edges.
    """
    centres = (cells.edges[:-1] + cells.edges[1:]) / 2
    first = int(np.flatnonzero(cells.window)[0])
    shape = spectra.shape[:2]
    flat = spectra.reshape(-1, spectra.shape[2])
    orders = dijet_function.choose_orders(flat, centres, ~cells.window)
    local, smallest, quality = (np.ones(len(flat)) for _ in range(3))
    place = np.zeros(len(flat), np.int64)
    for order in np.unique(orders):
        rows = orders == order
        found = dijet_function.scan(flat[rows], dijet_function.design(centres, int(order)), cells.width)
        local[rows], quality[rows] = found.local[:, first], found.quality[:, first]
        smallest[rows], place[rows] = found.smallest, found.place
    return Searched(local.reshape(shape), smallest.reshape(shape), place.reshape(shape), quality.reshape(shape))
