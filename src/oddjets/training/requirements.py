"""The packages of the ``train`` extra, imported where they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from oddjets.errors import OddjetsError

__all__ = ["require"]


def require(module: str) -> ModuleType:
    """Import a module of the ``train`` extra.

    Args:
        module: its name.

    Returns:
        The module.

    Raises:
        OddjetsError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OddjetsError(f"this needs {error.name or module}: pip install 'oddjets[train]'") from error
