"""The class `ColumnScorer`: scores of jets from their columns, in batches of one size on a CPU."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from oddjets.core.errors import OddjetsError
from oddjets.scoring.column_card import ColumnCard, ColumnTensor
from oddjets.scoring.column_inputs import input_matrix
from oddjets.scoring.model_card import ModelCard
from oddjets.scoring.onnx_session import Provider, get_session
from oddjets.scoring.scorer import Scorer

__all__ = ["AnyScorer", "ColumnScorer", "ColumnScores", "ColumnSummary", "MissingValueError", "scorer_of"]

#: jets that are computed at a time; fewer are filled up with copies of one, since a graph may round otherwise for another
#: number of rows
_BATCH = 64
#: as many jets, or fewer, are computed without the others, if their bits are the same so: 64 rows of boosted trees take as long
#: as 30 to 70 single ones, and those of a network as two
_FEW = 8
#: rows that tell whether a graph keeps jets apart, and by how much their outputs may differ from those of each alone
_PROBES, _ROUNDING = 16, 1e-3
_LOCK = threading.Lock()


class _Sizes(NamedTuple):
    """The number of jets that a session gets at a time, and how few it gets one by one."""

    many: int
    few: int


#: of each session
_SIZES: weakref.WeakKeyDictionary[Any, _Sizes] = weakref.WeakKeyDictionary()
#: by how much a probability may be beyond 0 and 1
_PROBABILITY_ROUNDING = 1e-5


class MissingValueError(OddjetsError):
    """A value that is not finite, where the card says that this is an error."""


class ColumnSummary(NamedTuple):
    """The values of a column, or of an expression of columns, in some jets.

    Attributes:
        jets: how many.
        missing: of these, how many values were not finite.
        least: the smallest finite value; NaN if there is none.
        greatest: the largest finite value, likewise.
    """

    jets: int
    missing: int
    least: float
    greatest: float


class ColumnScores(NamedTuple):
    """Scores of jets and what they were computed from.

    Attributes:
        scores: shape (n_jets,).
        columns: column or expression on the card to its values.
    """

    scores: NDArray[np.float64]
    columns: dict[str, ColumnSummary]


class ColumnScorer:
    """A scorer with a model of columns of the jet; it can be pickled and sent to workers.

    It computes on the CPU, whatever provider an analysis asks for: such models are small. The bits of a jet's score depend
    on that jet alone. Models that do not keep the jets of a batch apart are refused; a graph that rounds in another way if
    other jets are in the batch gets its jets one by one.

    Attributes:
        card: the model card.

    Examples:
        >>> import oddjets
        >>> from oddjets.scoring.column_scorer import ColumnScorer
        >>> ColumnScorer(oddjets.load_card("omnilearned_small_simulation.yaml"))
        Traceback (most recent call last):
            ...
        oddjets.core.errors.OddjetsError: the card of omnilearned-small-simulation is of kind 'constituents': ...
    """

    def __init__(self, card: ColumnCard) -> None:
        given: Any = card
        if isinstance(given, ModelCard):
            raise OddjetsError(f"the card of {given.name} is of kind '{given.kind}': its scorer is oddjets.Scorer")
        if not isinstance(given, ColumnCard):
            raise OddjetsError(
                f"a scorer takes a model card, as oddjets.load_card reads it from a file; got {repr(given)[:80]}"
            )
        self.card = card
        self._trained_on: NDArray[np.uint64] | None = None

    @property
    def trained_on(self) -> NDArray[np.uint64]:
        """The hashes of the events that the score was learnt from, sorted; none of a score that was not learnt from data.

        Raises:
            OddjetsError: the file that has them is damaged.
        """
        if self._trained_on is None:
            self._trained_on = _hashes_of(self.card)
        return self._trained_on

    @property
    def provider_used(self) -> Literal["cpu", "cuda"]:
        """The provider that is used, for the manifest."""
        return "cpu"

    @property
    def fallback(self) -> str:
        """The reason why ``auto`` means the CPU: none is needed."""
        return ""

    def score(
        self, jets: Mapping[str, NDArray[Any]], hashes: NDArray[np.uint64] | None = None, *, unseen: bool = False
    ) -> NDArray[np.float64]:
        """Compute the scores of jets by the card's formula.

        A score that was learnt from data has a model for each fold of events. A jet of data gets the score by the model of
        its event's fold, which did not see the event, whether it was in the training or not. A jet of other events, such as
        simulation, gets the mean over the folds.

        Args:
            jets: name of a column, without ``_1`` and ``_2``, to its values, shape (n_jets,), in the units of the event table.
            hashes: of the jets' events, from `oddjets.learning.event_hash`, shape (n_jets,); of a score that was not learnt
                from data, they are not looked at.
            unseen: give the mean over the folds, to jets of events that were in no training. With ``hashes`` this is checked;
                without, it is taken to be so, as of simulated events, whose numbers mean nothing.

        Returns:
            Shape (n_jets,).

        Raises:
            ExpressionError: a column that the card reads is not there.
            MissingValueError: a value is not finite, and the card says that this is an error.
            OddjetsError: the model does not load, does not fit its card, mixes the jets of a batch, or gives something that is
                not finite or, for the formula ``probability``, beyond 0 and 1; of a score that was learnt from data, no hashes,
                or the mean over the folds is asked for of events of the training.
        """
        return self.evaluate(jets, hashes, unseen=unseen).scores

    def evaluate(
        self, jets: Mapping[str, NDArray[Any]], hashes: NDArray[np.uint64] | None = None, *, unseen: bool = False
    ) -> ColumnScores:
        """Compute what `score` does, and say what the values of the columns were.

        Args:
            jets: as for `score`.
            hashes: likewise.
            unseen: likewise.

        Raises:
            OddjetsError: as `score`.
        """
        self._require_folds(hashes, unseen=unseen)
        found: dict[str, ColumnSummary] = {}
        inputs = {tensor.name: self._input(tensor, jets, found) for tensor in self.card.inputs}
        n_jets = len(next(iter(inputs.values())))
        output = np.empty((n_jets, self.card.output.n_columns), np.float64)
        if n_jets:
            session, _ = get_session(self.card, "cpu")
            sizes = self._sizes(session)
            start = 0
            while start < n_jets:
                size = 1 if n_jets - start <= sizes.few else sizes.many
                rows = np.arange(start, min(start + size, n_jets))
                output[rows] = self._run(session, {name: array[rows] for name, array in inputs.items()}, size)
                start += size
        if self.card.learnt is None:
            return ColumnScores(self._formula(output, self.card.output.index), found)
        of_folds = [self._formula(output, fold) for fold in range(self.card.learnt.folds)]
        if unseen or hashes is None:
            return ColumnScores(np.asarray(np.mean(of_folds, axis=0)), found)
        fold = (hashes % np.uint64(self.card.learnt.folds)).astype(np.intp)
        return ColumnScores(np.stack(of_folds)[fold, np.arange(n_jets)], found)

    def _require_folds(self, hashes: NDArray[np.uint64] | None, *, unseen: bool) -> None:
        """Refuse a jet that would be scored by a model that saw it."""
        if self.card.learnt is None:
            return
        if hashes is None and not unseen:
            raise OddjetsError(
                f"the score of the model {self.card.name} was learnt from data, fold by fold: give the hashes of the jets'"
                " events (oddjets.learning.event_hash), or 'unseen=True' for simulated events"
            )
        if hashes is not None and unseen and (seen := int(np.isin(hashes, self.trained_on).sum())):
            raise OddjetsError(
                f"{seen} of {len(hashes)} jets are of events that the model {self.card.name} was trained on: their mean over"
                " the folds would be known by heart; leave 'unseen' out, and each gets the score by the model that did not see"
                " it"
            )

    def _input(
        self, tensor: ColumnTensor, jets: Mapping[str, NDArray[Any]], found: dict[str, ColumnSummary]
    ) -> NDArray[Any]:
        """Return one input of the graph for all jets; notes what its columns were."""
        dtype = np.float32 if tensor.dtype == "float32" else np.float64
        values = input_matrix([column.column for column in tensor.columns], jets, dtype)
        for column, of_column in zip(tensor.columns, values.T, strict=True):
            missing = np.isnan(of_column)
            count = int(np.count_nonzero(missing))
            finite = of_column[~missing]
            least, greatest = (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)
            found[column.column] = ColumnSummary(len(of_column), count, least, greatest)
            if count and column.missing == "error":
                raise MissingValueError(
                    f"'{column.column}' is not finite for {count} of {len(of_column)} jets, and the card of {self.card.name}"
                    " says that this is an error; let it say what such jets get, with 'missing: nan' or a number"
                )
            if count and isinstance(column.missing, float):
                of_column[missing] = column.missing
        return values[:, 0] if tensor.shape == ("batch",) else values

    def _run(self, session: Any, inputs: Mapping[str, NDArray[Any]], size: int) -> NDArray[np.float64]:
        """Run the graph on at most ``size`` jets, filled up to this number; the output has a row for each given jet."""
        card, n_jets = self.card, len(next(iter(inputs.values())))
        filled = {name: array[np.minimum(np.arange(size), n_jets - 1)] for name, array in inputs.items()}
        try:
            output = session.run([card.output.name], filled)[0]
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise OddjetsError(f"{card.path} of the model {card.name} fails: {error}") from error
        output = np.asarray(output, np.float64)
        if output.ndim == 1:
            output = output[:, np.newaxis]
        if output.shape != (size, card.output.n_columns):
            raise OddjetsError(
                f"{card.path} of the model {card.name}: its output {card.output.name} has the shape {output.shape} for {size}"
                f" jets, and {card.output.n_columns} columns in the card"
            )
        return output[:n_jets]

    def _sizes(self, session: Any) -> _Sizes:
        """Return how many jets a session gets at a time: many, if each one's output has the same bits in any company."""
        with _LOCK:
            if session not in _SIZES:
                _SIZES[session] = self._probe(session)
            return _SIZES[session]

    def _probe(self, session: Any) -> _Sizes:
        random = np.random.default_rng(0)
        every: dict[str, NDArray[Any]] = {}
        for tensor in self.card.inputs:
            shape = (_BATCH, len(tensor.columns)) if len(tensor.shape) > 1 else (_BATCH,)
            # jets have masses and momenta of hundreds, and ratios below 1
            values = random.normal(size=shape) * 10.0 ** random.uniform(-2, 3, shape)
            # a logarithm or a root has no number below zero, and NaN hides what a graph does
            values[::2] = np.abs(values[::2])
            every[tensor.name] = values.astype(tensor.dtype)
        probes = {name: array[:_PROBES] for name, array in every.items()}
        together = self._run(session, probes, _BATCH)
        orders: Iterable[NDArray[np.int64]] = [*np.arange(_PROBES)[:, np.newaxis], np.arange(_PROBES)[::-1]]
        apart = [self._run(session, {n: array[order] for n, array in probes.items()}, _BATCH) for order in orders]
        alone, turned = np.concatenate(apart[:-1]), apart[-1][::-1]
        for other in (alone, turned):
            if not np.allclose(together, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True):
                raise OddjetsError(
                    f"the model {self.card.name} gives a jet another output if other jets are in the batch: export it for"
                    " evaluation (batch normalisation with stored means), so that each row is computed by itself"
                )
        same = all(np.array_equal(together, other, equal_nan=True) for other in (alone, turned))
        # rows without a number tell nothing of what a row does to another
        told = np.count_nonzero(np.isfinite(alone).any(axis=1)) > 1
        if not (same and told):
            return _Sizes(1, 0)
        # a graph may compute one row in another way than many
        single = [self._run(session, {n: array[i : i + 1] for n, array in every.items()}, 1) for i in range(_BATCH)]
        as_many = np.array_equal(np.concatenate(single), self._run(session, every, _BATCH), equal_nan=True)
        return _Sizes(_BATCH, _FEW if as_many else 0)

    def _formula(self, output: NDArray[np.float64], index: int) -> NDArray[np.float64]:
        """Turn a column of the output of all jets into scores."""
        formula = self.card.score.formula
        values = softmax(output, axis=1) if formula == "softmax" else output
        values = np.ascontiguousarray(values[:, index])
        if bad := int(np.count_nonzero(~np.isfinite(values))):
            able = any(column.missing == "nan" for column in self.card.columns)
            hint = "; a model that cannot deal with NaN needs a number in 'missing' on its card" if able else ""
            raise OddjetsError(
                f"the model {self.card.name} gives values that are not finite for {bad} of {len(values)} jets{hint}"
            )
        if formula == "sigmoid":
            return np.asarray(expit(values))
        if formula == "probability":
            beyond = (values < -_PROBABILITY_ROUNDING) | (values > 1 + _PROBABILITY_ROUNDING)
            if beyond.any():
                raise OddjetsError(
                    f"the model {self.card.name} gives values from {values.min():.3g} to {values.max():.3g}, and its card calls"
                    " them probabilities; of logits take 'formula: sigmoid', of anything else 'raw'"
                )
            return np.clip(values, 0.0, 1.0)
        return values


def _hashes_of(card: ColumnCard) -> NDArray[np.uint64]:
    if card.learnt is None:
        return np.empty(0, np.uint64)
    file = card.path.with_name(card.learnt.events.file)
    try:
        found = np.fromfile(file, "<u8")
    except OSError as error:
        raise OddjetsError(f"{file} of the model {card.name} cannot be read ({error.strerror})") from None
    if len(found) != card.learnt.n_events:
        raise OddjetsError(
            f"{file} has {len(found)} hashes of events, and the card of {card.name} says {card.learnt.n_events}"
        )
    return found


AnyScorer = Scorer | ColumnScorer


def scorer_of(
    card: ModelCard | ColumnCard, provider: Provider = "auto", threads: int = 1, device: int = 0
) -> AnyScorer:
    """Return the scorer of a card, whatever its kind.

    Args:
        card: as `oddjets.load_card` reads it.
        provider: for a model of constituents; one of columns computes on the CPU.
        threads: likewise.
        device: likewise.
    """
    return ColumnScorer(card) if isinstance(card, ColumnCard) else Scorer(card, provider, threads, device)
