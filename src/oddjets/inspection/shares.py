"""The shares of groups of classes in a jet's probabilities: what kind of jet the model takes it for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from oddjets.scoring.class_groups import share_columns
from oddjets.scoring.model_card import ModelCard

__all__ = ["OTHER", "class_groups", "shares_of_columns", "shares_of_groups"]

Floats = npt.NDArray[np.float64]

#: of outputs that the card gives no class
OTHER = "other classes"

#: group -> what the names of its classes look like, as the cards of the package and of the published checkpoint have them;
#: the first that fits counts. A class of another name is a group of its own.
_GROUPS: tuple[tuple[str, str], ...] = (
    ("QCD", r"qcd.*"),
    ("bb", r"x_bb"),
    ("cc", r"x_cc"),
    ("bc", r"x_(bc|cb)"),
    ("2 prongs", r"x_([a-z]{2})|two_prong|2_prong"),
    ("3 prongs", r"x_3\w*|three_prong|3_prong"),
    ("4 prongs", r"x_4\w*|four_prong|4_prong"),
    ("3 and 4 prongs", r"three_and_four_prong|3_and_4_prong"),
)


def class_groups(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the groups of a model's classes: name to its outputs, in the order QCD, heavy flavour, 2, 3, 4 prongs, others.

    Groups do not overlap: two-prong decays to b or c quarks are "bb", "cc" and "bc", and not in "2 prongs". Outputs of the
    softmax that no class of the card has are `OTHER`, so that all shares together are 1.

    Args:
        card: of the model.
    """
    found: dict[str, list[int]] = {}
    for index, name in card.class_names.items():
        found.setdefault(_group_of(name), []).append(index)
    order = [group for group, _ in _GROUPS]
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name == OTHER))
    return {name: tuple(found[name]) for name in names}


def _group_of(name: str) -> str:
    if not name:
        return OTHER
    return next((group for group, form in _GROUPS if re.fullmatch(form, name.lower())), name.replace("_", " "))


def shares_of_groups(card: ModelCard, probabilities: Floats) -> dict[str, Floats]:
    """Return the share of each group: the sum of its classes' probabilities, (jets,).

    Args:
        card: of the model.
        probabilities: in the order of ``card.output.softmax``, (jets, classes); NaN for a jet without constituents.
    """
    place = {index: number for number, index in enumerate(card.output.softmax)}
    return {
        group: np.asarray(probabilities[:, [place[index] for index in indices]].sum(axis=1), np.float64)
        for group, indices in class_groups(card).items()
    }


def shares_of_columns(
    card: ModelCard, score: str, jet: int, columns: Mapping[str, npt.NDArray[np.floating]]
) -> dict[str, Floats] | None:
    """Return the shares of the groups from those of the classes that the event table has; None if it has not all of them.

    Args:
        card: of the model.
        score: the name of the score that has the card.
        jet: 1 or 2.
        columns: of the event table, (n,).
    """
    names = {of_class: f"{column}_{jet}" for of_class, column in share_columns(card, score).items()}
    if any(name not in columns for name in names.values()):
        return None
    found: dict[str, Floats] = {}
    for of_class, name in names.items():
        group = _group_of(of_class)
        found[group] = found.get(group, 0.0) + np.asarray(columns[name], np.float64)
    if OTHER in (groups := class_groups(card)):
        found[OTHER] = 1.0 - np.sum(list(found.values()), axis=0)
    return {group: found[group] for group in groups}
