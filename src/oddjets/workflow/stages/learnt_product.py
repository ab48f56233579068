"""The product of a learnt score and its seed, in which the learnt score has the weight that its evidence allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.io.combined_scores import Combination, TailProbability
from oddjets.learning.evidence import Evidence, evidence_of

__all__ = ["LearntProduct", "evidence_line", "nothing_learnt"]

Floats = npt.NDArray[np.float64]

#: below this weight, a standard deviation, there is a warning
_SMALL = 0.5


@dataclass(frozen=True)
class LearntProduct:
    """The product of tail probabilities in data.

    Attributes:
        tails: of the seed.
        weight: of the learnt score; that of the seed is 1.
        evidence: from which the weight follows; None without labels: there is none, and the weight is 1.
    """

    tails: TailProbability
    weight: float
    evidence: Evidence | None

    @classmethod
    def of(cls, scores: Floats, seed: Floats, labels: npt.NDArray[np.int8] | None) -> LearntProduct:
        """Return the product for the jets of a training.

        Args:
            scores: learnt, of both jets of data, by the model that saw neither, (n, 2).
            seed: of both jets, (n, 2).
            labels: as `oddjets.learning.evidence.evidence_of` takes them; None: learnt without any.
        """
        evidence = None if labels is None else evidence_of(scores, labels)
        # four digits, as in the YAML, are more than the evidence has
        weight = 1.0 if evidence is None else round(evidence.weight, 4)
        return cls(TailProbability.from_scores(seed.copy()), weight, evidence)

    def __call__(self, scores: Floats, seed: Floats, data: Floats | None = None) -> Floats:
        """Return -log10 of the product, (n, 2).

        Args:
            scores: learnt, of both jets, (n, 2).
            seed: of both jets, (n, 2).
            data: learnt scores of data, which the tail probabilities are in; None: ``scores`` are these.
        """
        own = TailProbability.from_scores((scores if data is None else data).copy().ravel())
        made = Combination("product", "product", ("learnt", "seed"), {}, (self.weight, 1.0))
        return np.asarray(-np.log10(made.joined((own(scores), self.tails(seed)))))

    def stated(self) -> dict[str, Any]:
        """Return ``weight`` and ``evidence`` for JSON."""
        known = self.evidence
        return {
            "weight": self.weight,
            "evidence": None if known is None else asdict(known) | {"n_sigma": known.n_sigma},
        }


def evidence_line(found: Mapping[str, Any]) -> str:
    """Return what the weight of a learnt score is, and why.

    Args:
        found: of `LearntProduct.stated`.
    """
    if (known := found["evidence"]) is None:
        return "no labels, so that nothing tells whether anything was learnt: the learnt score has the weight 1 in the product"
    return (
        f"the labels of jets that were not seen: AUC {known['auc']:.3f} against 0.5 +- {known['error']:.3f},"
        f" {known['n_sigma']:+.1f} sigma; the learnt score has the weight {found['weight']:.2f} in the product"
    )


def nothing_learnt(found: Mapping[str, Any]) -> str:
    """Return a warning if there is little evidence that anything was learnt; else "".

    Args:
        found: of `LearntProduct.stated`.
    """
    if found["weight"] >= _SMALL:
        return ""
    return (
        "nothing was learnt: the learnt score tells labels of jets that it did not see apart by"
        f" {found['evidence']['n_sigma']:.1f} sigma, as one does that learnt fluctuations; in the product it has the weight"
        f" {found['weight']:.2f} beside the seed"
    )
