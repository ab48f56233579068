"""The trainings of one job: one, or several on the same jets with different seeds, each with files of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from oddjets.core.worker_pool import run_tasks
from oddjets.training.train.checkpoint_state import read_state
from oddjets.training.train.loop import train
from oddjets.training.train.settings import TrainingSettings

__all__ = ["Member", "members_of", "train_members"]


@dataclass(frozen=True)
class Member:
    """One training.

    Attributes:
        folder: of its state, checkpoint, model and card.
        name: of its model.
        family: the name that the models of all seeds share; "" of a single training.
        settings: of the training.
    """

    folder: Path
    name: str
    family: str
    settings: TrainingSettings

    @property
    def card(self) -> Path:
        """The model's card."""
        return self.folder / f"{self.name.replace('-', '_')}.yaml"


@dataclass(frozen=True)
class _OnOneGpu:
    """Trainings that one GPU does, one after the other."""

    gpu: int | None
    members: tuple[Member, ...]


def members_of(folder: Path, name: str, settings: TrainingSettings, seeds: int) -> list[Member]:
    """Return the trainings of a job.

    The jets, and which of their events are held back, are those of the settings' seed. Several trainings have the seeds that
    follow it: so none repeats the initial weights of a single training with that seed, and a larger family only adds members.

    Args:
        folder: of the job.
        name: of the model, or of the family.
        settings: of a single training.
        seeds: how many trainings.
    """
    if seeds == 1:
        return [Member(folder, name, "", settings)]
    return [
        Member(folder / f"seed-{seed}", f"{name}-{seed}", name, replace(settings, seed=seed, split_seed=settings.seed))
        for seed in range(settings.seed + 1, settings.seed + seeds + 1)
    ]


def train_members(members: Sequence[Member], files: Sequence[Path], cache: Path, workers: int) -> None:
    """Train all that are not finished; several share the GPUs, one GPU for each.

    Args:
        members: the trainings.
        files: of jets.
        cache: folder of unpacked jets, which all read.
        workers: processes that read jets.

    Raises:
        OddjetsError: see `oddjets.training.train.loop.train`.
    """
    waiting = [member for member in members if not _is_finished(member)]
    gpus = torch.cuda.device_count()
    if len(members) == 1 or gpus < 2:
        for member in waiting:
            member.folder.mkdir(parents=True, exist_ok=True)
            train(member.folder, files, member.settings, workers, cache=cache)
        return
    for member in waiting:
        member.folder.mkdir(parents=True, exist_ok=True)
    shares = [_OnOneGpu(gpu, tuple(waiting[gpu::gpus])) for gpu in range(min(gpus, len(waiting)))]
    work = _Work(tuple(files), cache)
    work.read(workers)
    for _ in run_tasks(shares, work, len(shares), "training"):
        pass


@dataclass(frozen=True)
class _Work:
    """The work of a process for one GPU; it travels there."""

    files: tuple[Path, ...]
    cache: Path

    def read(self, workers: int) -> None:
        """Unpack the jets into the cache, once for all processes."""
        from oddjets.training.train.jet_dataset import read_jets

        read_jets(self.files, self.cache, workers)

    def __call__(self, share: _OnOneGpu) -> None:
        for member in share.members:
            train(member.folder, self.files, member.settings, 1, gpu=share.gpu, cache=self.cache)


def _is_finished(member: Member) -> bool:
    state = read_state(member.folder)
    return state is not None and state.step >= state.steps
