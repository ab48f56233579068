"""``oddjets model train``: a model of one's own."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from oddjets.core.console import console
from oddjets.training.train.job import LOG, Job, Part, in_background, run
from oddjets.training.train.settings import TrainingSettings

__all__ = ["train"]

_BACKGROUND = "--background"
_DEFAULTS = TrainingSettings()


def train(
    folder: Annotated[Path, typer.Argument(help="Folder of jets, states, log, model and metrics.")],
    jets: Annotated[int, typer.Option(min=1, help="Jets to learn from.")] = 500_000,
    held_out: Annotated[int, typer.Option(min=1, help="Jets to measure on, of other seeds.")] = 200_000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that generate and read jets.  [default: one a core]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of jets, first weights and order.")] = _DEFAULTS.seed,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the jets.")] = _DEFAULTS.epochs,
    batch: Annotated[int, typer.Option(min=8, help="Jets of a step, over all GPUs.")] = _DEFAULTS.batch,
    learning_rate: Annotated[float, typer.Option(min=0, help="The largest.")] = _DEFAULTS.learning_rate,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="In the perceptrons.")] = _DEFAULTS.dropout,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Learn W, Z, H and top too: finding them is no find then.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the model.  [default: omnilearned-small-simulation, or ...-supervised]")
    ] = None,
    compare: Annotated[
        list[Path] | None, typer.Option(metavar="CARD.yaml", help="A model to measure on the same jets; repeatable.")
    ] = None,
    only: Annotated[list[Part] | None, typer.Option(help="Do this part alone; repeatable.  [default: all]")] = None,
    background: Annotated[bool, typer.Option(_BACKGROUND, help="Go on without this terminal.")] = False,
) -> None:
    """Generate jets, train OmniLearned-small on them, export it, and measure it. Run it again to go on after a stop."""
    job = Job(
        folder=folder,
        jets=jets,
        held_out=held_out,
        workers=workers or len(os.sched_getaffinity(0)),
        name=name or f"omnilearned-small-{'supervised' if supervised else 'simulation'}",
        compare=tuple(compare or ()),
        settings=TrainingSettings(
            epochs=epochs,
            batch=batch,
            seed=seed,
            supervised=supervised,
            learning_rate=learning_rate,
            dropout=dropout,
        ),
    )
    parts = only or list(Part)
    if not background:
        run(job, parts)
        return
    arguments = [argument for argument in sys.argv[1:] if argument != _BACKGROUND]
    number = in_background(job, parts, arguments).pid
    console.print(
        f"process {number} works on; follow it with: tail -f {shlex.quote(str(folder / LOG))}", soft_wrap=True
    )
