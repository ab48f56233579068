"""The parts of `oddjets model train`: jets, training, export, evaluation; each can be resumed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.core.console import console, progress
from oddjets.core.errors import OddjetsError
from oddjets.core.locks import LockedError, lock_holder, locked
from oddjets.core.optional_imports import require
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.training.train.settings import TrainingSettings

if TYPE_CHECKING:
    from oddjets.training.train.jet_dataset import JetSet
    from oddjets.training.train.members import Member

__all__ = ["LOG", "JobPart", "TrainingJob", "in_background", "run"]

#: the log of a training in the background
LOG = "train.log"
#: held-out jets whose class probabilities are compared with the checkpoint's
_NUMERICS_JETS = 400


class JobPart(StrEnum):
    """The parts of the work; export comes with the training."""

    generate = "generate"
    train = "train"
    evaluate = "evaluate"


@dataclass(frozen=True)
class TrainingJob:
    """The settings of a job.

    Attributes:
        folder: of everything.
        jets: to learn from.
        held_out: to measure on, of other seeds.
        workers: processes that generate and read jets.
        name: of the model.
        compare: cards of models that are measured on the same jets.
        settings: of the training.
        seeds: trainings on the same jets; more than one make a family.
        half_weights: store the weights of the models in 16 bits.
    """

    folder: Path
    jets: int
    held_out: int
    workers: int
    name: str
    compare: tuple[Path, ...]
    settings: TrainingSettings
    seeds: int = 1
    half_weights: bool = False

    @property
    def training_jets(self) -> Path:
        """The folder of jets to learn from."""
        return self.folder / "jets" / "training"

    @property
    def held_out_jets(self) -> Path:
        """The folder of jets to measure on."""
        return self.folder / "jets" / "held-out"

    @property
    def members(self) -> list[Member]:
        """The trainings."""
        from oddjets.training.train.members import members_of

        return members_of(self.folder, self.name, self.settings, self.seeds)


def run(job: TrainingJob, parts: Sequence[JobPart]) -> None:
    """Run the parts; finished ones are skipped, except the evaluation.

    Raises:
        OddjetsError: a package is missing, another process works in the folder, or see the parts.
    """
    _check_packages(parts)
    compared = [load_card(path, "constituents") for path in job.compare]  # before hours of work
    with _lock_folder(job.folder):
        if JobPart.generate in parts:
            _generate(job)
        if JobPart.train in parts:
            _train(job)
        if JobPart.evaluate in parts:
            _evaluate(job, compared)


def in_background(job: TrainingJob, parts: Sequence[JobPart], arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the job in a process of its own that outlives this one and its terminal.

    Args:
        job: what is asked for.
        parts: of the work.
        arguments: the command line for it, without the program.

    Returns:
        The process.

    Raises:
        OddjetsError: a package is missing, or another process works in the folder.
    """
    _check_packages(parts)
    with _lock_folder(job.folder):
        pass
    with (job.folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "oddjets", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder; the message is that of this command, which has no --out."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except LockedError:
            who = lock_holder(folder) or "it has just ended"
            raise LockedError(
                f"{folder}: another `model train` works here ({who}); wait for it, or name another FOLDER"
            ) from None
        yield


def _check_packages(parts: Sequence[JobPart]) -> None:
    if JobPart.generate in parts:
        from oddjets.simulation.generator import require_pythia

        require_pythia()
    for module in ("h5py",) if list(parts) == [JobPart.generate] else ("h5py", "torch", "omnilearned.network", "onnx"):
        require(module)


def _generate(job: TrainingJob) -> None:
    from oddjets.training.dataset.generate import generate

    # a supervised model learns the kinds of jets that others are measured on, from another seed
    supervised, seed = job.settings.supervised, job.settings.seed
    generate(job.training_jets, job.jets, job.workers, seed=seed + supervised, held_out=supervised)
    generate(job.held_out_jets, job.held_out, job.workers, seed=seed, held_out=True)


def _train(job: TrainingJob) -> None:
    from oddjets.training.train.artifacts import write_checkpoint, write_model
    from oddjets.training.train.checkpoint_state import read_state
    from oddjets.training.train.jet_dataset import shards
    from oddjets.training.train.members import train_members

    train_members(job.members, shards(job.training_jets), job.folder / "cache" / "train", job.workers)
    for member in job.members:
        state = read_state(member.folder)
        assert state is not None
        checkpoint = write_checkpoint(member.folder, member.name, state)
        card = write_model(member, checkpoint, state, half_weights=job.half_weights)
        console.print(f"{escape(str(checkpoint))}: best loss {state.loss:.4f}; {escape(str(card))}")


def _evaluate(job: TrainingJob, compared: Sequence[ModelCard]) -> None:
    from oddjets.training.train.artifacts import add_metrics, write_metrics
    from oddjets.training.train.checkpoint_state import read_state
    from oddjets.training.train.jet_dataset import read_jets, shards
    from oddjets.training.validate.evaluation import agreements, measure, scores_of, substructure

    members = job.members
    for member in members:
        if not member.card.is_file():
            raise OddjetsError(
                f"{member.card} does not exist: train the model first (--only train), or give its --name"
            )
    jets = read_jets(shards(job.held_out_jets), job.folder / "cache" / "held-out", job.workers)
    own = [load_card(member.card, "constituents") for member in members]
    scores: dict[str, Any] = {}
    for card in (*own, *compared):
        name = f"{card.name} {card.sha256[:8]}" if card.name in scores else card.name
        with progress(f"scores of {name}", len(jets)) as tracker:
            scores[name] = scores_of(card, jets, progress=tracker.advance)
    if len(own) > 1:
        from oddjets.scoring.score import mean_score

        scores[f"{job.name}-mean"] = mean_score([scores[card.name] for card in own])
    models = {name: measure(jets, values) for name, values in scores.items()}
    for_scale = {name: measure(jets, values)["signals"] for name, values in substructure(jets).items()}
    states = {member.name: read_state(member.folder) for member in members}
    history = {name: [] if state is None else state.history for name, state in states.items()}
    found: dict[str, Any] = {"held_out_jets": len(jets), "models": models, "for_scale": for_scale}
    found["history"] = history if len(own) > 1 else history[own[0].name]
    if len(scores) > 1:
        found["agreement"] = agreements(jets, scores)
    path = write_metrics(job.folder, found)
    for member, card in zip(members, own, strict=True):
        add_metrics(member.card, models[card.name], _numerics(job, member, card, jets))
    for name, metrics in models.items():
        _show(name, metrics)
    for pair, found_pair in found.get("agreement", {}).get("QCD", {}).items():
        shown = found_pair["overlap"]["0.2 %"]
        console.print(
            f"{pair}, QCD: rank correlation {found_pair['rank_correlation']['value']:.3f}, overlap at 0.2 % "
            f"{shown['value']:.2f} +- {shown['error']:.2f}"
        )
    console.print(f"{escape(str(path))}; {', '.join(escape(str(member.card)) for member in members)}")


def _numerics(job: TrainingJob, member: Member, card: ModelCard, jets: JetSet) -> dict[str, float]:
    """Measure the differences of class probabilities from the checkpoint in float64, on jets without tied distances."""
    import numpy as np  # heavy imports only where a part runs

    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.train.artifacts import checkpoint_path
    from oddjets.training.validate.parity import groups, parity
    from oddjets.training.validate.reference import Reference

    sample = jets.padded(np.linspace(0, len(jets) - 1, min(len(jets), _NUMERICS_JETS)).astype(np.int64))
    reference = Reference(read_checkpoint(checkpoint_path(member.folder, member.name)))
    (row,) = parity(card, reference, groups(len(sample.x), job.settings.seed, sample)[:1])
    found = {"median": row.median, "quantile_99": row.quantile_99, "maximum": row.maximum}
    if row.maximum > card.numerics.tolerance:
        raise OddjetsError(
            f"{member.card}: class probabilities differ by {row.maximum:.1e} from those of the checkpoint, more than the "
            f"tolerance {card.numerics.tolerance:g}: see oddjets model check"
        )
    return {name: float(f"{value:.2g}") for name, value in found.items()}


def _show(name: str, metrics: dict[str, Any]) -> None:
    console.print(f"{name}, against {metrics['n_qcd']} jets of inclusive QCD:")
    for signal, found in metrics["signals"].items():
        rejections = ", ".join(
            f"{value['rejection']:.0f} +- {value['error']:.0f} at {efficiency}"
            for efficiency, value in found["rejection"].items()
        )
        console.print(f"  {signal}: AUC {found['auc']:.3f}, rejection {rejections}")
    for share, found in metrics["qcd_mass"].items():
        console.print(
            f"  mass of QCD, {share}: mean {found['mean']:.1f} +- {found['mean_error']:.1f}, standard deviation "
            f"{found['std']:.1f} +- {found['std_error']:.1f} GeV, divergence {found['js_bits']:.4f} bits "
            f"({found['js_bits_expected']:.4f} +- {found['js_bits_spread']:.4f} by chance)",
        )
