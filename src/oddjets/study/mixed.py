"""Events of a process whose jets are paired anew: independent jets, with all else that each of them has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.event_table import Columns
from oddjets.selection.decorators import HasCuts
from oddjets.selection.mixing import pair_jets, pairings, select_nominal
from oddjets.study.events import EventArrays, Scores, read_events

__all__ = ["PAIRS", "mixed_events"]

#: pairs that are made at least
PAIRS = 300_000


def mixed_events(
    analysis: Analysis,
    processor: HasCuts,
    tables: Iterable[Columns],
    process: str,
    *,
    seed: int,
    pairs: int = PAIRS,
    scores: Scores | None = None,
) -> EventArrays:
    """Return pairs of jets of different events of a process; together they weigh what its events weigh.

    Args:
        analysis: regions and observable of its fit.
        processor: defines the cuts.
        tables: parts of the event table, with normalised weights.
        process: its name.
        seed: of the pairing.
        pairs: how many are made at least.
        scores: as for `read_events`.

    Raises:
        OddjetsError: fewer than two events.
    """
    parts = [select_nominal(processor, columns) for columns in tables]
    parts = [part for part in parts if len(part["event"])]
    if sum(len(part["event"]) for part in parts) < 2:
        raise OddjetsError(f"there are fewer than two events of '{process}', so that their jets cannot be paired anew")
    common = set(parts[0]).intersection(*parts)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in sorted(common)}
    weights = columns["weight"].astype(np.float64)
    found: list[EventArrays] = []
    made = 0
    for one, other in pairings(len(weights), seed, pairs):
        paired = pair_jets(columns, one, other) | {"weight": weights[one] * weights[other]}
        found += read_events(analysis, processor, [paired], process, {NOMINAL: 1.0}, scores=scores, first=made)
        made += len(one)
    whole = EventArrays.joined(found)
    total = whole.weights.sum()
    if not total > 0:
        raise OddjetsError(f"no pair of jets of '{process}' passes the base selection")
    whole.weights[:] *= weights.sum() / total
    return whole
