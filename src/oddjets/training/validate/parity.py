"""Comparison of a model's class probabilities with the authors' PET2 in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.scoring.model_card import ModelCard
from oddjets.scoring.onnx_session import get_session
from oddjets.scoring.score import anomaly_score, class_probabilities
from oddjets.scoring.scorer import Scorer
from oddjets.training.export.random_jets import multiplicities, random_jets
from oddjets.training.validate.reference import PaddedJets, Reference

__all__ = [
    "FEW_AND_MANY",
    "Parity",
    "compare",
    "groups",
    "has_tied_neighbours",
    "parity",
    "reference_card",
    "run_model",
]

#: multiplicities at which a graph may break: fewer than the 10 neighbours, just enough, and the most there are
FEW_AND_MANY = (1, 2, 3, 10, 11, 12, 150)
#: jets of each of these
_JETS_PER_GROUP = 8
#: rounding of positions that makes many distances tie
_SPACING = 0.02
#: relative difference of squared distances below which float32 cannot tell which is less
_TIE = 1e-6


class JetGroup(NamedTuple):
    """Jets of one kind.

    Attributes:
        name: what they are.
        jets: the jets.
        padded: scored in batches padded to the longest; else one by one.
        judged: whether the tolerance applies. Where distances tie, the reference's own choice of neighbours depends on
            rounding.
    """

    name: str
    jets: PaddedJets
    padded: bool = False
    judged: bool = True


class Parity(NamedTuple):
    """Differences of one group: for each jet the largest over its class probabilities.

    Attributes:
        group: its name.
        n_jets: how many jets.
        median: the median of the jets' differences.
        quantile_99: the 99 % quantile.
        maximum: the largest.
        score: the largest difference of the anomaly score.
        judged: whether the tolerance applies.
    """

    group: str
    n_jets: int
    median: float
    quantile_99: float
    maximum: float
    score: float
    judged: bool = True


def reference_card(card: ModelCard) -> ModelCard:
    """Return the card for the reference's logits, whatever the model's output is."""
    return card.model_copy(update={"output": card.output.model_copy(update={"kind": "logits"})})


def compare(
    name: str,
    probabilities: NDArray[np.float64],
    scores: NDArray[np.float64],
    reference: NDArray[np.float64],
    card: ModelCard,
    judged: bool = True,
) -> Parity:
    """Compare with the reference.

    Args:
        name: what is compared.
        probabilities: shape (n_jets, n_softmax).
        scores: shape (n_jets,).
        reference: logits of the reference, shape (n_jets, n_classes).
        card: the model's card.
        judged: whether the tolerance applies.

    Returns:
        The differences; infinite where something is not finite.
    """
    exact = reference_card(card)
    with np.errstate(invalid="ignore"):
        differences = np.abs(probabilities - class_probabilities(reference, exact)).max(axis=1)
        by_score = np.abs(scores - anomaly_score(reference, exact))
    differences, by_score = (np.where(np.isfinite(d), d, np.inf) for d in (differences, by_score))
    ordered = np.sort(differences)
    rank = int(np.ceil(0.99 * len(ordered))) - 1  # no interpolation: infinities must stay what they are
    return Parity(
        name,
        len(ordered),
        float(ordered[len(ordered) // 2]),
        float(ordered[rank]),
        float(ordered[-1]),
        float(by_score.max()),
        judged,
    )


def run_model(
    card: ModelCard, jets: PaddedJets, padded: bool = False, provider: Literal["cpu", "cuda"] = "cpu"
) -> NDArray[np.float32]:
    """Run a model.

    Args:
        card: its card.
        jets: the jets.
        padded: all jets with the padding that they have, in one batch; else as `Scorer` does it: on a CPU one by one,
            without padding, on a GPU in batches of like lengths.
        provider: where.

    Returns:
        The graph's output, shape (n_jets, n_outputs).
    """
    names = [tensor.name for tensor in card.inputs]
    if sorted(names) != ["add", "pid", "x"]:
        raise OddjetsError(
            f"the model {card.name} has inputs {', '.join(names)}, not the x, pid and add of OmniLearned"
        )
    if not padded:
        return Scorer(card, provider).run(jets.prepared())
    output: NDArray[np.float32] = get_session(card, provider)[0].run([card.output.name], jets._asdict())[0]
    return output


def has_tied_neighbours(jets: PaddedJets, neighbours: int = 10) -> NDArray[np.bool_]:
    """Find jets whose nearest neighbours are decided by chance, since distances tie.

    OmniLearned sorts constituents by their distance and drops the first, which should be the constituent itself: of two
    at one place, as a photon and a neutral hadron in one cell of a calorimeter, either may be dropped. And of two that are
    equally far, either may be the last that is taken.

    Args:
        jets: the jets.
        neighbours: that the network takes of each constituent.

    Returns:
        Shape (n_jets,).
    """
    found = np.zeros(len(jets.x), bool)
    for i, count in enumerate(jets.counts):
        position = jets.x[i, :count, :2].astype(np.float64)
        distance2 = np.sort(np.square(position[:, np.newaxis] - position).sum(axis=-1), axis=1)
        nearest, last, after = (distance2[:, k] if k < count else np.inf for k in (1, neighbours, neighbours + 1))
        found[i] = np.any(nearest == 0) or np.any(after < last * (1 + _TIE))
    return found


def groups(n_jets: int, seed: int, sample: PaddedJets | None = None) -> list[JetGroup]:
    """Jets to compare on.

    Args:
        n_jets: number of generic jets.
        seed: of the random jets.
        sample: jets to take as the generic ones; None for random jets.

    Returns:
        Generic jets, one by one and padded, those with tied distances apart; jets of `FEW_AND_MANY` constituents; jets
        with tied distances.
    """
    rng = np.random.default_rng(seed)
    generic = random_jets(multiplicities(n_jets, rng), rng) if sample is None else sample
    apart = has_tied_neighbours(generic)
    if apart.all():
        raise OddjetsError("in each of these jets distances tie, so that nothing can be compared: more jets")
    ambiguous = [JetGroup("generic, tied distances", _chosen(generic, apart), judged=False)] if apart.any() else []
    generic = _chosen(generic, ~apart)
    few = generic.take(slice(0, 32))
    return [
        JetGroup("generic", generic),
        *ambiguous,
        JetGroup("padded, in one batch", few.padded(int(few.counts.max()) + 7), padded=True),
        *(
            JetGroup(f"{count} constituent{'s' if count > 1 else ''}", random_jets([count] * _JETS_PER_GROUP, rng))
            for count in FEW_AND_MANY
        ),
        JetGroup(
            "tied distances",
            random_jets(multiplicities(32, rng), rng, spacing=_SPACING),
            judged=False,
        ),
    ]


def _chosen(jets: PaddedJets, which: NDArray[np.bool_]) -> PaddedJets:
    return PaddedJets(jets.x[which], jets.pid[which], jets.add[which])


def parity(
    card: ModelCard,
    reference: Reference,
    cases: list[JetGroup],
    progress: Callable[[int], None] | None = None,
    provider: Literal["cpu", "cuda"] = "cpu",
) -> list[Parity]:
    """Compare a model with the authors' PET2 in float64.

    Args:
        card: the model's card.
        reference: the network that it was exported from.
        cases: the jets.
        progress: called with the number of jets done since the last call.
        provider: where the model runs.

    Returns:
        One row for each group.
    """
    rows = []
    for case in cases:
        output: NDArray[Any] = run_model(card, case.jets, case.padded, provider)
        exact = reference.logits(case.jets, progress=progress)
        probabilities, scores = class_probabilities(output, card), anomaly_score(output, card)
        rows.append(compare(case.name, probabilities, scores, exact, card, case.judged))
    return rows
