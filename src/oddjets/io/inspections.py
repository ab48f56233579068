"""Inspections of events in an output folder, as far as the report shows them."""

from __future__ import annotations

__all__ = ["FOLDER"]

#: the folder of inspections, in the output folder
FOLDER = "inspection"
