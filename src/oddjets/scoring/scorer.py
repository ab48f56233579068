"""`Scorer`: jets in, scores out, with batches whose composition does not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from oddjets.cards import ModelCard
from oddjets.errors import OddjetsError, nearest
from oddjets.features import JetConstituents, PreparedJets, prepare
from oddjets.scoring import formulas
from oddjets.scoring.sessions import Provider, get_session

__all__ = ["Scorer"]


class _Batching(NamedTuple):
    """Shapes that a provider is given: every batch has ``size`` jets, padded to a multiple of ``step`` constituents."""

    size: int
    step: int


# On a CPU, larger batches are no faster, and one jet at a time needs no padding and has no neighbours (small model, jets
# of 30 to 70 constituents, as many in each batch: 110 jets/s of CPU time one by one, 104 two by two, 96 in batches of 8,
# and the last bits of one jet in eight depend on its place in the batch). GPUs need many at a time.
_BATCHING: dict[str, _Batching] = {"cpu": _Batching(size=1, step=1), "cuda": _Batching(size=256, step=32)}


class Scorer:
    """Computes scores with one model; can be pickled and sent to workers.

    The bits of a jet's score on a CPU depend on that jet alone: not on the jets scored with it, their order, how they
    are split into calls, or the number of threads.

    Attributes:
        card: the model card.
        provider: what was asked for.
        threads: how many batches are computed at a time on a CPU.
        device: number of the GPU.
    """

    def __init__(self, card: ModelCard, provider: Provider = "auto", threads: int = 1, device: int = 0) -> None:
        if provider not in get_args(Provider):
            raise OddjetsError(f"no provider '{provider}'; {nearest(provider, get_args(Provider))}")
        if threads < 1:
            raise OddjetsError(f"a scorer needs at least one thread, not {threads}")
        self.card = card
        self.provider = provider
        self.threads = threads
        self.device = device

    @property
    def provider_used(self) -> Literal["cpu", "cuda"]:
        """What computes really; for the manifest."""
        return get_session(self.card, self.provider, self.device)[1]

    def score(self, jets: JetConstituents, progress: Callable[[int], None] | None = None) -> NDArray[np.float64]:
        """Compute the anomaly score of jets by the card's formula.

        Args:
            jets: the jets.
            progress: called with the number of jets done since the last call.

        Returns:
            Scores between 0 and 1, large for odd jets; NaN for a jet without constituents; shape (n_jets,).

        Raises:
            OddjetsError: inputs or outputs that are not finite, or see `oddjets.scoring.sessions.get_session`.
        """
        return formulas.score(self._run(jets, progress), self.card)

    def class_probabilities(
        self, jets: JetConstituents, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Compute the probabilities behind the score.

        Args:
            jets: the jets.
            progress: called with the number of jets done since the last call.

        Returns:
            Probabilities in the order of ``card.output.softmax``; NaN for a jet without constituents; shape
            (n_jets, len(softmax)).

        Raises:
            OddjetsError: as `score`.
        """
        return formulas.class_probabilities(self._run(jets, progress), self.card)

    def _run(self, jets: JetConstituents, progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        """Run the model; shape (n_jets, n_classes), NaN for jets without constituents."""
        prepared = prepare(jets, self.card)
        output = np.full((jets.n_jets, self.card.output.n_classes), np.nan, np.float32)
        filled = np.flatnonzero(prepared.counts)
        if progress is not None and (empty := jets.n_jets - len(filled)):
            progress(empty)
        if not len(filled):
            return output
        session, used = get_session(self.card, self.provider, self.device)
        batching = _BATCHING[used]

        def run(batch: tuple[NDArray[np.int64], int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            rows, length = batch
            # a last batch that is not full repeats its last jet
            repeated = np.concatenate([rows, np.repeat(rows[-1:], batching.size - len(rows))])
            inputs: dict[str, Any] = prepared.tensors(repeated, length)
            return rows, session.run([self.card.output.name], inputs)[0][: len(rows)]

        threads = self.threads if used == "cpu" else 1
        with ThreadPoolExecutor(threads) as pool:
            for rows, values in pool.map(run, _batches(prepared, batching, self.card.constituents.maximum)):
                output[rows] = values
                if progress is not None:
                    progress(len(rows))
        if bad := int(np.count_nonzero(~np.isfinite(output[filled]).all(axis=1))):
            raise OddjetsError(
                f"the model {self.card.name} gives values that are not finite for {bad} of {len(filled)} jets: "
                "an export that does not handle padding or few constituents does this; `oddjets model check` tells"
            )
        return output


def _batches(prepared: PreparedJets, batching: _Batching, maximum: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Split the jets that have constituents into batches of one padded length each, longest first.

    Args:
        prepared: the jets.
        batching: shapes of the batches.
        maximum: largest number of constituents.

    Yields:
        At most ``batching.size`` jets, and the length that they are padded to.
    """
    lengths = np.minimum(-(-prepared.counts // batching.step) * batching.step, maximum)
    for length in np.unique(lengths[lengths > 0])[::-1]:
        members = np.flatnonzero(lengths == length)
        for start in range(0, len(members), batching.size):
            yield members[start : start + batching.size], int(length)
