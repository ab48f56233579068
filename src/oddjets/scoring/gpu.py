"""GPU helpers: free memory and uploaded inputs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["free_memory", "run_uploaded", "upload"]


def free_memory(device: int) -> int | None:
    """Ask the driver's ``nvidia-smi`` for the free memory of a GPU.

    Args:
        device: its number, counted as CUDA does: among those that ``CUDA_VISIBLE_DEVICES`` names, where it is set.

    Returns:
        Bytes; None where the driver does not tell.
    """
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = visible[device] if device < len(visible) else str(device)
    query = ["nvidia-smi", f"--id={name}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout
        return int(answer.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def upload(inputs: Mapping[str, NDArray[Any]], device: int, kind: Literal["cuda", "cpu"] = "cuda") -> dict[str, Any]:
    """Copy inputs to a device.

    Args:
        inputs: arrays by name.
        device: its number.
        kind: of the device; ``cpu`` needs no GPU and is for tests.

    Returns:
        ``onnxruntime.OrtValue`` by name.
    """
    import onnxruntime

    return {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), kind, device)
        for name, array in inputs.items()
    }


def run_uploaded(
    session: Any, inputs: Mapping[str, Any], output: str, device: int, kind: Literal["cuda", "cpu"] = "cuda"
) -> NDArray[np.float32]:
    """Run a session on inputs that are on its device.

    Args:
        session: the ``onnxruntime.InferenceSession``.
        inputs: as `upload` gives them.
        output: name of the output.
        device: number of the device.
        kind: as of `upload`.

    Returns:
        The output.
    """
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output(output, kind, device)
    session.run_with_iobinding(binding)
    result: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
    return result
