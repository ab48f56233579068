"""Checks of input files before the processing, and of the rows after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError, nearest
from oddjets.io.duplicate_events import find_duplicate
from oddjets.io.fileset import FileInfo
from oddjets.io.sums_of_weights import StoredFile, duplicate_rows
from oddjets.workflow.executors.chunks import Fileset

__all__ = [
    "absent_triggers",
    "check_files",
    "constituent_sources",
    "partly_absent_triggers",
    "refuse_overlap",
    "refuse_unlike_sums",
]

#: of sums of weights in float32, some of them negative
_ROUNDING = 1e-3
#: relative, of one weight in float32
_ROUNDING_OF_ONE = 1e-6
#: part of the sum over events read that the sum over all generated ones is at least; negative weights take some of it
_NOTHING = 1e-6


def constituent_sources(files: Sequence[FileInfo]) -> dict[str, list[str]]:
    """Return how constituents of jets are found (``index``, ``reclustered`` or ``none``) -> the files of that kind."""
    sources: dict[str, list[str]] = {}
    for info in files:
        sources.setdefault(info.constituents or "none", []).append(info.path)
    return sources


def check_files(fileset: Fileset, score: str | None) -> None:
    """Refuse copies of a file, impossible sums of weights, and files without PF candidates where a model needs them.

    What is clustered again is said, and which sums of weights are suspicious.

    Args:
        fileset: the datasets and their files.
        score: the name of one that has a model; None: no score has.

    Raises:
        InputFileError: names all such files.
    """
    errors = []
    seen: dict[str, str] = {}
    for name, (_, files) in fileset.items():
        sources = constituent_sources(files)
        for info in files:
            if info.uuid in seen:
                errors.append(f"{info.path}: the same file as {seen[info.uuid]} (UUID {info.uuid}); keep one of them")
            seen[info.uuid] = info.path
        if score is not None and "none" in sources:
            errors.append(
                f"{sources['none'][0]}: no PF candidates (branch 'PFCands_pt'), which the score '{score}'"
                f" needs ({len(sources['none'])} file(s) of dataset '{name}'): NanoAOD has none; use a score from"
                " branches of FatJet, or make PFNano with allPF"
            )
        if score is not None and "reclustered" in sources:
            console.print(
                f"dataset '{escape(name)}': {len(sources['reclustered'])} of {len(files)} file(s) have no index of the jets'"
                " constituents (FatJetPFCands_jetIdx, _pFCandsIdx): AK8 jets are clustered again and matched"
            )
    errors += _sums_of_weights(fileset)
    if errors:
        raise InputFileError("\n".join(errors))


def absent_triggers(fileset: Fileset, paths: Sequence[str]) -> dict[str, list[str]]:
    """Find trigger paths that no file of a dataset has, so that they count as not fired there, and say so.

    One file without a path is nothing odd: menus change from run to run.

    Args:
        fileset: the datasets and their files; those without events say nothing.
        paths: names without ``HLT_``.

    Returns:
        Dataset to such paths, for every dataset.
    """
    menus = {
        name: frozenset().union(*{info.branches for info in files if info.entries})
        for name, (_, files) in fileset.items()
    }
    absent = {name: [p for p in paths if menu and f"HLT_{p}" not in menu] for name, menu in menus.items()}
    known = sorted({name.removeprefix("HLT_") for menu in menus.values() for name in menu if name.startswith("HLT_")})
    for name, lacking in absent.items():
        for path in lacking:
            having = [other for other, menu in menus.items() if f"HLT_{path}" in menu]
            elsewhere = f"'{having[0]}' has it" if having else f"no dataset has it; {nearest(path, known)}".rstrip("; ")
            console.print(
                f"[bold yellow]dataset '{name}'[/bold yellow]: no file has the trigger path 'HLT_{path}', which counts as not"
                f" fired: {elsewhere}"
            )
    return absent


def partly_absent_triggers(fileset: Fileset, paths: Sequence[str]) -> dict[str, dict[str, str]]:
    """Find trigger paths that some files of a dataset have and others have not, and say so, once a dataset.

    Args:
        fileset: the datasets and their files; those without events say nothing.
        paths: names without ``HLT_``.

    Returns:
        Dataset to such a path to ``k of n``: in how many of its files it is. For every dataset.
    """
    found: dict[str, dict[str, str]] = {}
    for name, (_, files) in fileset.items():
        menus = [info.branches for info in files if info.entries]
        having = {path: sum(f"HLT_{path}" in menu for menu in menus) for path in paths}
        found[name] = {path: f"{k} of {len(menus)}" for path, k in having.items() if 0 < k < len(menus)}
        if found[name]:
            parts = ", ".join(f"'HLT_{path}' in {part}" for path, part in found[name].items())
            console.print(
                f"dataset '{escape(name)}': not all files have all trigger paths, as menus change from run to run:"
                f" {parts} files; elsewhere it counts as not fired"
            )
    return found


def _sums_of_weights(fileset: Fileset) -> list[str]:
    """Return what makes a normalisation wrong; print what may make it wrong."""
    simulated = {name: found for name, found in fileset.items() if not found[0].metadata.is_data}
    errors, warnings = duplicate_rows(
        (StoredFile(f.path, name, f.entries, f.runs) for name, (_, files) in simulated.items() for f in files),
        {name: dataset.metadata.events_tried for name, (dataset, _) in simulated.items()},
    )
    for name, (_, files) in simulated.items():
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
                f" genWeight add up to {weighted[info.path]:g}, and 'genEventSumw' says {total:g}: Runs is that of another"
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


def refuse_overlap(folder: Path, fileset: Fileset) -> None:
    """Refuse event tables that hold an event twice: in all of data, or in one simulated dataset.

    Args:
        folder: ``out/events``.
        fileset: what the tables were made from.

    Raises:
        InputFileError: names the event and both files.
    """
    data = [name for name, (dataset, _) in fileset.items() if dataset.metadata.is_data]
    paths = {info.uuid: info.path for _, files in fileset.values() for info in files}
    for names in (data, *([name] for name in fileset if name not in data)):
        found = find_duplicate(folder, names)
        if found is not None:
            (run, block, event), one, other = found
            raise InputFileError(
                f"{paths.get(one, one)} and {paths.get(other, other)} overlap: both hold event {run}:{block}:{event}"
                " (run:luminosityBlock:event); keep one of them"
            )
