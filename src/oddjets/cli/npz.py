"""The verbs for the authors' published event files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from oddjets.cli import completion
from oddjets.cli.options import AnalysisFile, Out, Unblind, load, make_run
from oddjets.config.analysis import AuthorsFiles
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import option_error

__all__ = ["export_npz", "import_npz"]


def import_npz(
    folder: Annotated[Path, typer.Argument(help="Folder with the authors' files outputs_pretrain_*.npz.")],
    out: Out = None,
    analysis: Annotated[
        Path, typer.Option("--analysis", help="Analysis with a section 'npz'.", autocompletion=completion.analyses)
    ] = Path("paper_zenodo.yaml"),
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model whose files are read, s (small) or l (large) (default: the YAML's)."),
    ] = None,
) -> None:
    """Make event tables from the authors' published event files, instead of `oddjets process`."""
    from oddjets.workflow.pipeline import run_stage, stage_of  # heavy imports only where a stage runs
    from oddjets.workflow.run import RunContext

    loaded = load(analysis)
    if loaded.npz is None:
        raise OddjetsError(f"{analysis}: no 'npz' section, so it reads no event files of the authors")
    changes: dict[str, Any] = {"folder": str(folder.resolve())} | ({"model": model} if model is not None else {})
    try:
        spec = AuthorsFiles.model_validate(loaded.npz.model_dump() | changes)
    except ValidationError as error:
        raise option_error(error, AuthorsFiles, {"model": "--model"}) from None
    run = RunContext(loaded.model_copy(update={"npz": spec}), out if out is not None else Path("output") / loaded.name)
    run_stage(run, stage_of(run, "process"))


def export_npz(
    analysis: AnalysisFile,
    to: Annotated[Path, typer.Option("--to", help="Folder for the npz files.")],
    out: Out = None,
    unblind: Unblind = False,
) -> None:
    """Write event tables in the format of the authors' event files; the score needs 'keep_probabilities: true'."""
    from oddjets.workflow.stages.npz import export_npz as export

    run = make_run(analysis, out, unblind=unblind)
    with run.lock():
        for file in export(run, to):
            console.print(escape(str(file)))
