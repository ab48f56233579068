"""The files of rescored signals in output folders."""

from __future__ import annotations

__all__ = ["EFFICIENCY_MAP", "RESCORING"]

#: all numbers of a rescored signal
RESCORING = "rescoring.json"
#: probabilities of single jets to pass the threshold
EFFICIENCY_MAP = "efficiency_map.json"
