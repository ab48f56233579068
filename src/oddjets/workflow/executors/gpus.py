"""GPUs of this machine, one for each worker."""

from __future__ import annotations

import os
import shutil
import subprocess

from oddjets.config.execution import Execution

__all__ = ["local_gpus", "use_gpu"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def local_gpus(execution: Execution) -> tuple[str, ...]:
    """Return what CUDA calls the GPUs that workers started here may use: numbers or UUIDs; none for ``provider: cpu``."""
    if execution.provider == "cpu":
        return ()
    if (chosen := os.environ.get(_VISIBLE)) is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip())
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    found = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return tuple(found.stdout.split()) if found.returncode == 0 else ()


def use_gpu(gpus: tuple[str, ...], worker: int) -> None:
    """Make one GPU alone visible to this process, before it computes on one; workers take turns.

    Args:
        gpus: of this machine; none: nothing is done.
        worker: this process's number, from 0.
    """
    if gpus:
        os.environ[_VISIBLE] = gpus[worker % len(gpus)]
