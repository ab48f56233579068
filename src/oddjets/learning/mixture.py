"""Outliers as jets where few others are: a mixture of normal distributions, whose negative log likelihood is the score."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from oddjets.core.errors import OddjetsError
from oddjets.core.optional_imports import require
from oddjets.learning.model import Floats, GraphPart
from oddjets.learning.normal_columns import NormalColumns
from oddjets.learning.onnx_nodes import NodeWriter

__all__ = ["Mixture", "MixtureModel", "MixtureTrainer"]


class Mixture(NamedTuple):
    """A mixture of normal distributions in c variables.

    Attributes:
        log_weights: of the components, (k,).
        means: (k, c).
        whitening: of each component, the matrix by which the difference from its mean is multiplied to have unit covariance:
            the Cholesky factor of its precision, (k, c, c).
    """

    log_weights: Floats
    means: Floats
    whitening: Floats

    def surprise(self, values: Floats) -> Floats:
        """Return the negative logarithm of the density, (n,).

        Args:
            values: (n, c).
        """
        white = np.einsum("nc,kcd->nkd", values, self.whitening) - self._white_means
        return np.asarray(-logsumexp(self._heights - 0.5 * np.square(white).sum(axis=2), axis=1))

    @property
    def _white_means(self) -> Floats:
        return np.asarray(np.einsum("kc,kcd->kd", self.means, self.whitening))

    @property
    def _heights(self) -> Floats:
        """The logarithm of the density of each component at its mean, (k,)."""
        determinants = np.log(np.diagonal(self.whitening, axis1=1, axis2=2)).sum(axis=1)
        return np.asarray(self.log_weights + determinants - 0.5 * self.means.shape[1] * np.log(2 * np.pi))

    def add_to(self, writer: NodeWriter, values: str) -> str:
        """Write the negative log likelihood; return its name, float64, (batch, 1).

        Args:
            writer: of the graph.
            values: name of the variables, float64, (batch, c).
        """
        components, columns = self.means.shape
        joined = np.moveaxis(self.whitening, 0, 1).reshape(columns, components * columns)
        white = writer.add("MatMul", values, writer.constant(joined))
        white = writer.add("Sub", white, writer.constant(self._white_means.ravel()))
        squares = writer.add(
            "Reshape", writer.add("Mul", white, white), writer.constant([-1, components, columns], np.int64)
        )
        distance = writer.add("ReduceSum", squares, writer.constant([2], np.int64), keepdims=0)
        heights = writer.add("Sub", writer.constant(self._heights), writer.add("Mul", distance, writer.constant(0.5)))
        return writer.add("Neg", writer.add("ReduceLogSumExp", heights, axes=[1], keepdims=1))


class MixtureModel:
    """The mean of the negative log likelihoods of mixtures of normal distributions, in columns that are made normal.

    The density is that of the normal variables, so that it does not depend on a rising function of a column.

    Args:
        columns: makes the columns normal.
        members: at least one.

    Attributes:
        columns: the same.
        members: likewise.
    """

    def __init__(self, columns: NormalColumns, members: Sequence[Mixture]) -> None:
        self.columns = columns
        self.members = list(members)

    def logit(self, features: npt.NDArray[Any]) -> Floats:
        """Return the mean of the negative log likelihoods, (n,); see `oddjets.learning.model.FoldModel`."""
        return np.asarray(self.member_logits(features).mean(axis=0))

    def member_logits(self, features: npt.NDArray[Any]) -> Floats:
        """Return the negative log likelihood by each member, (members, n); see `oddjets.learning.model.FoldModel`."""
        values = self.columns(features)
        return np.stack([member.surprise(values) for member in self.members])

    def graph(self, columns: str, output: str, prefix: str) -> GraphPart:
        """Return the ONNX nodes of the columns and of all members; see `oddjets.learning.model.FoldModel`."""
        writer = NodeWriter(columns, prefix)
        values = self.columns.add_to(writer)
        return writer.mean_of([member.add_to(writer, values) for member in self.members], output)


@dataclass(frozen=True)
class MixtureTrainer:
    """Training of `MixtureModel`: GaussianMixture of scikit-learn on all jets, whatever their labels.

    Each member takes its own random part of the events, so that their spread shows what the events leave open. Signal among the
    jets of the training is no mistake, as long as it is rare: it then makes itself a little less odd.

    Attributes:
        members: trainings, whose negative log likelihoods are averaged.
        components: of each mixture.
        part: of the events, for each member.
        least_variance: is added to the variances of each component, in normal variables of variance 1, so that none shrinks to
            a few jets.
        least_jets: that a component needs.
        names: of the columns, for errors.
    """

    members: int = 4
    components: int = 4
    part: float = 0.8
    least_variance: float = 1e-3
    least_jets: int = 100
    names: tuple[str, ...] = ()

    def __call__(
        self, features: npt.NDArray[Any], labels: npt.NDArray[np.int8], events: npt.NDArray[np.intp], seed: int
    ) -> MixtureModel:
        """Return the members, trained with the seeds (seed, 0), (seed, 1) and so on; see `oddjets.learning.model.Trainer`.

        Raises:
            OddjetsError: scikit-learn is not installed, there are too few jets, a column is empty or has one value, or a
                mixture does not converge.
        """
        mixture = require("sklearn.mixture", "learn")
        unconverged = require("sklearn.exceptions", "learn").ConvergenceWarning
        controller = require("threadpoolctl", "learn").threadpool_limits
        if len(features) < self.least_jets * self.components:
            raise OddjetsError(
                f"a mixture of {self.components} components has {len(features)} jets, and needs {self.least_jets} for each:"
                " take more events, fewer folds, or fewer components"
            )
        columns = NormalColumns.of(features, self.names)
        values = columns(features)
        unique, of_jet = np.unique(events, return_inverse=True)
        members = []
        for member in range(self.members):
            random = np.random.default_rng((seed, member))
            kept = (random.random(len(unique)) < self.part)[of_jet]
            model = mixture.GaussianMixture(
                self.components, reg_covar=self.least_variance, max_iter=500, random_state=int(random.integers(2**31))
            )
            with controller(1), warnings.catch_warnings():
                warnings.simplefilter("ignore", unconverged)  # an error of our own says more
                model.fit(values[kept])
            if not model.converged_:
                raise OddjetsError(
                    f"a mixture of {self.components} components does not converge on {np.count_nonzero(kept)} jets: take fewer"
                    " components"
                )
            members.append(Mixture(np.log(model.weights_), model.means_, model.precisions_cholesky_))
        return MixtureModel(columns, members)
