"""Event weights: the generator's times the corrections', nominal and under every weight systematic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import evaluate
from oddjets.corrections import generator_weights, lookups
from oddjets.corrections.systematics import Variation
from oddjets.io import nanoaod_schema

__all__ = ["Chunk", "event_weights", "generator_weights_of"]

Array = npt.NDArray[Any]


class Chunk(Mapping[str, Array]):
    """Columns first, then branches of the file with one value an event, for the rows that are still in.

    Args:
        columns: name to array, shape (rows,).
        events: the whole chunk.
        rows: which of its events.
    """

    def __init__(self, columns: Mapping[str, Array], events: Any, rows: npt.NDArray[np.int64]) -> None:
        self._columns, self.events, self.rows = columns, events, rows

    def __getitem__(self, name: str) -> Array:
        if name in self._columns:
            return self._columns[name]
        if not nanoaod_schema.has(self.events, [name]):
            raise KeyError(name)
        return np.asarray(nanoaod_schema.branch(self.events, name))[self.rows]

    def __contains__(self, name: object) -> bool:
        return name in self._columns or (isinstance(name, str) and nanoaod_schema.has(self.events, [name]))

    def __iter__(self) -> Iterator[str]:
        yield from self._columns
        yield from nanoaod_schema.branches_of(self.events)

    def __len__(self) -> int:
        return len(list(iter(self)))


def generator_weights_of(events: Any) -> Array:
    """Return the generator's weights of a chunk of simulation, 0 where the dataset's ``generator_cut`` drops an event.

    A dropped event stays in the sum of weights, so that the cross section is still that of the whole sample.

    Raises:
        InputFileError: there is no branch genWeight.
        ExpressionError: the cut names a branch that is not there.
    """
    weights = np.asarray(nanoaod_schema.branch(events, "genWeight"), dtype=np.float64)
    cut = events.metadata.get("generator_cut")
    if cut is None:
        return weights
    kept = evaluate(cut, Chunk({}, events, np.arange(len(events))))
    return np.where(kept.astype(bool), weights, 0.0)


def event_weights(
    analysis: Analysis,
    era: lookups.Era,
    era_folder: Path,
    chunk: Chunk,
    generator: Array,
    variations: Sequence[Variation],
    repairs: Counter[str],
) -> dict[str, Array]:
    """Return ``weight`` and ``weight__<variation>``: generator weight times corrections, not normalised.

    Args:
        analysis: its systematics.
        era: the corrections.
        era_folder: where the era's relative paths start.
        chunk: columns and branches of the rows, each of shape (rows,).
        generator: the generator's weights, shape (rows,).
        variations: what applies to the process; jet variations are left alone.
        repairs: counts events of a sample without the weights of a variation, as ``without_<systematic>``; those are as
            nominal, and a variation that changes nothing is none in the fit.

    Raises:
        OddjetsError: the era has no correction of a name in the dataset's ``weights``.
    """
    specs = {s.name: s for s in analysis.systematics}
    nominal = np.asarray(generator, dtype=np.float64)
    # weights of this dataset alone, such as K factors
    for name in chunk.events.metadata.get("weights", ()):
        if name not in era.corrections:
            raise OddjetsError(f"era '{era.name}' has no weight '{name}'; {nearest(name, era.corrections)}")
        value = lookups.weight(era, era_folder, era.corrections[name], chunk, None)
        nominal = nominal if value is None else nominal * value
    factors: dict[str, Array] = {}
    for variation in variations:
        name = variation.systematic
        if variation.kind == "jets":
            continue
        if specs[name].correction is None and name in generator_weights.NAMES:
            relative = generator_weights.weight_of(name, variation.direction, chunk.events, chunk.rows)
            if relative is None:
                relative = np.ones(nominal.shape)
                if variation.direction in ("Up", "0"):
                    repairs[f"without_{name}"] += len(nominal)
            factors[variation.name] = relative
            continue
        spec = specs[name].correction or era.corrections[name]
        central = lookups.weight(era, era_folder, spec, chunk, None)
        varied = lookups.weight(era, era_folder, spec, chunk, variation.direction)
        assert varied is not None
        if variation.direction == "Up" and central is not None:
            nominal = nominal * central
        # a zero nominal correction makes the weight zero under every variation
        factors[variation.name] = np.broadcast_to(
            varied if central is None else np.divide(varied, central, out=np.zeros(nominal.shape), where=central != 0),
            nominal.shape,
        )
    return {"weight": nominal} | {f"weight__{name}": nominal * factor for name, factor in factors.items()}
