"""Completions of partly typed words in the shell; install them with `oddjets --install-completion`."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from oddjets.core import resources
from oddjets.core.errors import OddjetsError

__all__ = ["analyses", "analyses_and_workspaces", "figures", "official_names"]

_YAML = (".yaml", ".yml")


def analyses(incomplete: str) -> list[str]:
    """Return the YAML files whose path begins so, and the analyses of the package.

    Args:
        incomplete: what is typed of the word.

    Returns:
        The paths as they would be typed, folders among them; none where the shell's own completion of files does better:
        where there are folders alone, or names that have to be quoted.
    """
    return _analyses_and(incomplete, _YAML)


def analyses_and_workspaces(incomplete: str) -> list[str]:
    """Return what `analyses` does, and JSON files."""
    return _analyses_and(incomplete, (*_YAML, ".json"))


def figures(incomplete: str) -> list[str]:
    """Return the kinds of figures whose name begins so."""
    from oddjets.report.registry import KINDS  # heavy imports only where they are needed

    return [name for name in KINDS if name.startswith(incomplete)]


def official_names(context: typer.Context) -> list[str]:
    """Return the eras and official files that `fetch` knows; after ``--list`` also the samples of the portal."""
    from oddjets.corrections.lookups import load_era  # heavy imports only where they are needed

    names: list[str] = []
    try:
        for era in resources.available_yamls("corrections"):
            if files := load_era(era)[0].files:
                names += [era, *files]
        if context.params.get("listing"):
            from oddjets.io.opendata import load_catalogue

            for catalogue in resources.available_yamls("datasets"):
                names += load_catalogue(catalogue).samples
    except OddjetsError:
        pass  # a file that cannot be read offers no names; the verb itself says what is wrong with it
    return sorted(set(names))


def _analyses_and(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    shipped = [name for name in resources.available("processors") if name.endswith(_YAML)]
    return _unless_the_shell_lists(
        _files(incomplete, suffixes) + [name for name in shipped if name.startswith(incomplete)]
    )


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files and folders in the folder that is typed so far, written as it is; folders end with a slash."""
    typed, slash, begin = incomplete.rpartition("/")
    try:
        there = [path for path in Path(typed + slash or ".").iterdir() if path.name.startswith(begin)]
    except OSError:
        return []
    seen = [path for path in there if begin or not path.name.startswith(".")]
    folders = [f"{typed}{slash}{path.name}/" for path in seen if path.is_dir()]
    return folders + [f"{typed}{slash}{path.name}" for path in seen if path.suffix in suffixes and path.is_file()]


def _unless_the_shell_lists(names: list[str]) -> list[str]:
    """Return the names in order, or none if the shell's own list of files is the better one."""
    # a folder that is the only choice would be followed by a blank; and names with blanks would not be quoted
    only_folders = all(name.endswith("/") for name in names)
    return [] if only_folders or any(shlex.quote(name) != name for name in names) else sorted(set(names))
