"""The memory of this process: its peak since a moment."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["forget_peak", "peak_MB"]

_PROC = Path("/proc/self")


def forget_peak() -> None:
    """Begin to measure the peak anew, where the system can (Linux: proc(5), clear_refs)."""
    try:
        (_PROC / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_MB() -> float:
    """Return the largest resident memory since `forget_peak`, MB; since the process began, where nothing forgets."""
    try:
        lines = (_PROC / "status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
