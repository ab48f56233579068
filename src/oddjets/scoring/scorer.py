"""The class `Scorer`: one jet at a time on a CPU, batches on a GPU."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, get_args

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


class _Batch(NamedTuple):
    """Jets under way: their rows, the length that they are padded to, and what the model will give."""

    rows: NDArray[np.int64]
    length: int
    values: Future[NDArray[np.float32]]


# On a CPU, batches are no faster, and one jet at a time needs no padding and has no neighbours (small model, jets of 30 to
# 70 constituents, as many in each batch: 110 jets/s of CPU time one by one, 104 two by two, 96 in batches of 8, and the last
# bits of one jet in eight depend on its place in the batch). GPUs need many at a time.
#: cells (jets x constituents) of the first batch on a GPU; the memory that it takes says how large others may be
_FIRST_CELLS = 16384
#: with fewer cells than this, the first batch does not tell how much memory many take
_LEAST_CELLS = 4096
#: beyond this, batches are hardly faster (small model in 16 bits, one H100, an earlier graph: 39 400 jets/s for 272 jets of 60
#: constituents, 48 300 for 1000)
_MOST_CELLS = 60000
#: What each session has learnt of them. It keeps its memory, so that another scorer, of the next chunk, could not measure again
_CELLS: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
#: What starting a batch costs, in cells. It keeps padding below a tenth from 1000 jets on; 350 to 6000 differ by 15 % in the
#: time of 1500 jets
_BATCH_COST = 700
#: batches that are computed at a time: kernels of one start while those of others run (docs/scoring.md, "Speed")
_AT_A_TIME = 3
#: sessions that have run out of memory, which compute one batch at a time
_TIGHT: weakref.WeakSet[Any] = weakref.WeakSet()
#: of the free memory, what larger batches may take together; GPUs are shared, and ONNX Runtime keeps up to twice as much
_SHARE_OF_MEMORY = 0.3
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
        """Run jets in batches of like lengths, the longest first, some of them at a time."""
        waiting = _by_cost(prepared.counts, self.card.constituents.maximum)
        running: deque[_Batch] = deque()
        if session not in _CELLS:  # the largest first: it shows the memory
            waiting.append(waiting.pop(int(np.argmax([len(rows) * length for rows, length in waiting]))))

        def start() -> None:
            rows, length = waiting.pop()
            size = -(-len(rows) // -(-len(rows) // _size(session, length)))  # in as few batches as fit, of one size
            if len(rows) > size:
                waiting.append((rows[size:], length))
            rows = rows[:size]
            inputs = host.submit(self._upload, prepared, rows, length)
            running.append(_Batch(rows, length, device.submit(self._compute, session, inputs)))

        with ThreadPoolExecutor(1) as host, ThreadPoolExecutor(_AT_A_TIME) as device:
            while waiting or running:
                free = None if session in _CELLS else free_memory(self.device)
                # one more than are computed: its inputs travel meanwhile
                while waiting and len(running) < (_AT_A_TIME + 1 if session in _CELLS and session not in _TIGHT else 1):
                    start()
                batch = running.popleft()
                try:
                    values = batch.values.result()
                except Exception as error:  # ONNX Runtime's exceptions have no common base
                    self._halve(session, error, batch.length, alone=not running)
                    # the others took memory too: smaller batches begin when they have ended
                    for other in (*running, batch):
                        if other.values.exception() is None:
                            yield other.rows, other.values.result()
                        else:
                            waiting.append((other.rows, other.length))
                    running.clear()
                    continue
                self._grow(session, free, batch.length * len(batch.rows))
                yield batch.rows, values

    def _upload(self, prepared: PreparedJets, rows: NDArray[np.int64], length: int) -> dict[str, Any]:
        return upload(prepared.tensors(rows, length), self.device)

    def _compute(self, session: Any, inputs: Future[dict[str, Any]]) -> NDArray[np.float32]:
        return run_uploaded(session, inputs.result(), self.card.output.name, self.device)

    def _grow(self, session: Any, free_before: int | None, cells: int) -> None:
        """Set the size of further batches by the free memory and the use of the first one that is not small."""
        if session in _CELLS or cells < _LEAST_CELLS:
            return
        _CELLS[session] = _FIRST_CELLS
        free = free_memory(self.device)
        if free is None or free_before is None or free >= free_before:
            return
        room = int(_SHARE_OF_MEMORY * free / ((free_before - free) / cells))
        _CELLS[session] = min(_MOST_CELLS, max(_FIRST_CELLS // _AT_A_TIME, (cells + room) // _AT_A_TIME))

    def _halve(self, session: Any, error: Exception, length: int, alone: bool) -> None:
        """Halve batches that do not fit into memory, and run them one at a time from now on; anything else is raised."""
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise error
        _TIGHT.add(session)
        size = _size(session, length)
        if size == 1 and not alone:
            return
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


def _by_cost(counts: NDArray[np.int64], maximum: int) -> list[tuple[NDArray[np.int64], int]]:
    """Group jets that have constituents, and return groups with the length that each is padded to; the longest last.

    Of all ways to cut the sorted lengths into groups, the one with the least cost: the cells of a group, with padding, and
    `_BATCH_COST` for its start.
    """
    lengths = np.minimum(-(-(counts + _TOKENS) // _STEP) * _STEP - _TOKENS, max(maximum, int(counts.max())))
    lengths[counts == 0] = 0
    steps, jets = np.unique(lengths[lengths > 0], return_counts=True)
    before = np.concatenate([[0], np.cumsum(jets)])
    # the least cost of the first steps, and where their last group begins
    least, begins = np.zeros(len(steps) + 1), np.zeros(len(steps) + 1, np.int64)
    for end, length in enumerate(steps, start=1):
        costs = least[:end] + (before[end] - before[:end]) * (length + _TOKENS) + _BATCH_COST
        begins[end] = np.argmin(costs)
        least[end] = costs[begins[end]]
    groups, end = [], len(steps)
    while end:
        begin, longest = int(begins[end]), int(steps[end - 1])
        groups.append((np.flatnonzero((lengths >= steps[begin]) & (lengths <= longest)), longest))
        end = begin
    return groups[::-1]
