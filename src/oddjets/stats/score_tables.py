"""Scores compared on samples of events: separation of each, agreement and union of each two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.stats.score_comparison import (
    LEAST_EVENTS,
    Cut,
    Estimate,
    Floats,
    Improvement,
    area_under_curve,
    find_cuts,
    gain,
    improvement,
    least_tail,
    overlap,
    rank_correlation,
    rejection,
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

    @classmethod
    def from_jets(
        cls, columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str], weights: Floats, *, selected: bool = True
    ) -> ScoredEvents:
        """Return events with the smaller score of both jets, -inf where one is no number.

        Args:
            columns: of an event table: ``score_<name>_1`` and ``score_<name>_2``, (n,).
            names: of the scores.
            weights: (n,).
            selected: as the attribute.
        """
        scores = {}
        for name in names:
            lower = np.minimum(*(np.asarray(columns[f"score_{name}_{j}"], np.float64) for j in (1, 2)))
            scores[name] = np.where(np.isnan(lower), -np.inf, lower)
        return cls(scores, np.asarray(weights, np.float64), selected)

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
    """The samples and scores that are compared, with the thresholds of each sample and score, which are found once."""

    def __init__(self, samples: Mapping[str, ScoredEvents], background: str, fractions: tuple[float, ...]) -> None:
        self.samples = samples
        self.background = background
        self.fractions = fractions
        self._cuts: dict[tuple[str, str], list[Cut]] = {}
        self._improvements: dict[tuple[str, str], list[Improvement]] = {}

    def cuts(self, sample: str, score: str) -> list[Cut]:
        """Return the cuts that keep the fractions of a sample."""
        if (sample, score) not in self._cuts:
            events = self.samples[sample]
            self._cuts[sample, score] = find_cuts(events.scores[score], events.weights, self.fractions)
        return self._cuts[sample, score]

    def improvements(self, signal: str, score: str) -> list[Improvement]:
        """Return the significance improvement at each fraction."""
        if (signal, score) not in self._improvements:
            events = self.samples[signal]
            self._improvements[signal, score] = [
                improvement(events.scores[score], events.weights, cut) for cut in self.cuts(self.background, score)
            ]
        return self._improvements[signal, score]

    def separation(self, signal: str, score: str, reference: str, targets: Sequence[float]) -> dict[str, Any]:
        """Return what is known of one score and one signal."""
        events, others = self.samples[signal], self.samples[self.background]
        enough = events.effective >= LEAST_EVENTS
        made = []
        for target, cut in zip(targets, find_cuts(events.scores[score], events.weights, targets), strict=True):
            rejected = _entry(rejection(others.scores[score], others.weights, cut), enough=enough)
            kept, threshold = _number(cut.kept.value), _number(cut.threshold)
            made.append({"target": target, "kept": kept, "threshold": threshold, **rejected})
        pairs = [(s.scores[score], s.scores[reference], s.weights) for s in (events, others)]
        found, over = (
            list(zip(self.improvements(signal, name), self.cuts(self.background, name), strict=True))
            for name in (score, reference)
        )
        return {
            "area": _entry(area_under_curve(*pairs[0][::2], *pairs[1][::2])),
            "rejection": made,
            "improvement": [self._improvement(*one, k, enough) for k, one in enumerate(found)],
            "gain": [self._gain(one, two, pairs) for one, two in zip(found, over, strict=True)],
        }

    def _improvement(self, found: Improvement, cut: Cut, place: int, enough: bool) -> dict[str, Any]:
        return {
            "fraction": self.fractions[place],
            "kept": _number(cut.kept.value),
            "threshold": _number(cut.threshold),
            "efficiency": _entry(found.efficiency),
            **_entry(found.estimate, enough=enough),
        }

    @staticmethod
    def _gain(
        of: tuple[Improvement, Cut], over: tuple[Improvement, Cut], samples: Sequence[tuple[Floats, Floats, Floats]]
    ) -> dict[str, Any]:
        """Return a gain; the samples are the signal and the background, with both scores and weights."""
        signal, background = (
            (first >= of[1].threshold, second >= over[1].threshold, weights) for first, second, weights in samples
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
            within = self.background if name in signals else name
            cuts = zip(self.cuts(within, first), self.cuts(within, second), strict=True)
            overlaps[name] = [
                _entry(overlap(one >= cut.threshold, two >= other.threshold, weights)) for cut, other in cuts
            ]
        return {
            "scores": [first, second],
            "rank": ranks,
            "overlap": overlaps,
            "union": self._unions(first, second, signals),
        }

    def _unions(self, first: str, second: str, signals: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        others = self.samples[self.background]
        below = [others.scores[name] for name in (first, second)]
        of_background = least_tail(below, below, others.weights)
        cuts = find_cuts(of_background, others.weights, self.fractions)
        made: dict[str, list[dict[str, Any]]] = {}
        for signal in signals:
            events = self.samples[signal]
            joined = least_tail([events.scores[name] for name in (first, second)], below, others.weights)
            made[signal] = []
            for place, cut in enumerate(cuts):
                found = improvement(joined, events.weights, cut)
                # the first where nothing is known
                better = max((first, second), key=lambda name: np.nan_to_num(self._at(signal, name, place)))
                over = self.improvements(signal, better)[place], self.cuts(self.background, better)[place]
                samples = [
                    (union, sample.scores[better], sample.weights)
                    for union, sample in ((joined, events), (of_background, others))
                ]
                made[signal].append(
                    {
                        **self._improvement(found, cut, place, events.effective >= LEAST_EVENTS),
                        "better": better,
                        "gain": self._gain((found, cut), over, samples),
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
