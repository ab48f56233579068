"""Options that several verbs `study` have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oddjets.cli import completion

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["BankFile", "Luminosity", "OutputFolder", "Seed", "SharedSourceOption", "Target", "Workers", "run_of"]

Target = Annotated[
    Path,
    typer.Argument(
        metavar="ANALYSIS.yaml|FOLDER", help="An analysis, or its output folder.", autocompletion=completion.analyses
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Number of worker processes (default: the YAML's).")
]

Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
BankFile = Annotated[
    Path | None,
    typer.Option("--bank", metavar="FILE", help="Draw experiments from a bank instead of the folder's simulation."),
]
Luminosity = Annotated[
    float | None,
    typer.Option("--luminosity", help="Integrated luminosity of an experiment in 1/pb (default: the analysis's)."),
]
OutputFolder = Annotated[
    Path | None, typer.Option("--out", help="Output folder of the analysis (default: output/NAME).")
]
SharedSourceOption = Annotated[
    str,
    typer.Option(
        "--source",
        help="What QCD of the experiments is drawn from: mixed (jets of different simulated events) or simulation.",
    ),
]


def run_of(target: Path, out: Path | None, *, unblind: bool = False) -> RunContext:
    """Return the analysis and the folder that a command is asked for."""
    from oddjets.cli.status import analysis_and_folder
    from oddjets.workflow.run import RunContext

    return RunContext(*analysis_and_folder(target, out), unblind="--unblind" if unblind else "")
