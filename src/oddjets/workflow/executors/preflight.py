"""Checks of input files before the processing, and of the rows after it."""

from __future__ import annotations

from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.core.errors import InputFileError
from oddjets.io.duplicate_events import find_duplicate
from oddjets.selection.file_layouts import Cards, describe_layouts, layout_errors
from oddjets.selection.sums_checks import sums_problems
from oddjets.workflow.executors.chunks import Fileset

__all__ = [
    "check_files",
    "refuse_overlap",
]


def check_files(
    fileset: Fileset, cards: Cards, analysis: Analysis | None = None, *, skip_bad_files: bool = False
) -> None:
    """Refuse copies of a file, impossible sums of weights, and files without what the models need of PF candidates.

    What is clustered again, derived or missing is said, and which sums of weights are suspicious.

    Args:
        fileset: the datasets and their files.
        cards: score to its model's card, of the scores that have one.
        analysis: its variations of constituents need branches, too; None: there are none.
        skip_bad_files: whether files that lack branches are left out later, and are no errors here.

    Raises:
        InputFileError: names all such files.
    """
    errors = []
    seen: dict[str, str] = {}
    for _, files in fileset.values():
        for info in files:
            if info.uuid in seen:
                errors.append(f"{info.path}: the same file as {seen[info.uuid]} (UUID {info.uuid}); keep one of them")
            seen[info.uuid] = info.path
    errors += layout_errors(fileset, cards, analysis, skip_bad_files=skip_bad_files)
    describe_layouts(fileset, cards)
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
