"""The colours of processes in figures."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.colors import to_hex

from oddjets.config.analysis import Process
from oddjets.report.style import MORE_COLORS, PALETTE

__all__ = ["process_colors"]


def process_colors(processes: Mapping[str, Process]) -> dict[str, str]:
    """Return the colour of each process, the same in every figure: that in the analysis, else an unused one.

    Args:
        processes: in order; one that is appended changes no colour of those before it.
    """
    given = {n: p.color for n, p in processes.items() if "color" in p.model_fields_set}
    taken = {to_hex(c) for c in given.values()}
    free = [c for c in (*PALETTE, *MORE_COLORS) if c not in taken] or list(PALETTE)
    others = [n for n in processes if n not in given]
    return {**given, **{n: free[i % len(free)] for i, n in enumerate(others)}}
