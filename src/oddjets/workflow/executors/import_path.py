"""Import of cluster and executor classes by their path."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

from oddjets.core.errors import OddjetsError, nearest

__all__ = ["import_class", "instantiate"]

#: module to what must be installed for it, where the names differ or an extra of ours has it
_INSTALL = {
    "dask": "oddjets[dask]",
    "distributed": "oddjets[dask]",
    "dask_awkward": "oddjets[dask-awkward]",
    "dask_cuda": "dask-cuda",
    "dask_gateway": "dask-gateway",
    "dask_jobqueue": "dask-jobqueue",
    "dask_kubernetes": "dask-kubernetes",
    "ndcctools": "ndcctools (from conda-forge)",
}
#: names of keyword arguments that may hold secrets
_SECRET = re.compile("auth|credential|key|pass|secret|security|token", re.IGNORECASE)


def import_class(module_name: str, name: str, where: str) -> Any:
    """Import a class.

    Args:
        module_name: dotted.
        name: of the class.
        where: place in the YAML, for messages.

    Raises:
        OddjetsError: the package is not installed, the module is broken, or it has no such class.
    """
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or module_name).split(".")[0]
        raise OddjetsError(
            f"{where}: {module_name}.{name} needs the package '{missing}', which is not installed:"
            f" pip install '{_INSTALL.get(missing, missing)}'"
        ) from error
    except ImportError as error:
        raise OddjetsError(f"{where}: {module_name} can't be imported: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        known = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        raise OddjetsError(f"{where}: {module_name} has no class '{name}'; {nearest(name, known)}".rstrip("; "))
    return found


def instantiate(make: Any, options: Mapping[str, Any], where: str) -> Any:
    """Call a class with a user's keyword arguments.

    Raises:
        OddjetsError: it does not take them.
    """
    try:
        return make(**options)
    except (TypeError, ValueError, OSError, RuntimeError, ImportError) as error:
        given = ", ".join(f"{key}={_shown(key, value)}" for key, value in options.items())
        raise OddjetsError(f"{where}: {make.__name__}({given}) failed: {error}") from error


def _shown(key: str, value: Any) -> str:
    """Return a keyword argument's value for a message: neither secrets, nor what may have some inside."""
    if _SECRET.search(key):
        return "***"
    return repr(value) if isinstance(value, str | int | float | None) else "..."
