"""The conversion of a model's output to class probabilities and to the score, in float64."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit, logsumexp

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.scoring.model_card import AuthorsCodeScore, ModelCard, PaperScore

__all__ = [
    "anomaly_score",
    "class_probabilities",
    "class_shares",
    "log_odds",
    "mean_score",
    "score_of_predictions",
    "score_spread",
]

#: what the authors' code adds to the denominator
AUTHORS_EPSILON = 1e-6
#: scores are kept this far from 0 and 1, where their log odds are taken: the spacing of float64 below 1
_LEAST = 2.0**-53
#: of probabilities in half precision
PROBABILITY_ROUNDING = 1e-3
#: the fewest columns that it needs: P(0) to P(10)
AUTHORS_COLUMNS = 11


def _columns(values: NDArray[Any], columns: Iterable[int]) -> NDArray[Any]:
    """Take columns; each row contiguous, since the order of a sum, and so its last bit, follows the memory's layout."""
    return np.ascontiguousarray(values[:, list(columns)])


def _log_probabilities(output: NDArray[Any], card: ModelCard) -> NDArray[np.float64]:
    """Return the logarithms of the probabilities, normalised over the card's softmax; shape (n_jets, len(softmax))."""
    values = _columns(output, card.output.softmax).astype(np.float64)
    if card.output.kind == "probabilities":
        with np.errstate(divide="ignore"):  # a probability that underflowed to 0
            values = np.log(values)
    with np.errstate(invalid="ignore"):  # all of them did
        result: NDArray[np.float64] = log_softmax(values, axis=1)
    return result


def class_probabilities(output: NDArray[Any], card: ModelCard) -> NDArray[np.float64]:
    """Normalise a model's output.

    Args:
        output: the graph's output, shape (n_jets, n_classes).
        card: the model card.

    Returns:
        Probabilities in the order of ``card.output.softmax``, shape (n_jets, len(softmax)).
    """
    return np.exp(_log_probabilities(output, card))


def class_shares(output: NDArray[Any], card: ModelCard) -> NDArray[np.float64]:
    """Compute the summed probabilities of the card's class groups.

    Args:
        output: the graph's output, shape (n_jets, n_classes).
        card: the model card.

    Returns:
        The share of each group, in the order of ``card.classes``; NaN where the output is; shape (n_jets, len(classes)).
    """
    log_p = _log_probabilities(output, card)
    shares = [np.exp(_log_sum(log_p, card, indices)) for indices in card.classes.values()]
    return np.stack(shares, axis=1) if shares else np.empty((len(output), 0))


def _log_sum(log_p: NDArray[np.float64], card: ModelCard, indices: Iterable[int]) -> NDArray[np.float64]:
    """Return the logarithm of the summed probabilities of some outputs, given those of all of the softmax."""
    column = {index: i for i, index in enumerate(card.output.softmax)}
    result: NDArray[np.float64] = logsumexp(_columns(log_p, (column[i] for i in indices)), axis=1)
    return result


def anomaly_score(
    output: NDArray[Any], card: ModelCard, formula: PaperScore | AuthorsCodeScore | None = None
) -> NDArray[np.float64]:
    """Compute the anomaly score by the card's formula, or by another one of its classes.

    Both formulas are 1 / (1 + background/signal), computed from the difference of logarithms: s is precise where it is
    small, and 1 - s is where it is close to 1, as far as float64 can hold it.

    Args:
        output: the graph's output, shape (n_jets, n_classes).
        card: the model card.
        formula: None: the card's own.

    Returns:
        Scores between 0 and 1, large for odd jets; NaN where the output is; shape (n_jets,).

    Raises:
        OddjetsError: probabilities of zero for all classes of the score, which logits never give.
    """
    log_p = _log_probabilities(output, card)

    def log_sum(indices: Iterable[int]) -> NDArray[np.float64]:
        return _log_sum(log_p, card, indices)

    formula = formula or card.score
    if isinstance(formula, AuthorsCodeScore):
        signal = log_sum(i for i in card.output.softmax if i >= formula.class_offset + 10)
        background = np.logaddexp(log_sum([formula.class_offset]), np.log(AUTHORS_EPSILON))
    else:
        signal, background = (
            log_sum(i for name in names for i in card.classes[name]) for names in (formula.signal, formula.qcd)
        )
    with np.errstate(invalid="ignore"):
        difference = signal - background
    undecided = np.isnan(difference) & np.isfinite(output).all(axis=1)
    if undecided.any():
        raise OddjetsError(
            f"the model {card.name} gives {np.count_nonzero(undecided)} of {len(undecided)} jets the probability zero for all"
            " classes of the score: export its logits, which do not vanish"
        )
    result: NDArray[np.float64] = expit(difference)
    return result


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(s / (1 - s)), finite also where a score is 0 or 1 to its last bit."""
    result: NDArray[np.float64] = logit(np.clip(scores, _LEAST, 1 - _LEAST))
    return result


def mean_score(members: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Combine the scores that several trainings of one model give the same jets.

    The mean is that of the log odds ln(S/Q), not of the scores: where a search cuts, scores are within some per cent of 1, and
    their mean would follow the member that is least sure (0.9999, 0.9999 and 0.9 are like 0.967); the log odds are what a
    network's last layer gives, and their mean keeps the order of the tail. Tail probabilities would need the data first.

    Args:
        members: scores between 0 and 1, shape (n_jets,) each.

    Returns:
        Shape (n_jets,); NaN where a member's is.
    """
    result: NDArray[np.float64] = expit(np.mean([log_odds(scores) for scores in members], axis=0))
    return result


def score_spread(members: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the standard deviation (n - 1) of the members' log odds for each jet; arguments as of `mean_score`."""
    result: NDArray[np.float64] = np.std([log_odds(scores) for scores in members], axis=0, ddof=1)
    return result


def score_of_predictions(prediction: NDArray[Any], formula: Literal["authors-code", "stored"]) -> NDArray[np.float64]:
    """Compute the anomaly score of class probabilities that the authors published.

    Args:
        prediction: shape (n_jets, n_classes).
        formula: ``authors-code``: P(10:) / (P(0) + P(10:) + 1e-6) on the stored positions; ``stored``: the only column,
            as it is.

    Returns:
        Shape (n_jets,).

    Raises:
        InputFileError: there are too few columns for the formula, or several where one is the score; or the formula needs
            probabilities, and these are none.
    """
    columns = prediction.shape[1]
    if formula == "stored" and columns != 1:
        raise InputFileError(
            f"'prediction' has {columns} columns; the formula 'stored' needs exactly one, the score: of several, none is "
            "known to be it. For class probabilities say 'formula: authors-code'"
        )
    if formula == "authors-code" and columns < AUTHORS_COLUMNS:
        raise InputFileError(f"'prediction' has {columns} columns; the formula '{formula}' needs {AUTHORS_COLUMNS}")
    first = prediction[:, 0].astype(np.float64)
    if formula == "stored":
        return first
    used = np.delete(prediction, np.s_[1:10], axis=1)
    wrong = ((used < -PROBABILITY_ROUNDING) | (used > 1 + PROBABILITY_ROUNDING)).any(axis=1)
    if wrong.any():
        raise InputFileError(
            f"'prediction' has values from {used.min():.3g} to {used.max():.3g} ({np.count_nonzero(wrong)} rows have some"
            f" beyond 0 to 1); the formula '{formula}' needs class probabilities, for example the softmax of logits"
        )
    signal = prediction[:, 10:].sum(axis=1, dtype=np.float64)
    return np.asarray(signal / (first + signal + AUTHORS_EPSILON))
