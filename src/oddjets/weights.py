"""Event weights: the generator's times the corrections', nominal and under every weight systematic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets import corrections, schema
from oddjets.config import Analysis
from oddjets.systematics import Variation

__all__ = ["Chunk", "event_weights"]

Array = npt.NDArray[Any]


class Chunk(Mapping[str, Array]):
    """Columns first, then branches of the file with one value an event, for the rows that are still in.

    Args:
        columns: name to array, shape (rows,).
        events: the whole chunk.
        rows: which of its events.
    """

    def __init__(self, columns: Mapping[str, Array], events: Any, rows: npt.NDArray[np.int64]) -> None:
        self._columns, self._events, self._rows = columns, events, rows

    def __getitem__(self, name: str) -> Array:
        if name in self._columns:
            return self._columns[name]
        if not schema.has(self._events, [name]):
            raise KeyError(name)
        return np.asarray(schema.branch(self._events, name))[self._rows]

    def __contains__(self, name: object) -> bool:
        return name in self._columns or (isinstance(name, str) and schema.has(self._events, [name]))

    def __iter__(self) -> Iterator[str]:
        yield from self._columns
        yield from schema.branches_of(self._events)

    def __len__(self) -> int:
        return len(list(iter(self)))


def event_weights(
    analysis: Analysis,
    era: corrections.Era,
    era_folder: Path,
    chunk: Mapping[str, Array],
    generator: Array,
    variations: Sequence[Variation],
) -> dict[str, Array]:
    """Return ``weight`` and ``weight__<variation>``: generator weight times corrections, not normalised.

    Args:
        analysis: its systematics.
        era: the corrections.
        era_folder: where the era's relative paths start.
        chunk: columns and branches of the rows, each of shape (rows,).
        generator: the generator's weights, shape (rows,).
        variations: what applies to the process; other kinds than weights are left alone.
    """
    specs = {s.name: s for s in analysis.systematics}
    nominal = np.asarray(generator, dtype=np.float64)
    factors: dict[str, tuple[Array, Array | None]] = {}
    for variation in variations:
        if variation.kind != "weight":
            continue
        spec = specs[variation.systematic].correction or era.corrections[variation.systematic]
        central = corrections.weight(era, era_folder, spec, chunk, None)
        varied = corrections.weight(era, era_folder, spec, chunk, variation.direction)
        assert varied is not None
        factors[variation.name] = (np.broadcast_to(varied, nominal.shape), central)
        if variation.direction == "Up" and central is not None:
            nominal = nominal * central
    out: dict[str, Array] = {"weight": nominal}
    for name, (varied, central) in factors.items():
        # a zero nominal correction makes the weight zero under every variation
        ratio = (
            varied if central is None else np.divide(varied, central, out=np.zeros(nominal.shape), where=central != 0)
        )
        out[f"weight__{name}"] = nominal * ratio
    return out
