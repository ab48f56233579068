"""The authors' PET2 as a reference, in float64 or in another arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from oddjets.core.kinematics import offsets_from
from oddjets.core.optional_imports import require
from oddjets.scoring.inputs import PreparedJets, UnusualCounts
from oddjets.training.export.checkpoint import Checkpoint

__all__ = ["PaddedJets", "Reference"]

#: jets at a time on a CPU, and on a GPU: float64 attention of neighbours needs some 20 MB a jet
_BATCH = {"cpu": 8, "cuda": 128}


class PaddedJets(NamedTuple):
    """Inputs of the network, padded with zeros.

    Attributes:
        x: d_eta, d_phi, ln pT, ln E of the constituents (GeV); shape (n_jets, constituents, 4).
        pid: species, shape (n_jets, constituents).
        add: tanh d0, d0 error, tanh dz, dz error (cm), shape (n_jets, constituents, 4).
    """

    x: NDArray[np.float32]
    pid: NDArray[np.int64]
    add: NDArray[np.float32]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Constituents of each jet, shape (n_jets,): up to the last that the network sees."""
        seen = self.x[..., 2] != 0
        counts: NDArray[np.int64] = np.where(seen.any(axis=1), seen.shape[1] - seen[:, ::-1].argmax(axis=1), 0)
        return counts

    def padded(self, length: int) -> PaddedJets:
        """Return these jets with more padding, if they have fewer than ``length`` constituents."""
        missing = max(0, length - self.x.shape[1])
        pad = ((0, 0), (0, missing))
        return PaddedJets(np.pad(self.x, (*pad, (0, 0))), np.pad(self.pid, pad), np.pad(self.add, (*pad, (0, 0))))

    def take(self, rows: slice, length: int | None = None) -> PaddedJets:
        """Return some of the jets, with at most the first ``length`` constituents of each."""
        return PaddedJets(self.x[rows, :length], self.pid[rows, :length], self.add[rows, :length])

    def prepared(self) -> PreparedJets:
        """Return these jets in the form that `oddjets.scoring.scorer.Scorer` takes."""
        counts = self.counts
        real = np.arange(self.x.shape[1]) < counts[:, np.newaxis]
        columns = {name: array[real] for name, array in self._asdict().items()}
        return PreparedJets(
            offsets_from(counts), columns, UnusualCounts(len(counts), int(np.count_nonzero(counts == 0)), 0, 0)
        )


class Reference:
    """OmniLearned 0.2.0's PET2 as its command line builds it, with the weights of a checkpoint.

    Attributes:
        model: the ``omnilearned.network.PET2``, for evaluation.
    """

    def __init__(self, checkpoint: Checkpoint, device: Literal["cpu", "cuda"] = "cpu") -> None:
        torch, network = require("torch"), require("omnilearned.network")
        config = checkpoint.config
        self._neighbours, self._device = config.neighbours, device
        self.model = network.PET2(
            input_dim=4,
            use_int=True,
            local_int=True,
            pid=True,
            pid_dim=config.species,
            add_info=True,
            mode="classifier",
            num_classes=config.n_classes,
            base_dim=config.base_dim,
            num_transformers=config.depth,
            num_transformers_head=config.head_depth,
            num_tokens=config.tokens,
            num_heads=config.heads,
            K=config.neighbours,
            num_coord=2,
        ).eval()
        weights = {name: torch.from_numpy(array) for name, array in checkpoint.weights.items()}
        self.model.load_state_dict(weights, strict=True)
        self.model.to(device)

    def logits(
        self,
        jets: PaddedJets,
        *,
        double: bool = True,
        stable: bool = False,
        arithmetic: Callable[[], Any] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Run the network.

        Args:
            jets: the jets.
            double: in float64; else in float32.
            stable: with the pair mass without cancellation.
            arithmetic: makes a context in which matrices are multiplied otherwise; see `oddjets.training.validate.numerics`.
            progress: called with the number of jets done since the last call.

        Returns:
            Logits, shape (n_jets, n_classes).
        """
        torch, layers = require("torch"), require("omnilearned.layers")
        dtype = torch.float64 if double else torch.float32
        model = self.model.to(dtype)
        # OmniLearned's top-k needs one constituent more than it has neighbours
        jets = jets.padded(self._neighbours + 1)
        out = []
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if double:  # its masks, and the pair features added to them, are cast by .float(), to float32
                stack.enter_context(mock.patch.object(torch.Tensor, "float", torch.Tensor.double))
            if stable:
                stack.enter_context(mock.patch.object(layers, "get_mass", _stable_mass))
            if arithmetic is not None:
                stack.enter_context(arithmetic())
            batch = _BATCH[self._device]
            for start in range(0, len(jets.x), batch):
                some = jets.take(slice(start, start + batch))
                length = max(self._neighbours + 1, int(some.counts.max()))
                x, pid, add = (torch.from_numpy(np.ascontiguousarray(a[:, :length])).to(self._device) for a in some)
                result = model(x.to(dtype), None, None, pid, add.to(dtype))["y_pred"]
                out.append(result.to(torch.float64).cpu().numpy())
                if progress is not None:
                    progress(len(x))
        logits: NDArray[np.float64] = np.concatenate(out)
        return logits


def _stable_mass(xi: Any, xj: Any, mask: Any, is_log: bool = False) -> Any:
    """Return the logarithm of a pair's squared mass; replaces ``omnilearned.layers.get_mass``, same arguments."""
    torch = require("torch")
    half = (xi[..., :2] - xj[..., :2]) / 2
    angle = torch.sinh(half[..., 0]) ** 2 + torch.sin(half[..., 1]) ** 2
    mass2 = 4 * torch.exp(xi[..., 2] + xj[..., 2]) * angle
    if not is_log:
        return torch.sqrt(mass2).unsqueeze(-1) * mask
    return torch.log(torch.where(mass2 > 0, mass2, 1.0)).unsqueeze(-1) * mask
