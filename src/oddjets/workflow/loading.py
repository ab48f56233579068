"""The function `load`: an analysis by its file or name, validated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.config.analysis import Analysis, find_analysis, load_analysis, place_of
from oddjets.core.errors import OddjetsError
from oddjets.workflow.output_folder import FILE
from oddjets.workflow.validation import resolve

__all__ = ["load", "path_of"]


def load(source: str | Path, changes: Mapping[str, Any] | None = None) -> Analysis:
    """Read an analysis and check all that it names, as `oddjets validate` does.

    Args:
        source: its YAML; one that the package carries may be named without its folder, as ``demo_small.yaml``.
        changes: keys that are laid over the YAML's, as those of a file that ``extends`` it: mappings are merged, None removes
            a key, everything else replaces. Arrays of numbers and paths may stand for lists and texts.

    Returns:
        The analysis, frozen.

    Raises:
        OddjetsError: no such analysis, or mistakes in it: all of them at once, each with its place and the nearest valid name.

    Examples:
        >>> import oddjets
        >>> analysis = oddjets.load("demo_small.yaml", {"threshold": {"efficiency": 0.2}})
        >>> analysis.threshold.efficiency
        0.2
        >>> list(analysis.regions)
        ['SR', 'VR1', 'SR1', 'SR2']
    """
    path = path_of(source, "an analysis is the file of a YAML, or its name in the package")
    if (path / FILE).is_file():
        raise OddjetsError(f"{path}: is an output folder; oddjets.Run('{path}') knows its analysis")
    if not isinstance(changes or {}, Mapping):
        raise OddjetsError(
            f"the changes of an analysis are a mapping, such as {{'threshold': {{'value': 0.5}}}}; got {changes!r}"
        )
    file = find_analysis(path)
    analysis = load_analysis(file, _plain(changes or {}))
    resolve(analysis, place=place_of(file, changes))
    # the working folder may be another one when it is run
    return analysis.model_copy(update={"path": file.absolute()})


def path_of(given: Any, what: str) -> Path:
    """Return what was given as a path, with the home folder for ``~``.

    Args:
        given: text or a path.
        what: it is, for the message.

    Raises:
        OddjetsError: it is neither, or no file can have this name.
    """
    if not isinstance(given, (str, Path)) or not str(given).strip():
        raise OddjetsError(f"{what}; got {repr(given)[:80]}")
    path = Path(given)
    with suppress(RuntimeError):  # a user without a home
        path = path.expanduser()
    try:
        path.exists()
    except (OSError, ValueError) as error:
        raise OddjetsError(f"{what}; got {repr(str(given))[:80]} ({getattr(error, 'strerror', error)})") from None
    return path


def _plain(value: Any) -> Any:
    """Return a change as a YAML would have it."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, type):
        raise OddjetsError(
            f"the class {value.__name__} is named by its file, as 'FILE.py:{value.__name__}', for worker processes read it"
            " there; in a notebook, %%writefile FILE.py at the top of a cell writes it"
        )
    return os.fspath(value) if isinstance(value, Path) else value
