"""Numbers and sums of the weights of generated events."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oddjets.core.errors import InputFileError

__all__ = ["WeightSums", "add_up"]


@dataclass(frozen=True)
class WeightSums:
    """The weights of some generated events.

    Attributes:
        events: how many there are.
        total: sum of their weights.
        squares: sum of the squared weights.
        negative: events with a negative weight.
    """

    events: int
    total: float
    squares: float
    negative: int


def add_up(weights: Iterable[float], size: int | None, path: Path) -> tuple[WeightSums, ...]:
    """Return the sums of the weights of a file's events, block by block.

    Args:
        weights: of all events, in order.
        size: events of a block; None: all are one.
        path: of the file, for messages.

    Raises:
        InputFileError: there are no events, or their weights add up to zero or less.
    """
    remaining, made = iter(weights), []
    while found := list(itertools.islice(remaining, size)):
        made.append(WeightSums(len(found), sum(found), sum(w**2 for w in found), sum(w < 0 for w in found)))
    if not made:
        raise InputFileError(f"{path}: there are no events in this file")
    if not (total := sum(block.total for block in made)) > 0:
        raise InputFileError(
            f"{path}: the weights of its {sum(block.events for block in made)} events add up to {total:g}, so that they have no"
            " normalisation; make the file with weights"
        )
    return tuple(made)
