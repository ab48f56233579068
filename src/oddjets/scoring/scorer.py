"""`Scorer`: jets in, scores out, with batches whose composition does not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from oddjets.cards import ModelCard
from oddjets.console import log
from oddjets.errors import OddjetsError, nearest
from oddjets.features import JetConstituents, PreparedJets, prepare
from oddjets.scoring import formulas
from oddjets.scoring.sessions import Provider, get_session

__all__ = ["Scorer"]


class _Batching(NamedTuple):
    """Shapes that a provider is given: batches padded to a multiple of ``step`` constituents, ``cells`` in all at most."""

    cells: int
    step: int

    def size(self, length: int) -> int:
        """Return the number of jets of a batch that is padded to a length."""
        return max(1, self.cells // length)


# On a CPU, larger batches are no faster, and one jet at a time needs no padding and has no neighbours (small model, jets
# of 30 to 70 constituents, as many in each batch: 110 jets/s of CPU time one by one, 104 two by two, 96 in batches of 8,
# and the last bits of one jet in eight depend on its place in the batch). GPUs need many at a time: as many as fill a
# number of cells (jets x constituents), so that the memory of a batch hardly depends on its jets' multiplicity.
_BATCHING: dict[str, _Batching] = {"cpu": _Batching(cells=1, step=1), "cuda": _Batching(cells=16384, step=32)}

#: what ONNX Runtime, CUDA and cuBLAS say when there is no memory; they raise no exception of its own
_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "alloc_failed", "resource allocation failed")


class Scorer:
    """Computes scores with one model; can be pickled and sent to workers.

    Where a GPU has no memory for a batch (it may be shared), batches are halved until they fit, and stay so.

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
        self._batching: dict[str, _Batching] = {}

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
        batching = self._batching.setdefault(used, _BATCHING[used])

        def run(batch: tuple[NDArray[np.int64], int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            rows, length = batch
            return rows, self._in_memory(session, used, prepared, rows, length)

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

    def _in_memory(
        self, session: Any, used: str, prepared: PreparedJets, rows: NDArray[np.int64], length: int
    ) -> NDArray[np.float32]:
        """Run the jets of a batch in pieces as large as the memory allows; shape (len(rows), n_classes)."""
        pieces: list[NDArray[np.float32]] = []
        done = 0
        while done < len(rows):
            size = self._batching[used].size(length)
            part = rows[done : done + size]
            # a last piece that is not full repeats its last jet
            repeated = np.concatenate([part, np.repeat(part[-1:], size - len(part))])
            inputs: dict[str, Any] = prepared.tensors(repeated, length)
            try:
                pieces.append(session.run([self.card.output.name], inputs)[0][: len(part)])
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
                    raise
                if size == 1:
                    raise OddjetsError(
                        f"the model {self.card.name} does not fit into the memory of the {used} device, not even with a"
                        " single jet; free the device, or ask for 'provider: cpu'"
                    ) from error
                self._batching[used] = self._batching[used]._replace(cells=size // 2 * length)
                log.info(
                    "scores of %s: no memory for %d jets at once, going on with %d", self.card.name, size, size // 2
                )
                continue
            done += len(part)
        return np.concatenate(pieces)


def _batches(prepared: PreparedJets, batching: _Batching, maximum: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Split the jets that have constituents into batches of one padded length each, longest first.

    Args:
        prepared: the jets.
        batching: shapes of the batches.
        maximum: largest number of constituents.

    Yields:
        At most ``batching.size(length)`` jets, and the length that they are padded to.
    """
    lengths = np.minimum(-(-prepared.counts // batching.step) * batching.step, maximum)
    for length in np.unique(lengths[lengths > 0])[::-1]:
        members = np.flatnonzero(lengths == length)
        size = batching.size(int(length))
        for start in range(0, len(members), size):
            yield members[start : start + size], int(length)
