"""Small tables of results, for notebooks and for a prompt."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

__all__ = ["Table", "Tabular", "html_table", "shown_as_table", "text_table"]

#: the columns' names, and the rows of cells
Table = tuple[Sequence[str], Sequence[Sequence[object]]]

C = TypeVar("C", bound=type[Any])

_CELL = "text-align:left;vertical-align:top"


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return a table as HTML; every text in it is escaped.

    Args:
        head: the columns' names.
        rows: their cells; ``str`` of each is shown.
        caption: a line above it.
    """
    above = f'<caption style="caption-side:top;{_CELL}">{html.escape(caption)}</caption>' if caption else ""
    names = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(str(cell))}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{above}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def text_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as text, its columns as wide as they need.

    Args:
        head: the columns' names.
        rows: their cells; ``str`` of each is shown.
    """
    # an error's message may have several lines
    lines = [[" ".join(str(cell).split("\n")) for cell in row] for row in [head, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class Tabular:
    """A result that is displayed as a headline and tables, as text at a prompt and as HTML in notebooks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join([self._headline, *(text_table(*table) for table in self._tables()), *self._notes()])

    def _repr_html_(self) -> str:
        first, *others = self._tables()
        tables = [html_table(*first, caption=self._headline), *(html_table(*table) for table in others)]
        return "".join([*tables, *(f"<p>{html.escape(note)}</p>" for note in self._notes())])

    @property
    def _headline(self) -> str:
        raise NotImplementedError

    def _tables(self) -> list[Table]:
        """Return at least one table; the headline is the first one's caption."""
        raise NotImplementedError

    def _notes(self) -> list[str]:
        """Return lines below the tables."""
        return []


def shown_as_table(cls: C) -> C:
    """Give a class that cannot have the base class `Tabular`, as a `NamedTuple`, its ways of being displayed."""
    for name in ("__repr__", "_repr_html_", "_notes"):
        if name == "__repr__" or not hasattr(cls, name):
            setattr(cls, name, vars(Tabular)[name])
    return cls
