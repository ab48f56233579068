"""Tables of a record: variables with units and named errors, their names, and what is no number."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

__all__ = [
    "LONGEST_NAME",
    "Error",
    "Number",
    "RecordTable",
    "Variable",
    "binned",
    "labelled",
    "long_table",
    "with_short_names",
]

Number = float | None
#: symmetric, or (down, up) as lengths; None: there is none
Error = float | tuple[Number, Number] | None

#: characters that HEPData allows in the name of a table
LONGEST_NAME = 64
#: digits of the digest that tells shortened names apart
_DIGEST = 8


@dataclass(frozen=True)
class Variable:
    """A column of a table.

    Attributes:
        name: its head.
        values: numbers or words, or (low, high) of bins; None: there is none.
        unit: of the values; "": they have none.
        errors: name of an error -> one for each value.
        qualifiers: what else is to be known of the column: name -> value.
    """

    name: str
    values: Sequence[float | str | tuple[float, float] | None]
    unit: str = ""
    errors: Mapping[str, Sequence[Error]] = field(default_factory=dict)
    qualifiers: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many values are no numbers: None, NaN or infinite."""
        return sum(not isinstance(value, str) and not _all_finite(value) for value in self.values)


@dataclass(frozen=True)
class RecordTable:
    """A table of a record.

    Attributes:
        name: of the table; one of a record.
        description: sentences.
        axes: the independent variables.
        variables: the dependent ones, as long as the axes.
        figure: the figure that shows these numbers; "": none.
    """

    name: str
    description: str
    axes: Sequence[Variable]
    variables: Sequence[Variable]
    figure: str = ""

    @property
    def missing(self) -> int:
        """How many of its values are no numbers."""
        return sum(variable.missing for variable in (*self.axes, *self.variables))


def _all_finite(value: float | tuple[float, float] | None) -> bool:
    if isinstance(value, tuple):
        return all(_all_finite(one) for one in value)
    return value is not None and math.isfinite(value)


def labelled(label: str) -> tuple[str, str]:
    """Divide the label of an axis, such as ``Mass [GeV]``, into name and unit."""
    found = re.fullmatch(r"(.*\S)\s*\[([^\]]+)\]\s*", label)
    return (found[1], found[2]) if found else (label, "")


def binned(label: str, edges: Sequence[float]) -> Variable:
    """Return an axis of bins.

    Args:
        label: of the axis, with its unit in brackets.
        edges: shape (bins + 1,).
    """
    name, unit = labelled(label)
    return Variable(name, list(itertools.pairwise(edges)), unit)


def long_table(
    heads: Sequence[str], rows: Iterable[Sequence[str | float | None]], number_of_axes: int
) -> tuple[list[Variable], list[Variable]]:
    """Return rows as axes and variables.

    Args:
        heads: of the columns, with units in brackets; a head that begins with ``±`` holds the errors of the column before it,
            and what follows the sign is their name.
        rows: as long as the heads; no row, no values.
        number_of_axes: so many columns come first.
    """
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in heads]
    made: list[Variable] = []
    for head, values in zip(heads, columns, strict=True):
        if head.startswith("±"):
            errors = {**made[-1].errors, head[1:]: [None if isinstance(v, str) else v for v in values]}
            made[-1] = replace(made[-1], errors=errors)
        else:
            made.append(Variable(labelled(head)[0], values, labelled(head)[1]))
    return made[:number_of_axes], made[number_of_axes:]


def with_short_names(tables: Sequence[RecordTable]) -> tuple[list[RecordTable], dict[str, str]]:
    """Give tables names that HEPData takes: not too long, and different also where capitals do not count.

    The file of a table has its name in small letters. A name that is too long, or that differs from an earlier one by capitals
    alone, loses its end, and the first digits of its sha256 take this place.

    Returns:
        The tables, and the old name of each new one.
    """
    made, changed, known = [], {}, set[str]()
    for table in tables:
        name = re.sub(r"[^\w.+-]", "_", table.name, flags=re.ASCII)
        if name != table.name or len(name) > LONGEST_NAME or name.lower() in known:
            digest = hashlib.sha256(table.name.encode()).hexdigest()[:_DIGEST]
            name = f"{name[: LONGEST_NAME - _DIGEST - 1]}_{digest}"
            changed[name] = table.name
        known.add(name.lower())
        made.append(replace(table, name=name))
    return made, changed
