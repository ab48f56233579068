"""Options that several verbs share, and the functions that apply them to an analysis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oddjets.cli import completion
from oddjets.config.analysis import Analysis, find_analysis, load_analysis
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import with_execution, with_fit_options, with_simulation

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = [
    "AnalysisFile",
    "Force",
    "Inject",
    "Luminosity",
    "NoFilter",
    "Out",
    "Seed",
    "Unblind",
    "load",
    "make_run",
    "rerun_blinded_stages",
    "run_single_stage",
]

#: stages whose results hold no data in A while these are blinded
_BLINDED_STAGES = ("histogram", "closure", "workspace", "fit")

AnalysisFile = Annotated[
    Path, typer.Argument(metavar="ANALYSIS.yaml", help="YAML of the analysis.", autocompletion=completion.analyses)
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results (default: output/NAME).")]
Force = Annotated[bool, typer.Option("--force", help="Run the stage even if its results are up to date.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Random seed of the simulation (default: the YAML's).")]
Inject = Annotated[
    list[str] | None,
    typer.Option(
        "--inject",
        metavar="PROCESS=MU",
        help="Signal strength of a process in the pseudo-data, in units of its cross section; 0 omits it; repeatable.",
    ),
]
Luminosity = Annotated[
    float | None,
    typer.Option("--luminosity", help="Integrated luminosity of the pseudo-data in 1/pb (default: the YAML's)."),
]
Unblind = Annotated[
    bool,
    typer.Option(
        "--unblind",
        help="Show the data in A, where both jets pass the threshold, although the YAML says 'blind: true'.",
    ),
]
NoFilter = Annotated[
    bool,
    typer.Option(
        "--no-filter",
        help="Simulate every event completely, without the generator filter; the normalisation is the same, but it is slow.",
    ),
]


def load(file: Path, **execution: Any) -> Analysis:
    """Read an analysis.

    Args:
        file: its YAML; one that the package carries may be named without its folder.
        execution: options of `with_execution`.

    Raises:
        OddjetsError: no such analysis, or mistakes in it.
    """
    return with_execution(load_analysis(find_analysis(file)), **execution)


def make_run(
    file: Path,
    out: Path | None,
    *,
    seed: int | None = None,
    inject: list[str] | None = None,
    luminosity: float | None = None,
    no_filter: bool = False,
    unblind: bool = False,
    fit_options: Mapping[str, Any] | None = None,
    **execution: Any,
) -> RunContext:
    """Return an analysis with its output folder; options of the command line override the YAML."""
    from oddjets.workflow.run import RunContext  # heavy imports only where a stage runs

    analysis = _override_simulation(load(file, **execution), seed, inject, luminosity, no_filter)
    analysis = with_fit_options(analysis, **(fit_options or {}))
    folder = out if out is not None else Path("output") / analysis.name
    run = RunContext(analysis, folder, unblind="--unblind" if unblind else "")
    if run.unblinds:
        console.print(
            "[bold yellow]--unblind[/bold yellow]: the data in A are shown, although the YAML says 'blind: true'"
        )
    return run


def _override_simulation(
    analysis: Analysis,
    seed: int | None,
    inject: list[str] | None,
    luminosity: float | None,
    no_filter: bool,
) -> Analysis:
    """Override the analysis's 'simulate' by --seed, --inject, --luminosity and --no-filter."""
    if seed is None and not inject and luminosity is None and not no_filter:
        return analysis
    if analysis.simulate is None:
        raise OddjetsError(f"--seed, --inject, --luminosity, --no-filter: '{analysis.name}' has no 'simulate'")
    spec = with_simulation(analysis.simulate.model_dump(), seed, inject, luminosity, no_filter)
    return analysis.model_copy(update={"simulate": spec})


def rerun_blinded_stages(run: RunContext, name: str) -> None:
    """Run the blinded stages before a stage again, when the data in A are unblinded now.

    Args:
        run: an analysis and its folder; nothing is done unless it was asked to unblind.
        name: of the stage; those before it that ever ran are done again where they do not stand.
    """
    from oddjets.core.provenance import read_manifest
    from oddjets.workflow.pipeline import run_stages, stages_up_to

    if run.unblinds:
        run_stages(
            run,
            [s for s in stages_up_to(run, name)[:-1] if s.name in _BLINDED_STAGES and read_manifest(run.out, s.name)],
        )


def run_single_stage(name: str, file: Path, out: Path | None, force: bool, **changes: Any) -> None:
    """Run one stage on the existing results of the earlier ones; to unblind, run those that hid the data in A again.

    Args:
        name: of the stage.
        file: the analysis.
        out: its output folder.
        force: run it even if its results still stand.
        changes: options of `make_run`.
    """
    from oddjets.workflow.pipeline import run_stage, stage_of, warn_of_skipped_files, warn_of_stale_inputs

    run = make_run(file, out, **changes)
    stage = stage_of(run, name)
    rerun_blinded_stages(run, name)
    warn_of_stale_inputs(run, stage)
    run_stage(run, stage, force=force)
    warn_of_skipped_files(run)
