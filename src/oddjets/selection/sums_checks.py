"""Checks of the sums of weights stated in files against their events: a wrong sum would shift a template unnoticed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError
from oddjets.io.fileset import Dataset, FileInfo
from oddjets.io.sums_of_weights import StoredFile, duplicate_rows

__all__ = ["refuse_unlike_sums", "sums_problems"]

#: of sums of weights in float32, some of them negative
_ROUNDING = 1e-3
#: relative, of one weight in float32
_ROUNDING_OF_ONE = 1e-6
#: part of the sum over events read that the sum over all generated ones is at least; negative weights take some of it
_NOTHING = 1e-6


def sums_problems(fileset: Mapping[str, tuple[Dataset, Sequence[FileInfo]]]) -> list[str]:
    """Return what makes a normalisation wrong; print what may make it wrong.

    Args:
        fileset: the datasets and their files; data are passed over.
    """
    simulated = {name: found for name, found in fileset.items() if not found[0].metadata.is_data}
    errors, warnings = duplicate_rows(
        (StoredFile(f.path, name, f.entries, f.runs) for name, (_, files) in simulated.items() for f in files),
        {name: dataset.metadata.events_tried for name, (dataset, _) in simulated.items()},
    )
    for name, (dataset, files) in simulated.items():
        if dataset.metadata.sum_of_weights is not None:
            wrong = _given_sum(name, dataset.metadata.sum_of_weights, files)
            errors += wrong
            if wrong or not any(info.sum_of_weights is not None for info in files):
                continue
        total = math.fsum(info.sum_of_weights or 0.0 for info in files)
        if sum(info.entries for info in files) and not total > 0:
            errors.append(
                f"dataset '{name}': the sum of generator weights is {total:g}, so it has no normalisation"
                f" ('genEventSumw' in {', '.join(info.path for info in files if not (info.sum_of_weights or 0) > 0)})"
            )
            continue
        for info in files:
            if info.entries and not (info.sum_of_weights or 0) > 0:
                warnings.append(f"{info.path}: the sum of generator weights is {info.sum_of_weights:g}")
            warnings += [
                f"{info.path}: '{branch}' of the tree 'Runs' is unusable ({reason}): the dataset '{name}' has no own"
                " normalisation of these variations"
                for branch, reason in info.unusable_sums.items()
            ]
    for warning in warnings:
        console.print(f"[bold yellow]warning:[/bold yellow] {escape(warning)}")
    return errors


def _given_sum(name: str, given: float, files: Sequence[FileInfo]) -> list[str]:
    """Compare the sum of weights that the metadata of a dataset give with its files; print that it is used."""
    without = [info.path for info in files if info.sum_of_weights is None]
    if len(without) == len(files):
        console.print(
            f"dataset '{escape(name)}': its files have no sum of generator weights; {given:g} is taken from the metadata of"
            " the fileset ('sum_of_weights')"
        )
        return []
    if without:
        return [
            (
                f"dataset '{name}': {len(without)} of {len(files)} files have no sum of generator weights, the first being"
                f" {without[0]}, and the others have one, so 'sum_of_weights: {given:g}' of its metadata is ambiguous; make"
                " them two datasets"
            )
        ]
    stored = math.fsum(info.sum_of_weights or 0.0 for info in files)
    if abs(stored - given) > _ROUNDING * abs(given):
        return [
            (
                f"dataset '{name}': 'sum_of_weights' of its metadata is {given:g}, and 'genEventSumw' of its files adds up to"
                f" {stored:g}; remove it from the metadata, or leave out the files that it does not count"
            )
        ]
    return []


def refuse_unlike_sums(name: str, files: Sequence[FileInfo], weighted: Mapping[str, float]) -> None:
    """Refuse sums of weights that are not those of the events read.

    Where a file holds all events that were generated, they must add up to its sum. Else nothing is known but that a sum of
    next to nothing beside that of a part of its events normalises nothing.

    Args:
        name: of the dataset.
        files: of simulation; data are passed over.
        weighted: path of a file to the sum of the generator weights of its events.

    Raises:
        InputFileError: names all such files, or the dataset.
    """
    errors = []
    for info in files:
        counts, total = [row.count or 0 for row in info.runs], info.sum_of_weights
        if total is None or not info.entries or sum(counts) != info.entries or info.path not in weighted:
            continue
        # weights that cancel are rounded as large as they are
        sizes = math.fsum(math.sqrt((row.count or 0) * (row.squares or 0.0)) for row in info.runs)
        if abs(weighted[info.path] - total) > _ROUNDING * abs(total) + _ROUNDING_OF_ONE * sizes:
            errors.append(
                f"{info.path}: it holds all {info.entries} events that 'genEventCount' of its tree 'Runs' counts, whose"
                f" genWeight add up to {weighted[info.path]:g}, and 'genEventSumw' says {total:g}: Runs is from another"
                " file, or damaged; get the file again, or leave it out"
            )
    found, total = math.fsum(weighted.values()), math.fsum(info.sum_of_weights or 0.0 for info in files)
    if not errors and any(info.sum_of_weights is not None for info in files) and total < _NOTHING * found:
        errors.append(
            f"dataset '{name}': the sum of generator weights 'genEventSumw' is {total:g}, and the genWeight of the events read"
            f" add up to {found:g}: it has no normalisation ({', '.join(info.path for info in files)})"
        )
    if errors:
        raise InputFileError("\n".join(errors))
