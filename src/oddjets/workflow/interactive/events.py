"""The selected events of a dataset under a variation, as an awkward array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.config.per_era import of_era
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections.systematics import NOMINAL, variations_of
from oddjets.io import event_table
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import ThresholdResult
from oddjets.report.artifacts import Artifacts
from oddjets.selection.normalisation import cutflow_line, factors, own_factors
from oddjets.selection.per_era import at_era
from oddjets.selection.processor import DijetProcessor
from oddjets.workflow import blinding
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.run import RunContext

__all__ = ["events_of"]

Columns = dict[str, npt.NDArray[Any]]


def events_of(run: RunContext, dataset: str, variation: str, columns: Sequence[str] | None) -> ak.Array:
    """Return the events of a dataset that pass the base selection under a variation; see `Run.events`.

    Args:
        run: the analysis and its folder, whose stage `process` is done.
        dataset: name of the dataset.
        variation: ``nominal``, or a variation of the dataset.
        columns: the columns to read; None: all.

    Raises:
        OddjetsError: no such dataset, variation or column.
        BlindedError: the data in A are blinded, and without a threshold they cannot be identified.
    """
    processed = run.extra("process")
    if isinstance(columns, str) or not isinstance(columns, Iterable | None):
        raise OddjetsError(f"columns: a list of names, such as ['mjj', 'pt_1']; got {columns!r}")
    if dataset not in [*processed["datasets"]]:
        raise OddjetsError(f"{run.out}: no dataset '{dataset}'; {nearest(dataset, processed['datasets'])}")
    about = processed["datasets"][dataset]
    era = about.get("era", "")
    asked = of_era(run.analysis, era)
    known = [NOMINAL, *(v.name for v in variations_of(asked, about["process"], is_data=about["is_data"]))]
    if variation not in known:
        raise OddjetsError(f"dataset '{dataset}' has no variation '{variation}'; {nearest(variation, known)}")
    factor, hidden = 1.0, None
    if about["is_data"]:
        if run.analysis.blind:
            hidden = Artifacts(run.analysis, run.out).cut_on_data()
        else:
            # if they were hidden before, this is recorded as unblinding
            blinding.record_state(run.analysis, run.out, unblinds=run.unblinds)
    else:
        factor = factors(run.analysis, processed, run.luminosities)[dataset].factor
        factor *= own_factors(run.analysis, processed).get(dataset, {}).get(variation, 1.0)
    folder = run.out / "events"
    if not event_table.parts(folder, dataset):
        raise _without_events(dataset, processed)
    processor = at_era(run.analysis, ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build(), era)
    pieces = [
        _passing(EventTable(piece, variation), processor, hidden, factor, columns)
        for piece in event_table.stream(folder, dataset)
    ]
    if not pieces:
        raise _without_events(dataset, processed)
    return _array({name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]})


def _without_events(dataset: str, processed: Mapping[str, Any]) -> OddjetsError:
    flow = cutflow_line(processed["cuts"], processed["datasets"][dataset]["raw"])
    return OddjetsError(f"dataset '{dataset}': no event passes the base selection, nominal or varied: {flow}")


def _passing(
    table: EventTable,
    processor: DijetProcessor,
    hidden: ThresholdResult | None,
    factor: float,
    columns: Sequence[str] | None,
) -> Columns:
    """Return the rows that pass and are not blinded; the table applies the variation to its columns."""
    known = [name for name in table if "__" not in name and not name.startswith("passes_")]
    for name in columns or ():
        if name not in known:
            raise OddjetsError(f"the event table has no column '{name}'; {nearest(name, known)}")
    mask = processor.passing(table)
    if hidden is not None:
        # a NaN score passes no threshold
        mask = mask & ~(np.minimum(*(table[f"score_{hidden.score}_{j}"] for j in JETS)) >= hidden.value)
    found = {name: table[name][mask] for name in (known if columns is None else [*columns, "weight"])}
    return found | {"weight": np.asarray(found["weight"], dtype=np.float64) * factor}


def _array(columns: Columns) -> ak.Array:
    """Build the array: columns by name, and in addition those of both jets as ``jets``, two per event."""
    first, second = (f"_{j}" for j in JETS)
    both = [name.removesuffix(first) for name in columns if name.endswith(first)]
    pairs = {n: np.stack([columns[n + first], columns[n + second]], axis=1) for n in both if n + second in columns}
    # of variable length: awkward would broadcast one number per event over a fixed length of two as two events
    jets = {"jets": ak.from_regular(ak.zip(pairs), axis=1)} if pairs else {}
    return ak.zip({**{name: ak.Array(values) for name, values in columns.items()}, **jets}, depth_limit=1)
