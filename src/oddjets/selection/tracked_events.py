"""Events of a table that record what is read of them."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from oddjets.corrections.systematics import NOMINAL
from oddjets.io import event_table
from oddjets.io.event_table import EventTable

__all__ = ["TrackedEvents"]


class TrackedEvents(EventTable):
    """The nominal events; they record whether a weight or the name of the variation was read."""

    def __init__(self, columns: event_table.Columns) -> None:
        self._variation = NOMINAL
        super().__init__(columns)
        self.used_variation = False

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        self.used_variation |= column == "weight"
        return super().__getitem__(column)

    @property
    def variation(self) -> str:
        """The name of the variation, ``nominal``; whoever reads it depends on it."""
        self.used_variation = True
        return self._variation

    @variation.setter
    def variation(self, name: str) -> None:
        self._variation = name

    def under(self, variation: str) -> EventTable:
        """Return the same events as another variation sees them."""
        self.used_variation = True
        return super().under(variation)
