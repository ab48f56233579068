"""The columns of the event table that the cuts and observables of an analysis read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
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


def columns_read(processor: object, cut: str) -> frozenset[str]:
    """Return the columns that a cut reads, of both jets if it is one on single jets.

    Args:
        processor: has the cut as a method. What it reads after it fails on a table of no events is not known.
        cut: its name.
    """
    asked = _ReadRecorder()
    table = EventTable(asked)
    of_jets = cut in jet_cuts_of(type(processor))
    for columns in [JetColumns(table, jet) for jet in JETS] if of_jets else [table]:
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
    for name, observable in analysis.observables.items():
        new = names_in(observable.expression) - found.keys()
        found |= dict.fromkeys(sorted(new), f"observable '{name}'")
    return found
