"""Evidence that anything was learnt: by how much a score tells weak labels apart on jets that its training did not see.

A score that learnt fluctuations of the labels tells none of the other jets' labels apart. So the area under its curve against
the weak labels, out of fold, says from data alone whether it deserves a say beside the seed, and how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FULL_WEIGHT", "Evidence", "evidence_of"]

#: standard deviations from which on the learnt score counts as much as the seed. Of a score that learnt nothing the number is
#: normal, and the weight max(n, 0) / 2 has a mean of 0.2. Were the loss without a signal proportional to the weight, it would
#: be a fifth of that of an equal say (45 %): 9 %, with room below the 15 % that are allowed. Three would have 6 %, and give
#: more of the gain away. Chosen by this, before any result with a signal.
FULL_WEIGHT = 2.0
#: the area of K folds has up to twice the variance of as many independent jets, see `evidence_of`
_TRAINED_ON_EACH_OTHER = 2.0


@dataclass(frozen=True)
class Evidence:
    """The area under the curve of a score against weak labels, and its error.

    Attributes:
        auc: area under the curve of signal-like against background-like jets; 0.5 where nothing was learnt.
        error: its standard deviation where nothing was learnt.
    """

    auc: float
    error: float

    @property
    def n_sigma(self) -> float:
        """By how many errors the area is above 0.5; 0 where all jets have the same score."""
        return (self.auc - 0.5) / self.error if self.error > 0 else 0.0

    @property
    def weight(self) -> float:
        """The power of the learnt tail probability in the product with the seed: n_sigma / `FULL_WEIGHT`, from 0 to 1."""
        return float(np.clip(self.n_sigma / FULL_WEIGHT, 0.0, 1.0))


def evidence_of(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int8]) -> Evidence:
    """Return the area under the curve of a score against weak labels, and its error where nothing was learnt.

    With F the cumulative distribution of the score over labelled jets (ties in the middle), the area is 0.5 plus the mean of F
    over signal-like jets minus that over background-like ones (H. Mann, D. Whitney, Ann. Math. Stat. 18 (1947) 50). The terms
    of both jets of an event are added before they are squared, since they are not independent: each jet's seed score is the
    other one's label, and the learnt score of a jet knows of its seed score (clusters as in N. Obuchowski, Biometrics 53
    (1997) 567).

    That is the variance of a fixed score. But the jets of a fold are scored by a model of the others, and these by a model of
    the fold's: a fluctuation that two events have in common counts twice, once in each direction. For a score that is linear
    in its training the area is a sum over pairs of events of different folds, each of which is there twice, and so its
    variance is twice that of as many independent terms. This is taken for all scores.

    Args:
        scores: of both jets of each event, by a model that saw neither, (n, 2).
        labels: 1, 0, or -1 of jets without one, (n, 2); some of each class.
    """
    known = np.sort(scores[labels >= 0])
    level = (np.searchsorted(known, scores, "left") + np.searchsorted(known, scores, "right")) / (2 * len(known))
    sign = np.where(labels == 1, 1 / np.count_nonzero(labels == 1), 0.0)
    sign -= np.where(labels == 0, 1 / np.count_nonzero(labels == 0), 0.0)
    of_event = (sign * (level - 0.5)).sum(axis=1)
    fixed = float(np.square(of_event - of_event.mean()).sum())
    return Evidence(0.5 + float(of_event.sum()), float(np.sqrt(_TRAINED_ON_EACH_OTHER * fixed)))
