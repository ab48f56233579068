"""How far a training is, as a file from which it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from oddjets.core.errors import OddjetsError
from oddjets.training.export.checkpoint import read_tensors

__all__ = ["STATE", "TrainingState", "read_state"]

#: its name in the training's folder
STATE = "training.pt"


class TrainingState(NamedTuple):
    """How far a training is.

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
    """Return how far the training of a folder is; None for one that did not begin.

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
        raise OddjetsError(f"{path} is no state of a training: remove it to begin anew ({error})") from error
