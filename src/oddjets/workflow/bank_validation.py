"""Validation of the bank that an analysis names for its closure: whether it can be read, and is of the same events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import columns_behind, without_combinations
from oddjets.core.errors import OddjetsError
from oddjets.scoring.class_groups import formula_of
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import AuthorsCodeScore, ModelCard, PaperScore, load_card
from oddjets.selection.decorators import HasCuts
from oddjets.selection.needed_columns import columns_needed
from oddjets.study.bank import Bank

__all__ = ["bank_problems", "describe", "why_unused"]


def bank_problems(analysis: Analysis) -> Iterator[str]:
    """Say what is wrong with the file of the bank; nothing where none is asked for.

    Args:
        analysis: its form is right.
    """
    if analysis.closure is None:
        return
    place = "closure.bank: "
    try:
        file = analysis.closure_bank
        if file is not None:
            Bank.open(file)
    except OddjetsError as error:
        message = str(error)
        # one that is not there has its place already, behind the name of the YAML
        yield place + (message.partition(place)[2] or message)


def describe(analysis: Analysis, cards: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the card of a bank says of an analysis: its selection, and the models and formulas of its scores.

    Args:
        analysis: whose bank it is.
        cards: score -> file of its model's card, of scores that have one.
    """
    selection = analysis.selection.model_dump(mode="json", exclude={"golden_json", "luminosity_table"})
    models: dict[str, Any] = {}
    formulas: dict[str, Any] = {}
    # a combination is no content of a bank: it is made of other scores, with the data of whoever reads them
    for name, score in without_combinations(analysis.scores).items():
        owner = score.of or name
        if score.family:
            models[name] = [str(load_card(cards[member]).sha256) for member in score.members(name)]
            continue
        if owner not in cards:
            models[name] = score.stated()
            continue
        card = load_card(cards[owner])
        # the card's own content, so that a comment changes nothing
        models[name] = str(card.sha256)
        if isinstance(card, ColumnCard):
            formulas[name] = card.model_dump(mode="json", include={"inputs", "output", "score"})
        else:
            formulas[name] = _outputs(formula_of(score, card), card)
    plain = [name for name, score in analysis.scores.items() if score.column is not None]
    return {
        "era": analysis.era,
        "selection": selection,
        "models": models,
        "formulas": formulas,
        **({"plain_scores": plain} if plain else {}),
    }


def _outputs(formula: PaperScore | AuthorsCodeScore, card: ModelCard) -> dict[str, Any]:
    """Return a formula by the model's outputs in place of names of classes."""
    if isinstance(formula, AuthorsCodeScore):
        return formula.model_dump(mode="json")
    of_names = {"signal": formula.signal, "qcd": formula.qcd}
    return {key: sorted(i for name in names for i in card.classes[name]) for key, names in of_names.items()}


def why_unused(analysis: Analysis, cards: Mapping[str, Path], processor: HasCuts) -> str:
    """Return why the closure is not measured on the bank that the analysis names; "" if it is, or if it names none.

    Args:
        analysis: whose `bank_problems` are none.
        cards: score -> file of its model's card.
        processor: has the cuts as methods.

    Raises:
        InputFileError: the bank is damaged.
    """
    file, process = analysis.closure_bank, analysis.data_driven
    if file is None:
        return ""
    unused = "; the closure is measured on the simulation of the analysis itself"
    if process is None:
        return f"{file.name} is for the closure, and the analysis has no process that is data_driven"
    if not isinstance(analysis.era, str):
        return f"{file.name} has one era, and the analysis several{unused}"
    bank = Bank.open(file)
    try:
        bank.require_fit(analysis, describe(analysis, cards), processes=(process,))
    except OddjetsError as error:
        return f"{error}{unused}"
    made, own = bank.card.get("simulate"), analysis.simulate
    if own is not None and isinstance(made, Mapping) and made.get("seed") == own.seed:
        return f"{file.name} has the seed of the analysis itself, {own.seed}{unused}"
    (columns,) = bank.tables(process)
    asked = columns_behind(analysis.scores, (*columns_needed(analysis, processor), "weight"))
    if lacking := [name for name in asked if name not in columns]:
        return f"{file.name} has no column '{lacking[0]}', which the analysis needs{unused}"
    return ""
