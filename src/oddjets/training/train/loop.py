"""The training loop, on all GPUs with one process each, or on the CPU; it can be interrupted and resumed."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from rich.markup import escape
from torch.nn import functional

from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.training.export.pet2 import N_SOFTMAX
from oddjets.training.train.batches import Bucket, DeviceJets, buckets, epoch_order, rotate
from oddjets.training.train.checkpoint_state import STATE, TrainingState, read_state
from oddjets.training.train.jet_dataset import JetSet, read_jets
from oddjets.training.train.network import FastPet2, build_pet2
from oddjets.training.train.reweighting import balanced_weights, effective_number
from oddjets.training.train.settings import N_CLASSES, TrainingSettings, class_shares
from oddjets.training.validate.metrics import auc

__all__ = ["train"]

#: s between two of these files, and between two lines of the log
_SAVE_EVERY, _REPORT_EVERY = 60.0, 30.0
#: an epoch's steps between two looks at the held-back jets: a quarter of them
_N_VALIDATIONS = 4
#: held-back jets that are looked at
_MAX_VALIDATION_JETS = 65_536
#: steps with gradients that are not finite, one after the other, that end a training
_MAX_NON_FINITE = 50

Rows = NDArray[np.int64]


def train(
    folder: Path,
    files: Sequence[Path],
    settings: TrainingSettings,
    workers: int,
    on_step: Callable[[int], None] | None = None,
    gpu: int | None = None,
    cache: Path | None = None,
) -> None:
    """Train a model, or resume a training; the result is in the folder's `STATE`.

    Args:
        folder: of the training.
        files: of jets.
        settings: what the result depends on.
        workers: processes that read jets.
        on_step: called with the number of steps done, where one process trains.
        gpu: the number of the only GPU to use; None: all that there are.
        cache: folder of unpacked jets; None: one in `folder`.

    Raises:
        OddjetsError: the folder's training has other settings; no jets to learn; losses that are not finite.
    """
    cache = cache or folder / "cache" / "train"
    done = read_state(folder)
    if done is not None:
        # a state that was written before a setting came has that setting's default
        before = asdict(TrainingSettings()) | done.settings
        changed = [f"{k} {before[k]} (now {v})" for k, v in asdict(settings).items() if before[k] != v]
    else:
        changed = []
    if changed:
        raise OddjetsError(
            f"{folder / STATE} is of a training with other settings: {', '.join(changed)}; ask for the same, take another "
            "folder, or remove that file to start again"
        )
    read_jets(files, cache, workers)  # into the cache, once for all processes
    world = torch.cuda.device_count()
    if world > 1 and gpu is None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        torch.multiprocessing.spawn(_one_gpu, (world, port, folder, cache, list(files), settings), nprocs=world)
    else:
        device = torch.device("cuda", gpu or 0) if world else torch.device("cpu")
        if world:
            torch.cuda.set_device(device)
        _Training(folder, read_jets(files, cache, 1), settings, device, 0, 1).run(on_step)


def _one_gpu(
    rank: int, world: int, port: int, folder: Path, cache: Path, files: list[Path], settings: TrainingSettings
) -> None:
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", f"tcp://localhost:{port}", rank=rank, world_size=world, device_id=device)
    try:
        _Training(folder, read_jets(files, cache, 1), settings, device, rank, world).run(None)
    finally:
        dist.destroy_process_group()


class _Training:
    """One process's part of a training: its share of every batch."""

    def __init__(
        self, folder: Path, jets: JetSet, settings: TrainingSettings, device: Any, rank: int, world: int
    ) -> None:
        self.folder, self.settings, self.device, self.rank, self.world = folder, settings, device, rank, world
        if settings.batch % world:
            raise OddjetsError(f"a batch of {settings.batch} jets does not divide among {world} GPUs")
        self.groups = class_shares(settings.supervised)
        wanted = np.isin(jets.label, [index for group in self.groups for index in group])
        jets = jets.take(wanted)
        held_back = _validation_mask(jets.event, settings)
        self.weights = np.zeros(len(jets))
        for rows in (~held_back, held_back):
            self.weights[rows] = balanced_weights(
                jets.column("pt")[rows], jets.column("msoftdrop")[rows], jets.label[rows], self.groups
            )
        self.learned = np.flatnonzero(~held_back)
        looked_at = np.flatnonzero(held_back & (self.weights > 0))
        signal = np.isin(jets.label, list(self.groups[1]))
        for what, some in (("learn", ~held_back), ("hold back", held_back)):
            if not (self.weights[some & signal].any() and self.weights[some & ~signal].any()):
                raise OddjetsError(f"too few jets to {what}: QCD and signal have no pT and mass in common")
        self.looked_at = np.random.default_rng(settings.seed_of_split).permutation(looked_at)[:_MAX_VALIDATION_JETS]
        self.counts, self.label, self.signal = jets.counts, jets.label, signal
        self.targets = torch.from_numpy(jets.label).to(device)
        self.jets = DeviceJets(jets, device)
        self.per_epoch = max(1, len(self.learned) // settings.batch)
        self.steps = settings.epochs * self.per_epoch
        self.buckets = buckets(self.counts[self.learned], settings.batch // world)
        numbers = [effective_number(self.weights[self.learned][signal[self.learned] == s]) for s in (False, True)]
        self._print(
            f"{len(self.learned)} jets to learn, {len(looked_at)} held back; effective numbers: QCD {numbers[0]:.0f}, "
            f"signal {numbers[1]:.0f}; parts of a batch: {', '.join(f'{b.jets} x {b.length}' for b in self.buckets)}; "
            f"{self.steps} steps on {world} x {device.type}"
        )

        torch.manual_seed(settings.seed)
        self.model = build_pet2(N_CLASSES, settings.dropout, **settings.network).to(device)
        self.parameters = list(self.model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.model, settings.weight_decay),
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            fused=device.type == "cuda",
        )
        self.step, self.loss, self.bad = 0, math.inf, 0
        self.best: dict[str, Any] = {}
        self.history: list[list[float]] = []
        self._load()
        self.logits = self._compiled(FastPet2(self.model, half=device.type == "cuda"))

    def run(self, on_step: Callable[[int], None] | None) -> None:
        """Run until the last step."""
        order = np.zeros(0, np.int64)
        epoch = -1
        saved = reported = time.monotonic()
        reported_step, total = self.step, torch.zeros((), device=self.device)
        since = self.step
        while self.step < self.steps:
            now, place = divmod(self.step, self.per_epoch)
            if now != epoch:
                epoch, n_draws = now, self.per_epoch * self.settings.batch
                order = self.learned[epoch_order(self.weights[self.learned], n_draws, self.settings.seed, epoch)]
            batch = order[place * self.settings.batch : (place + 1) * self.settings.batch]
            total += self._train_step(batch)
            looks = self.step * _N_VALIDATIONS // self.per_epoch > (self.step - 1) * _N_VALIDATIONS // self.per_epoch
            if looks or self.step == self.steps:
                loss = self._sum_over_processes(total).item() / (self.step - since)
                self._validate(loss)
                total, since = torch.zeros_like(total), self.step
            if self.step > since and time.monotonic() - reported > _REPORT_EVERY:
                rate = (self.step - reported_step) * self.settings.batch / (time.monotonic() - reported)
                progress = f"step {self.step} of {self.steps}, epoch {self.step / self.per_epoch:.2f}"
                loss = total.item() * self.world / (self.step - since)
                self._print(f"{progress}: loss {loss:.4f}, {rate:.0f} jets/s, learning rate {self._rate():.1e}")
                reported, reported_step = time.monotonic(), self.step
            if self.step == self.steps or time.monotonic() - saved > _SAVE_EVERY:
                self._save()
                saved = time.monotonic()
            if on_step is not None:
                on_step(self.step)

    def _train_step(self, batch: Rows) -> Any:
        """Do a step; return this process's part of the loss."""
        # a seed of its own for each step: nothing needs to be remembered to go on
        torch.manual_seed((self.settings.seed * 1_000_003 + self.step) * self.world + self.rank)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for rows, bucket in self._parts(batch):
            x, pid, add, eta = self.jets.padded(rows, bucket.length)
            angle = 2 * math.pi * torch.rand(len(rows), device=self.device)
            x, add = rotate(x, add, eta, angle, 1.0 - 2 * torch.randint(0, 2, (len(rows),), device=self.device))
            logits = self.logits(x, pid, add)[:, :N_SOFTMAX]
            loss = functional.cross_entropy(logits, self.targets[rows], reduction="sum") / self.settings.batch
            loss.backward()
            total += loss.detach()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.world > 1:
            together = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(together)
            for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            self.bad = 0
        else:
            self.bad += 1
            if self.bad > _MAX_NON_FINITE:
                raise OddjetsError(
                    f"the last {self.bad} steps had gradients that are not finite: a lower --learning-rate"
                )
        self.step += 1
        # the average of the first steps would remember the random weights for long
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return total

    def _parts(self, batch: Rows) -> Iterator[tuple[Any, Bucket]]:
        """Yield this process's jets of a batch, sorted by multiplicity, in parts of one length each."""
        mine = batch[self.rank :: self.world]
        mine = torch.from_numpy(mine[np.argsort(self.counts[mine], kind="stable")]).to(self.device)
        start = 0
        for bucket in self.buckets:
            yield mine[start : start + bucket.jets], bucket
            start += bucket.jets

    def _rate(self) -> float:
        """Return the learning rate: a linear rise over a twentieth of the steps, at most 500, then half a cosine down."""
        rise = max(1, min(500, self.steps // 20))
        if self.step < rise:
            return self.settings.learning_rate * (self.step + 1) / rise
        fall = (self.step - rise) / max(1, self.steps - rise)
        return self.settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))

    def _validate(self, loss: float) -> None:
        """Validate the weights, and their average, on held-back jets; keep the best so far."""
        own = self._validation_metrics()
        with self._with_averaged_weights():
            averaged = self._validation_metrics()
            if averaged[0] <= min(own[0], self.loss):
                self._keep_best(averaged[0])
        if own[0] < self.loss:
            self._keep_best(own[0])
        area = min(own, averaged)[1]
        self.history.append([float(self.step), loss, own[0], averaged[0], area])
        self._print(
            f"step {self.step} of {self.steps}, epoch {self.step / self.per_epoch:.2f}: loss {loss:.4f}, held back "
            f"{own[0]:.4f} (averaged weights {averaged[0]:.4f}), AUC {area:.4f}, best {self.loss:.4f}"
        )

    def _validation_metrics(self) -> tuple[float, float]:
        """Return the loss and the AUC of the score, both for the balanced spectra, over held-back jets."""
        self.model.eval()
        size = self.settings.batch
        rows = np.resize(self.looked_at, -(-len(self.looked_at) // size) * size)  # full batches: repeated at the end
        losses, scores = np.zeros(len(rows)), np.zeros(len(rows))
        indices = [torch.tensor(list(group), device=self.device) for group in self.groups]
        found = []
        with torch.no_grad():
            for start in range(0, len(rows), size):
                for part, bucket in self._parts(rows[start : start + size]):
                    x, pid, add, _ = self.jets.padded(part, bucket.length)
                    logits = self.logits(x, pid, add)[:, :N_SOFTMAX].float()
                    loss = functional.cross_entropy(logits, self.targets[part], reduction="none")
                    qcd, signal = (logits[:, index].logsumexp(1) for index in indices)
                    found.append(torch.stack([part.double(), loss.double(), (signal - qcd).double()]))
            result = torch.cat(found, 1)
            if self.world > 1:
                everything = [torch.empty_like(result) for _ in range(self.world)]
                dist.all_gather(everything, result)
                result = torch.cat(everything, 1)
        jets, losses, scores = result.cpu().numpy()
        jets, first = np.unique(jets.astype(np.int64), return_index=True)
        losses, scores = losses[first], scores[first]
        weight, signal_jets = self.weights[jets], self.signal[jets]
        area = auc(scores[signal_jets], scores[~signal_jets], weight[signal_jets], weight[~signal_jets])
        return float(np.average(losses, weights=weight)), area

    @contextmanager
    def _with_averaged_weights(self) -> Iterator[None]:
        """Replace the model's weights by the averaged ones inside the block."""
        own = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.average)
            try:
                yield
            finally:
                torch._foreach_copy_(self.parameters, own)

    def _keep_best(self, loss: float) -> None:
        self.loss = loss
        self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def _sum_over_processes(self, value: Any) -> Any:
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def _save(self) -> None:
        """Write all that is needed to go on, whole or not at all."""
        if self.rank:
            return
        state = TrainingState(
            self.step, self.steps, self.best, self.loss, self.history, asdict(self.settings), len(self.learned)
        )
        content = state._asdict() | {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_write(self.folder / STATE) as temporary:
            torch.save(content, temporary)

    def _load(self) -> None:
        path = self.folder / STATE
        if not path.is_file():
            return
        content = torch.load(path, map_location=self.device, weights_only=True)
        if content["jets"] != len(self.learned):
            raise OddjetsError(
                f"{path} was begun with {content['jets']} jets and there are {len(self.learned)}: remove it to start again"
            )
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        with torch.no_grad():
            torch._foreach_copy_(self.average, content["average"])
        self.best = {name: value.cpu() for name, value in content["best"].items()}
        self.step, self.loss, self.history = content["step"], content["loss"], content["history"]
        self._print(f"continuing after step {self.step} of {self.steps}")

    def _compiled(self, network: FastPet2) -> Callable[..., Any]:
        """Compile the network for the shapes of batches; return it as it is on a CPU, or where that fails."""
        if self.device.type == "cpu":
            return network
        torch.compiler.reset()  # a second training in this process would meet the limit on recompilations, and run uncompiled
        compiled: Callable[..., Any] = torch.compile(lambda x, pid, add: network(x, pid, add), dynamic=False)
        start = time.monotonic()
        try:
            for rows, bucket in self._parts(self.learned[: self.settings.batch]):
                x, pid, add, _ = self.jets.padded(rows, bucket.length)
                compiled(x, pid, add).sum().backward()
        except Exception as error:  # of many kinds: compilers, drivers
            self._print(f"compilation failed, continuing without it, at about a third of the speed: {error!r}"[:2000])
            return network
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        memory = torch.cuda.max_memory_allocated(self.device) / 2**30
        self._print(f"compiled in {time.monotonic() - start:.0f} s; {memory:.0f} GiB of GPU memory")
        return compiled

    def _print(self, text: str) -> None:
        if not self.rank:
            of_several = "" if self.settings.split_seed is None else f"seed {self.settings.seed}: "
            console.print(f"{time.strftime('%H:%M:%S')} {of_several}{escape(text)}")


def _validation_mask(event: Rows, settings: TrainingSettings) -> NDArray[np.bool_]:
    """Return which jets are held back: all or none of an event."""
    numbers, place = np.unique(event, return_inverse=True)
    drawn = np.random.default_rng([settings.seed_of_split, 5]).random(len(numbers)) < settings.held_back
    return drawn[place]


def _parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters with and without weight decay; norms and tokens do not decay, as PET2 states."""
    kept = model.no_weight_decay()
    free = [p for name, p in model.named_parameters() if any(word in name for word in kept)]
    decaying = [p for name, p in model.named_parameters() if not any(word in name for word in kept)]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
