"""The columns of the event table of an analysis, as far as they are known before a file is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import combined_columns
from oddjets.config.regions import QUANTIFIERS, is_expression, split_cut
from oddjets.core.errors import nearest
from oddjets.core.expressions import ExpressionError, names_in
from oddjets.core.tracebacks import user_line
from oddjets.corrections import lookups
from oddjets.io import paper_npz
from oddjets.io.event_table import JETS, EventTable, dtype_of
from oddjets.scoring.class_groups import probability_columns, share_columns
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard
from oddjets.selection import jet_scores
from oddjets.selection.decorators import JetColumns, cuts_of, jet_cuts_of
from oddjets.selection.processor import JET_BRANCHES, TAGGER_COLUMNS, DijetProcessor

__all__ = ["COLUMNS_OF_EVENTS", "known_columns", "unknown_columns", "without_models"]

#: columns of every event, beside those of jets
COLUMNS_OF_EVENTS = (
    *("run", "luminosityBlock", "event", "mjj", "n_muons", "n_electrons", "weight"),
    *("passes_nominal", "passes_filters", "passes_certified"),
)


class _NoJets:
    """AK8 jets of no event, which have every branch."""

    def __getitem__(self, name: str) -> ak.Array:
        if not isinstance(name, str):
            raise TypeError("only branches of these jets can be read")
        return ak.unflatten(np.empty(0, np.float32), np.empty(0, np.int64))

    def __getattr__(self, name: str) -> ak.Array:
        # which branches a file has is not known, so that no choice may depend on it
        if name.startswith("_") or name in ("fields", "layout"):
            raise AttributeError(name)
        return self[name]


class _Columns(Mapping[str, npt.NDArray[Any]]):
    """A table without events that has some columns, and those of every variation."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        #: what was asked for and is not there
        self.lacking: set[str] = set()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name in self._names or "__" in name:
            return np.empty(0, dtype_of(name))
        self.lacking.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def unknown_columns(
    analysis: Analysis, processor: DijetProcessor, cards: Mapping[str, ModelCard | ColumnCard] | None = None
) -> dict[str, str]:
    """Return where a column is read that no event table will have: place in the YAML to a message.

    Columns of variations are not checked. Nothing is, if code of the processor's own may add columns that are not known without
    events: its `event_columns`, its `table`, or `jet_columns` that fail for no events.

    Args:
        analysis: its cuts and observables; an expression of the wrong form, and a cut that is none, are passed over.
        processor: of the analysis.
        cards: score to its model's card, of the scores that have one; without, columns of class groups are not known.
    """
    asked = _columns_of_expressions(analysis)
    known = _known(analysis, processor, cards or {})
    if known is None:
        return {}
    found = {}
    for place, columns in asked.items():
        if wrong := [column for column in columns if column not in known]:
            found[place] = _cut_in_expression(analysis, processor, wrong[0]) or (
                _no_column(analysis, wrong[0], "", sorted(known))
            )
    table = EventTable(_Columns(known))
    for place, columns in _columns_of_jet_expressions(analysis).items():
        of_jets = JetColumns(table, JETS[0])
        if wrong := [column for column in columns if column not in of_jets]:
            found[place] = _cut_in_expression(analysis, processor, wrong[0]) or (
                _no_column(analysis, wrong[0], " of each jet", sorted(of_jets))
            )
    stems = jet_scores.stems_of(known)
    for name, score in analysis.scores.items() if analysis.reads_root else ():
        if score.column is not None and f"{score.column}_1" in combined_columns(analysis.scores):
            continue  # what is wrong with it is said elsewhere
        if score.column is not None and score.column not in stems:
            found[f"scores.{name}.column"] = _no_column(analysis, score.column, " of each jet", stems)
    for name in sorted(analysis.named_cuts):
        if problem := _problem_of_method(analysis, processor, name, known):
            found[f"cut '{name}'"] = problem
    return found


def _no_column(analysis: Analysis, name: str, whose: str, known: Sequence[str]) -> str:
    """Return what is said of a column that is not there, and why, if that is known."""
    stem = name[:-2] if name[-2:] in ("_1", "_2") else name
    hint = nearest(name, known)
    if whose and stem in known:
        hint = f"a column of both jets is named without _1 and _2: '{stem}'"
    elif stem.startswith("score_") and stem[6:] in analysis.scores:
        hint = f"'{stem[6:]}' is a score; name it where it is wanted"
    elif stem in TAGGER_COLUMNS:
        names = analysis.selection.taggers.names
        hint = f"NanoAOD{names} has no such branch of AK8 jets; name a branch of FatJet in selection.taggers.{stem}"
    elif stem == "n_constituents":
        hint = "constituents are counted where the model of a score reads them"
    return f"no column '{name}'{whose}; {hint}"


def _cut_in_expression(analysis: Analysis, processor: DijetProcessor, name: str) -> str:
    """Return what is said of a cut or region in an expression; "" if it is none."""
    cuts = {*cuts_of(type(processor)), *jet_cuts_of(type(processor))}
    if name not in {*cuts, *analysis.regions}:
        return ""
    kind = "cut" if name in cuts else "region"
    return f"'{name}' is a {kind}, and an expression reads columns; list it beside the expression, which asks for both"


def known_columns(
    analysis: Analysis,
    processor: type[DijetProcessor],
    era: lookups.Era,
    era_folder: Path,
    cards: Mapping[str, ModelCard | ColumnCard],
) -> set[str] | None:
    """Return the columns that event tables will have, without those of variations; None if that is not known.

    Args:
        analysis: its scores and triggers.
        processor: makes the event table.
        era: its corrections.
        era_folder: where the era's relative paths start.
        cards: score to its model's card, of the scores that have one.
    """
    made = without_models(analysis, processor, era, era_folder)
    return None if made is None else _known(analysis, made, cards)


