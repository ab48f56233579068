"""The columns of the event table of an analysis, as far as they are known before a file is read."""

from __future__ import annotations

import itertools
import re

import awkward as ak
import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.core.errors import nearest
from oddjets.core.expressions import ExpressionError, names_in
from oddjets.io import paper_npz
from oddjets.io.event_table import JETS
from oddjets.selection.processor import JET_BRANCHES, TAGGER_COLUMNS, DijetProcessor

__all__ = ["unknown_columns"]

#: columns of every event, beside those of jets
_OF_EVENTS = (
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


def unknown_columns(analysis: Analysis, processor: DijetProcessor) -> dict[str, str]:
    """Return observable to a message that names a column which its expression reads and no event table will have.

    Columns of variations are not checked. Nothing is, if code of the processor's own may add columns that are not known without
    events: its `event_columns`, its `table`, or `jet_columns` that fail for no events.

    Args:
        analysis: its observables; an expression of the wrong form is passed over.
        processor: of the analysis.
    """
    asked = {name: _columns_in(observable.expression) for name, observable in analysis.observables.items()}
    known = _imported(analysis) if analysis.npz is not None else _of_every_processor(analysis)
    probabilities = [name for name, score in analysis.scores.items() if score.keep_probabilities]
    kept = re.compile(rf"prob\d+_({'|'.join(map(re.escape, probabilities))})_[12]")
    known |= {column for names in asked.values() for column in names if probabilities and kept.fullmatch(column)}
    if analysis.npz is None and not known.issuperset(itertools.chain(*asked.values())):
        own = _of_its_own(processor)
        if own is None:
            return {}
        known |= own
    lacking = {name: [column for column in columns if column not in known] for name, columns in asked.items()}
    return {
        name: f"no column '{wrong[0]}'; {nearest(wrong[0], sorted(known))}" for name, wrong in lacking.items() if wrong
    }


def _columns_in(expression: str) -> list[str]:
    try:
        return sorted(column for column in names_in(expression) if "__" not in column)
    except ExpressionError:
        return []


def _of_every_processor(analysis: Analysis) -> set[str]:
    of_jets = [*JET_BRANCHES, *TAGGER_COLUMNS, "n_constituents", *(f"score_{name}" for name in analysis.scores)]
    triggers = [f"trigger_{path}" for path in analysis.selection.triggers]
    return {*_OF_EVENTS, *triggers, *(f"{stem}_{j}" for stem in of_jets for j in JETS)}


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
