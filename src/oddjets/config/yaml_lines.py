"""The lines of a YAML in which its keys stand, for messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from oddjets.core.errors import OddjetsError

__all__ = ["with_lines"]

_Marks = dict[tuple[str, ...], int]


def with_lines(problems: Iterable[str], files: Sequence[Path]) -> list[str]:
    """Return problems with the line where each is: ``regions.SR.cuts.0: no cut ... (line 12)``.

    Args:
        problems: each begins with its place in the YAML and a colon; one that is of no place stays as it is.
        files: the YAML, and those that it extends, in order. A place in one of these gets the file's name, too.
    """
    marks = [_marks(file) for file in files]
    # of several lines, the first says the place
    parts = [(*problem.partition("\n"), _where(problem, marks, files)) for problem in problems]
    return [f"{first}{where}{newline}{rest}" for first, newline, rest, where in parts]


def _where(problem: str, marks: Sequence[_Marks], files: Sequence[Path]) -> str:
    place = tuple(problem.partition(":")[0].split("."))
    # a missing key is in none of the lines, but what should have it is
    for length in range(len(place), 0, -1):
        for number, known in enumerate(marks):
            if (line := known.get(place[:length])) is not None:
                return f" ({f'{files[number].name}, ' if number else ''}line {line})"
    return ""


def _marks(file: Path) -> _Marks:
    """Return the lines of all keys and entries of lists; nothing of a file that cannot be read now."""
    found: _Marks = {}

    def visit(node: yaml.Node, place: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                found.setdefault(inner, key.start_mark.line + 1)
                visit(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                found.setdefault((*place, str(i)), value.start_mark.line + 1)
                visit(value, (*place, str(i)))

    try:
        top = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if top is not None:
            visit(top, ())
    except (OSError, ValueError, yaml.YAMLError, RecursionError, OddjetsError):
        return {}
    return found
