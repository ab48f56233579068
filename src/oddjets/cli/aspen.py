"""The verbs for Aspen Open Jets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from oddjets.cli import completion
from oddjets.cli.options import Out, load
from oddjets.config.aspen import AspenFiles
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import Workers, option_error

__all__ = ["fetch_aspen", "import_aspen"]


def import_aspen(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES]...", help="HDF5 files, folders of them, or patterns (default: the YAML's)."),
    ] = None,
    out: Out = None,
    analysis: Annotated[
        Path, typer.Option("--analysis", help="Analysis with a section 'aspen'.", autocompletion=completion.analyses)
    ] = Path("aspen_bump.yaml"),
    events: Annotated[
        bool | None,
        typer.Option("--events/--no-events", help="Also make event tables of pairs of jets (default: the YAML's)."),
    ] = None,
    workers: Workers = None,
) -> None:
    """Make tables of single jets, and of events, from files of Aspen Open Jets, instead of `oddjets process`."""
    from oddjets.workflow.pipeline import run_stage, stage_of  # heavy imports only where a stage runs
    from oddjets.workflow.run import RunContext

    loaded = load(analysis, workers=workers)
    if loaded.aspen is None:
        raise OddjetsError(f"{analysis}: no 'aspen' section, so it reads no files of Aspen Open Jets")
    changes: dict[str, Any] = {"files": [_from_here(file) for file in files]} if files else {}
    changes |= {"events": events} if events is not None else {}
    try:
        spec = AspenFiles.model_validate(loaded.aspen.model_dump() | changes)
    except ValidationError as error:
        raise option_error(error, AspenFiles, {"files": "FILES"}) from None
    run = RunContext(
        loaded.model_copy(update={"aspen": spec}), out if out is not None else Path("output") / loaded.name
    )
    run_stage(run, stage_of(run, "process"))


def _from_here(file: str) -> str:
    """Return a path that relative ones of the YAML's folder do not change; that of a home stays as it is, to be checked."""
    return file if file.startswith("~") else str(Path(file).absolute())


def fetch_aspen(
    folder: Annotated[Path, typer.Argument(help="Folder for the files.")],
    names: Annotated[
        list[str] | None,
        typer.Option("--file", help="Name of a file, such as RunG_batch0.h5; repeatable (default: all)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is there and what is missing.")] = False,
) -> None:
    """Download files of Aspen Open Jets, if there is room on the disk; interrupted downloads go on."""
    from oddjets.io.aspen_catalogue import download_aspen, load_aspen_catalogue

    catalogue = load_aspen_catalogue()
    wanted = names or catalogue.names
    there = [name for name in catalogue.names if (folder / name).is_file()]
    console.print(
        f"{escape(str(folder))}: {len(there)} of {len(catalogue.names)} files are there; all of them have"
        f" {catalogue.total_GB:g} GB"
    )
    for file in [] if dry_run else download_aspen(catalogue, wanted, folder):
        console.print(escape(str(file)))
