"""``oddjets model``: export a checkpoint, check what was exported, train a model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from oddjets.core.console import console, progress
from oddjets.core.errors import OddjetsError
from oddjets.core.optional_imports import require_cuda
from oddjets.core.worker_pool import available_cores
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.training.train.job import LOG, JobPart, TrainingJob, in_background, run
from oddjets.training.train.settings import TrainingSettings

if TYPE_CHECKING:
    from oddjets.training.validate.reference import PaddedJets, Reference

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Train models, export OmniLearned checkpoints to ONNX, and check exported models."
)

_BACKGROUND = "--background"
_DEFAULTS = TrainingSettings()


class OutputKind(StrEnum):
    """The output of the exported graph."""

    logits = "logits"
    probabilities = "probabilities"


class TargetKind(StrEnum):
    """The hardware that the exported graph is arranged for."""

    cpu = "cpu"
    gpu = "gpu"
    gpu_half = "gpu-half"


class ProviderKind(StrEnum):
    """The device that computes."""

    cpu = "cpu"
    cuda = "cuda"


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Folder for the jets, checkpoints, log, model and metrics.")],
    jets: Annotated[int, typer.Option(min=1, help="Number of jets to train on.")] = 500_000,
    held_out: Annotated[int, typer.Option(min=1, help="Number of jets to evaluate on, from other seeds.")] = 200_000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that generate and read jets (default: one per core).")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the jets, the initial weights and the order of the jets.")
    ] = _DEFAULTS.seed,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of trainings on the same jets, with the seeds after --seed: a family, in FOLDER/seed-*; each GPU "
            "does one at a time.",
        ),
    ] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Number of passes over the jets.")] = _DEFAULTS.epochs,
    batch: Annotated[int, typer.Option(min=8, help="Number of jets per step, over all GPUs.")] = _DEFAULTS.batch,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Largest learning rate of the schedule.")
    ] = _DEFAULTS.learning_rate,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Dropout probability in the perceptrons.")
    ] = _DEFAULTS.dropout,
    supervised: Annotated[
        bool,
        typer.Option(
            "--supervised", help="Train on W, Z, H and top jets too; the model is then no longer blind to them."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the model (default: omnilearned-small-simulation, or ...-supervised).")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="CARD.yaml", help="Card of another model to evaluate on the same jets; repeatable."),
    ] = None,
    only: Annotated[
        list[JobPart] | None, typer.Option(help="Run only this part; repeatable (default: all parts).")
    ] = None,
    float16_weights: Annotated[
        bool, typer.Option("--float16-weights", help="Store the model's weights in 16 bits: half the size.")
    ] = False,
    background: Annotated[
        bool, typer.Option(_BACKGROUND, help="Run in the background, independent of this terminal.")
    ] = False,
) -> None:
    """Generate jets, train OmniLearned-small on them, export it, and evaluate it.

    After an interruption, the same command continues.
    """
    job = TrainingJob(
        folder=folder,
        jets=jets,
        held_out=held_out,
        workers=workers or available_cores(),
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
        seeds=seeds,
        half_weights=float16_weights,
    )
    parts = only or list(JobPart)
    if not background:
        run(job, parts)
        return
    arguments = [argument for argument in sys.argv[1:] if argument != _BACKGROUND]
    number = in_background(job, parts, arguments).pid
    console.print(
        f"process {number} runs in the background; follow it with: tail -f {escape(shlex.quote(str(folder / LOG)))}"
    )


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of OmniLearned 0.2.0.")],
    model: Annotated[Path, typer.Argument(help="ONNX file to write; its model card is written beside it.")],
    size: Annotated[
        str | None, typer.Option(help="Expected size: small, medium or large; another size is an error (default: any).")
    ] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Compute the pair mass as the authors do, with its rounding noise.")
    ] = False,
    output: Annotated[
        OutputKind, typer.Option(help="Output of the model: logits, or probabilities of the first 200 classes.")
    ] = (OutputKind.logits),
    target: Annotated[
        TargetKind,
        typer.Option("--for", help="Hardware to optimise for; gpu-half uses 16-bit numbers where they are safe."),
    ] = TargetKind.cpu,
    like: Annotated[Path | None, typer.Option(help="Card to copy classes, species, score and training from.")] = None,
    float16_weights: Annotated[
        bool,
        typer.Option("--float16-weights", help="Store the weights in 16 bits: half the size; arithmetic in 32 bits."),
    ] = False,
) -> None:
    """Export a checkpoint to ONNX, with a model card."""
    from oddjets.training.export.onnx import export as export_model

    kind: Literal["logits", "probabilities"] = "logits" if output is OutputKind.logits else "probabilities"
    done = export_model(
        checkpoint,
        model,
        size=size,
        stable=not as_published,
        output=kind,
        target=target.value,
        like=like,
        half_weights=float16_weights,
    )
    console.print(f"{done.model}: PET2 {done.size or 'of no published size'}, {done.config.n_classes} classes")
    check = f"{done.card}: check the description, then run: oddjets model check {done.card} {checkpoint}"
    console.print(escape(check))


@app.command()
def check(
    card: Annotated[Path, typer.Argument(help="Card of the model.")],
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint that the model was exported from.")],
    jets: Annotated[
        Path | None, typer.Option(help="File of generic jets: npz with x, pid and add (default: random jets).")
    ] = None,
    n_jets: Annotated[int, typer.Option(min=1, help="Number of generic jets.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed of the random jets.")] = 1,
    numerics: Annotated[bool, typer.Option("--numerics", help="Compare floating-point precisions instead.")] = False,
    provider: Annotated[ProviderKind, typer.Option(help="Device that both models run on.")] = ProviderKind.cpu,
) -> None:
    """Compare a model with the authors' PET2 in float64; exit code 1 if they differ by more than the card's tolerance."""
    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.export.random_jets import load_jets
    from oddjets.training.validate.parity import groups, parity
    from oddjets.training.validate.reference import Reference

    described = load_card(card, "constituents")
    network = read_checkpoint(checkpoint)
    cases = groups(n_jets, seed, None if jets is None else load_jets(jets, n_jets))
    if provider is ProviderKind.cuda:
        require_cuda()
    reference = Reference(network, provider.value)
    if described.output.kind == "logits" and described.output.n_classes != network.config.n_classes:
        raise OddjetsError(
            f"{card} has {described.output.n_classes} classes and {checkpoint} has {network.config.n_classes}: "
            "the model is not from this checkpoint"
        )
    if numerics:
        _show_numerics(described, reference, cases[0].jets, provider)
        return
    with progress("comparing", sum(len(case.jets.x) for case in cases)) as tracker:
        rows = parity(described, reference, cases, tracker.advance, provider.value)
    tolerance = described.numerics.tolerance
    failed = [row.group for row in rows if row.judged and row.maximum > tolerance]
    columns = ("jets", "number", "median", "99 %", "maximum", "score", f"within {tolerance:g}")
    verdicts = ["yes" if row.maximum <= tolerance else "NO" if row.judged else "not judged" for row in rows]
    _table(
        f"{described.name} against the authors' PET2 in float64: largest difference of a class probability",
        columns,
        [
            (row.group, f"{row.n_jets}", *(f"{v:.1e}" for v in row[2:6]), verdict)
            for row, verdict in zip(rows, verdicts, strict=True)
        ],
    )
    if failed:
        console.print(f"beyond the tolerance {tolerance:g} of {escape(str(card))}: {', '.join(failed)}")
        raise typer.Exit(1)


def _show_numerics(card: ModelCard, reference: Reference, jets: PaddedJets, provider: ProviderKind) -> None:
    from oddjets.training.validate.numerics import PASSES, WORKING_POINTS, compare_arithmetic, run_arithmetics

    with progress("comparing", PASSES * len(jets.x)) as tracker:
        exact, *others = run_arithmetics([card], reference, jets, tracker.advance, provider.value)
    rows = [compare_arithmetic(exact, other) for other in others]
    console.print(f"{card.name}, {len(jets.x)} jets, against the authors' PET2 in float64")
    # three tables, since one would be wider than a terminal
    quantiles = ("arithmetic", "median", "99 %", "maximum")
    _table(
        "Largest difference of a class probability",
        quantiles,
        [(row.name, *(f"{value:.1e}" for value in row.probability)) for row in rows],
    )
    _table("Difference of the score", quantiles, [(row.name, *(f"{value:.1e}" for value in row.score)) for row in rows])
    _table(
        "Jets on the other side of a threshold, of those that pass it",
        ("arithmetic", *(f"{point:.1%}" for point in WORKING_POINTS)),
        [
            (row.name, *(f"{moved} of {passing}" for moved, passing in zip(row.crossed, row.passing, strict=True)))
            for row in rows
        ],
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
