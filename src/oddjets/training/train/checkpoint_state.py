"""The state of a training, saved so that it can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from oddjets.core.errors import OddjetsError
from oddjets.training.export.checkpoint import read_tensors

__all__ = ["STATE", "TrainingState", "read_state"]

#: its name in the training's folder
STATE = "training.pt"


class TrainingState(NamedTuple):
    """The state of a training.

    Attributes:
        step: steps done.
        steps: steps in all.
        best: weights with the smallest loss on held-back jets, by name.
        loss: that loss; infinite before the first look.
        history: for each look: step, loss in training, held-back loss, that of averaged weights, AUC of the better.
        settings: as of `TrainingSettings`.
        jets: how many jets are learned.
    """

    step: int
    steps: int
    best: dict[str, Any]
    loss: float
    history: list[list[float]]
    settings: dict[str, Any]
    jets: int


def read_state(folder: Path) -> TrainingState | None:
    """Return the state of the training in a folder; None if it did not begin.

    Raises:
        OddjetsError: its file is damaged, or something else.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        content = read_tensors(path)
        return TrainingState(**{name: content[name] for name in TrainingState._fields})
    except (OddjetsError, KeyError, TypeError) as error:
        raise OddjetsError(f"{path} is not the state of a training: remove it to start again ({error})") from error
