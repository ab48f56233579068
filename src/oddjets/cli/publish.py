"""The verbs `publish` and `reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from oddjets.cli import completion
from oddjets.cli.status import analysis_and_folder
from oddjets.core.console import console

__all__ = ["publish", "reproduce"]

#: differences that are printed; ``--out`` keeps all of them
MAX_LINES = 20


def publish(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="ANALYSIS.yaml|FOLDER",
            help="An analysis, or its output folder.",
            autocompletion=completion.analyses,
        ),
    ],
    to: Annotated[Path, typer.Option("--out", help="Folder for the submission and the archive.")],
) -> None:
    """Write a HEPData submission of a finished analysis, and an archive that `oddjets reproduce` runs again."""
    from oddjets.workflow.pipeline import run_stage, stage_of
    from oddjets.workflow.publication import publish as write
    from oddjets.workflow.run import RunContext

    run = RunContext(*analysis_and_folder(target, None))
    made = write(run, to)
    for new, old in made.shortened.items():
        console.print(f"name of a table: '{escape(old)}' is '{escape(new)}', which HEPData takes")
    if made.no_numbers:
        total = sum(made.no_numbers.values())
        console.print(f"{total} values of {len(made.no_numbers)} tables are no numbers, and stand as '-'")
    if made.paths_removed:
        console.print(f"{made.paths_removed} texts have lost folders of this machine")
    console.print(f"submission: {escape(str(made.submission))}, {made.tables} tables, valid for hepdata-validator")
    console.print(f"archive: {escape(str(made.archive))}")
    console.print(f"sha256: {made.sha256}")
    # it links what is published
    run_stage(run, stage_of(run, "report"), force=True)


def reproduce(
    source: Annotated[
        Path,
        typer.Argument(metavar="ARCHIVE", help="An archive of `oddjets publish`, or a folder with its files."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the new results.json and for differences.json.")
    ] = None,
) -> None:
    """Fit what was published again, and compare every number; exit code 1 if one differs in any digit."""
    from rich.table import Table

    from oddjets.workflow.reproduction import reproduce as run_again

    found = run_again(source, out)
    console.print(f"{escape(found.name)}: published by oddjets {escape(found.program)}")
    for package, (before, here) in found.versions.items():
        console.print(f"{escape(package)}: published with {escape(str(before))}, here {escape(str(here))}")
    table = Table("part", "numbers", "differ")
    for part, numbers in found.compared.items():
        differ = sum(one.place.split(".")[0].split("[")[0] == part for one in found.differences)
        table.add_row(escape(part), str(numbers), str(differ))
    console.print(table)
    total = sum(found.compared.values())
    if not found.differences:
        console.print(f"all {total} numbers agree in every digit")
        return
    for one in found.differences[:MAX_LINES]:
        size = "" if one.relative == float("inf") else f", relative difference {one.relative:.2g}"
        console.print(
            f"{escape(one.place)}: published {escape(repr(one.published))}, here {escape(repr(one.found))}{size}"
        )
    if len(found.differences) > MAX_LINES:
        where = f", see {escape(str(out / 'differences.json'))}" if out is not None else "; --out FOLDER keeps them all"
        console.print(f"and {len(found.differences) - MAX_LINES} more{where}")
    console.print(f"[bold red]{len(found.differences)} differences[/bold red] in {total} numbers")
    raise typer.Exit(1)
