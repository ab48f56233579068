"""The verbs `status` and `clean` on an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from oddjets.config.analysis import Analysis, find_analysis, load_analysis
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.locks import locked

__all__ = ["analysis_and_folder", "clean", "status"]

_COLORS = {
    "done": "green",
    "incomplete": "yellow",
    "stale": "yellow",
    "failed": "red",
    "missing": "dim",
    "interrupted": "red",
    "running": "cyan",
}


def status(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|ANALYSIS.yaml", help="An output folder, or the YAML of the analysis.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Output folder of the analysis (default: output/NAME).")
    ] = None,
) -> None:
    """Show which stages are done, missing, interrupted, failed or stale, and why; exit code 1 unless all are done."""
    from rich.table import Table

    from oddjets.workflow.run import RunContext
    from oddjets.workflow.status import status_of

    analysis, folder = analysis_and_folder(target, out)
    # one file that cannot be read says nothing of the others
    execution = analysis.execution.model_copy(update={"skip_bad_files": True})
    found = status_of(RunContext(analysis.model_copy(update={"execution": execution}), folder))
    if found.at_work:
        console.print(f"another run works here now: {escape(found.at_work)}")
    table = Table("stage", "state", "finished", "seconds", "why")
    for stage in found:
        seconds = f"{stage.seconds:.1f}" if stage.seconds is not None else ""
        state = f"[{_COLORS[stage.state]}]{stage.state}[/{_COLORS[stage.state]}]"
        table.add_row(stage.name, state, stage.finished, seconds, escape(stage.why))
    console.print(table)
    if found.data_in_a:
        look = "[yellow]warning[/yellow]: " if found.look_closer else ""
        console.print(f"data in A: {look}{escape(found.data_in_a)}")
    if found.no_chunks:
        console.print(f"chunks: {escape(found.no_chunks)}")
    if found.chunks:
        table = Table("dataset", "chunks", "done", "lost", "unreadable files")
        for count in found.chunks:
            table.add_row(*(escape(str(value)) for value in vars(count).values()))
        console.print(table)
    if not found.done:
        raise typer.Exit(1)


def analysis_and_folder(target: Path, out: Path | None) -> tuple[Analysis, Path]:
    """Return the analysis, with the options of its last run, and its output folder."""
    from oddjets.workflow.output_folder import folders_beside, saved_analysis  # heavy imports only where the verb runs

    if target.is_dir():
        if out is not None:
            raise OddjetsError(
                f"--out: {target} is already an output folder; give the folder alone, or an analysis with --out"
            )
        return saved_analysis(target), target
    file = find_analysis(target, folders_beside(target))
    analysis = load_analysis(file)
    folder = out if out is not None else Path("output") / analysis.name
    try:
        last = saved_analysis(folder)
    except OddjetsError:
        return analysis, folder
    assert last.path is not None
    return (last if last.path == file.resolve() else analysis), folder


def clean(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An output folder, or the folder of a skim.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files, but do not remove them.")] = False,
) -> None:
    """Remove files of earlier results from an output folder; unknown files are kept."""
    from oddjets.workflow.clean import orphans, remove

    found = orphans(folder)
    if not dry_run:
        with locked(folder):
            # again, since a run may just have ended
            found = orphans(folder)
            remove(found)
    for path, size, why in found:
        console.print(f"{escape(str(path))}: {size / 1e6:.3f} MB, {why}")
    total = f"{len(found)} files, {sum(orphan.size for orphan in found) / 1e6:.3f} MB"
    console.print(f"{total} {'to remove' if dry_run else 'removed'}")
