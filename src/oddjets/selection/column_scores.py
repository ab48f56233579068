"""Scores of models of jet columns: computed from the columns of the two jets, after all other scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.io.event_table import JETS
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.learning.folds import event_hash
from oddjets.scoring.column_scorer import AnyScorer, ColumnScorer, ColumnSummary
from oddjets.selection.chunk_counts import ColumnValues, Inference
from oddjets.selection.decorators import JetColumns

__all__ = ["column_scores", "columns_of_models"]

Array = npt.NDArray[Any]


def columns_of_models(scorers: Mapping[str, AnyScorer]) -> dict[str, str]:
    """Return column of the event table to the score whose model of jet columns reads it, ``score 'bdt'``."""
    return {
        f"{column}_{j}": f"score '{name}'"
        for name, scorer in scorers.items()
        if isinstance(scorer, ColumnScorer)
        for column in scorer.card.columns_read
        for j in JETS
    }


def column_scores(
    scorers: Mapping[str, AnyScorer],
    columns: Mapping[str, Array],
    anomalies: Counter[str],
    inference: dict[str, Inference],
    *,
    is_data: bool,
) -> dict[str, Array]:
    """Compute the scores of the models of jet columns, in the order of the analysis.

    Args:
        scorers: score name to scorer; those of constituents are passed over.
        columns: of the events, with all other scores.
        anomalies: values that were not finite are added to ``jet_columns_missing``.
        inference: score to how its jets got it; is added to.
        is_data: whether the events are data. Of a score that was learnt from data, both jets of an event of data get the score
            by the model of its fold, which saw neither; those of simulation get the mean over the folds. Numbers of simulated
            events are not looked at: they begin anew in each sample, so that some are those of data.

    Returns:
        ``score_NAME_1`` and ``score_NAME_2`` of these models.

    Raises:
        MissingColumnError: a column is not there.
        MissingValueError: a value is not finite, where the card says that this is an error.
    """
    out: dict[str, Array] = {}
    for name, scorer in scorers.items():
        if not isinstance(scorer, ColumnScorer):
            continue
        hashes = None
        if scorer.card.learnt is not None and is_data:
            hashes = event_hash(*(columns[name] for name in IDENTITY))
        found = [scorer.evaluate(JetColumns({**columns, **out}, j), hashes, unseen=not is_data) for j in JETS]
        values = {column: [one.columns[column] for one in found] for column in found[0].columns}
        counts = {column: _added(of_jets) for column, of_jets in values.items()}
        anomalies["jet_columns_missing"] += sum(count["not_finite"] for count in counts.values())
        inference[name] = {
            "computed": sum(len(one.scores) for one in found),
            "from_cache": 0,
            "providers": {scorer.provider_used},
            "fallbacks": set(),
            "kept_as": set(),
            "scores": {name},
            "columns": counts,
        }
        out |= {f"score_{name}_{j}": one.scores for j, one in zip(JETS, found, strict=True)}
    return out


def _added(of_jets: list[ColumnSummary]) -> ColumnValues:
    return {
        "finite": sum(one.jets - one.missing for one in of_jets),
        "not_finite": sum(one.missing for one in of_jets),
        "lowest": {min(ends)} if (ends := [one.least for one in of_jets if np.isfinite(one.least)]) else set(),
        "highest": {max(ends)} if (ends := [one.greatest for one in of_jets if np.isfinite(one.greatest)]) else set(),
    }
