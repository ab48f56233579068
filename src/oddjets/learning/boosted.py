"""Small ensembles of boosted trees that do not learn a few thousand jets by heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.core.optional_imports import require
from oddjets.learning.model import Floats, GraphPart
from oddjets.learning.trees import read_ensemble, tree_node

__all__ = ["BoostedModel", "BoostedTrainer", "one_thread"]

Labels = npt.NDArray[np.int8]


class BoostedModel:
    """The mean of the logits of boosted trees of scikit-learn.

    Args:
        members: fitted HistGradientBoostingClassifier of two classes.

    Attributes:
        members: the same.
    """

    def __init__(self, members: list[Any]) -> None:
        self.members = members

    def logit(self, features: npt.NDArray[Any]) -> Floats:
        """Return the mean of the members' logits, (n,); see `oddjets.learning.model.FoldModel`."""
        return np.asarray(self.member_logits(features).mean(axis=0))

    def member_logits(self, features: npt.NDArray[Any]) -> Floats:
        """Return the logit by each member, (members, n); see `oddjets.learning.model.FoldModel`."""
        # trees decide in float64; the graph has float32
        exact = np.asarray(features, np.float32).astype(np.float64)
        if not len(exact):
            return np.zeros((len(self.members), 0))
        with one_thread():
            return np.stack([np.asarray(member.decision_function(exact), np.float64) for member in self.members])

    def graph(self, columns: str, output: str, prefix: str) -> GraphPart:
        """Return the ONNX nodes of all trees; see `oddjets.learning.model.FoldModel`."""
        found = [ensemble for member in self.members if (ensemble := read_ensemble(member)) is not None]
        return GraphPart([tree_node(found, columns, output, f"{prefix}trees")], [])


@dataclass(frozen=True)
class BoostedTrainer:
    """Training of `BoostedModel`: HistGradientBoostingClassifier on labelled jets.

    Both classes weigh the same. A part of the events is held out and says when to stop, another part for each member; it is
    given to scikit-learn with weights of its own, since it would leave it unweighted otherwise, and by event, since
    scikit-learn would divide the two jets of an event. The settings are those that did not overfit some ten thousand events:
    published ones (31 leaves) did.

    Attributes:
        members: trainings with different seeds, whose logits are averaged.
        leaves: of a tree, at most.
        least_jets: in a leaf.
        rate: by which each tree is scaled.
        most_trees: of a member.
        patience: trees without a smaller loss on the events held out before it stops.
        held_out: part of the events that is held out.
        least_of_class: jets of each class that a training needs.
        most_jets: of a member; of more, each draws its own at random, as many of the smaller class as there is room for: what
            limits a member is the smaller class, and time grows with the larger one.
        names: of the columns, for errors.
    """

    members: int = 4
    leaves: int = 4
    least_jets: int = 40
    rate: float = 0.05
    most_trees: int = 200
    patience: int = 20
    held_out: float = 0.2
    least_of_class: int = 80
    most_jets: int = 400_000
    names: tuple[str, ...] = ()

    def __call__(
        self, features: npt.NDArray[Any], labels: Labels, events: npt.NDArray[np.intp], seed: int
    ) -> BoostedModel:
        """Return the members, trained with the seeds (seed, 0), (seed, 1) and so on; see `oddjets.learning.model.Trainer`.

        Raises:
            OddjetsError: scikit-learn is not installed, a class has too few jets, also among those held out, or a column has no
                value.
        """
        ensemble = require("sklearn.ensemble", "learn")
        counts = np.bincount(labels, minlength=2)
        if (least := int(counts.min())) < self.least_of_class:
            which = ("background-like", "signal-like")[int(counts.argmin())]
            raise OddjetsError(
                f"a training has {least} {which} jets, and needs {self.least_of_class}: take more events, fewer folds, or"
                " quantiles that leave more jets"
            )
        exact = np.asarray(features, np.float32)
        unique, of_jet = np.unique(events, return_inverse=True)
        members = []
        for member in range(self.members):
            random = np.random.default_rng((seed, member))
            held = (random.random(len(unique)) < self.held_out)[of_jet]
            taken = _drawn(labels, self.most_jets, random)
            parts = [(exact[part], labels[part], _balanced(labels[part])) for part in (taken & ~held, taken & held)]
            (x, y, weights), (x_held, y_held, weights_held) = parts
            _refuse_empty(x, self.names)
            model = ensemble.HistGradientBoostingClassifier(
                learning_rate=self.rate,
                max_iter=self.most_trees,
                max_leaf_nodes=self.leaves,
                min_samples_leaf=self.least_jets,
                early_stopping=True,
                n_iter_no_change=self.patience,
                random_state=int(random.integers(2**31)),
            )
            with one_thread():
                model.fit(x, y, sample_weight=weights, X_val=x_held, y_val=y_held, sample_weight_val=weights_held)
            members.append(model)
        return BoostedModel(members)


def _drawn(labels: Labels, most: int, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return which jets a member takes, (n,): all, or so many at random, the smaller class first."""
    counts = np.bincount(labels, minlength=2)
    if len(labels) <= most:
        return np.ones(len(labels), np.bool_)
    smaller = int(counts.argmin())
    room = {smaller: min(int(counts[smaller]), most // 2)}
    room[1 - smaller] = most - room[smaller]
    taken = np.zeros(len(labels), np.bool_)
    for value, number in room.items():
        taken[random.choice(np.flatnonzero(labels == value), number, replace=False)] = True
    return taken


def _refuse_empty(features: npt.NDArray[np.float32], names: tuple[str, ...]) -> None:
    """Refuse a column without any value, of which scikit-learn's bins fail."""
    for column in np.flatnonzero(np.isnan(features).all(axis=0)):
        name = f"'{names[column]}'" if names else f"column {column + 1} of {features.shape[1]}"
        raise OddjetsError(f"{name} has no finite value in any of {len(features)} jets of a training; leave it out")


def _balanced(labels: Labels) -> Floats:
    """Return weights with which both classes weigh the same, and all jets as many as they are, (n,).

    Raises:
        OddjetsError: a class is empty.
    """
    counts = np.bincount(labels, minlength=2)
    if not counts.all():
        which = ("background-like", "signal-like")[int(counts.argmin())]
        raise OddjetsError(f"a part of the jets of a training has no {which} one: take more events, or fewer folds")
    return np.asarray((len(labels) / (2.0 * counts))[labels])


def one_thread() -> Any:
    """Return a context in which OpenMP has one thread: with two on busy cores a fit took 45 s instead of 0.6 s."""
    return require("threadpoolctl", "learn").threadpool_limits(1, "openmp")
