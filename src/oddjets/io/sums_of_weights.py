"""Sums of weights from the tree Runs of simulated files, with consistency checks.

A row of Runs counts and sums the generated events of one run of one production; a merged file has several, a skim has
those of its original.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError
from oddjets.io.weight_order import LENGTHS_WITHOUT_WEIGHTS, order_of

__all__ = ["LISTS", "RunsRow", "StoredFile", "SumsOfWeights", "duplicate_rows", "read_sums", "stored_name"]

Floats = npt.NDArray[np.float64]

COUNT, SUM, SQUARES = "genEventCount", "genEventSumw", "genEventSumw2"
#: branch of the events -> list of its sums in Runs, each stored as sum(genWeight x weight) / genEventSumw
LISTS = {"PSWeight": "PSSumw", "LHEScaleWeight": "LHEScaleSumw"}
#: more lists of sums, by which one row is told from another
_MORE_LISTS = ("LHEPdfSumw", "LHEReweightingSumw")
#: of sums of millions of float32 weights
_ROUNDING = 1e-7
#: a sum of weights so small beside that of the nominal ones is none
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class RunsRow:
    """One row of the tree Runs.

    Attributes:
        values: all its sums, bit by bit.
        count: events generated; None: not stored.
        distinctive: whether another production could not have the very same sums. The sums of weights that are all alike, or
            differ by a sign only, say little more than how many events there were.
        squares: sum of the squared weights; None: not stored.
    """

    values: bytes
    count: int | None
    distinctive: bool
    squares: float | None = None


@dataclass(frozen=True)
class SumsOfWeights:
    """The totals of the tree Runs.

    Attributes:
        total: of genEventSumw.
        variations: variation to its sum of weights, in the unit of genEventSumw.
        without: branches of weights that no event has: their variations add up as nominal does.
        unusable: lists of sums of which nothing can be made, and why.
        rows: the tree's.
    """

    total: float
    variations: Mapping[str, float] = field(default_factory=dict, hash=False)
    without: frozenset[str] = frozenset()
    unusable: Mapping[str, str] = field(default_factory=dict, hash=False)
    rows: tuple[RunsRow, ...] = ()


@dataclass(frozen=True)
class StoredFile:
    """The input of `duplicate_rows`: a file, its dataset, its number of events, and its rows of Runs."""

    path: str
    dataset: str
    entries: int
    rows: tuple[RunsRow, ...]


def stored_name(runs: Any, name: str) -> str | None:
    """Return what a tree Runs calls a sum: NanoAODv6 put an underscore behind its name; None: it is not stored.

    Args:
        runs: the tree.
        name: of the sum, such as ``genEventSumw``.
    """
    return next((stored for stored in (name, f"{name}_") if stored in runs), None)


def read_sums(runs: Any, path: str, entries: int, titles: Mapping[str, str]) -> SumsOfWeights:
    """Read the tree Runs of a simulated file.

    Args:
        runs: the tree, with genEventSumw, or genEventSumw_ as NanoAODv6 calls it.
        path: of the file, for messages.
        entries: events in its tree Events.
        titles: of the branches of weights that the events have; a skim may have left one out, and kept its sums.

    Raises:
        InputFileError: sums that cannot be those of the file's events: not finite, of fewer events than are stored, or in
            contradiction to each other.
    """
    totals, counts, squares = (_numbers(runs, name, path) for name in (SUM, COUNT, SQUARES))
    assert totals is not None
    total = float(np.sum(totals))
    if not math.isfinite(total):
        raise InputFileError(f"{path}: the sum of weights '{SUM}' is {total}")
    if entries and not len(totals):
        raise InputFileError(f"{path}: its tree 'Runs' is empty, so the number of generated events is unknown")
    if counts is not None and not np.isfinite(counts).all():
        raise InputFileError(f"{path}: '{COUNT}' of its tree 'Runs' is {counts[~np.isfinite(counts)][0]}")
    if counts is not None and not float(np.sum(counts)) >= entries:
        raise InputFileError(
            f"{path}: '{COUNT}' of its tree 'Runs' is {np.sum(counts):.0f}, but it holds {entries} events: Runs is from"
            " another file, for example because a merge kept only one of several; merge again (haddnano.py), or leave the file"
            " out"
        )
    if squares is not None:
        _refuse_contradiction(totals, counts, squares, path)
    names = {name: stored_name(runs, name) for name in (*LISTS.values(), *_MORE_LISTS)}
    lists = {name: _lists(runs, stored) for name, stored in names.items() if stored is not None}
    variations: dict[str, float] = {}
    unusable: dict[str, str] = {}
    without = {branch for branch, name in LISTS.items() if branch not in titles and name not in lists}
    for branch, name in LISTS.items():
        if name in lists:
            if lists[name] and all(len(row) in LENGTHS_WITHOUT_WEIGHTS for row in lists[name]):
                without.add(branch)
                continue
            found, reason = _variations(lists[name], totals, branch, titles.get(branch, ""))
            variations |= found
            if reason:
                unusable[name] = reason
    return SumsOfWeights(total, variations, frozenset(without), unusable, _rows(totals, counts, squares, lists))


def duplicate_rows(
    files: Iterable[StoredFile], tried: Mapping[str, int | None], shown: int = 5
) -> tuple[list[str], list[str]]:
    """Return errors and warnings about rows of Runs that stand in several files, or several times in one.

    A split that copies Runs into each part, and a file merged from such parts, count their events several times. It is
    certain where the sums are of weights that differ from event to event, which no two productions have in common, and
    where the files together hold as many events as one row counts. Otherwise rows may agree because productions have the
    same size: that is said, unless the fileset knows how many events were tried.

    Args:
        files: all simulated files.
        tried: dataset to the number of events tried, where the fileset says it.
        shown: files named at most.
    """
    places: dict[tuple[bytes, str], list[StoredFile]] = {}
    counted: dict[str, int] = {}
    for file in files:
        for row in file.rows:
            counted[file.dataset] = counted.get(file.dataset, 0) + (row.count or 0)
            if row.count != 0:  # of no events, rows are alike
                places.setdefault((row.values, "" if row.distinctive else file.dataset), []).append(file)
    errors: dict[str, None] = {}
    warnings: dict[str, None] = {}
    for (values, _), holders in places.items():
        if len(holders) < 2:
            continue
        distinct = {file.path: file for file in holders}
        row = next(row for row in holders[0].rows if row.values == values)
        names = ", ".join(list(distinct)[:shown]) + (
            f" and {len(distinct) - shown} more" if len(distinct) > shown else ""
        )
        stored = sum(file.entries for file in distinct.values())
        alone = all(r.values == values for file in distinct.values() for r in file.rows)
        what = (
            f"the same row of the tree 'Runs' appears {len(holders)} times in {names}"
            f"{'' if row.count is None else f' ({COUNT} {row.count}; {stored} events stored)'}"
        )
        dataset = holders[0].dataset
        known = tried.get(dataset)
        if row.distinctive or (alone and row.count == stored):
            errors[f"{what}: a file was split, and each part counts all generated events; use the original file"] = None
        elif known is not None and counted[dataset] > known:
            errors[f"{what}: together {counted[dataset]} events generated, but the fileset says {known} were tried"] = (
                None
            )
        elif known is None and not (alone and row.count is not None and stored > row.count):
            warnings[
                f"dataset '{dataset}': {what}. This is correct for productions of equal size with equal weights; if"
                " a file was split and each part has the Runs of the whole file, the normalisation is too small"
            ] = None
    return list(errors), list(warnings)


def _refuse_contradiction(totals: Floats, counts: Floats | None, squares: Floats, path: str) -> None:
    """Refuse sums that no weights have: sum(w)^2 > n sum(w^2)."""
    if not (np.isfinite(squares).all() and (squares >= 0).all()):
        raise InputFileError(
            f"{path}: the sum of squared weights '{SQUARES}' is {squares[~(squares >= 0)][:1].tolist()}"
        )
    if counts is None or len(counts) != len(totals) or len(squares) != len(totals):
        return
    wrong = totals**2 > counts * squares * (1 + 1e-3)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputFileError(
            f"{path}: its tree 'Runs' contradicts itself: no {counts[i]:.0f} weights ({COUNT}) have the sum {totals[i]:g}"
            f" ({SUM}) and squares that add up to {squares[i]:g} ({SQUARES}); its sums are from different events"
        )


def _numbers(runs: Any, name: str, path: str) -> Floats | None:
    """Read a number a row, whatever type it has; None: not stored."""
    stored = stored_name(runs, name)
    if stored is None:
        return None
    values = runs[stored].array()
    if values.ndim != 1:
        raise InputFileError(f"{path}: '{name}' of the tree 'Runs' is a list in each row, not a number")
    return np.asarray(values, dtype=np.float64)


def _lists(runs: Any, name: str) -> list[Floats]:
    values = runs[name].array()
    return [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in values]


def _variations(stored: list[Floats], totals: Floats, branch: str, title: str) -> tuple[dict[str, float], str | None]:
    """Return variation to its sum of weights, or why there is none.

    Rows without such weights, or with entries that nobody knows, count as their events do: as nominal.
    """
    # a row of no weight has stored 0 / 0
    used = [(row, float(total)) for row, total in zip(stored, totals, strict=True) if total != 0]
    orders = {n: order for n in {len(row) for row, _ in used} if (order := order_of(branch, n, title)) is not None}
    parts: dict[str, list[float]] = {}
    for n, order in orders.items():
        rows = [(row, total) for row, total in used if len(row) == n]
        summed = np.sum([row * total for row, total in rows], axis=0)
        total = float(np.sum([total for _, total in rows]))
        middle = total if order.nominal is None else float(summed[order.nominal])
        sums = {name: float(summed[place]) for name, place in order.positions.items()}
        for name, value in (("nominal", middle), *sums.items()):
            if not total or not math.isfinite(value) or not value / total > _NEGLIGIBLE:
                return {}, f"the sum of '{name}' is {value:g}"
        for name, value in sums.items():
            parts.setdefault(name, []).append(value * (total / middle))
    as_nominal = math.fsum(total for row, total in used if len(row) not in orders)
    return {name: math.fsum([as_nominal, *values]) for name, values in parts.items()}, None


def _rows(
    totals: Floats, counts: Floats | None, squares: Floats | None, lists: Mapping[str, list[Floats]]
) -> tuple[RunsRow, ...]:
    rows = []
    for i, total in enumerate(totals):
        numbers = [None if column is None else float(column[i]) for column in (counts, squares)]
        inner = {name: values[i] for name, values in lists.items()}
        content = repr((float(total), numbers, {name: values.tolist() for name, values in inner.items()}))
        count = None if counts is None else int(counts[i])
        of_lists = any(_is_distinctive(values) for values in inner.values())
        rows.append(RunsRow(content.encode(), count, of_lists or _weights_vary(float(total), *numbers), numbers[1]))
    return tuple(rows)


def _is_distinctive(means: Floats) -> bool:
    """Tell whether means of weights are no simple numbers, so that equal means in two files are no coincidence."""
    thousandths = means[np.isfinite(means)] * 1000
    return bool((np.abs(thousandths - np.rint(thousandths)) > 1e-3).any())


def _weights_vary(total: float, count: float | None, squares: float | None) -> bool:
    """Tell whether the weights are more than a sign times one number; False if that is unknown."""
    if not count or not squares:
        return False
    size = math.sqrt(squares / count)
    # n of one size, of which some are negative: the sum is a whole number of them
    positive = (total / size + count) / 2
    return abs(positive - round(positive)) > max(1e-3, _ROUNDING * count)
