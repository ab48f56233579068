"""Validation of the cuts of an analysis: their names, and the columns that they and the observables read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.config.regions import Region, is_expression, split_cut
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import evaluate, names_in
from oddjets.corrections import lookups
from oddjets.io.event_table import dtype_of
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard
from oddjets.selection import region_products, regions
from oddjets.selection.decorators import cuts_of, jet_cuts_of
from oddjets.selection.processor import JET_BRANCHES, TAGGER_COLUMNS, DijetProcessor
from oddjets.selection.table_columns import COLUMNS_OF_EVENTS, unknown_columns, without_models

__all__ = ["column_problems", "cut_problems"]

_ON_JETS = "is a cut on single jets; a region says which jets pass it: all, any, leading or subleading"


def cut_problems(analysis: Analysis, processor: type[DijetProcessor]) -> Iterator[str]:
    """List what is wrong with the cuts of the base selection and of regions, apart from the columns that they read.

    Args:
        analysis: its form is right.
        processor: has the cuts as methods.
    """
    cuts, of_jets = cuts_of(processor), jet_cuts_of(processor)
    for i, name in enumerate(analysis.selection.cuts):
        if name in of_jets:
            yield f"selection.cuts.{i}: '{name}' {_ON_JETS}"
        elif name not in cuts:
            yield f"selection.cuts.{i}: no cut '{name}'; {nearest(name, cuts)}"
    for name, region in analysis.regions.items():
        if name in cuts or name in of_jets:
            yield f"regions.{name}: there is a cut of the same name"
        yield from _of_region(analysis, name, region, cuts, of_jets)
    # the other regions that it names are known
    known = {*cuts, *analysis.regions}
    if all(
        is_expression(bare) or bare in known
        for region in analysis.regions.values()
        for bare, _ in map(split_cut, region.of_events)
    ):
        problems = regions.circular_regions(analysis) or region_products.impossible_regions(analysis)
        for name, problem in problems.items():
            yield f"regions.{name}: {problem}"
    yield from _trigger_problems(analysis, processor)


def _of_region(
    analysis: Analysis, name: str, region: Region, cuts: dict[str, str], of_jets: dict[str, str]
) -> Iterator[str]:
    triggers = [f"trigger_{path}" for path in analysis.selection.triggers]
    for i, cut in enumerate(region.cuts):
        place = f"regions.{name}.cuts.{i}"
        bare, _ = split_cut(cut)
        if is_expression(bare):
            yield from _expression_problems(place, bare)
        elif bare in of_jets and bare not in analysis.regions:
            yield f"{place}: '{bare}' {_ON_JETS}"
        elif bare not in cuts and bare not in analysis.regions:
            if _is_column(bare) or bare in triggers:
                yield f"{place}: {_compare(bare)}"
                continue
            known = nearest(bare, [*cuts, *analysis.regions])
            jets = f"; cuts on single jets, for 'all' or 'any': {', '.join(of_jets)}" if of_jets else ""
            yield f"{place}: no cut or region '{bare}'; {known}{jets}"
    for quantifier in region.of_jets:
        # as they were written, without the expressions of 'cuts'
        for bare, _ in map(split_cut, getattr(region, quantifier)):
            place = f"regions.{name}.{quantifier}"
            if is_expression(bare):
                yield from _expression_problems(place, bare)
            elif bare in cuts or bare in analysis.regions:
                yield f"{place}: '{bare}' is no cut on single jets (@jet_cut); name it in 'cuts'"
            elif bare not in of_jets and _is_column(f"{bare}_1"):
                yield f"{place}: {_compare(bare)}"
            elif bare not in of_jets:
                yield f"{place}: no cut '{bare}' on single jets; {nearest(bare, of_jets)}"


def _is_column(name: str) -> bool:
    """Return whether every event table has a column of this name."""
    return name in COLUMNS_OF_EVENTS or name[:-2] in (*JET_BRANCHES, *TAGGER_COLUMNS)


def _compare(column: str) -> str:
    """Return what is said of a column that stands as a cut."""
    example = f"{column} == 1" if dtype_of(column) == np.bool_ else f"{column} > 100"
    return f"'{column}' is a column: compare it with something, as in {example}"


def _expression_problems(place: str, cut: str) -> Iterator[str]:
    """Check that an expression is a condition on columns."""
    if not cut:
        yield f"{place}: an empty cut; leave it out"
        return
    try:
        names = names_in(cut)
        passed = evaluate(cut, {name: np.ones(1, dtype_of(name)) for name in names})
    except OddjetsError as error:
        unbalanced = cut.count("(") != cut.count(")")
        comma = "; in a list between [ and ], a cut with a comma stands in quotation marks" if unbalanced else ""
        yield f"{place}: {error}{comma}"
        return
    if not names:
        yield f"{place}: the cut '{cut}' reads no column; compare a column with something, as in mass_2 > 100"
    elif passed.dtype != np.bool_:
        yield f"{place}: {regions.NO_CONDITION.format(cut)}"


def column_problems(
    analysis: Analysis,
    processor: type[DijetProcessor],
    era: lookups.Era,
    era_folder: Path,
    cards: Mapping[str, ModelCard | ColumnCard],
) -> Iterator[str]:
    """Check that the columns exist that cuts, observables and scores read, where they are known before a file is read.

    Args:
        analysis: its form is right.
        processor: makes the event table.
        era: its corrections.
        era_folder: where the era's relative paths start.
        cards: score to its model's card, of the scores that have one.
    """
    made = without_models(analysis, processor, era, era_folder)
    for place, problem in (unknown_columns(analysis, made, cards) if made is not None else {}).items():
        yield f"{place}: {problem}"


def _trigger_problems(analysis: Analysis, processor: type[DijetProcessor]) -> Iterator[str]:
    """Check that the built-in cut on triggers has trigger paths; a subclass's own cut may need none."""
    builtin = getattr(processor, "trigger", None) is DijetProcessor.trigger
    if builtin and analysis.reads_root and "trigger" in analysis.named_cuts and not analysis.selection.triggers:
        yield (
            "selection.triggers: is empty, and the cut 'trigger' needs at least one; list paths, or remove the cut"
            " from 'cuts'"
        )
