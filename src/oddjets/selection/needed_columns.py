"""The columns of the event table that the cuts and observables of an analysis read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.regions import is_expression, split_cut
from oddjets.core.expressions import names_in
from oddjets.io.event_table import JETS, EventTable, dtype_of
from oddjets.selection.decorators import JetColumns, jet_cuts_of

__all__ = ["columns_needed", "columns_read"]


class _ReadRecorder(Mapping[str, npt.NDArray[Any]]):
    """A table without events that has every column and records which are read."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        self.names.add(name)
        return np.empty(0, dtype_of(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(["event"])

    def __len__(self) -> int:
        return 1


def columns_read(processor: object, cut: str, *, of_jets: bool = False) -> frozenset[str]:
    """Return the columns that a cut reads, of both jets if it is one on single jets.

    Args:
        processor: has the cut as a method. What it reads after it fails on a table of no events is not known.
        cut: its name, or an expression.
        of_jets: whether an expression is one on single jets; of a name the processor knows it.

    Raises:
        ExpressionError: the expression can't be parsed.
    """
    if is_expression(cut):
        names = names_in(cut)
        return frozenset(f"{name}_{jet}" for name in names for jet in JETS) if of_jets else frozenset(names)
    asked = _ReadRecorder()
    table = EventTable(asked)
    on_jets = cut in jet_cuts_of(type(processor))
    for columns in [JetColumns(table, jet) for jet in JETS] if on_jets else [table]:
        try:
            with np.errstate(all="ignore"):
                getattr(processor, cut)(columns)
        except Exception:
            # a user's cut may do anything with a table of no events; here nothing is decided
            pass
    return frozenset(asked.names)


def columns_needed(analysis: Analysis, processor: object) -> dict[str, str]:
    """Return column to what reads it, ``cut 'btagged'`` or ``observable 'mass'``.

    Args:
        analysis: its base selection, regions and observables.
        processor: has the cuts as methods. What one reads after it fails on a table of no events is not known.
    """
    found: dict[str, str] = {}
    for name in sorted(analysis.named_cuts):
        found |= dict.fromkeys(sorted(columns_read(processor, name) - found.keys()), f"cut '{name}'")
    for cut, of_jets in expressions_of(analysis):
        read = columns_read(processor, cut, of_jets=of_jets)
        found |= dict.fromkeys(sorted(read - found.keys()), f"cut '{cut}'")
    for name, observable in analysis.observables.items():
        new = names_in(observable.expression) - found.keys()
        found |= dict.fromkeys(sorted(new), f"observable '{name}'")
    return found


def expressions_of(analysis: Analysis) -> list[tuple[str, bool]]:
    """Return the expressions that are cuts of regions, without ``not``, and whether each is a cut on single jets."""
    asked = [
        (split_cut(cut)[0], of_jets)
        for region in analysis.regions.values()
        for cuts, of_jets in [(region.of_events, False), *((cuts, True) for cuts in region.of_jets.values())]
        for cut in cuts
    ]
    return sorted({(cut, of_jets) for cut, of_jets in asked if is_expression(cut)})
