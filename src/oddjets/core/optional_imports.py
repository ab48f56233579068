"""The packages of extras, imported where they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from oddjets.core.errors import OddjetsError

__all__ = ["require", "require_cuda"]


def require(module: str, extra: str = "train") -> ModuleType:
    """Import a module of an extra.

    Args:
        module: its name.
        extra: whose it is.

    Returns:
        The module.

    Raises:
        OddjetsError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OddjetsError(f"this needs {error.name or module}: pip install 'oddjets[{extra}]'") from error


def require_cuda() -> None:
    """Raise `OddjetsError` where PyTorch finds no GPU."""
    if not require("torch").cuda.is_available():
        raise OddjetsError(
            "PyTorch finds no GPU with CUDA here: its driver, or a PyTorch without CUDA; or ask for 'cpu'"
        )
