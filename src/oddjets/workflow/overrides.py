"""Options of the command line that override the YAML: execution, simulation and fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ValidationError

from oddjets.config.analysis import Analysis
from oddjets.config.execution import EXECUTORS, Execution
from oddjets.config.fit import Fit
from oddjets.config.simulation import SimulationSpec
from oddjets.config.yaml import describe_errors
from oddjets.core.errors import OddjetsError
from oddjets.simulation.processes import check_processes

__all__ = [
    "Executor",
    "Scheduler",
    "SkipBadFiles",
    "Workers",
    "check_fit_options",
    "option_error",
    "toys_option",
    "with_execution",
    "with_fit_options",
    "with_simulation",
]

Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help=f"Executor: {', '.join(EXECUTORS)}, or package.module:Class (default: the YAML's).",
        autocompletion=lambda: list(EXECUTORS),
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Number of worker processes (default: the YAML's).")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help="Address of a running dask scheduler, such as tcp://HOST:8786."
    ),
]
SkipBadFiles = Annotated[
    bool,
    typer.Option(
        "--skip-bad-files", help="Leave out files that cannot be read; lost.json lists them, and the exit code is 3."
    ),
]


def with_execution(
    analysis: Analysis,
    executor: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    skip_bad_files: bool = False,
) -> Analysis:
    """Override an analysis's ``execution`` by options; what was not given stays.

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
    if not analysis.reads_root and changes.keys() - {"workers"}:
        raise OddjetsError(
            "--executor, --scheduler, --skip-bad-files: imported files are read on this machine, and completely"
        )
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
        options = {name: _option(name) for name in given if given[name] is not None}
        raise option_error(error, Execution, options) from None
    return analysis.model_copy(update={"execution": execution})


def option_error(error: ValidationError, model: type[BaseModel], options: Mapping[str, str]) -> OddjetsError:
    """Return an error whose message names the option in front of what is wrong with its value.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        options: place in the model to the option that was given for it. What is wrong elsewhere is said of all of them.
    """
    given, problems = ", ".join(options.values()), []
    for line in describe_errors(error, model):
        place, _, what = line.partition(": ")
        own = [option for key, option in options.items() if place == key or place.startswith(f"{key}.")]
        problems.append(f"{own[0]}: {what}" if own else f"{given}: {line.removeprefix('(top level): ')}")
    return OddjetsError("; ".join(problems))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def toys_option(text: str | None) -> int | Literal["auto"] | None:
    """Return the toys that ``--toys`` asks for: a number, ``auto``, or None if it was not given.

    Raises:
        OddjetsError: neither a number of at least 0 nor ``auto``.
    """
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise OddjetsError(f"--toys: '{text}' is neither a number of toys, such as 1000, nor auto")
    return int(text)


def check_fit_options(toys: int | str, gof: int, /, **given: Any) -> None:
    """Refuse options of a fit that would have no effect.

    Args:
        toys: for significance and limit.
        gof: for the goodness of fit.
        given: ``gof_channels``, ``gof_model`` and ``seed``; None: not given.

    Raises:
        OddjetsError: an option without the toys that it is about.
    """
    for name in ("gof_channels", "gof_model"):
        if given.get(name) is not None and not gof:
            raise OddjetsError(f"--{name.replace('_', '-')}: no goodness of fit is asked for; give --gof N too")
    if given.get("seed") is not None and not toys and not gof:
        raise OddjetsError("--seed: no toys are asked for, so nothing is random; give --toys N or --gof N too")


def with_fit_options(analysis: Analysis, **given: Any) -> Analysis:
    """Override the YAML's ``fit`` by options; what was not given stays.

    Args:
        analysis: what was asked.
        given: ``poi``, ``limit``, ``impacts``, ``scan``, ``toys``, ``gof``, ``gof_channels``, ``gof_model`` and ``seed`` of the
            command line; None or False: not given.

    Raises:
        OddjetsError: options that say nothing, or that are no values of the YAML's.
    """
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    if not given or analysis.fit is None:
        # without a fit the stage says so
        return analysis
    places = {"poi": "tested", "gof": "toys", "gof_channels": "letters", "gof_model": "model"}
    gof = {places[name]: given[name] for name in ("gof", "gof_channels", "gof_model") if name in given}
    if "letters" in gof:
        gof["letters"] = tuple(word.strip() for word in gof["letters"].split(","))
    plain = {places.get(name, name): value for name, value in given.items() if not name.startswith("gof")}
    content = analysis.fit.model_dump()
    content |= {**plain, "goodness_of_fit": {**content["goodness_of_fit"], **gof}}
    try:
        fit = Fit.model_validate(content)
    except ValidationError as error:
        options = {
            f"goodness_of_fit.{places[name]}" if name.startswith("gof") else places.get(name, name): _option(name)
            for name in given
        }
        raise option_error(error, Fit, options) from None
    check_fit_options(fit.toys, fit.goodness_of_fit.toys, **given)
    return analysis.model_copy(update={"fit": fit})


def with_simulation(
    content: dict[str, Any], seed: int | None, inject: list[str] | None, luminosity: float | None, no_filter: bool
) -> SimulationSpec:
    """Override the settings of a simulation by the options of the command line.

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
        lines = describe_errors(error, SimulationSpec)
        raise OddjetsError("simulate: " + "; ".join(line.removeprefix("(top level): ") for line in lines)) from None
    check_processes(spec)
    return spec
