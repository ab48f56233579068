"""The verbs on an output folder: what is done there, and what nothing there refers to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core import resources
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.locks import holder, locked

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["clean", "status"]

_COLORS = {"done": "green", "incomplete": "yellow", "stale": "yellow", "failed": "red", "missing": "dim"}


def status(
    target: Annotated[
        Path, typer.Argument(metavar="DIR|ANALYSIS.yaml", help="An output folder, or the analysis.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The analysis's output folder (default: output/NAME).")
    ] = None,
) -> None:
    """Say what is done, missing, failed or stale, and why; exit code 0 if all is done, 1 if not."""
    from rich.table import Table

    from oddjets.core.blinding_history import BLINDED, describe_history, history, open_periods
    from oddjets.workflow.run import RunContext
    from oddjets.workflow.status import stage_statuses

    analysis, folder = _asked(target, out)
    # one file that cannot be read says nothing of the others
    execution = analysis.execution.model_copy(update={"skip_bad_files": True})
    run = RunContext(analysis.model_copy(update={"execution": execution}), folder)
    if (who := holder(folder)) is not None:
        console.print(f"a run works here now: {escape(who)}")
    table = Table("stage", "state", "finished", "seconds", "why")
    stages = stage_statuses(run)
    for stage in stages:
        seconds = f"{stage.seconds:.1f}" if stage.seconds is not None else ""
        state = f"[{_COLORS[stage.state]}]{stage.state}[/{_COLORS[stage.state]}]"
        table.add_row(stage.name, state, stage.finished, seconds, escape(stage.why))
    console.print(table)
    if acts := history(folder):
        look = "[yellow]look closer[/yellow]: " if open_periods(acts) or acts[-1]["state"] != BLINDED else ""
        console.print(f"data in A: {look}{escape(describe_history(acts))}")
    if analysis.npz is None:
        try:
            _print_chunks(run)
        except OddjetsError as error:
            console.print(f"chunks: {escape(str(error))}")
    if any(stage.state != "done" for stage in stages):
        raise typer.Exit(1)


def _print_chunks(run: RunContext) -> None:
    from rich.table import Table

    from oddjets.workflow.status import chunk_counts

    table = Table("dataset", "chunks", "done", "lost", "unreadable files")
    for count in chunk_counts(run):
        table.add_row(*(escape(str(value)) for value in vars(count).values()))
    console.print(table)


def _asked(target: Path, out: Path | None) -> tuple[Analysis, Path]:
    """Return the analysis, with what the command line laid over it when it last ran, and its folder."""
    from oddjets.workflow.output_folder import saved_analysis  # heavy imports only where the verb runs

    if target.is_dir():
        if out is not None:
            raise OddjetsError(
                f"--out: {target} is an output folder already; give that folder, or an analysis with --out"
            )
        return saved_analysis(target), target
    file = target if target.exists() else resources.find(str(target), "processors", suffixes=("", ".yaml"))
    analysis = load_analysis(file)
    folder = out if out is not None else Path("output") / analysis.name
    try:
        last = saved_analysis(folder)
    except OddjetsError:
        return analysis, folder
    assert last.path is not None
    return (last if last.path == file.resolve() else analysis), folder


def clean(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An output folder, or a skim.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
) -> None:
    """Remove from an output folder what nothing there refers to; what it does not know stays."""
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
