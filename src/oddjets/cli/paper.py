"""The verb `paper`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oddjets.workflow.overrides import Workers

__all__ = ["paper"]

#: the signal in the pseudo-data that the paper's second question is about
INJECTED = "hh=25000"


def paper(
    out: Annotated[Path, typer.Option("--out", help="Folder for the index and one folder for each set-up.")] = Path(
        "output/paper"
    ),
    scale: Annotated[
        float,
        typer.Option(
            "--scale",
            min=0.01,
            help="Size of the sample relative to the standard one; small samples have empty bins and take long to fit.",
        ),
    ] = 1.0,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            "--inject",
            metavar="PROCESS=MU",
            help=f"Signal strength of a process in the pseudo-data; repeatable (default: {INJECTED}).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Random seed of the sample (default: the set-ups').")
    ] = None,
    workers: Workers = None,
) -> None:
    """Run all set-ups of the paper on one simulated sample, and compare their figures with the paper's in an index page.

    This takes 21 minutes on two cores. After an interruption, the same command continues.
    """
    from oddjets.workflow.paper import analyses, make_all  # heavy imports only where they are needed

    make_all(analyses(scale, inject or [INJECTED], seed, workers), out)
