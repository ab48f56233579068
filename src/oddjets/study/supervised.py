"""A classifier that is trained on the very signal: a bound for searches that do not know it.

An event's fold is a hash of its identity, both of its jets are scored by the model that saw neither, and each model's output
is replaced by the fraction of background jets of its own fold below it, so that one threshold means the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import JETS, Columns

__all__ = ["CrossFitted", "feature_stems", "fold_of"]

Floats = npt.NDArray[np.float64]

FOLDS = 5
#: jets of each class that a model needs
LEAST_JETS = 200
#: a small booster that does not learn its few thousand jets by heart: leaves, least jets in one, rate, trees
SETTINGS: dict[str, Any] = {
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "learning_rate": 0.05,
    "max_iter": 200,
    "early_stopping": False,
}
#: columns of a jet, beside the shares of class groups, that tell what it is made of; no mass and no momentum
OF_SUBSTRUCTURE = ("n_constituents", "btag")
SUBJETTINESS = ("tau1", "tau2", "tau3", "tau4")


def fold_of(columns: Columns, folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """Return the fold of each event, (n,): a hash of run, luminosity block and event number.

    Args:
        columns: an event table.
        folds: how many there are.
    """
    state = np.zeros(len(columns["event"]), np.uint64)
    with np.errstate(over="ignore"):
        for name in ("run", "luminosityBlock", "event"):
            state ^= np.asarray(columns[name]).astype(np.uint64)
            # the finaliser of splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014)
            state += np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return (state % np.uint64(folds)).astype(np.int64)


def feature_stems(tables: Sequence[Columns]) -> list[str]:
    """Return what the classifier is trained on, of what all tables have: names of columns without the jet's number.

    Args:
        tables: event tables of all processes.
    """
    common = set(tables[0]).intersection(*tables[1:])
    both = sorted({name[:-2] for name in common if name.endswith("_1") and f"{name[:-2]}_2" in common})
    shares = [name for name in both if name.startswith("share_")]
    ratios = [name for name in SUBJETTINESS if name in both]
    return [*shares, *ratios, *(name for name in OF_SUBSTRUCTURE if name in both)]


def _features(columns: Columns, stems: Sequence[str], jet: int) -> Floats:
    """Return the features of one jet of each event, (n, features); subjettinesses relative to the one before."""
    taus = [name for name in SUBJETTINESS if name in stems]
    found = [np.asarray(columns[f"{name}_{jet}"], np.float64) for name in stems if name not in taus]
    for lower, upper in pairwise(taus):
        one, other = (np.asarray(columns[f"{name}_{jet}"], np.float64) for name in (lower, upper))
        found.append(np.divide(other, one, out=np.full(len(one), np.nan), where=one > 0))
    return np.stack(found, axis=1)


class CrossFitted:
    """Boosted trees for one signal against one background, one for each fold of events.

    Args:
        signal: event tables of the signal, with weights.
        background: of the background.
        stems: names of columns, from `feature_stems`.
        seed: of the trees.

    Raises:
        OddjetsError: scikit-learn is not installed, there are no features, or too few jets.
    """

    def __init__(
        self, signal: Sequence[Columns], background: Sequence[Columns], stems: Sequence[str], seed: int = 1
    ) -> None:
        try:
            from sklearn.ensemble import HistGradientBoostingClassifier
        except ImportError:
            raise OddjetsError("a supervised bound needs scikit-learn: pip install 'oddjets[learn]'") from None
        if not stems:
            raise OddjetsError("the event tables have no columns of jets that a classifier could be trained on")
        self.stems = list(stems)
        kinds = [self._jets(tables) for tables in (signal, background)]
        self._models, self._sorted = [], []
        for fold in range(FOLDS):
            others = [(x[of != fold], w[of != fold]) for x, w, of in kinds]
            own = kinds[1][0][kinds[1][2] == fold]
            if min(len(x) for x, _ in others) < LEAST_JETS or not len(own):
                raise OddjetsError(
                    f"a supervised bound needs {LEAST_JETS} jets of signal and of background in each of {FOLDS} folds; there"
                    f" are {len(kinds[0][0])} and {len(kinds[1][0])} in all"
                )
            # both classes weigh the same
            weights = [w * len(w) / w.sum() for _, w in others]
            model = HistGradientBoostingClassifier(random_state=seed, **SETTINGS)
            model.fit(
                np.concatenate([x for x, _ in others]),
                np.repeat([1, 0], [len(x) for x, _ in others]),
                sample_weight=np.concatenate(weights),
            )
            self._models.append(model)
            self._sorted.append(np.sort(model.decision_function(own)))

    def _jets(self, tables: Sequence[Columns]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Return features, absolute weights and folds of all jets."""
        found: list[tuple[Floats, Floats, npt.NDArray[np.int64]]] = []
        for columns in tables:
            for jet in JETS:
                weight = np.abs(np.asarray(columns["weight"], np.float64))
                found.append((_features(columns, self.stems, jet), weight, fold_of(columns)))
        if not found:
            return np.zeros((0, len(self.stems))), np.zeros(0), np.zeros(0, np.int64)
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]

    def scores(self, columns: Columns) -> dict[int, Floats]:
        """Return jet (1, 2) -> its score, (n,): the fraction of the fold's background jets below it.

        Args:
            columns: an event table, of events as they were recorded: their folds are of their identity.
        """
        folds, found = fold_of(columns), {}
        for jet in JETS:
            x, value = _features(columns, self.stems, jet), np.zeros(len(folds))
            for fold, (model, known) in enumerate(zip(self._models, self._sorted, strict=True)):
                rows = np.flatnonzero(folds == fold)
                if len(rows):
                    outcome = model.decision_function(x[rows])
                    # beyond all background jets the order of the model's output is kept
                    rank = np.searchsorted(known, outcome, side="left") / len(known)
                    value[rows] = rank + 1e-6 * np.arctan(outcome) / np.pi
            found[jet] = value
        return found
