"""One score from the models of several folds: each jet is scored by the model that saw neither jet of its event."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.learning.cdf import ScoreCdf
from oddjets.learning.model import FoldModel, Trainer
from oddjets.stats.agreement import rank_correlation

__all__ = ["LEAST_EVENTS", "MOST_FOLDS", "FoldedScore"]

Floats = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int8]

#: events of a fold, at least: 1 % of their jets, the usual threshold, are four then
LEAST_EVENTS = 200
MOST_FOLDS = 20


@dataclass(frozen=True)
class FoldedScore:
    """The models of all folds and their cumulative distributions.

    Model k is trained on the events that are not in fold k. Its raw score is mapped to its distribution over the jets of fold
    k, which it did not see: then one threshold means the same for all folds, whatever the scale of each model. Without that
    map, pooled folds fake a correlation of the two jets of an event, since both have the scale of the same model.

    Attributes:
        models: by fold.
        cdfs: likewise.
    """

    models: Sequence[FoldModel]
    cdfs: Sequence[ScoreCdf]

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return len(self.models)

    @classmethod
    def train(
        cls,
        features: npt.NDArray[Any],
        folds: Folds,
        trainer: Trainer,
        labels: npt.NDArray[np.int8] | None = None,
        *,
        n_folds: int = 5,
        seed: int = 1,
        workers: int = 1,
    ) -> FoldedScore:
        """Train one model for each fold.

        Args:
            features: of both jets of each event, (n, 2, columns); NaN where there is no value.
            folds: of the events, 0 to ``n_folds`` - 1, (n,).
            trainer: makes a model.
            labels: of both jets, 1, 0, or -1 for a jet that is not trained on, (n, 2); None: all jets, without labels.
            n_folds: how many.
            seed: of all random numbers; fold k has the seed (seed, k) whatever the number of workers.
            workers: threads; each trains a fold at a time.

        Raises:
            OddjetsError: fewer than 2 or more than 20 folds, a fold with fewer than 200 events, too few jets of a class, or a
                model that gives all jets the same score.
        """
        if not 2 <= n_folds <= MOST_FOLDS:
            raise OddjetsError(f"folds: from 2 to {MOST_FOLDS} (got {n_folds})")
        sizes = np.bincount(folds, minlength=n_folds)
        if (least := int(sizes.min())) < LEAST_EVENTS:
            raise OddjetsError(
                f"the smallest of {n_folds} folds has {least} events, and its scores need {LEAST_EVENTS} to have a"
                f" distribution: take fewer folds, or more than the {len(folds)} events"
            )
        if labels is not None:
            _refuse_empty_class(labels)
        used = np.ones(features.shape[:2], np.bool_) if labels is None else labels >= 0
        known = np.zeros(features.shape[:2], np.int8) if labels is None else labels
        events = np.broadcast_to(np.arange(len(folds), dtype=np.intp)[:, None], used.shape)

        def of_fold(fold: int) -> tuple[FoldModel, ScoreCdf]:
            rows = used & (folds != fold)[:, None]
            own_seed = int(np.random.SeedSequence((seed, fold)).generate_state(1)[0])
            model = trainer(features[rows], known[rows], events[rows], own_seed)
            own = features[folds == fold]
            return model, ScoreCdf.of(model.logit(own.reshape(-1, own.shape[-1])))

        with ThreadPoolExecutor(max(workers, 1)) as pool:
            found = list(pool.map(of_fold, range(n_folds)))
        return cls([model for model, _ in found], [cdf for _, cdf in found])

    def raw_scores(self, features: npt.NDArray[Any], folds: Folds) -> Floats:
        """Return the raw score of both jets by the model of the event's fold, (n, 2): of no common scale, for comparison.

        Args:
            features: (n, 2, columns).
            folds: of the events, (n,).
        """
        found = np.empty(features.shape[:2])
        for fold, model in enumerate(self.models):
            rows = np.flatnonzero(folds == fold)
            own = features[rows]
            found[rows] = model.logit(own.reshape(-1, own.shape[-1])).reshape(-1, 2)
        return found

    def scores(self, features: npt.NDArray[Any], folds: Folds) -> Floats:
        """Return the score of both jets of each event by the model of its fold, between 0 and 1, (n, 2).

        Right for events of the training and for others, as long as the fold is that of the event's identity.

        Args:
            features: (n, 2, columns).
            folds: of the events, (n,).
        """
        raw = self.raw_scores(features, folds)
        found = np.empty_like(raw)
        for fold, cdf in enumerate(self.cdfs):
            rows = folds == fold
            found[rows] = cdf(raw[rows])
        return found

    def fold_scores(self, features: npt.NDArray[Any]) -> Floats:
        """Return the score of jets by each fold's model, (n, folds).

        Args:
            features: of jets, (n, columns).
        """
        pairs = zip(self.models, self.cdfs, strict=True)
        return np.stack([cdf(model.logit(features)) for model, cdf in pairs], axis=1)

    def mean_scores(self, features: npt.NDArray[Any]) -> Floats:
        """Return the mean over the folds of both jets' scores, (n, 2): for events that no training saw, such as simulation.

        Args:
            features: (n, 2, columns).
        """
        return np.asarray(self.fold_scores(features.reshape(-1, features.shape[-1])).mean(axis=1).reshape(-1, 2))

    def member_scores(self, features: npt.NDArray[Any], folds: Folds) -> Floats:
        """Return the score of both jets by each member alone, on the scale of its fold's ensemble, (members, n, 2).

        Args:
            features: (n, 2, columns).
            folds: of the events, (n,).
        """
        found: Floats | None = None
        for fold, (model, cdf) in enumerate(zip(self.models, self.cdfs, strict=True)):
            rows = np.flatnonzero(folds == fold)
            own = features[rows]
            scores = cdf(model.member_logits(own.reshape(-1, own.shape[-1])))
            if found is None:
                found = np.empty((len(scores), *features.shape[:2]))
            found[:, rows] = scores.reshape(len(scores), -1, 2)
        return np.empty((0, *features.shape[:2])) if found is None else found

    def agreement(self, features: npt.NDArray[Any], folds: Folds) -> float:
        """Return the mean rank correlation of the raw scores of two members on jets that they did not see; 1 of one member.

        Args:
            features: (n, 2, columns).
            folds: of the events, (n,).
        """
        found = []
        for fold, model in enumerate(self.models):
            own = features[folds == fold]
            logits = model.member_logits(own.reshape(-1, own.shape[-1]))
            found += [rank_correlation(one, other).value for one, other in combinations(logits, 2)]
        return float(np.mean(found)) if found else 1.0

    def spread(self, features: npt.NDArray[Any], folds: Folds) -> Floats:
        """Return by how much the members differ in the score of each jet, their standard deviation, (n, 2); 0 of one member.

        Args:
            features: (n, 2, columns).
            folds: of the events, (n,).
        """
        members = self.member_scores(features, folds)
        return np.asarray(members.std(axis=0, ddof=1)) if len(members) > 1 else np.zeros(features.shape[:2])


def _refuse_empty_class(labels: npt.NDArray[np.int8]) -> None:
    for value, name in ((1, "signal-like"), (0, "background-like")):
        if not np.count_nonzero(labels == value):
            raise OddjetsError(
                f"no jet is {name}, so that there is nothing to tell from the others: look at the seed score, which may have"
                " few different values, or at the window and the side bands"
            )
