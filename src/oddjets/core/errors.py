"""Errors that a user can correct: the messages say what is wrong, where, and how to correct it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath
from typing import Literal

from oddjets.core.redaction import redacted

__all__ = [
    "BlindedError",
    "Cause",
    "InputFileError",
    "OddjetsError",
    "StaleResultsWarning",
    "UnknownKeyError",
    "nearest",
    "nearest_file",
]

#: why a file could not be read
Cause = Literal[
    "timeout",
    "refused",
    "unreachable host",
    "interrupted",
    "server error",
    "missing file",
    "no permission",
    "no byte ranges",
    "missing tree",
    "missing branch",
    "truncated",
    "corrupt basket",
    "damaged",
    "unknown",
]


class OddjetsError(Exception):
    """A mistake that the user can correct; the CLI prints its message alone and exits with code 2.

    The message says what is wrong, where (file, YAML path, branch), and what would be right; secrets in URLs are hidden.
    """

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


class InputFileError(OddjetsError):
    """A file that cannot be read as what it should be: missing, truncated, corrupt, or without a needed branch.

    Attributes:
        cause: in words, where whoever raises it knows.
    """

    def __init__(self, message: str = "", *, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class BlindedError(OddjetsError):
    """A request for data in A while they are blinded."""


class UnknownKeyError(OddjetsError, KeyError):
    """A key that a mapping of results does not have; a `KeyError` too, so that ``in`` and ``get`` work as ever."""

    # KeyError's own puts the message into quotation marks
    __str__ = Exception.__str__


class StaleResultsWarning(UserWarning):
    """Results that are read are out of date: the analysis has changed since. The message says what."""


def nearest(name: object, valid: Iterable[str], count: int = 3) -> str:
    """Return a phrase that names the valid names closest to ``name``.

    Args:
        name: what was asked for; of what is no text, its text.
        valid: the names that exist.
        count: how many to suggest at most.

    Returns:
        For example ``"did you mean 'tau21' or 'tau32'?"``; the whole list where nothing is near and it is short; "" for
        an empty list.
    """
    names = sorted({str(v) for v in valid})
    if not names:
        return ""
    if close := _close(str(name), names, count):
        return _did_you_mean(close)
    return _all_of(names)


def nearest_file(name: str, files: Iterable[str], count: int = 3, *, or_all: bool = True) -> str:
    """Return a phrase that names the files closest to ``name``; endings, which many files share, make no file closer.

    Args:
        name: the file that was asked for, without its folder.
        files: those that can be meant; with their folders, where these have to be given.
        count: how many to suggest at most.
        or_all: list all files where none is near.

    Returns:
        For example ``"did you mean 'demo_small.yaml'?"``; "" where there is nothing to offer.
    """
    names = sorted({str(f) for f in files})
    by_stem: dict[str, list[str]] = {}
    for file in names:
        by_stem.setdefault(PurePath(file).stem, []).append(file)
    # who gives no ending may have a dot in the name
    for asked in dict.fromkeys((PurePath(name).stem, name)):
        if close := [file for stem in _close(asked, list(by_stem), count) for file in by_stem[stem]]:
            return _did_you_mean(close[:count])
    return _all_of(names) if names and or_all else ""


def _close(name: str, names: list[str], count: int) -> list[str]:
    if close := difflib.get_close_matches(name, names, n=count, cutoff=0.6):
        return close
    lowered = {n.lower(): n for n in names}
    return [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=count, cutoff=0.5)]


def _all_of(names: list[str]) -> str:
    if len(names) <= 12:
        return "valid names: " + ", ".join(names)
    return f"valid names: {', '.join(names[:12])}, ... ({len(names)} in all)"


def _did_you_mean(names: list[str]) -> str:
    return "did you mean " + " or ".join(f"'{name}'" for name in names) + "?"
