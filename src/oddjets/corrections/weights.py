"""Event weights: generator weight times corrections, nominal and for every weight systematic.

coffea's `Weights` multiplies them. What a variation changes is kept as a ratio to its own nominal correction, so that
``weight__puUp`` is the product of all nominal weights times up over nominal of pileup.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from coffea.analysis_tools import Weights

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import ExpressionError, evaluate
from oddjets.corrections import generator_weights, lookups
from oddjets.corrections.systematics import Variation
from oddjets.io import nanoaod_schema

__all__ = ["ChunkColumns", "event_weights", "generator_weights_of"]

Array = npt.NDArray[Any]


class ChunkColumns(Mapping[str, Array]):
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
    with _named("generator_cut of the dataset"):
        kept = evaluate(cut, ChunkColumns({}, events, np.arange(len(events))))
    return np.where(kept.astype(bool), weights, 0.0)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say in messages what the expression or the correction is for; the caller knows the file."""
    try:
        yield
    except (ExpressionError, lookups.NotFiniteError) as error:
        raise type(error)(f"{what}: {error}") from error


def event_weights(
    analysis: Analysis,
    era: lookups.Era,
    era_folder: Path,
    chunk: ChunkColumns,
    generator: Array,
    variations: Sequence[Variation],
    anomalies: Counter[str],
) -> dict[str, Array]:
    """Return ``weight`` and ``weight__<variation>``: generator weight times corrections, not normalised.

    Args:
        analysis: its systematics.
        era: the corrections.
        era_folder: where the era's relative paths start.
        chunk: columns and branches of the rows, each of shape (rows,).
        generator: the generator's weights, shape (rows,).
        variations: what applies to the process; those of jets and scores are left alone.
        anomalies: counts events without the weights of a variation, as ``without_<systematic>``: those are as nominal, and a
            variation that changes nothing is none in the fit. Also why they are without, where that is odd.

    Raises:
        OddjetsError: the era has no correction of a name in the dataset's ``weights``.
    """
    weights = Weights(len(generator))
    weights.add("generator", np.asarray(generator, dtype=np.float64))
    # weights of this dataset alone, such as K factors
    for i, name in enumerate(chunk.events.metadata.get("weights", ())):
        if name not in era.corrections:
            raise OddjetsError(f"era '{era.name}' has no weight '{name}'; {nearest(name, era.corrections)}")
        with _named(f"weight '{name}' of the dataset"):
            value = lookups.weight(era, era_folder, era.corrections[name], chunk, None)
        if value is not None:
            weights.add(f"dataset[{i}]", np.broadcast_to(value, generator.shape))
    specs = {s.name: s for s in analysis.systematics}
    modifiers: dict[str, str] = {}
    of_weights = (v for v in variations if v.kind not in ("jets", "scores"))
    for name, of_systematic in itertools.groupby(of_weights, key=lambda v: v.systematic):
        directions = [v.direction for v in of_systematic]
        spec = specs[name].correction
        if spec is None and name in generator_weights.GENERATOR_SYSTEMATICS:
            central, varied = np.ones(generator.shape), _generator_variations(name, directions, chunk, anomalies)
        else:
            spec = spec or era.corrections[name]
            with _named(f"systematic '{name}'"):
                nominal, *found = (lookups.weight(era, era_folder, spec, chunk, d) for d in (None, *directions))
            central = np.ones(generator.shape) if nominal is None else np.broadcast_to(nominal, generator.shape)
            varied = [weight for weight in found if weight is not None]
        # coffea knows Up and Down of a name, and an envelope has neither: each direction is the Up of a name of its own. No
        # name of coffea's may itself end in Up, as that of a systematic may: hence the brackets. It divides in place what it
        # is given, which may be columns: hence new arrays. A zero nominal correction makes all of its variations zero
        copies = [np.where(central != 0, weight, 0.0) for weight in varied]
        weights.add_multivariation(f"({name})", central, directions, copies, [None] * len(directions))
        modifiers |= {f"weight__{name}{d}": f"({name})_{d}Up" for d in directions}
    return {"weight": weights.weight()} | {column: weights.weight(m) for column, m in modifiers.items()}


def _generator_variations(
    name: str, directions: Sequence[str], chunk: ChunkColumns, anomalies: Counter[str]
) -> list[Array]:
    """Return the generator's relative weights by direction; events without them are counted, once a systematic."""
    found = [generator_weights.weight_of(name, direction, chunk.events, chunk.rows) for direction in directions]
    lacking = ~np.all([weights.present for weights in found], axis=0)
    if lacking.any():
        anomalies[f"without_{name}"] += int(np.count_nonzero(lacking))
    for anomaly, count in found[0].anomalies.items():
        anomalies[f"{name}_{anomaly}"] += count
    return [weights.values for weights in found]
