"""Validation of the scores of an analysis: their model cards, the class groups and the scores that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.selection import Score
from oddjets.core import resources
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections import lookups
from oddjets.io import paper_npz
from oddjets.scoring.class_groups import formula_of, probability_columns, share_columns
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.scoring.onnx_session import get_session, runtime_version
from oddjets.selection.jet_scores import stems_of
from oddjets.selection.processor import DijetProcessor
from oddjets.selection.table_columns import known_columns

__all__ = ["card_problems", "cards_of", "model_problems", "score_problems"]

#: sources of scores that are there when models of jet columns are run
_BEFORE = ("branches", "card", "of", "family")

Cards = Mapping[str, ModelCard | ColumnCard]


def cards_of(analysis: Analysis, problems: list[str] | None = None) -> dict[str, tuple[Path, ModelCard | ColumnCard]]:
    """Return score to its model's card and the card's file, of the scores, and members of families, whose card can be read.

    Args:
        analysis: its form is right.
        problems: is told of the others.
    """
    found: dict[str, tuple[Path, ModelCard | ColumnCard]] = {}
    asked: dict[str, tuple[str, str]] = {}
    for name, score in analysis.scores.items():
        if score.card is not None:
            asked[name] = score.card, f"scores.{name}.card"
        for i, (member, card) in enumerate(score.members(name).items()):
            asked[member] = card, f"scores.{name}.family.{i}"
    for name, (card, place) in asked.items():
        try:
            file = resources.find(card, "models", analysis.folder, suffixes=("", ".yaml"))
            found[name] = file, load_card(file) if name in analysis.scores else load_card(file, "constituents")
        except OddjetsError as error:
            if problems is not None:
                problems.append(f"{place}: {error}")
    return found


def model_problems(analysis: Analysis) -> Iterator[str]:
    """List models that ONNX Runtime cannot load, or that do not fit their card; nothing where it is not installed.

    Args:
        analysis: its form is right.
    """
    try:
        runtime_version()
    except OddjetsError:
        return  # who scores jets says so
    places = {
        member: f"scores.{name}.family.{i}"
        for name, score in analysis.scores.items()
        for i, member in enumerate(score.members(name))
    }
    for name, (_, card) in cards_of(analysis).items():
        try:
            get_session(card, "cpu")
        except OddjetsError as error:
            yield f"{places.get(name, f'scores.{name}.card')}: {error}"


def score_problems(analysis: Analysis, cards: Cards) -> Iterator[str]:
    """List what is wrong with scores, apart from their cards and from columns of the event table.

    Args:
        analysis: its form is right.
        cards: score to its model's card, of the scores whose card can be read.
    """
    for name, score in analysis.scores.items():
        if analysis.npz is not None and score.combined is None:
            yield from _of_imported_files(name, score)
        elif score.of is not None:
            yield from _of_class_groups(analysis, cards, name, score, score.of)
        elif score.family:
            yield from _of_family(analysis, cards, name, score)
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


def _of_class_groups(analysis: Analysis, cards: Cards, name: str, score: Score, owner: str) -> Iterator[str]:
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
    elif isinstance(card := cards.get(owner), ColumnCard):
        yield f"{place}: the model of '{owner}' reads columns of the jet, and has no class groups"
    elif card is not None:
        try:
            formula_of(score, card)
        except OddjetsError as error:
            yield f"scores.{name}.{error}"


def _of_family(analysis: Analysis, cards: Cards, name: str, score: Score) -> Iterator[str]:
    """Check that the members of a family are trainings of one model: what they read and what their scores mean is the same."""
    first: ModelCard | None = None
    owners: dict[str, str] = {}
    trainings: dict[object, str] = {}
    for i, member in enumerate(score.members(name)):
        place = f"scores.{name}.family.{i}"
        if member in analysis.scores:
            yield f"{place}: its score is called '{member}', as another one of 'scores'; rename that one"
        card = cards.get(member)
        if card is None or isinstance(card, ColumnCard):
            continue
        if card.sha256 in owners:
            yield f"{place}: {card.name} has the same model as {owners[card.sha256]}, which would count twice"
        elif (other := trainings.setdefault(_training_of(card), card.name)) != card.name:
            yield (
                f"{place}: {card.name} and {other} are of one training by their cards (same 'training', 'seed' and 'metrics'),"
                " such as its files for CPUs and for GPUs, and it would count twice; list one of them. If they are two"
                " trainings, let 'training' or 'seed' on their cards say so"
            )
        owners.setdefault(card.sha256, card.name)
        first = first or card
        for what, of in (("inputs", _inputs_of), ("classes", _classes_of), ("score formula", _formula_of)):
            if of(card) != of(first):
                yield (
                    f"{place}: {card.name} has other {what} than {first.name}: they are no trainings of one model; give each a"
                    " score of its own with 'card'"
                )
                break


def _training_of(card: ModelCard) -> object:
    """Return what a card says of the training; that of another file of the same training says the same."""
    return " ".join(card.training.split()), card.seed, tuple(sorted(card.metrics.items()))


def _inputs_of(card: ModelCard) -> object:
    return card.inputs, card.constituents, card.species and card.species.model_copy(update={"source": ""})


def _classes_of(card: ModelCard) -> object:
    return {name: sorted(indices) for name, indices in card.classes.items()}, sorted(card.output.softmax)


def _formula_of(card: ModelCard) -> object:
    return card.score


def _columns_with_one_name(analysis: Analysis, cards: Cards) -> Iterator[str]:
    """Check that no two columns of class groups have one name: 'X_a' of 'b', and 'X' of 'a_b'."""
    owners: dict[str, str] = {}
    for name, card in cards.items():
        if name not in analysis.scores:  # a member of a family has none
            continue
        if isinstance(card, ColumnCard):
            if analysis.scores[name].keep_probabilities:
                yield f"scores.{name}.keep_probabilities: the model reads columns of the jet, and has no classes"
            continue
        columns = [*share_columns(card, name).values()]
        if analysis.scores[name].keep_probabilities:
            columns += probability_columns(card, name).values()
        for column in columns:
            if (other := owners.setdefault(column, name)) != name:
                yield f"scores.{name}: the column '{column}' of a class is one of '{other}' too; rename one of the scores"


def card_problems(
    analysis: Analysis, processor: type[DijetProcessor], era: lookups.Era, era_folder: Path, cards: Cards
) -> Iterator[str]:
    """List columns that models of jet columns read and that no jet will have, where that is known before a file is read.

    Args:
        analysis: its form is right.
        processor: makes the event table.
        era: its corrections.
        era_folder: where the era's relative paths start.
        cards: score to its model's card, of the scores whose card can be read.
    """
    of_columns = [(name, card) for name, card in cards.items() if isinstance(card, ColumnCard)]
    known = known_columns(analysis, processor, era, era_folder, cards) if of_columns and analysis.reads_root else None
    if known is None:
        return
    # models of constituents and branches come first, then these in their order, and columns that are scores last
    later = [f"score_{name}" for name, _ in of_columns]
    scores = {f"score_{name}" for name, score in analysis.scores.items() if score.sources[0] in _BEFORE}
    stems = {*stems_of(known), *scores}
    for name, card in of_columns:
        there = stems - {*later}
        for column, read_by in sorted(card.reads_what().items()):
            if column in there:
                continue
            where = f" (in '{read_by}')" if read_by != column else ""
            if column == later[0]:
                yield f"scores.{name}.card: '{column}'{where} is the score itself"
            elif column in stems:
                yield f"scores.{name}.card: '{column}'{where} is computed later; list that score first"
            elif (other := analysis.scores.get(column.removeprefix("score_"))) and other.column is not None:
                yield f"scores.{name}.card: '{column}'{where} is the column '{other.column}'; let the card read that one"
            elif other is not None and other.combined is not None:
                yield f"scores.{name}.card: '{column}'{where} is a combination, which is made after all events are selected"
            else:
                yield f"scores.{name}.card: no column '{column}'{where} of each jet; {nearest(column, sorted(there))}"
        later.pop(0)
