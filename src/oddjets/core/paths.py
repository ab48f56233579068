"""Checks of file names from outside: they must stay inside their folder."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

__all__ = ["inside_folder", "is_file_name"]


def inside_folder(name: str, folder: str) -> str:
    """Return a relative path as it is, if it cannot lead out of its folder on any system.

    Args:
        name: the path.
        folder: what it should stay in, for the message.

    Raises:
        ValueError: it is absolute, or goes up.
    """
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
            raise ValueError(f"'{name}' leaves {folder}; give a path inside it")
    return name


def is_file_name(name: str) -> bool:
    """Tell whether a name can be that of a file or folder of ours: no separators, not hidden, nothing unprintable."""
    return bool(name) and not name.startswith(".") and name.isprintable() and not set(name) & set("/\\:")
