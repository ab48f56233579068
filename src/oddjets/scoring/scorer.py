"""`Scorer`: jets in, scores out; one by one on a CPU, in batches as large as its memory allows on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from oddjets.cards import ModelCard
from oddjets.console import log
from oddjets.errors import OddjetsError, nearest
from oddjets.features import JetConstituents, PreparedJets, prepare
from oddjets.scoring import formulas
from oddjets.scoring.gpu import free_memory, run_uploaded, upload
from oddjets.scoring.sessions import Provider, get_session

__all__ = ["Scorer"]


#: rows of jets, and the model's output for them
_Piece = tuple[NDArray[np.int64], NDArray[np.float32]]
#: rows of jets, the length that they are padded to, and the inputs on their way
_Sent = tuple[NDArray[np.int64], int, "Future[dict[str, Any]]"]


class _Batching(NamedTuple):
    """Shapes that a GPU is given: ``cells`` (jets x constituents) at most, in lengths that suit it."""

    cells: int

    def size(self, length: int) -> int:
        """Return the number of jets of a full batch that is padded to a length."""
        return max(1, self.cells // length)

    def filled(self, n: int, length: int) -> int:
        """Return the number of jets that a batch of ``n`` is filled up to: a full one halved as often as they fit in.

        Kernels are chosen anew for every shape, so there should be few.
        """
        size = self.size(length)
        while n <= size // 2:
            size //= 2
        return size


# On a CPU, batches are no faster, and one jet at a time needs no padding and has no neighbours (small model, jets of 30 to
# 70 constituents, as many in each batch: 110 jets/s of CPU time one by one, 104 two by two, 96 in batches of 8, and the last
# bits of one jet in eight depend on its place in the batch). GPUs need many at a time.
#: what the first batch on a GPU fills; the memory that it takes says how large others may be
_FIRST_CELLS = 16384
#: beyond this, batches are no faster (small model, one H100: 23 100 jets/s, 27 000 and 25 200 for 16 384, 32 768 and 60 000)
_MOST_CELLS = 60000
#: of the free memory, what larger batches may take; GPUs are shared
_SHARE_OF_MEMORY = 0.5
#: lengths on a GPU and the class tokens of OmniLearned in front of them are a multiple of the step
_STEP, _TOKENS = 16, 4

#: what ONNX Runtime, CUDA and cuBLAS say when there is no memory; they raise no exception of its own
_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "alloc_failed", "resource allocation failed")


class Scorer:
    """Computes scores with one model; can be pickled and sent to workers.

    On a GPU, the first batch shows how much memory a jet takes, and later ones are as large as what is free allows; where
    there is no memory for a batch (GPUs may be shared), batches are halved until they fit, and stay so.

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
        self._batching = _Batching(_FIRST_CELLS)
        self._measured = False

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

    def score_and_probabilities(self, jets: JetConstituents) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute what `score` and `class_probabilities` give, with one inference.

        Args:
            jets: the jets.

        Returns:
            Shapes (n_jets,) and (n_jets, len(softmax)).

        Raises:
            OddjetsError: as `score`.
        """
        output = self._run(jets, None)
        return formulas.score(output, self.card), formulas.class_probabilities(output, self.card)

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
        pieces = self._on_gpu(session, prepared) if used == "cuda" else self._on_cpu(session, prepared)
        for rows, values in pieces:
            output[rows] = values
            if progress is not None:
                progress(len(rows))
        if bad := int(np.count_nonzero(~np.isfinite(output[filled]).all(axis=1))):
            raise OddjetsError(
                f"the model {self.card.name} gives values that are not finite for {bad} of {len(filled)} jets: "
                "an export that does not handle padding or few constituents does this; `oddjets model check` tells"
            )
        return output

    def _on_cpu(self, session: Any, prepared: PreparedJets) -> Iterator[_Piece]:
        """Run jets one by one, the longest first; yields rows and their outputs."""
        order = np.argsort(-prepared.counts, kind="stable")
        filled = order[: np.count_nonzero(prepared.counts)]

        def run(row: np.int64) -> _Piece:
            rows = np.asarray([row])
            inputs: dict[str, Any] = prepared.tensors(rows, int(prepared.counts[row]))
            return rows, session.run([self.card.output.name], inputs)[0]

        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(run, filled)

    def _on_gpu(self, session: Any, prepared: PreparedJets) -> Iterator[_Piece]:
        """Run jets in batches of like lengths, the longest first; the next batch travels while one is computed."""
        waiting = _by_length(prepared, self.card.constituents.maximum)

        def send(pool: ThreadPoolExecutor) -> _Sent | None:
            if not waiting:
                return None
            rows, length = waiting.pop()
            size = self._batching.size(length)
            if len(rows) > size:
                waiting.append((rows[size:], length))
            rows = rows[:size]
            return rows, length, pool.submit(self._upload, prepared, rows, length)

        with ThreadPoolExecutor(1) as pool:
            following = send(pool)
            while (sent := following) is not None:
                rows, length, uploaded = sent
                following = send(pool)
                free = None if self._measured else free_memory(self.device)
                try:
                    values = run_uploaded(session, uploaded.result(), self.card.output.name, self.device)
                except Exception as error:  # ONNX Runtime's exceptions have no common base
                    self._halve(error, length)
                    if following is not None:
                        waiting.append(following[:2])
                    waiting.append((rows, length))
                    following = send(pool)
                    continue
                self._grow(free, length, len(rows))
                yield rows, values[: len(rows)]

    def _upload(self, prepared: PreparedJets, rows: NDArray[np.int64], length: int) -> dict[str, Any]:
        # what fills a batch up repeats its last jet
        missing = self._batching.filled(len(rows), length) - len(rows)
        repeated = np.concatenate([rows, np.repeat(rows[-1:], missing)])
        return upload(prepared.tensors(repeated, length), self.device)

    def _grow(self, free_before: int | None, length: int, n: int) -> None:
        """After the first batch, let others be as large as the memory allows, judged by what the first one took."""
        if self._measured:
            return
        self._measured = True
        free = free_memory(self.device)
        cells = self._batching.filled(n, length) * length
        if free is None or free_before is None or free >= free_before:
            return
        room = int(_SHARE_OF_MEMORY * free / ((free_before - free) / cells))
        self._batching = _Batching(min(_MOST_CELLS, max(self._batching.cells, cells + room)))

    def _halve(self, error: Exception, length: int) -> None:
        """Halve batches that do not fit into memory; anything else is raised."""
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise error
        size = self._batching.size(length)
        if size == 1:
            raise OddjetsError(
                f"the model {self.card.name} does not fit into the memory of the GPU, not even with a single jet; free"
                " the device, or ask for 'provider: cpu'"
            ) from error
        self._measured = True  # what was free is not
        self._batching = _Batching(size // 2 * length)
        log.info("scores of %s: no memory for %d jets at once, going on with %d", self.card.name, size, size // 2)


def _by_length(prepared: PreparedJets, maximum: int) -> list[tuple[NDArray[np.int64], int]]:
    """Group the jets that have constituents by the length that a GPU is given; the shortest first."""
    lengths = -(-(prepared.counts + _TOKENS) // _STEP) * _STEP - _TOKENS
    lengths = np.minimum(lengths, maximum)
    lengths[prepared.counts == 0] = 0
    return [(np.flatnonzero(lengths == length), int(length)) for length in np.unique(lengths[lengths > 0])]
