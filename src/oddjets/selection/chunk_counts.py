"""The contributions of a chunk to the totals, besides its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypedDict

__all__ = ["ChunkCounts", "Inference"]


class Inference(TypedDict):
    """The way in which the scores of the two leading jets were computed.

    Attributes:
        computed: jets that the model scored.
        from_cache: jets whose score was kept from an earlier run.
        providers: what computes really: cpu or cuda.
        fallbacks: why that is the CPU, where ``auto`` was asked for.
        kept_as: the folders of kept scores that they are in.
    """

    computed: int
    from_cache: int
    providers: set[str]
    fallbacks: set[str]
    kept_as: set[str]


@dataclass
class ChunkCounts:
    """The contribution of a chunk to the totals, as plain numbers that can be added.

    Attributes:
        entries: events read.
        raw: events after each cut, the first being all.
        weighted: likewise, with the generator's weights.
        n_minus_1: for each cut, the events and weights that pass all the others.
        input_anomalies: what was found odd and dealt with, counted (`oddjets.selection.input_anomalies`).
        inference: score name to how its jets got it.
    """

    entries: int = 0
    raw: list[int] = field(default_factory=list)
    weighted: list[float] = field(default_factory=list)
    n_minus_1: list[tuple[int, float]] = field(default_factory=list)
    input_anomalies: Counter[str] = field(default_factory=Counter)
    inference: dict[str, Inference] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields in a form that JSON has."""
        inference = {
            score: {key: sorted(value) if isinstance(value, set) else value for key, value in how.items()}
            for score, how in self.inference.items()
        }
        return {**vars(self), "input_anomalies": dict(self.input_anomalies), "inference": inference}
