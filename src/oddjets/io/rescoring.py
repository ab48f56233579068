"""The file of a rescored signal, in its output folder."""

from __future__ import annotations

__all__ = ["RESCORING"]

#: all numbers of a rescored signal
RESCORING = "rescoring.json"
