"""The search for named files: beside the YAML, in the checkout, in the installed package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oddjets.core.errors import InputFileError, nearest_file

__all__ = ["KINDS", "available", "available_yamls", "carried", "find"]

#: the folders of the repository that travel with the wheel, as ``oddjets/resources/<kind>``
KINDS = ("processors", "corrections", "models", "datasets")

_PACKAGE = Path(__file__).resolve().parent.parent


def _roots() -> list[Path]:
    checkout = _PACKAGE.parent.parent
    roots = [checkout] if (checkout / "pyproject.toml").is_file() else []
    return [*roots, _PACKAGE / "resources"]


def _candidates(name: str, kind: str, beside: Path | None) -> list[Path]:
    path = Path(name)
    if path.is_absolute():
        return [path]
    relative = path if path.parts[:1] == (kind,) else Path(kind) / path
    near = [beside / path, beside / relative, beside.parent / relative] if beside is not None else [path]
    return near + [root / relative for root in _roots()]


def find(name: str, kind: str, beside: Path | None = None, suffixes: Sequence[str] = ("",)) -> Path:
    """Return the file that a name in the YAML means.

    Args:
        name: a path, or a file name inside the folder ``kind``; with or without that folder in front.
        kind: one of `KINDS`.
        beside: the folder of the YAML that names it, searched first.
        suffixes: tried in this order behind the name.

    Returns:
        The first that exists.

    Raises:
        InputFileError: none exists; the message has the nearest names of those that can be meant, by their ending.
    """
    for suffix in suffixes:
        for candidate in _candidates(name + suffix, kind, beside):
            if candidate.is_file():
                return candidate.resolve()
    path = Path(name)
    where = f"in {kind}/ or beside the analysis" if beside is not None else f"here or in the package's {kind}/"
    if path.is_absolute():
        raise InputFileError(f"{name}: no such file")
    near = nearest_file(path.name, _meant(path, kind, suffixes))
    raise InputFileError(f"no file '{name}' {where}; {near}".removesuffix("; "))


def _meant(path: Path, kind: str, suffixes: Sequence[str]) -> list[str]:
    """Return the files of a kind that a name can mean: those with its ending, or with one of the suffixes."""
    if "" not in suffixes:
        # always given without its ending
        return [file.removesuffix(suffix) for file in available(kind) for suffix in suffixes if file.endswith(suffix)]
    endings = {suffix for suffix in suffixes if suffix} or ({path.suffix} if path.suffix else set())
    return [file for file in available(kind) if not endings or Path(file).suffix in endings]


def carried(name: str, kind: str) -> Path | None:
    """Return the file of this name that the checkout or the wheel carries; None if there is none.

    Args:
        name: with its ending, without a folder.
        kind: one of `KINDS`.
    """
    return next((file for root in _roots() if (file := root / kind / name).is_file()), None)


def available(kind: str) -> list[str]:
    """Return the names of the files of a kind that the checkout or the wheel carries."""
    return sorted({p.name for root in _roots() for p in (root / kind).glob("*") if p.is_file()})


def available_yamls(kind: str) -> list[str]:
    """Return the names of the YAML files of a kind, without their ending."""
    return [Path(name).stem for name in available(kind) if name.endswith((".yaml", ".yml"))]
