"""Figures and the report: drawn from what the earlier stages left, data first."""

from __future__ import annotations

from oddjets.report.draw import make
from oddjets.report.registry import KINDS, Kind, draw

__all__ = ["KINDS", "Kind", "draw", "make"]
