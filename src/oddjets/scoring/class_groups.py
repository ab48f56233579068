"""The class groups of a model card in scores and in columns of the event table.

A class group is one entry of the card's ``classes``: a name and the outputs that belong to it.
"""

from __future__ import annotations

import re
from collections import Counter

from oddjets.config.selection import Score
from oddjets.core.errors import OddjetsError, nearest
from oddjets.scoring.model_card import AuthorsCodeScore, ModelCard, PaperScore

__all__ = ["formula_of", "probability_columns", "share_columns"]


def formula_of(score: Score, card: ModelCard) -> PaperScore | AuthorsCodeScore:
    """Return the formula of a score of a model.

    Args:
        score: one with a card, or one ``of`` such a score.
        card: the model card.

    Returns:
        The card's own formula; of a score with ``of``, S / (S + Q) of the class groups that it names.

    Raises:
        OddjetsError: a class group that the card does not have, one in both lists, or no background, where the card's
            formula has no QCD groups. The message starts with the key of the score.
    """
    if score.of is None:
        return card.score
    background = score.background
    if not background:
        if isinstance(card.score, AuthorsCodeScore):
            raise OddjetsError(
                f"background: needed, since the formula of the card {card.name} names no QCD classes; its class groups are"
                f" {', '.join(card.classes)}"
            )
        background = card.score.qcd
    for key, names in (("signal", score.signal), ("background", background)):
        for name in names:
            if name not in card.classes:
                raise OddjetsError(
                    f"{key}: the card {card.name} has no class group '{name}'; {nearest(name, card.classes)}"
                )
    if both := [name for name in score.signal if name in background]:
        raise OddjetsError(
            f"signal: '{both[0]}' is a QCD class of the card {card.name}, and so in the background too; list the"
            " 'background' without it"
        )
    return PaperScore(formula="paper", signal=score.signal, qcd=background)


def share_columns(card: ModelCard, score: str) -> dict[str, str]:
    """Return class group to the column of its share, without ``_1`` and ``_2``: ``share_<class>_<score>``.

    Args:
        card: the model card.
        score: name of the score that has the card.
    """
    return {name: f"share_{label}_{score}" for name, label in _labels(card).items()}


def probability_columns(card: ModelCard, score: str) -> dict[int, str]:
    """Return the model's output to the column of its probability, without ``_1`` and ``_2``.

    ``prob_<class>_<score>`` where the class is one output, ``prob_<class>_<number>_<score>`` where it is several, and
    ``prob_<number>_<score>`` where the output belongs to no class.

    Args:
        card: the model card.
        score: name of the score that has the card.

    Returns:
        In the order of the card's ``output.softmax``.
    """
    labels = _labels(card)
    found = {}
    for index, name in card.class_names.items():
        parts = [labels[name]] if name else []
        parts += [str(index)] if not name or len(card.classes[name]) > 1 else []
        found[index] = f"prob_{'_'.join(parts)}_{score}"
    return found


def _labels(card: ModelCard) -> dict[str, str]:
    """Return class group to its name as part of a column's: letters, digits and single underscores.

    Two underscores would begin the name of a variation. Groups that would share a name get their first output's number.
    """
    labels = {}
    for name in card.classes:
        label = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
        labels[name] = label if label[:1].isalpha() else f"class_{label}".strip("_")
    several = Counter(labels.values())
    return {name: f"{label}_{card.classes[name][0]}" if several[label] > 1 else label for name, label in labels.items()}
