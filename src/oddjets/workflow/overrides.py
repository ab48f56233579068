"""Options of the command line that are laid over the YAML: who does the work (``execution``), and what is simulated."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from oddjets.config.analysis import Analysis
from oddjets.config.execution import EXECUTORS, Execution
from oddjets.config.simulation import SimulationSpec
from oddjets.config.yaml import problems_of
from oddjets.core.errors import OddjetsError
from oddjets.simulation.processes import check_processes

__all__ = ["Executor", "Scheduler", "SkipBadFiles", "Workers", "with_execution", "with_simulation"]

Executor = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="NAME", help=f"{', '.join(EXECUTORS)}, or package.module:Class; overrides the YAML."
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; overrides the YAML.")]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a running dask scheduler, as tcp://HOST:8786.")
]
SkipBadFiles = Annotated[
    bool,
    typer.Option(
        "--skip-bad-files", help="Go on without files that cannot be read: lost.json lists them, exit code 3."
    ),
]


def with_execution(
    analysis: Analysis,
    executor: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    skip_bad_files: bool = False,
) -> Analysis:
    """Lay options over an analysis's ``execution``; what was not given stays.

    Args:
        analysis: what was asked.
        executor: name or class.
        workers: processes.
        scheduler: address; the executor is then dask, unless another one of dask is asked for.
        skip_bad_files: whether files that cannot be read are left out.

    Raises:
        OddjetsError: the options don't go together, or with the YAML.
    """
    given = {"executor": executor, "workers": workers, "scheduler": scheduler, "skip_bad_files": skip_bad_files or None}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return analysis
    if scheduler is not None:
        # a running one stands in for the one that the YAML would have started
        changes["cluster"] = None
        if executor is None and not analysis.execution.uses_dask:
            changes["executor"] = "dask"
    elif executor in EXECUTORS and not executor.startswith("dask"):
        changes |= {"cluster": None, "scheduler": None, "shared_filesystem": True}
    if executor is not None and executor != analysis.execution.executor:
        changes["executor_options"] = {}
    try:
        execution = Execution.model_validate(analysis.execution.model_dump() | changes)
    except ValidationError as error:
        options = ", ".join(
            f"--{name.replace('_', '-')}" for name in given if name in changes and given[name] is not None
        )
        problems = [line.removeprefix("(top level): ") for line in problems_of(error, Execution)]
        raise OddjetsError(f"{options}: " + "; ".join(problems)) from None
    return analysis.model_copy(update={"execution": execution})


def with_simulation(
    content: dict[str, Any], seed: int | None, inject: list[str] | None, luminosity: float | None, no_filter: bool
) -> SimulationSpec:
    """Lay the options of the command line over what is asked of a simulation.

    Args:
        content: fields of a `SimulationSpec`.
        seed: of pseudo-data and templates; None leaves it, here and below.
        inject: words PROCESS=MU, strengths of processes in the pseudo-data.
        luminosity: of the pseudo-data, 1/pb.
        no_filter: no early veto.

    Raises:
        OddjetsError: a word of another form, an unknown process, a number out of range.
    """
    strengths: dict[str, Any] = {}
    for word in inject or []:
        process, equals, strength = word.partition("=")
        try:
            strengths[process] = float(strength)
        except ValueError:
            equals = ""
        if not equals:
            raise OddjetsError(f"--inject: '{word}' is not of the form PROCESS=MU, such as top=2")
    changes = {**content, "inject": {**content.get("inject", {}), **strengths}}
    if seed is not None:
        changes["seed"] = seed
    if luminosity is not None:
        changes["luminosity"] = luminosity
    if no_filter:
        changes["early_veto"] = False
    try:
        spec = SimulationSpec.model_validate(changes)
    except ValidationError as error:
        lines = problems_of(error, SimulationSpec)
        raise OddjetsError("simulate: " + "; ".join(line.removeprefix("(top level): ") for line in lines)) from None
    check_processes(spec)
    return spec
