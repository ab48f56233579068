"""Validation of the files that an analysis names, and of expressions over branches, for `oddjets validate` alone.

Files are opened, which takes a moment: other commands find the same when they read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.systematics import CorrectionSpec
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import names_in
from oddjets.corrections import jet_energy, lookups
from oddjets.io.event_table import dtype_of
from oddjets.io.fileset import inspect, load_fileset
from oddjets.io.fileset_search import find_fileset
from oddjets.io.remote.access import is_remote
from oddjets.selection.processor import DijetProcessor
from oddjets.selection.table_columns import known_columns
from oddjets.workflow.era_validation import Eras, of_each
from oddjets.workflow.score_validation import cards_of, model_problems

__all__ = ["file_problems"]


class _EveryColumn(Mapping[str, npt.NDArray[Any]]):
    """Columns of no events: there is every one that is asked for."""

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return np.empty(0, dtype_of(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def file_problems(analysis: Analysis, eras: Eras, processor: type[DijetProcessor] | None) -> Iterator[str]:
    """List files that are not there or are not what they should be, and expressions that name no column and no branch.

    Official files that are not in the cache are passed over (`absent_files`), and so are branches where no file of the input
    can be opened here.

    Args:
        analysis: of the right form; what is wrong with its names is said elsewhere.
        eras: all of its eras that can be read.
        processor: makes the columns; None: not known.
    """
    if analysis.npz is not None:
        return
    yield from model_problems(analysis)
    for asked, era in of_each(analysis, eras):
        for key in ("golden_json", "luminosity_table"):
            name = getattr(asked.selection, key)
            if name not in (None, "era") and not (file := analysis.folder / name).is_file():
                yield f"selection.{key}: {file}: no such file"
        folder = eras[str(asked.era)][1]
        for place, spec in _used(asked, era).items():
            yield from _lookup_problems(place, era, folder, spec)
    if processor is not None and analysis.aspen is None:
        yield from _branch_problems(analysis, eras, processor)


def _used(analysis: Analysis, era: lookups.Era) -> dict[str, CorrectionSpec]:
    """Return place in the YAML to the correction that is used there, of those that there are."""
    asked = {
        f"systematics.{i}": s.correction or era.corrections.get(s.name) for i, s in enumerate(analysis.systematics)
    }
    for step in analysis.jet_corrections:
        for name in jet_energy.REQUIRED_CORRECTIONS[step]:
            asked[f"jet_corrections: '{name}'"] = era.corrections.get(name)
    if "jet_veto" in analysis.selection.cuts:
        asked["selection.cuts: 'jet_veto'"] = era.corrections.get("jet_veto_map")
    return {place: spec for place, spec in asked.items() if spec is not None}


def _lookup_problems(place: str, era: lookups.Era, folder: Path, spec: CorrectionSpec) -> Iterator[str]:
    """Look a correction up for no events: its file, its key and its inputs have to be right."""
    if spec.file is None:
        return
    keys = spec.key.values() if isinstance(spec.key, dict) else [spec.key]
    for key in keys:
        try:
            path = lookups.locate(era, folder, spec.file)
            if era.files[spec.file].official and not path.is_file():
                return
            lookups.lookup(era, folder, spec.model_copy(update={"key": key}), _EveryColumn(), "nominal")
        except OddjetsError as error:
            yield f"{place}: {error}"


def _branch_problems(analysis: Analysis, eras: Eras, processor: type[DijetProcessor]) -> Iterator[str]:
    """Check the names in expressions of weights, where a file of simulation can be looked into."""
    era, folder = next(iter(eras.values()), (None, Path()))
    cards = {name: card for name, (_, card) in cards_of(analysis).items()}
    columns = None if era is None else known_columns(analysis, processor, era, folder, cards)
    if columns is None:
        return
    asked: dict[str, set[str]] = {}
    for i, systematic in enumerate(analysis.systematics):
        for name, expression in _expressions(systematic.correction).items():
            try:
                asked[f"systematics.{i}.correction.{name}"] = names_in(expression) - columns
            except OddjetsError:
                continue  # its form is wrong, which is said
    if not any(asked.values()):
        return
    looked_into, branches = _branches(analysis)
    for place, names in asked.items() if looked_into else ():
        for name in sorted(names - branches):
            near = nearest(name, [*columns, *branches])
            yield f"{place}: no column '{name}', and no such branch in {', '.join(looked_into)}; {near}"


def _expressions(correction: CorrectionSpec | None) -> dict[str, str]:
    if correction is None:
        return {}
    values: dict[str, object] = {f"inputs.{name}": value for name, value in correction.inputs.items()}
    if correction.file is None:
        values |= {"nominal": correction.nominal, "up": correction.up, "down": correction.down}
    return {name: value for name, value in values.items() if isinstance(value, str) and value != "variation"}


def _branches(analysis: Analysis) -> tuple[list[str], set[str]]:
    """Return the first local files of the simulated datasets, those that can be opened, and the branches in any of them."""
    files: list[str] = []
    branches: set[str] = set()
    try:
        datasets = load_fileset(find_fileset(analysis.fileset, analysis.folder)) if analysis.fileset is not None else {}
    except OddjetsError:
        return [], set()
    for dataset in datasets.values():
        for file in [f for f in dataset.files if not is_remote(f)][:1] if not dataset.metadata.is_data else ():
            try:
                branches |= inspect(file, is_data=False, sum_is_given=True).branches
                files.append(file)
            except OddjetsError:
                continue  # who reads it says so
    return files, branches
