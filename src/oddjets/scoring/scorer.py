"""The class `Scorer`: one jet at a time on a CPU, batches on a GPU."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from oddjets.core.console import log
from oddjets.core.errors import OddjetsError, nearest
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.gpu import free_memory, run_uploaded, upload
from oddjets.scoring.inputs import JetConstituents, PreparedJets, prepare
from oddjets.scoring.model_card import ModelCard
from oddjets.scoring.onnx_session import Provider, cpu_fallback_reason, get_session
from oddjets.scoring.score import anomaly_score, class_probabilities

__all__ = ["ARITHMETIC_VERSION", "Scorer"]

#: of all that turns constituents into scores: to be raised whenever a bit of any score changes, which
#: tests/scoring/test_arithmetic.py finds out; kept scores of other versions are not used again
ARITHMETIC_VERSION = 1

#: rows of jets, and the model's output for them
_Piece = tuple[NDArray[np.int64], NDArray[np.float32]]
#: rows of jets, the length that they are padded to, and the inputs on their way
_Sent = tuple[NDArray[np.int64], int, "Future[dict[str, Any]]"]


# On a CPU, batches are no faster, and one jet at a time needs no padding and has no neighbours (small model, jets of 30 to
# 70 constituents, as many in each batch: 110 jets/s of CPU time one by one, 104 two by two, 96 in batches of 8, and the last
# bits of one jet in eight depend on its place in the batch). GPUs need many at a time.
#: cells (jets x constituents) of the first batch on a GPU; the memory that it takes says how large others may be
_FIRST_CELLS = 16384
#: beyond this, batches are hardly faster (small model in 16 bits, before its last change, one H100: 39 400 jets/s for 272 jets
#: of 60 constituents, 48 300 for 1000)
_MOST_CELLS = 60000
#: What each session has learnt of them. It keeps its memory, so that another scorer, of the next chunk, could not measure again
_CELLS: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
#: below this, jets of unlike lengths share a batch: a few jets take 4.4 ms, since 450 kernels have to be started, and as
#: long as this many cells at 0.36 microseconds each
_LEAST_CELLS = 12288
#: of the free memory, what larger batches may take; GPUs are shared
_SHARE_OF_MEMORY = 0.5
#: lengths on a GPU and the class tokens of OmniLearned in front of them are a multiple of the step
_STEP, _TOKENS = 8, 4

#: what ONNX Runtime, CUDA and cuBLAS say when there is no memory; they raise no exception of its own
_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "alloc_failed", "resource allocation failed")


class Scorer:
    """A scorer with one model; it can be pickled and sent to workers.

    On a GPU, the first batch shows how much memory a jet takes, and later ones are as large as what is free allows; where
    there is no memory for a batch (GPUs may be shared), batches are halved until they fit, and stay so.

    The bits of a jet's score on a CPU depend on that jet alone: not on the jets scored with it, their order, how they
    are split into calls, or the number of threads.

    Attributes:
        card: the model card.
        provider: what was asked for.
        threads: how many batches are computed at a time on a CPU.
        device: number of the GPU.

    Examples:
        >>> import numpy as np
        >>> import oddjets
        >>> from oddjets.scoring.inputs import JetConstituents
        >>> nothing = np.zeros(3)
        >>> jet = JetConstituents(
        ...     offsets=np.array([0, 3]), pt=np.array([300.0, 200.0, 80.0]), mass=np.full(3, 0.14),
        ...     eta=np.array([0.0, 0.1, -0.2]), phi=np.array([0.0, 0.3, 0.1]),
        ...     pdg_id=np.array([211, -211, 22]), charge=np.array([1, -1, 0]),
        ...     d0=nothing, d0_error=nothing, dz=nothing, dz_error=nothing, puppi_weight=np.ones(3),
        ...     jet_eta=np.array([0.0]), jet_phi=np.array([0.1]),
        ... )
        >>> scorer = oddjets.Scorer(oddjets.load_card("omnilearned_small_simulation.yaml"), provider="cpu")
        >>> bool(0 < scorer.score(jet)[0] < 1)
        True
    """

    def __init__(self, card: ModelCard, provider: Provider = "auto", threads: int = 1, device: int = 0) -> None:
        given: Any = card
        if isinstance(given, ColumnCard):
            raise OddjetsError(
                f"the card of {given.name} is of kind '{given.kind}': its scorer is oddjets.scoring.ColumnScorer"
            )
        if not isinstance(given, ModelCard):
            raise OddjetsError(
                f"a scorer takes a model card, as oddjets.load_card reads it from a file; got {repr(given)[:80]}"
            )
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
        """The provider that is used, for the manifest."""
        return get_session(self.card, self.provider, self.device)[1]

    @property
    def fallback(self) -> str:
        """The reason why ``auto`` means the CPU here; "" where it does not."""
        return cpu_fallback_reason(self.card, self.provider, self.device)

    def score(self, jets: JetConstituents, progress: Callable[[int], None] | None = None) -> NDArray[np.float64]:
        """Compute the anomaly score of jets by the card's formula.

        Args:
            jets: the jets.
            progress: called with the number of jets done since the last call.

        Returns:
            Scores between 0 and 1, large for odd jets; NaN for a jet without constituents; shape (n_jets,).

        Raises:
            OddjetsError: inputs or outputs that are not finite, or see `oddjets.scoring.onnx_session.get_session`.
        """
        return anomaly_score(self.run(prepare(jets, self.card), progress), self.card)

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
        return class_probabilities(self.run(prepare(jets, self.card), progress), self.card)

    def score_and_probabilities(self, jets: JetConstituents) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute what `score` and `class_probabilities` give, with one inference.

        Args:
            jets: the jets.

        Returns:
            Shapes (n_jets,) and (n_jets, len(softmax)).

        Raises:
            OddjetsError: as `score`.
        """
        output = self.run(prepare(jets, self.card))
        return anomaly_score(output, self.card), class_probabilities(output, self.card)

    def run(self, prepared: PreparedJets, progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Run the model on jets that are prepared for it.

        Args:
            prepared: as `oddjets.scoring.inputs.prepare` gives them.
            progress: called with the number of jets done since the last call.

        Returns:
            What the model gives; NaN for a jet without constituents; shape (n_jets, n_classes).

        Raises:
            OddjetsError: as `score`.
        """
        counts = prepared.counts
        output = np.full((len(counts), self.card.output.n_classes), np.nan, np.float32)
        filled = np.flatnonzero(counts)
        if progress is not None and (empty := len(counts) - len(filled)):
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
        waiting = _by_length(prepared.counts, self.card.constituents.maximum)

        def send(pool: ThreadPoolExecutor) -> _Sent | None:
            if not waiting:
                return None
            rows, length = waiting.pop()
            size = -(-len(rows) // -(-len(rows) // _size(session, length)))  # in as few batches as fit, of one size
            if len(rows) > size:
                waiting.append((rows[size:], length))
            rows = rows[:size]
            return rows, length, pool.submit(self._upload, prepared, rows, length)

        with ThreadPoolExecutor(1) as pool:
            following = send(pool)
            while (sent := following) is not None:
                rows, length, uploaded = sent
                following = send(pool)
                free = None if session in _CELLS else free_memory(self.device)
                try:
                    values = run_uploaded(session, uploaded.result(), self.card.output.name, self.device)
                except Exception as error:  # ONNX Runtime's exceptions have no common base
                    self._halve(session, error, length)
                    if following is not None:
                        waiting.append(following[:2])
                    waiting.append((rows, length))
                    following = send(pool)
                    continue
                self._grow(session, free, length * len(rows))
                yield rows, values

    def _upload(self, prepared: PreparedJets, rows: NDArray[np.int64], length: int) -> dict[str, Any]:
        return upload(prepared.tensors(rows, length), self.device)

    def _grow(self, session: Any, free_before: int | None, cells: int) -> None:
        """Set the size of further batches by the free memory and the use of the first batch."""
        if session in _CELLS:
            return
        _CELLS[session] = _FIRST_CELLS
        free = free_memory(self.device)
        if free is None or free_before is None or free >= free_before:
            return
        room = int(_SHARE_OF_MEMORY * free / ((free_before - free) / cells))
        _CELLS[session] = min(_MOST_CELLS, max(_FIRST_CELLS, cells + room))

    def _halve(self, session: Any, error: Exception, length: int) -> None:
        """Halve batches that do not fit into memory; anything else is raised."""
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise error
        size = _size(session, length)
        if size == 1:
            raise OddjetsError(
                f"the model {self.card.name} does not fit into the memory of the GPU, not even with a single jet; free"
                " the device, or ask for 'provider: cpu'"
            ) from error
        _CELLS[session] = size // 2 * length
        log.info("scores of %s: no memory for %d jets at once, going on with %d", self.card.name, size, size // 2)


def _size(session: Any, length: int) -> int:
    """Return the number of jets in a full batch that is padded to a length."""
    return max(1, _CELLS.get(session, _FIRST_CELLS) // length)


def _by_length(counts: NDArray[np.int64], maximum: int) -> list[tuple[NDArray[np.int64], int]]:
    """Group jets that have constituents by the length that a GPU is given; the longest last.

    A group with too few cells takes in the jets of the next shorter length.
    """
    lengths = np.minimum(-(-(counts + _TOKENS) // _STEP) * _STEP - _TOKENS, max(maximum, int(counts.max())))
    lengths[counts == 0] = 0
    groups: list[tuple[NDArray[np.int64], int]] = []
    for length in np.unique(lengths[lengths > 0])[::-1].tolist():
        rows = np.flatnonzero(lengths == length)
        if groups and len(groups[-1][0]) * groups[-1][1] < _LEAST_CELLS:
            groups[-1] = np.concatenate([groups[-1][0], rows]), groups[-1][1]
        else:
            groups.append((rows, length))
    return groups[::-1]
