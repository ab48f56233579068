"""The events of experiments in which a score is learnt: single jets with their columns, and pairs of them to draw from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import JETS, Columns
from oddjets.scoring.column_inputs import input_matrix
from oddjets.selection.decorators import JetColumns
from oddjets.study.events import EventArrays
from oddjets.study.shared_events import joined_truth

__all__ = ["ORIGIN", "DrawnEvents", "JetCollector", "JetPool", "LearningSource"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: the score in whose columns events have the places of their jets: whatever reads and pairs events carries it along
ORIGIN = "place_in_pool"
#: no more of the simulated events of a signal are injected: the others are its templates, and test the separation
MOST_DRAWN = 0.5


@dataclass(frozen=True)
class JetPool:
    """The jets of all processes, one row each.

    Attributes:
        features: what is trained on, NaN where there is no value, (jets, columns).
        seed: the score that labels are made from, -inf where it is no number, (jets,).
        pt: GeV, (jets,).
        mass: soft-drop mass, GeV, (jets,).
    """

    features: npt.NDArray[np.float32]
    seed: Floats
    pt: Floats
    mass: Floats


class JetCollector:
    """Collects the jets of event tables as these are read, and tells each event where its two jets are in the pool.

    Args:
        score: the seed.
        inputs: columns of a jet that are trained on, or expressions of them.
    """

    def __init__(self, score: str, inputs: Sequence[str]) -> None:
        self.score, self.inputs = score, list(inputs)
        self._parts: list[JetPool] = []
        self._jets = 0

    def add(self, columns: Columns) -> Columns:
        """Return the places of both jets of each event, as columns of a score `ORIGIN`.

        Raises:
            ExpressionError: a column that is trained on is not there.
        """
        found: Columns = {}
        for jet in JETS:
            score = np.asarray(columns[f"score_{self.score}_{jet}"], np.float64)
            part = JetPool(
                input_matrix(self.inputs, JetColumns(columns, jet)),
                np.where(np.isnan(score), -np.inf, score),
                *(np.asarray(columns[f"{name}_{jet}"], np.float64) for name in ("pt", "mass")),
            )
            found[f"score_{ORIGIN}_{jet}"] = self._jets + np.arange(len(score))
            self._jets += len(score)
            self._parts.append(part)
        return found

    def pool(self) -> JetPool:
        """Return all jets that were read so far."""
        return JetPool(
            *(
                np.concatenate([getattr(part, name) for part in self._parts])
                for name in ("features", "seed", "pt", "mass")
            )
        )


@dataclass(frozen=True)
class DrawnEvents:
    """The events of an experiment.

    Attributes:
        jets: places of both jets in the pool, (n, 2).
        codes: bins of the regions (see `Patterns`), (n,).
        process: place of the process in the list of the source, (n,).
        row: place among the events of the process, (n,).
    """

    jets: Ints
    codes: Ints
    process: Ints
    row: Ints


@dataclass(frozen=True)
class LearningSource:
    """The jets and events that experiments are drawn from.

    Attributes:
        pool: the jets.
        truth: nominal events of all processes, whose scores are places in the pool.
        templates: events of the simulated processes, with their variations, likewise; without the data-driven one.
        qcd: the process that ABCD estimates.
        signal: the process that is injected.
        strengths: of the other signals of the fit.
    """

    pool: JetPool
    truth: Sequence[EventArrays]
    templates: Sequence[EventArrays]
    qcd: str
    signal: str
    strengths: Mapping[str, float]

    @classmethod
    def of(
        cls,
        pool: JetPool,
        truth: Sequence[EventArrays],
        templates: Sequence[EventArrays],
        qcd: str,
        signal: str,
        strengths: Mapping[str, float],
    ) -> LearningSource:
        """Return the source of some events.

        Raises:
            OddjetsError: a process that is needed has no events, or events of negative weight.
        """
        nominal = joined_truth(truth)
        for name in (qcd, signal):
            if not sum(float(e.nominal.sum()) for e in nominal if e.process == name) > 0:
                raise OddjetsError(f"there are no simulated events of '{name}' that pass the base selection")
        for e in nominal:
            if (e.nominal < 0).any():
                raise OddjetsError(
                    f"events of '{e.process}' have negative weights, and a training cannot be given events that count"
                    " negatively; leave the process out, or simulate it without"
                )
        simulated = [e for e in templates if e.process != qcd]
        return cls(pool, nominal, simulated, qcd, signal, strengths)

    @property
    def processes(self) -> list[str]:
        """The processes of the truth, in order."""
        return [e.process for e in self.truth]

    @cached_property
    def signal_events(self) -> EventArrays:
        """The events of the signal."""
        return next(e for e in self.truth if e.process == self.signal)

    def strength_of(self, share: float) -> float:
        """Return the strength at which the signal is some part of the events of all other processes."""
        others = [e for e in self.truth if e.process != self.signal]
        expected = sum(self.strengths.get(e.process, 1.0) * float(e.nominal.sum()) for e in others)
        return share * expected / float(self.signal_events.nominal.sum())

    def drawn_share(self, strength: float) -> float:
        """Return the part of the simulated signal that a strength injects: expected over effective events."""
        weights = self.signal_events.nominal
        return strength * float(np.square(weights).sum() / weights.sum())

    def draw(self, strength: float, background: np.random.Generator, injected: np.random.Generator) -> DrawnEvents:
        """Draw an experiment: a Poisson number of events of each process, each with the probability of its weight.

        No event is drawn twice: a copy would be one more event of its kind for a training, and so a fluctuation that data do
        not have. Where all are drawn, there are no more.

        Args:
            strength: of the signal.
            background: draws all other processes, so that experiments of other strengths can have the same ones.
            injected: draws the signal.
        """
        parts = []
        for place, events in enumerate(self.truth):
            is_signal = events.process == self.signal
            rng = injected if is_signal else background
            by = strength if is_signal else self.strengths.get(events.process, 1.0)
            weights = events.nominal
            total = float(weights.sum())
            number = min(int(rng.poisson(by * total)), int((weights > 0).sum()))
            rows = rng.choice(len(weights), number, replace=False, p=weights / total)
            jets = events.scores[:, rows].T.astype(np.int64)
            parts.append((jets, events.codes[rows], np.full(number, place), rows))
        jets, codes, process, row = (np.concatenate(of) for of in zip(*parts, strict=True))
        return DrawnEvents(jets, codes, process, row)

    def held_out(self, drawn: DrawnEvents) -> tuple[list[EventArrays], EventArrays]:
        """Return templates and signal without the events that were drawn; the others of a process weigh what all do.

        Args:
            drawn: the events of the experiment.

        Raises:
            OddjetsError: all events of a process were drawn.
        """
        used = np.zeros(len(self.pool.seed), bool)
        used[drawn.jets.ravel()] = True
        return [_without(e, used) for e in self.templates], _without(self.signal_events, used)


def _without(events: EventArrays, used: npt.NDArray[np.bool_]) -> EventArrays:
    kept = ~used[events.scores[0].astype(np.int64)]
    if kept.all():
        return events
    before, after = events.weights.sum(axis=0), events.weights[kept].sum(axis=0)
    if not (after > 0).all():
        raise OddjetsError(
            f"all simulated events of '{events.process}' are in an experiment, and none is left for its template; simulate more"
            " of them, or take a smaller strength"
        )
    return replace(
        events,
        codes=events.codes[kept],
        classes=events.classes[:, kept],
        scores=events.scores[:, kept],
        weights=events.weights[kept] * (before / after),
        rows=events.rows[kept],
    )
