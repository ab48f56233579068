"""Checks of input files before the processing, and of the rows after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError
from oddjets.io.duplicate_events import find_duplicate
from oddjets.io.fileset import FileInfo
from oddjets.selection.sums_checks import sums_problems
from oddjets.workflow.executors.chunks import Fileset

__all__ = [
    "check_files",
    "constituent_sources",
    "refuse_overlap",
]


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
    errors += sums_problems(fileset)
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
