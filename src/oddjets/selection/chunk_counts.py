"""The contributions of a chunk to the totals, besides its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

__all__ = ["ChunkCounts", "ColumnValues", "Inference", "VariedScores"]


class Inference(TypedDict):
    """The way in which a model's scores of the two leading jets were computed.

    Attributes:
        computed: jets that the model scored.
        from_cache: jets whose output of the model was kept from an earlier run.
        providers: what computes really: cpu or cuda.
        fallbacks: why that is the CPU, where ``auto`` was asked for.
        kept_as: the folders of kept scores that they are in.
        scores: all scores that come from this one inference.
        columns: of a model of jet columns, what each was.
    """

    computed: int
    from_cache: int
    providers: set[str]
    fallbacks: set[str]
    kept_as: set[str]
    scores: set[str]
    columns: NotRequired[dict[str, ColumnValues]]


class ColumnValues(TypedDict):
    """The values of the two leading jets in a column that is a score, or that a model reads.

    Attributes:
        finite: jets with a number.
        not_finite: jets without.
        lowest: the lowest number; empty, if there is none.
        highest: the highest one.
    """

    finite: int
    not_finite: int
    lowest: set[float]
    highest: set[float]


class VariedScores(TypedDict):
    """The way in which the two leading jets got the scores of a variation of their constituents.

    Attributes:
        jets: all of them.
        changed: jets with other constituents than nominally.
        computed: jets that models scored, one count for each model.
        from_cache: jets whose output of a model was kept, as that of an unchanged jet is, likewise.
    """

    jets: int
    changed: int
    computed: int
    from_cache: int


@dataclass
class ChunkCounts:
    """The contribution of a chunk to the totals, as plain numbers that can be added.

    Attributes:
        entries: events read.
        raw: events after each cut, the first being all.
        weighted: likewise, with the generator's weights.
        n_minus_1: for each cut, the events and weights that pass all the others.
        input_anomalies: what was found odd and dealt with, counted (`oddjets.selection.input_anomalies`).
        inference: a model's first score to how jets got the model's output.
        score_columns: score name to the values of its column, of the scores that are columns.
        varied_scores: variation of the constituents to how jets got its scores.
    """

    entries: int = 0
    raw: list[int] = field(default_factory=list)
    weighted: list[float] = field(default_factory=list)
    n_minus_1: list[tuple[int, float]] = field(default_factory=list)
    input_anomalies: Counter[str] = field(default_factory=Counter)
    inference: dict[str, Inference] = field(default_factory=dict)
    score_columns: dict[str, ColumnValues] = field(default_factory=dict)
    varied_scores: dict[str, VariedScores] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields in a form that JSON has."""
        return {
            **vars(self),
            "input_anomalies": dict(self.input_anomalies),
            "inference": _listed(self.inference),
            "score_columns": _listed(self.score_columns),
            "varied_scores": {name: dict(found) for name, found in self.varied_scores.items()},
        }


def _listed(found: Any) -> Any:
    """Return the same with sorted lists in place of sets."""
    if isinstance(found, Mapping):
        return {key: _listed(value) for key, value in found.items()}
    return sorted(found) if isinstance(found, set) else found
