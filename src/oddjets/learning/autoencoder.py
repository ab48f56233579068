"""Outliers as jets that a small network cannot copy through a bottleneck: autoencoders, trained with PyTorch.

Networks are arrays once they are trained: what computes scores, writes graphs and is sent to workers needs no PyTorch. All
random numbers are NumPy's, in float64 and one thread, so that a training gives the same bits again, whatever the number of
threads that train other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.core.optional_imports import require
from oddjets.learning.distance_correlation import distance_correlation_of
from oddjets.learning.model import Floats, GraphPart
from oddjets.learning.normal_columns import NormalColumns
from oddjets.learning.onnx_nodes import NodeWriter

__all__ = ["Autoencoder", "AutoencoderModel", "AutoencoderSettings", "AutoencoderTrainer", "fit_together"]

#: jets of a batch, or held out, of which the distance correlation is computed: its memory grows with their square
_MOST_CORRELATED = 2000


class Autoencoder(NamedTuple):
    """A network of three hidden layers, of which the middle one is a bottleneck; tanh after each but the last.

    Attributes:
        weights: of each layer, (n_in, n_out).
        biases: of each layer, (n_out,).
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def copies(self, values: Floats) -> Floats:
        """Return what the network makes of its input, (n, c).

        Args:
            values: (n, c).
        """
        found = values
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            found = (np.tanh(found) if layer else found) @ weights + bias
        return found

    def error(self, values: Floats) -> Floats:
        """Return the mean squared difference of a jet and its copy, (n,).

        Args:
            values: (n, c).
        """
        return np.asarray(np.square(values - self.copies(values)).mean(axis=1))

    def add_to(self, writer: NodeWriter, values: str) -> str:
        """Write the mean squared difference; return its name, float64, (batch, 1).

        Args:
            writer: of the graph.
            values: name of the input, float64, (batch, c).
        """
        found = values
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            found = writer.add("Tanh", found) if layer else found
            found = writer.add("Gemm", found, writer.constant(weights), writer.constant(bias))
        difference = writer.add("Sub", values, found)
        return writer.add("ReduceMean", writer.add("Mul", difference, difference), axes=[1], keepdims=1)


@dataclass(frozen=True)
class AutoencoderSettings:
    """Size and training of an autoencoder.

    Attributes:
        hidden: nodes before and behind the bottleneck.
        bottleneck: nodes; fewer than columns.
        rate: of the optimiser Adam.
        batch: jets in a step.
        most_epochs: passes over all jets.
        patience: epochs without a smaller loss on the jets held out before the training stops; the best state is kept.
        held_out: part of the events that is held out.
        least_jets: that a training needs.
    """

    hidden: int = 24
    bottleneck: int = 3
    rate: float = 3e-3
    batch: int = 256
    most_epochs: int = 100
    patience: int = 8
    held_out: float = 0.2
    least_jets: int = 400


class AutoencoderModel:
    """The mean of the reconstruction errors of autoencoders, in columns that are made normal.

    Args:
        columns: makes the columns normal.
        members: at least one.

    Attributes:
        columns: the same.
        members: likewise.
    """

    def __init__(self, columns: NormalColumns, members: Sequence[Autoencoder]) -> None:
        self.columns = columns
        self.members = list(members)

    def logit(self, features: npt.NDArray[Any]) -> Floats:
        """Return the mean of the reconstruction errors, (n,); see `oddjets.learning.model.FoldModel`."""
        return np.asarray(self.member_logits(features).mean(axis=0))

    def member_logits(self, features: npt.NDArray[Any]) -> Floats:
        """Return the reconstruction error by each member, (members, n); see `oddjets.learning.model.FoldModel`."""
        values = self.columns(features)
        return np.stack([member.error(values) for member in self.members])

    def graph(self, columns: str, output: str, prefix: str) -> GraphPart:
        """Return the ONNX nodes of the columns and of all members; see `oddjets.learning.model.FoldModel`."""
        writer = NodeWriter(columns, prefix)
        values = self.columns.add_to(writer)
        return writer.mean_of([member.add_to(writer, values) for member in self.members], output)


