"""The scores of the pair: from models, each of which runs once whatever the number of its scores, and from columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError, nearest
from oddjets.io.event_table import JETS
from oddjets.scoring.cache import ScoreCache, evaluate
from oddjets.scoring.class_groups import formula_of, probability_columns, share_columns
from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.score import anomaly_score, class_probabilities, class_shares, mean_score, score_spread
from oddjets.scoring.scorer import Scorer
from oddjets.selection.chunk_counts import ColumnValues, Inference

__all__ = ["scores_of_columns", "scores_of_models", "stems_of", "values_of_columns"]

Columns = dict[str, npt.NDArray[Any]]


def scores_of_models(
    analysis: Analysis,
    scorers: Mapping[str, Scorer],
    jets: JetConstituents | None,
    cache: ScoreCache | None,
    anomalies: Counter[str],
    inference: MutableMapping[str, Inference],
) -> Columns:
    """Run each model once, and compute all that the analysis asks of its output.

    Args:
        analysis: its scores.
        scorers: score name to scorer, for the scores that have a card.
        jets: both jets of event after event; None: there are no events.
        cache: where outputs of models are kept; None: nowhere.
        anomalies: jets and constituents that a model treats in a way that a user should know are added.
        inference: is told how the jets of each model got its output, under the name of the model's first score.

    Returns:
        Columns, shape (events,): ``score_<score>_j``; for families also ``spread_<score>_j`` and the scores of the members;
        for the scores that have a card ``share_<class>_<score>_j``, and
        ``prob_..._j`` where probabilities are kept. A jet without constituents has the score 0, and NaN in other columns.

    Raises:
        OddjetsError: as `Scorer.score`; a score ``of`` another names class groups that the card does not have.
    """
    of_model: dict[str, list[str]] = {}
    for name, scorer in scorers.items():
        of_model.setdefault(scorer.card.model_key, []).append(name)
    out: Columns = {}
    for names in of_model.values():
        scorer = scorers[names[0]]
        if jets is None:
            output = np.empty((0, scorer.card.output.n_classes), np.float32)
        else:
            found = evaluate(scorer, jets, cache=cache)
            output = found.output
            inference[names[0]] = {
                "computed": found.computed,
                "from_cache": found.from_cache,
                "providers": {scorer.provider_used},
                "fallbacks": {scorer.fallback} - {""},
                "kept_as": {found.key} - {""},
                "scores": {*names, *(name for name, score in analysis.scores.items() if score.of in names)},
            }
            anomalies["jets_without_constituents"] += found.unusual.without_constituents
            anomalies["jets_cut_short"] += found.unusual.truncated
            anomalies["constituents_of_1_GeV"] += found.unusual.ignored_constituents
        for name in names:
            out |= _columns_of(analysis, name, scorers[name], output)
    return out | _of_families(analysis, out)


def _of_families(analysis: Analysis, columns: Mapping[str, npt.NDArray[Any]]) -> Columns:
    """Return the scores of families, and the spread of their members, given the members' scores."""
    out: Columns = {}
    for name, score in analysis.scores.items():
        for j in JETS if score.family else ():
            members = [columns[f"score_{member}_{j}"] for member in score.members(name)]
            # a jet without constituents has the score 0 of every member, and no spread
            empty = np.all([values == 0 for values in members], axis=0)
            out[f"score_{name}_{j}"] = np.where(empty, 0.0, mean_score(members))
            out[f"spread_{name}_{j}"] = np.where(empty, 0.0, score_spread(members))
    return out


def _columns_of(analysis: Analysis, name: str, scorer: Scorer, output: npt.NDArray[np.float32]) -> Columns:
    """Return the columns of a score with a card, and of the scores of its class groups."""
    card = scorer.card
    if name not in analysis.scores:  # a member of a family; its shares are those of a score with its card
        return _of_jets(f"score_{name}", np.nan_to_num(anomaly_score(output, card)))
    out: Columns = {}
    for own, score in analysis.scores.items():
        if own == name or score.of == name:
            # one NaN would make the threshold's quantile NaN
            values = np.nan_to_num(anomaly_score(output, card, formula_of(score, card)))
            out |= _of_jets(f"score_{own}", values)
    shares = class_shares(output, card)
    for i, column in enumerate(share_columns(card, name).values()):
        out |= _of_jets(column, shares[:, i])
    if analysis.scores[name].keep_probabilities:
        probabilities = class_probabilities(output, card)
        for i, column in enumerate(probability_columns(card, name).values()):
            out |= _of_jets(column, probabilities[:, i])
    return out


def _of_jets(stem: str, values: npt.NDArray[np.float64]) -> Columns:
    """Return the columns of the pair, given values of both jets of event after event."""
    return {f"{stem}_{j}": values[j - 1 :: 2] for j in JETS}


def scores_of_columns(
    analysis: Analysis, columns: Mapping[str, npt.NDArray[Any]], anomalies: Counter[str], *, last: bool = False
) -> Columns:
    """Return the scores that are columns of the table, of those that are there and not yet scores.

    Args:
        analysis: its scores.
        columns: columns of the events.
        anomalies: jets whose column is not finite are added; their score is 0.
        last: whether no further columns will come, so that one that is not there is an error.

    Raises:
        OddjetsError: a column is not there, or is no number.
    """
    out: Columns = {}
    for name, score in analysis.scores.items():
        if score.column is None or f"score_{name}_{JETS[0]}" in columns:
            continue
        if lacking := [column for j in JETS if (column := f"{score.column}_{j}") not in columns]:
            if last:
                raise OddjetsError(
                    f"scores.{name}.column: these events have no column '{lacking[0]}';"
                    f" {nearest(score.column, stems_of(columns))}"
                )
            continue
        for j in JETS:
            values = np.asarray(columns[f"{score.column}_{j}"])
            if values.dtype.kind not in "biuf":
                raise OddjetsError(f"scores.{name}.column: '{score.column}_{j}' holds no numbers ({values.dtype})")
            values = values.astype(np.float64)
            finite = np.isfinite(values)
            anomalies["scores_not_finite"] += int(np.count_nonzero(~finite & np.isfinite(columns[f"pt_{j}"])))
            out[f"score_{name}_{j}"] = np.where(finite, values, 0.0)
    return out


def stems_of(columns: Iterable[str]) -> list[str]:
    """Return the columns that both jets have, without ``_1`` and ``_2`` and without variations and scores."""
    known = {*columns}
    stems = {name[:-2] for name in known if name.endswith("_1") and f"{name[:-2]}_2" in known}
    return sorted(stem for stem in stems if "__" not in stem and not stem.startswith("score_"))


def values_of_columns(analysis: Analysis, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, ColumnValues]:
    """Return score to what the jets of some events have in its column, of the scores that are columns."""
    found: dict[str, ColumnValues] = {}
    for name, score in analysis.scores.items():
        if score.column is None:
            continue
        values = np.concatenate([np.asarray(columns[f"{score.column}_{j}"], np.float64) for j in JETS])
        finite = values[np.isfinite(values)]
        found[name] = {
            "finite": len(finite),
            "not_finite": len(values) - len(finite),
            "lowest": {float(finite.min())} if len(finite) else set(),
            "highest": {float(finite.max())} if len(finite) else set(),
        }
    return found
