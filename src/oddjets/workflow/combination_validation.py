"""Validation of combinations of scores: their names, that there are data, and who may read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import (
    combination_problems,
    combinations_of,
    combined_columns,
    scores_with_b_tags,
)
from oddjets.core.errors import OddjetsError
from oddjets.core.expressions import names_in
from oddjets.io import paper_npz
from oddjets.io.fileset import load_fileset
from oddjets.io.fileset_search import find_fileset
from oddjets.io.histograms import DATA
from oddjets.selection.closure_measurement import has_flavours
from oddjets.selection.decorators import cuts_of
from oddjets.selection.needed_columns import columns_read
from oddjets.selection.processor import DijetProcessor
from oddjets.selection.table_columns import without_models
from oddjets.study.bank import Bank
from oddjets.workflow.era_validation import Eras

__all__ = ["combined_score_problems", "coupling_lines", "no_data_problems"]

_LATER = "which is made of all data, after all events are selected"


def combined_score_problems(
    analysis: Analysis, processor: type[DijetProcessor] | None, eras: Eras, *, recorded: bool = False
) -> Iterator[str]:
    """List what is wrong with the combinations of scores of an analysis, and with what reads them too early.

    Args:
        analysis: its form is right.
        processor: has the cuts as methods; None: not known.
        eras: all of its eras that can be read.
        recorded: whether tail probabilities are known, so that no data are needed.
    """
    columns = combined_columns(analysis.scores)
    if not columns:
        return
    yield from combination_problems(analysis)
    for name, score in analysis.scores.items():
        if score.column is not None and f"{score.column}_1" in columns:
            yield (
                f"scores.{name}.column: '{score.column}' is a combination of scores, {_LATER}; name the score where it is"
                " wanted"
            )
    if analysis.fileset is not None and not recorded:
        try:
            datasets = load_fileset(find_fileset(analysis.fileset, analysis.folder))
        except OddjetsError:
            datasets = {}  # what is wrong with it is said elsewhere
        if datasets and not any(dataset.metadata.is_data for dataset in datasets.values()):
            yield from _without_data(analysis, "the fileset has no dataset with 'is_data: true'")
    for i, systematic in enumerate(analysis.systematics):
        spec = systematic.correction
        for expression in () if spec is None else (*spec.inputs.values(), spec.nominal, spec.up, spec.down):
            for column in _columns_in(expression) & columns.keys():
                yield f"systematics.{i}.correction: '{column}' is of a combination of scores, {_LATER}; weights come before"
    era, folder = next(iter(eras.values()), (None, Path()))
    made = without_models(analysis, processor, era, folder) if processor is not None and era is not None else None
    for i, cut in enumerate(analysis.selection.cuts) if made is not None else ():
        for column in sorted(columns_read(made, cut) & columns.keys()) if cut in cuts_of(type(made)) else ():
            yield f"selection.cuts.{i}: '{cut}' reads '{column}', a combination of scores, {_LATER}; cut on it in a region"


def no_data_problems(analysis: Analysis) -> Iterator[str]:
    """List combinations of scores for which there will be no data: none are simulated, or no file of data is there."""
    if analysis.simulate is not None and analysis.simulate.luminosity is None:
        yield from _without_data(analysis, "'simulate' has no 'luminosity', and so no pseudo-data")
    elif (spec := analysis.npz) is not None and combinations_of(analysis.scores):
        folder = Path(spec.folder)
        try:
            files = paper_npz.find_files(spec, folder if folder.is_absolute() else analysis.folder / folder)
        except OddjetsError:
            return  # who reads them says so
        if not files.get(DATA):
            yield from _without_data(analysis, f"{spec.folder} has no file of data")


def _without_data(analysis: Analysis, why: str) -> Iterator[str]:
    for name, (how, _) in combinations_of(analysis.scores).items():
        yield f"scores.{name}.{how}: is made of tail probabilities in data, and {why}"


def _columns_in(expression: object) -> set[str]:
    try:
        return set(names_in(expression)) if isinstance(expression, str) else set()
    except OddjetsError:
        return set()  # its form is wrong, which is said


def coupling_lines(
    analysis: Analysis, why_bank_unused: str, read: Mapping[str, Iterable[str]] | None = None
) -> list[str]:
    """Return a warning for each score with a b tag inside, if the closure cannot be measured by pair of flavours.

    Of scores that are no combination, that of the threshold is warned of.

    Args:
        analysis: all that it names is there.
        why_bank_unused: why the closure is not measured on the bank that the analysis names; "": it is, or names none.
        read: score to the columns that its model reads, of models of jet columns.
    """
    if analysis.npz is not None:
        why = "the authors' event files have no flavours"
    elif analysis.aspen is not None:
        why = "the files of Aspen Open Jets have no flavours"
    elif analysis.data_driven is None:
        why = "no process is 'data_driven', so that there is no closure"
    elif analysis.closure is not None and not why_bank_unused:
        if _bank_has_flavours(analysis):
            return []
        why = "the bank has no flavours"
        own = analysis.simulate
        if _has_simulation(analysis) and (own is None or analysis.data_driven in own.templates):
            why += f"; with 'closure: null' it is measured on the simulation of '{analysis.data_driven}'"
    elif (simulate := analysis.simulate) is not None and analysis.data_driven not in simulate.templates:
        why = f"'{analysis.data_driven}' is not simulated"
    elif not _has_simulation(analysis):
        why = f"the fileset has no simulation of '{analysis.data_driven}'"
    else:
        return []
    return [
        f"scores.{name}: {_what(analysis, name, tags)}, which couples the two jets of an event with b quarks of one"
        f" gluon and can look like a signal; the closure by pair of flavours would show it, and there is none: {why}"
        for name, tags in scores_with_b_tags(analysis, read).items()
    ]


def _what(analysis: Analysis, name: str, tags: Sequence[str]) -> str:
    if tags != (name,):
        return f"has a b tag inside ({', '.join(tags)})"
    return "reads a b tag" if analysis.scores[name].card is not None else "is a b tag, and has the threshold"


def _bank_has_flavours(analysis: Analysis) -> bool:
    """Return whether the closure's bank has the flavours of the jets; banks of earlier versions do not."""
    try:
        file = analysis.closure_bank
        return file is not None and has_flavours(next(Bank.open(file).tables(str(analysis.data_driven))))
    except OddjetsError:
        return False  # what is wrong with it is said elsewhere


def _has_simulation(analysis: Analysis) -> bool:
    if analysis.fileset is None:
        return True
    try:
        datasets = load_fileset(find_fileset(analysis.fileset, analysis.folder)).values()
    except OddjetsError:
        return True
    return any(not d.metadata.is_data and d.metadata.process == analysis.data_driven for d in datasets)