@dataclass(frozen=True)
class AutoencoderTrainer:
    """Training of `AutoencoderModel` on all jets, whatever their labels.

    A part of the events is held out and says when to stop, another part for each member. Signal among the jets of the training
    is no mistake, as long as it is rare: what is rare is copied badly.

    Attributes:
        members: trainings with different seeds, whose errors are averaged.
        settings: of each.
        names: of the columns, for errors.
    """

    members: int = 4
    settings: AutoencoderSettings = AutoencoderSettings()
    names: tuple[str, ...] = ()

    def __call__(
        self, features: npt.NDArray[Any], labels: npt.NDArray[np.int8], events: npt.NDArray[np.intp], seed: int
    ) -> AutoencoderModel:
        """Return the members, trained with the seeds (seed, 0), (seed, 1) and so on; see `oddjets.learning.model.Trainer`.

        Raises:
            OddjetsError: PyTorch is not installed; too few jets; no more columns than nodes of the bottleneck; a column that is
                empty or has one value; a training that diverges.
        """
        require("torch")  # before anything is computed
        columns = NormalColumns.of(features, self.names)
        values = columns(features)
        unique, of_jet = np.unique(events, return_inverse=True)
        members = []
        for member in range(self.members):
            random = np.random.default_rng((seed, member))
            held = (random.random(len(unique)) < self.settings.held_out)[of_jet]
            members += fit_together(values[~held], values[held], 1, 0.0, self.settings, random)
        return AutoencoderModel(columns, members)


def fit_together(
    values: Floats,
    held_out: Floats,
    number: int,
    decorrelation: float,
    settings: AutoencoderSettings,
    random: np.random.Generator,
) -> list[Autoencoder]:
    """Train autoencoders on the same jets or events, whose errors may be made independent of each other.

    The loss is the sum of the mean reconstruction errors and, for each two, ``decorrelation`` times their squared distance
    correlation.

    Args:
        values: to train on, about normal, (n, c).
        held_out: to tell when to stop, (m, c).
        number: of autoencoders.
        decorrelation: weight of the distance correlation; 0: they are trained without each other.
        settings: of each.
        random: for the first weights and the batches.

    Raises:
        OddjetsError: as `AutoencoderTrainer`.
    """
    torch = require("torch")
    torch.set_num_threads(1)  # of this process; several wait for each other longer than they compute
    columns = values.shape[1]
    if columns <= settings.bottleneck:
        raise OddjetsError(
            f"an autoencoder of {columns} columns with a bottleneck of {settings.bottleneck} copies every jet:"
            " take more columns"
        )
    if min(len(values), len(held_out) * 4) < settings.least_jets:
        raise OddjetsError(
            f"an autoencoder has {len(values)} jets to train on and {len(held_out)} held out, and needs"
            f" {settings.least_jets} and {settings.least_jets // 4}: take more events, or fewer folds"
        )
    sizes = (columns, settings.hidden, settings.bottleneck, settings.hidden, columns)
    networks = [_first_weights(sizes, random, torch) for _ in range(number)]
    optimiser = torch.optim.Adam([tensor for network in networks for tensor in network], lr=settings.rate)
    # in a random order, since the distance correlation is that of the first
    x, y = torch.from_numpy(values), torch.from_numpy(held_out[random.permutation(len(held_out))])
    best, kept, waited = np.inf, _arrays(networks), 0
    for _ in range(settings.most_epochs):
        order = random.permutation(len(values))
        for first in range(0, len(order) - settings.batch + 1, settings.batch):
            optimiser.zero_grad()
            loss = _loss(networks, x[order[first : first + settings.batch]], decorrelation, torch)
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            found = float(_loss(networks, y, decorrelation, torch))
        if not np.isfinite(found):
            raise OddjetsError("the training of an autoencoder diverges: take a smaller rate")
        best, kept, waited = (found, _arrays(networks), 0) if found < best else (best, kept, waited + 1)
        if waited >= settings.patience:
            break
    return kept


def _first_weights(sizes: Sequence[int], random: np.random.Generator, torch: Any) -> list[Any]:
    """Return weights and biases of all layers in turn, as tensors that are trained.

    Weights are uniform within the root of 6 / (n_in + n_out) (X. Glorot, Y. Bengio, AISTATS 2010), biases 0.
    """
    tensors = []
    for before, behind in pairwise(sizes):
        end = np.sqrt(6.0 / (before + behind))
        for array in (random.uniform(-end, end, (before, behind)), np.zeros(behind)):
            tensors.append(torch.from_numpy(array).requires_grad_())
    return tensors


def _arrays(networks: Sequence[Sequence[Any]]) -> list[Autoencoder]:
    arrays = [[tensor.detach().numpy().copy() for tensor in network] for network in networks]
    return [Autoencoder(tuple(network[::2]), tuple(network[1::2])) for network in arrays]


def _loss(networks: Sequence[Sequence[Any]], x: Any, decorrelation: float, torch: Any) -> Any:
    errors = []
    for network in networks:
        found = x
        for layer in range(0, len(network), 2):
            found = torch.addmm(network[layer + 1], torch.tanh(found) if layer else found, network[layer])
        errors.append((x - found).square().mean(dim=1))
    total = sum(error.mean() for error in errors)
    if decorrelation:
        few = [error[:_MOST_CORRELATED] for error in errors]
        for i, one in enumerate(few):
            total = total + decorrelation * sum(distance_correlation_of(one, other) for other in few[i + 1 :])
    return total
