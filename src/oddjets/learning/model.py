"""The protocols of what a fold trains: a model of the columns of a jet, and a trainer that makes one."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "FoldModel", "GraphPart", "Trainer"]

Floats = npt.NDArray[np.float64]


class GraphPart(NamedTuple):
    """A part of an ONNX graph.

    Attributes:
        nodes: ``onnx.NodeProto``, in order.
        constants: ``onnx.TensorProto``, the initializers.
    """

    nodes: list[Any]
    constants: list[Any]


class FoldModel(Protocol):
    """A model of the columns of one jet, as one fold trains it: large output for odd jets."""

    def logit(self, features: npt.NDArray[Any]) -> Floats:
        """Return the raw score of jets, (n,), any real number; the mean of the members of an ensemble.

        Args:
            features: (n, columns), rounded to float32 before use, as the graph has them; NaN where there is no value.
        """
        ...

    def member_logits(self, features: npt.NDArray[Any]) -> Floats:
        """Return the raw score by each member, (members, n); their mean is `logit`.

        Args:
            features: as for `logit`.
        """
        ...

    def graph(self, columns: str, output: str, prefix: str) -> GraphPart:
        """Return the part of an ONNX graph that computes `logit`.

        Args:
            columns: name of its input, float32, (batch, columns).
            output: name of its output, float32, (batch, 1).
            prefix: what names of nodes and constants begin with, so that those of several folds differ.
        """
        ...


class Trainer(Protocol):
    """A way to train a model on the jets of some events."""

    def __call__(
        self, features: npt.NDArray[Any], labels: npt.NDArray[np.int8], events: npt.NDArray[np.intp], seed: int
    ) -> FoldModel:
        """Return a model.

        Args:
            features: of jets, (n, columns).
            labels: 1 or 0, (n,); of a training without labels, all 0.
            events: number of the event of each jet, (n,): whatever is held out is held out by event.
            seed: of all random numbers.

        Raises:
            OddjetsError: too few jets, or a class that is empty.
        """
        ...
