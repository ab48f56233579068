"""Validation of the scores of an analysis: their model cards, the class groups and the scores that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.selection import Score
from oddjets.core import resources
from oddjets.core.errors import OddjetsError, nearest
from oddjets.io import paper_npz
from oddjets.scoring.class_groups import formula_of, probability_columns, share_columns
from oddjets.scoring.model_card import ModelCard, load_card

__all__ = ["cards_of", "score_problems"]


def cards_of(analysis: Analysis, problems: list[str] | None = None) -> dict[str, tuple[Path, ModelCard]]:
    """Return score to its model's card and the card's file, of the scores whose card can be read.

    Args:
        analysis: its form is right.
        problems: is told of the others.
    """
    found: dict[str, tuple[Path, ModelCard]] = {}
    for name, score in analysis.scores.items():
        if score.card is not None:
            try:
                file = resources.find(score.card, "models", analysis.folder, suffixes=("", ".yaml"))
                found[name] = file, load_card(file)
            except OddjetsError as error:
                if problems is not None:
                    problems.append(f"scores.{name}.card: {error}")
    return found


def score_problems(analysis: Analysis, cards: Mapping[str, ModelCard]) -> Iterator[str]:
    """List what is wrong with scores, apart from their cards and from columns of the event table.

    Args:
        analysis: its form is right.
        cards: score to its model's card, of the scores whose card can be read.
    """
    for name, score in analysis.scores.items():
        if analysis.npz is not None:
            yield from _of_imported_files(name, score)
        elif score.of is not None:
            yield from _of_class_groups(analysis, cards, name, score, score.of)
        for tagger in (*score.signal, *score.background) if score.of is None else ():
            if analysis.selection.taggers.branch(tagger) is None:
                version = analysis.selection.taggers.names
                yield (
                    f"scores.{name}: NanoAOD{version} has no '{tagger}' of AK8 jets; name a branch of FatJet in"
                    f" selection.taggers.{tagger}"
                )
    yield from _columns_with_one_name(analysis, cards)


def _of_imported_files(name: str, score: Score) -> Iterator[str]:
    columns = (paper_npz.PREDICTION, *paper_npz.JET_COLUMNS)
    if score.column is None:
        yield f"scores.{name}: imported event files ('npz') have columns only, so give 'column'; {nearest('', columns)}"
    elif score.column not in columns:
        yield f"scores.{name}.column: no column '{score.column}'; {nearest(score.column, columns)}"


def _of_class_groups(
    analysis: Analysis, cards: Mapping[str, ModelCard], name: str, score: Score, owner: str
) -> Iterator[str]:
    """Check a score ``of`` another one: the other has a card, which has the class groups."""
    with_card = [other for other, of in analysis.scores.items() if of.card is not None]
    place = f"scores.{name}.of"
    if owner not in analysis.scores:
        yield f"{place}: no score '{owner}'; {nearest(owner, with_card) or 'no score has a card'}"
    elif analysis.scores[owner].card is None:
        root, seen = owner, [name]
        while root not in seen and (following := analysis.scores[root].of) in analysis.scores:
            seen.append(root)
            root = str(following)
        if root in seen:
            circle = " of ".join(f"'{other}'" for other in [*seen[seen.index(root) :], root])
            yield f"{place}: a circle: {circle}; name the score that has the card"
        else:
            offered = [root] if analysis.scores[root].card is not None else with_card
            yield f"{place}: '{owner}' has no card of its own; {nearest(owner, offered) or 'no score has a card'}"
    elif owner in cards:
        try:
            formula_of(score, cards[owner])
        except OddjetsError as error:
            yield f"scores.{name}.{error}"


def _columns_with_one_name(analysis: Analysis, cards: Mapping[str, ModelCard]) -> Iterator[str]:
    """Check that no two columns of class groups have one name: 'X_a' of 'b', and 'X' of 'a_b'."""
    owners: dict[str, str] = {}
    for name, card in cards.items():
        columns = [*share_columns(card, name).values()]
        if analysis.scores[name].keep_probabilities:
            columns += probability_columns(card, name).values()
        for column in columns:
            if (other := owners.setdefault(column, name)) != name:
                yield f"scores.{name}: the column '{column}' of a class is one of '{other}' too; rename one of the scores"
