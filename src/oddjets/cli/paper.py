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
    out: Annotated[Path, typer.Option("--out", help="Folder for the index and a folder a set-up.")] = Path(
        "output/paper"
    ),
    scale: Annotated[
        float,
        typer.Option("--scale", min=0.01, help="Size of the sample. Small ones take long to fit: bins are empty."),
    ] = 1.0,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            "--inject", metavar="PROCESS=MU", help=f"Strength in the pseudo-data; {INJECTED} if none is given."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Another sample.")] = None,
    workers: Workers = None,
) -> None:
    """Make all set-ups of the paper from one simulated sample, and an index that puts them beside its figures.

    Takes 21 minutes on two cores. What is done stays: an interrupted call goes on.
    """
    from oddjets.workflow.paper import analyses, make_all  # heavy imports only where they are needed

    make_all(analyses(scale, inject or [INJECTED], seed, workers), out)
