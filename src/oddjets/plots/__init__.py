"""Figures and the report: drawn from what the earlier stages left, data first."""

from __future__ import annotations

from oddjets.plots.make import make
from oddjets.plots.registry import KINDS, Kind, draw

__all__ = ["KINDS", "Kind", "draw", "make"]
