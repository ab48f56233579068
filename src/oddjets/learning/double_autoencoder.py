"""Two autoencoders of whole events whose errors are trained to be independent, as the two axes of ABCD: an experiment.

V. Mikuni, B. Nachman, D. Shih, Phys. Rev. D 105 (2022) 055006 (arXiv:2111.06417), with the distance correlation of Double DisCo
(arXiv:2007.14400). In the analyses of this package the axes of ABCD are the scores of the two jets instead. What is trained to
be independent is the bulk of the events; whether the tails are, where a search looks, has to be measured: docs/outliers.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.optional_imports import require
from oddjets.learning.autoencoder import Autoencoder, AutoencoderSettings, fit_together
from oddjets.learning.cdf import ScoreCdf
from oddjets.learning.model import Floats
from oddjets.learning.normal_columns import NormalColumns

__all__ = ["DECORRELATION", "OF_EVENTS", "DoubleAutoencoder"]

#: weight of the squared distance correlation beside the two mean errors, which are below 1 each
DECORRELATION = 100.0
#: twice the columns of a jet, and batches in which a distance correlation means something
OF_EVENTS = AutoencoderSettings(hidden=32, batch=512)


@dataclass(frozen=True)
class DoubleAutoencoder:
    """Two autoencoders for each fold of events, with the distributions of their errors in it.

    Attributes:
        columns: makes the columns of an event normal, by fold.
        pairs: the two autoencoders, by fold.
        cdfs: of their errors in the fold, which they did not see.
    """

    columns: Sequence[NormalColumns]
    pairs: Sequence[tuple[Autoencoder, Autoencoder]]
    cdfs: Sequence[tuple[ScoreCdf, ScoreCdf]]

    @classmethod
    def train(
        cls,
        features: npt.NDArray[Any],
        folds: npt.NDArray[np.int8],
        *,
        n_folds: int = 5,
        seed: int = 1,
        decorrelation: float = DECORRELATION,
        settings: AutoencoderSettings = OF_EVENTS,
    ) -> DoubleAutoencoder:
        """Train two autoencoders for each fold, on the events of the others.

        Args:
            features: columns of both jets of each event, (n, columns).
            folds: of the events, 0 to ``n_folds`` - 1, (n,).
            n_folds: how many.
            seed: of all random numbers; fold k has the seed (seed, k).
            decorrelation: weight of the squared distance correlation in the loss.
            settings: of each autoencoder.

        Raises:
            OddjetsError: PyTorch is not installed; too few events; as `oddjets.learning.autoencoder.AutoencoderTrainer`.
        """
        require("torch")
        columns, pairs, cdfs = [], [], []
        for fold in range(n_folds):
            random = np.random.default_rng((seed, fold))
            rows = folds != fold
            normal = NormalColumns.of(features[rows])
            values = normal(features[rows])
            held = random.random(len(values)) < settings.held_out
            one, other = fit_together(values[~held], values[held], 2, decorrelation, settings, random)
            own = normal(features[~rows])
            columns.append(normal)
            pairs.append((one, other))
            cdfs.append((ScoreCdf.of(one.error(own)), ScoreCdf.of(other.error(own))))
        return cls(columns, pairs, cdfs)

    def scores(self, features: npt.NDArray[Any], folds: npt.NDArray[np.int8]) -> Floats:
        """Return both scores of each event by the autoencoders that did not see it, between 0 and 1, (n, 2).

        Args:
            features: (n, columns).
            folds: of the events, (n,).
        """
        found = np.empty((len(features), 2))
        for fold in range(len(self.pairs)):
            rows = folds == fold
            found[rows] = self._of_fold(fold, features[rows])
        return found

    def mean_scores(self, features: npt.NDArray[Any]) -> Floats:
        """Return the mean over the folds of both scores, (n, 2): for events that no training saw.

        Args:
            features: (n, columns).
        """
        return np.asarray(np.mean([self._of_fold(fold, features) for fold in range(len(self.pairs))], axis=0))

    def _of_fold(self, fold: int, features: npt.NDArray[Any]) -> Floats:
        values = self.columns[fold](features)
        pairs = zip(self.pairs[fold], self.cdfs[fold], strict=True)
        return np.stack([cdf(network.error(values)) for network, cdf in pairs], axis=1)
