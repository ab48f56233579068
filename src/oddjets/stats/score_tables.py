"""Scores compared on samples of events: separation of each, agreement and union of each two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from oddjets.stats.score_comparison import (
    LEAST_EVENTS,
    Estimate,
    Floats,
    Improvement,
    area_under_curve,
    gain,
    improvement,
    least_tail,
    overlap,
    rank_correlation,
    rejection,
    thresholds,
)

__all__ = ["FRACTIONS", "TARGETS", "ScoredEvents", "compare_scores"]

#: of the background, at or above a threshold
FRACTIONS = (0.05, 0.02, 0.01, 0.005, 0.002)
#: of the signal, at which rejections are stated
TARGETS = (0.5, 0.3)


@dataclass(frozen=True)
class ScoredEvents:
    """The events of a sample with several scores.

    Attributes:
        scores: name -> one number for each event, (n,), large where the event is odd; -inf where there is none.
        weights: (n,).
        selected: whether thresholds can be found in these events and selections be compared; false for data whose oddest events
            are hidden.
    """

    scores: Mapping[str, Floats]
    weights: Floats
    selected: bool = True

    @property
    def effective(self) -> float:
        """The number of events of equal weights with the same relative error."""
        squares = float(np.square(self.weights).sum())
        return float(self.weights.sum()) ** 2 / squares if squares > 0 else 0.0


def compare_scores(
    samples: Mapping[str, ScoredEvents],
    background: str,
    signals: Sequence[str],
    reference: str,
    fractions: Sequence[float] = FRACTIONS,
    targets: Sequence[float] = TARGETS,
) -> dict[str, Any]:
    """Compare scores, see `oddjets.stats.score_comparison` for what is estimated and how errors are found.

    Args:
        samples: name -> its events; all have the same scores.
        background: the sample that thresholds are found in. Other samples that are no signal, such as data, have thresholds of
            their own.
        signals: samples of signal.
        reference: the score that gains of others are over.
        fractions: of the background, at which selections are compared.
        targets: efficiencies of the signal, for rejections.

    Returns:
        Numbers, names and null, as JSON can hold them. An estimate has ``value``, ``down`` and ``up`` (its 68 % interval),
        ``events`` (the effective number that it rests on) and ``few`` (whether that is less than `LEAST_EVENTS`).
        ``separation``: signal -> score -> ``area``, ``rejection`` at each target, ``improvement`` and ``gain`` over the
        reference at each fraction. ``pairs``: of each two scores ``rank`` (sample -> rank correlation), ``overlap`` (sample ->
        at each fraction), ``union`` (signal -> at each fraction the improvement of what either selects, with its ``gain`` over
        the ``better`` of the two).
    """
    names = list(samples[background].scores)
    found = _Comparison(samples, background, tuple(fractions))
    separation = {
        signal: {name: found.separation(signal, name, reference, targets) for name in names} for signal in signals
    }
    pairs = [found.pair(first, second, signals) for first, second in combinations(names, 2)]
    return {
        "scores": names,
        "reference": reference,
        "fractions": list(fractions),
        "targets": list(targets),
        "background": background,
        "signals": list(signals),
        "samples": {
            name: {"events": len(sample.weights), "effective": sample.effective, "selected": sample.selected}
            for name, sample in samples.items()
        },
        "separation": separation,
        "pairs": pairs,
    }


class _Comparison:
    """What is compared, with the thresholds of each sample and score."""

    def __init__(self, samples: Mapping[str, ScoredEvents], background: str, fractions: tuple[float, ...]) -> None:
        self.samples = samples
        self.background = background
        self.fractions = fractions
        self._improvements: dict[tuple[str, str], list[Improvement]] = {}

    def improvements(self, signal: str, score: str) -> list[Improvement]:
        """Return the significance improvement at each fraction."""
        if (signal, score) not in self._improvements:
            at = self._both(signal, score)
            self._improvements[signal, score] = [improvement(*at, fraction) for fraction in self.fractions]
        return self._improvements[signal, score]

    def _both(self, signal: str, score: str) -> tuple[Floats, Floats, Floats, Floats]:
        one, other = self.samples[signal], self.samples[self.background]
        return one.scores[score], one.weights, other.scores[score], other.weights

    def separation(self, signal: str, score: str, reference: str, targets: Sequence[float]) -> dict[str, Any]:
        """Return what is known of one score and one signal."""
        at = self._both(signal, score)
        enough = self.samples[signal].effective >= LEAST_EVENTS
        made = []
        for target in targets:
            rejected = rejection(*at, target)
            made.append(
                {
                    "target": target,
                    "kept": _number(rejected.efficiency),
                    "threshold": _number(rejected.threshold),
                    **_entry(rejected.estimate, enough=enough),
                }
            )
        found, over = self.improvements(signal, score), self.improvements(signal, reference)
        samples = [(self.samples[name].scores, self.samples[name].weights) for name in (signal, self.background)]
        gains = [
            self._gain(one, two, [(s[score], s[reference], w) for s, w in samples])
            for one, two in zip(found, over, strict=True)
        ]
        return {
            "area": _entry(area_under_curve(*at)),
            "rejection": made,
            "improvement": [self._improvement(one, k, enough) for k, one in enumerate(found)],
            "gain": gains,
        }

    def _improvement(self, found: Improvement, place: int, enough: bool) -> dict[str, Any]:
        return {
            "fraction": self.fractions[place],
            "kept": _number(found.kept),
            "threshold": _number(found.threshold),
            "efficiency": _entry(found.efficiency),
            **_entry(found.estimate, enough=enough),
        }

    @staticmethod
    def _gain(of: Improvement, over: Improvement, samples: Sequence[tuple[Floats, Floats, Floats]]) -> dict[str, Any]:
        # as from both samples: of the signal and the background
        signal, background = (
            (first >= of.threshold, second >= over.threshold, weights) for first, second, weights in samples
        )
        return _entry(gain(of, over, signal, background))

    def pair(self, first: str, second: str, signals: Sequence[str]) -> dict[str, Any]:
        """Return how much two scores agree, and what both find together."""
        ranks, overlaps = {}, {}
        for name, sample in self.samples.items():
            one, two, weights = sample.scores[first], sample.scores[second], sample.weights
            ranks[name] = _entry(rank_correlation(one, two, weights))
            if not sample.selected:
                continue
            # those of a signal are the background's; data have their own, as in the analysis
            within = self.samples[self.background] if name in signals else sample
            cuts = [thresholds(within.scores[score], within.weights, self.fractions) for score in (first, second)]
            overlaps[name] = [
                _entry(overlap(one >= cut, two >= other, weights)) for cut, other in zip(*cuts, strict=True)
            ]
        return {
            "scores": [first, second],
            "rank": ranks,
            "overlap": overlaps,
            "union": {signal: self._union(first, second, signal) for signal in signals},
        }

    def _union(self, first: str, second: str, signal: str) -> list[dict[str, Any]]:
        one, other = self.samples[signal], self.samples[self.background]
        below = [other.scores[name] for name in (first, second)]
        joined = [
            least_tail([sample.scores[name] for name in (first, second)], below, other.weights)
            for sample in (one, other)
        ]
        made = []
        for place, fraction in enumerate(self.fractions):
            found = improvement(joined[0], one.weights, joined[1], other.weights, fraction)
            better = max((first, second), key=lambda name: np.nan_to_num(self._at(signal, name, place)))
            samples = [
                (union, sample.scores[better], sample.weights)
                for union, sample in zip(joined, (one, other), strict=True)
            ]
            over = self.improvements(signal, better)[place]
            made.append(
                {
                    **self._improvement(found, place, one.effective >= LEAST_EVENTS),
                    "better": better,
                    "gain": self._gain(found, over, samples),
                }
            )
        return made

    def _at(self, signal: str, score: str, place: int) -> float:
        return self.improvements(signal, score)[place].estimate.value


def _entry(found: Estimate, *, enough: bool = True) -> dict[str, Any]:
    """Return an estimate as JSON can hold it.

    Args:
        found: the estimate.
        enough: whether what else it depends on is known well enough.
    """
    return {
        **{name: _number(value) for name, value in found._asdict().items()},
        # rounding makes no ten events fewer
        "few": bool(not enough or found.events < LEAST_EVENTS - 1e-9),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
