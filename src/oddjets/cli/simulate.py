"""The verb `simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from oddjets.cli import completion
from oddjets.cli.options import Force, Inject, Luminosity, NoFilter, Out, Seed, make_run
from oddjets.config.simulation import PREDEFINED, SimulationSpec
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import Workers, with_simulation

__all__ = ["simulate"]


def simulate(
    analysis: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ANALYSIS.yaml]",
            help="YAML of the analysis; or give --set.",
            show_default=False,
            autocompletion=completion.analyses,
        ),
    ] = None,
    predefined: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="NAME",
            help=f"Predefined simulation: {', '.join(PREDEFINED)}.",
            autocompletion=lambda: list(PREDEFINED),
        ),
    ] = None,
    out: Out = None,
    force: Force = False,
    workers: Workers = None,
    seed: Seed = None,
    inject: Inject = None,
    luminosity: Luminosity = None,
    no_filter: NoFilter = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only predict the time and the disk space.")] = False,
    layout: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="LAYOUT",
            help="Also write the pseudo-data in another layout: aspen (HDF5 of single jets, in aspen/ of the output folder).",
            autocompletion=lambda: ["aspen"],
        ),
    ] = None,
) -> None:
    """Simulate pseudo-data and templates as PFNano files, for an analysis or as a predefined set."""
    options: dict[str, Any] = {"seed": seed, "inject": inject, "luminosity": luminosity, "no_filter": no_filter}
    if layout not in (None, "aspen"):
        raise OddjetsError(f"simulate: no layout '{layout}'; there is 'aspen'")
    if dry_run and layout is not None:
        raise OddjetsError("simulate: --as has no effect with --dry-run; give only one of them")
    if dry_run and force:
        raise OddjetsError("simulate: --force has no effect with --dry-run; give only one of them")
    if analysis is not None and predefined is None:
        from oddjets.workflow.pipeline import run_stage, stage_of

        work = make_run(analysis, out, workers=workers, **options)
        stage = stage_of(work, "simulate")
        if dry_run and work.analysis.simulate is not None:
            _print_cost(work.analysis.simulate, work.analysis.execution.processes)
        else:
            run_stage(work, stage, force=force)
            if layout is not None:
                asked = work.analysis.simulate
                strengths = asked.inject if asked is not None else {}
                _write_aspen(work.out / "simulation" / "fileset.json", work.out / "aspen", strengths)
    elif analysis is None and predefined is not None:
        if force:
            raise OddjetsError(
                "simulate: --force applies to an analysis only; to simulate a set again, remove its folder"
            )
        spec = with_simulation({"set": predefined}, **options)
        if dry_run:
            _print_cost(spec, workers or 2)
        else:
            from oddjets.simulation.run import simulate as make

            made = make(spec, out or Path("output") / predefined, workers or 2)
            console.print(escape(str(made)))
            if layout is not None:
                _write_aspen(made, made.parent / "aspen", spec.inject)
    else:
        raise OddjetsError(f"simulate: give an ANALYSIS.yaml, or --set NAME with one of {', '.join(PREDEFINED)}")


def _write_aspen(fileset: Path, folder: Path, inject: Mapping[str, float] | None = None) -> None:
    """Write each file of pseudo-data as an HDF5 file of Aspen Open Jets, which says what was injected into it."""
    from oddjets.io.fileset import load_fileset
    from oddjets.selection.aspen_files import write_aspen

    files = [
        Path(file) for dataset in load_fileset(fileset).values() if dataset.metadata.is_data for file in dataset.files
    ]
    if not files:
        raise OddjetsError(f"{fileset}: no pseudo-data to write; give the simulation a luminosity (--luminosity)")
    for number, file in enumerate(files):
        target = folder / f"{file.stem}.h5"
        jets = write_aspen([file], target, simulated=True, seed=number + 1, inject=inject)
        console.print(escape(f"{target}: {jets} jets"))


def _print_cost(spec: SimulationSpec, workers: int) -> None:
    """Print the expected cost of a simulation."""
    from oddjets.simulation.cost_estimate import predict
    from oddjets.simulation.job_plan import make_plan

    console.print(f"simulate: {predict(make_plan(spec)).text(workers)}")