def without_models(
    analysis: Analysis, processor: type[DijetProcessor], era: lookups.Era, era_folder: Path
) -> DijetProcessor | None:
    """Return a processor that says what it reads, and scores nothing; None if a user's own cannot be made so.

    Args:
        analysis: its settings.
        processor: its class.
        era: its corrections.
        era_folder: where the era's relative paths start.
    """
    try:
        return processor(analysis, era, era_folder, {})
    except Exception:  # a user's own may want something else; who runs it says so
        return None


def _known(
    analysis: Analysis, processor: DijetProcessor, cards: Mapping[str, ModelCard | ColumnCard]
) -> set[str] | None:
    if analysis.npz is not None:
        return _imported(analysis)
    own = _of_its_own(processor)
    return None if own is None else _of_every_processor(analysis, cards) | own


def _columns_of_expressions(analysis: Analysis) -> dict[str, list[str]]:
    """Return place to the columns that the expression there reads."""
    asked = {f"observables.{name}.expression": _columns_in(o.expression) for name, o in analysis.observables.items()}
    for name, region in analysis.regions.items():
        for i, (cut, _) in enumerate(map(split_cut, region.cuts)):
            if is_expression(cut):
                asked[f"regions.{name}.cuts.{i}"] = _columns_in(cut)
    return asked


def _columns_of_jet_expressions(analysis: Analysis) -> dict[str, list[str]]:
    """Return place to the columns of each jet that the expression there reads, without the jet's number."""
    return {
        f"regions.{name}.{quantifier}": _columns_in(cut)
        for name, region in analysis.regions.items()
        for quantifier in QUANTIFIERS
        for cut, _ in map(split_cut, getattr(region, quantifier))
        if is_expression(cut)
    }


def _columns_in(expression: str) -> list[str]:
    try:
        return sorted(column for column in names_in(expression) if "__" not in column)
    except ExpressionError:
        return []


def _problem_of_method(analysis: Analysis, processor: DijetProcessor, name: str, known: set[str]) -> str:
    """Return which column a cut of the processor reads that is not there; "" if there is none, or if it fails otherwise."""
    asked = _Columns(known)
    table = EventTable(asked)
    method, of_jets = getattr(processor, name, None), name in jet_cuts_of(type(processor))
    if method is None or not (of_jets or name in cuts_of(type(processor))):
        return ""
    columns = JetColumns(table, JETS[0]) if of_jets else table
    try:
        with np.errstate(all="ignore"):
            method(columns)
    except KeyError as error:
        wrong, line = str(error.args[0]) if error.args else "", user_line(error)
        # a user's own mapping may lack a key, too
        if {wrong, f"{wrong}_{JETS[0]}"} & asked.lacking:
            where, jets = f"{line}: " if line else "", " of each jet" if of_jets else ""
            return where + _no_column(analysis, wrong, jets, sorted(columns))
    except Exception:
        # a user's cut may do anything with a table of no events; here nothing is decided
        pass
    return ""


def _of_every_processor(analysis: Analysis, cards: Mapping[str, ModelCard | ColumnCard]) -> set[str]:
    of_jets = [*JET_BRANCHES, *_taggers(analysis), *(f"score_{name}" for name in analysis.scores)]
    of_jets += ["n_constituents"] if _counts_constituents(analysis, cards) else []
    for name, score in analysis.scores.items():
        of_jets += [f"score_{member}" for member in score.members(name)]
        of_jets += [f"spread_{name}"] if score.family else []
    for name, card in cards.items():
        # a member of a family has no shares of its own
        if isinstance(card, ColumnCard) or name not in analysis.scores:
            continue
        of_jets += share_columns(card, name).values()
        if analysis.scores[name].keep_probabilities:
            of_jets += probability_columns(card, name).values()
    triggers = [f"trigger_{path}" for path in analysis.selection.triggers]
    return {*COLUMNS_OF_EVENTS, *triggers, *(f"{stem}_{j}" for stem in of_jets for j in JETS)}


def _taggers(analysis: Analysis) -> list[str]:
    """Return the columns of taggers that files may have: those that the analysis, or its NanoAOD, has a branch for."""
    return [stem for stem in TAGGER_COLUMNS if analysis.selection.taggers.branch(stem) is not None]


def _counts_constituents(analysis: Analysis, cards: Mapping[str, ModelCard | ColumnCard]) -> bool:
    """Return whether the PF candidates are read; so it is taken where a card is not known."""
    asked = [
        own
        for name, score in analysis.scores.items()
        for own in (name, *score.members(name))
        if own not in analysis.scores or score.card is not None
    ]
    return any(own not in cards or cards[own].reads_constituents for own in asked)


def _imported(analysis: Analysis) -> set[str]:
    """Return the columns of the authors' event files."""
    scores = dict.fromkeys(analysis.scores, paper_npz.PREDICTION)
    none = np.empty((0, paper_npz.COND_COLUMNS))
    return {*paper_npz.to_table(np.empty(0), none, scores=scores, is_data=True, number=0)}


def _of_its_own(processor: DijetProcessor) -> set[str] | None:
    """Return the columns that a processor adds to each jet; None if it may add columns that are not known."""
    made = type(processor)
    if made.event_columns is not DijetProcessor.event_columns or made.table is not DijetProcessor.table:
        return None
    try:
        with np.errstate(all="ignore"):
            return {f"{stem}_{j}" for stem in processor.jet_columns(_NoJets()) for j in JETS}
    except Exception:
        # a user's method may do anything with jets of no event; here nothing is decided
        return None
