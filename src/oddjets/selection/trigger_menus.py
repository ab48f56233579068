"""Trigger paths that files do not have: they count as not fired, which is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import by_era
from oddjets.core.console import console
from oddjets.core.errors import nearest
from oddjets.io.fileset import Dataset, FileInfo

__all__ = ["absent_triggers", "partly_absent_triggers", "trigger_menus"]

#: dataset name to dataset and what its files hold
_Fileset = Mapping[str, tuple[Dataset, Sequence[FileInfo]]]


def trigger_menus(analysis: Analysis, fileset: _Fileset) -> dict[str, dict[str, Any]]:
    """Compare the trigger paths that an analysis asks of each era with those of the files; see the two functions below.

    Args:
        analysis: of one era or several.
        fileset: the datasets and their files.

    Returns:
        Dataset to its ``absent_triggers`` and ``partly_absent_triggers``.
    """
    absent: dict[str, list[str]] = {}
    partly: dict[str, dict[str, str]] = {}
    for asked, part in by_era(analysis, fileset):
        absent |= absent_triggers(part, asked.selection.triggers)
        partly |= partly_absent_triggers(part, asked.selection.triggers)
    return {name: {"absent_triggers": absent[name], "partly_absent_triggers": partly[name]} for name in fileset}


def absent_triggers(fileset: _Fileset, paths: Sequence[str]) -> dict[str, list[str]]:
    """Find trigger paths that no file of a dataset has, so that they count as not fired there, and say so.

    One file without a path is nothing odd: menus change from run to run.

    Args:
        fileset: the datasets and their files; those without events say nothing.
        paths: names without ``HLT_``.

    Returns:
        Dataset to such paths, for every dataset.
    """
    menus = {
        name: frozenset().union(*{info.branches for info in files if info.entries})
        for name, (_, files) in fileset.items()
    }
    absent = {name: [p for p in paths if menu and f"HLT_{p}" not in menu] for name, menu in menus.items()}
    known = sorted({name.removeprefix("HLT_") for menu in menus.values() for name in menu if name.startswith("HLT_")})
    for name, lacking in absent.items():
        for path in lacking:
            having = [other for other, menu in menus.items() if f"HLT_{path}" in menu]
            elsewhere = f"'{having[0]}' has it" if having else f"no dataset has it; {nearest(path, known)}".rstrip("; ")
            console.print(
                f"[bold yellow]dataset '{name}'[/bold yellow]: no file has the trigger path 'HLT_{path}', which counts as not"
                f" fired: {elsewhere}"
            )
    return absent


def partly_absent_triggers(fileset: _Fileset, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """Find trigger paths that some files of a dataset have and others have not, and say so, once a dataset.

    Args:
        fileset: the datasets and their files; those without events say nothing.
        paths: names without ``HLT_``.

    Returns:
        Dataset to such a path to ``k of n``: in how many of its files it is. For every dataset.
    """
    found: dict[str, dict[str, str]] = {}
    for name, (_, files) in fileset.items():
        menus = [info.branches for info in files if info.entries]
        having = {path: sum(f"HLT_{path}" in menu for menu in menus) for path in paths}
        found[name] = {path: f"{k} of {len(menus)}" for path, k in having.items() if 0 < k < len(menus)}
        if found[name]:
            parts = ", ".join(f"'HLT_{path}' in {part}" for path, part in found[name].items())
            console.print(
                f"dataset '{escape(name)}': not all files have all trigger paths, as menus change from run to run:"
                f" {parts} files; elsewhere it counts as not fired"
            )
    return found
