"""Settings of a training."""

from __future__ import annotations

from dataclasses import dataclass, field

from oddjets.training.class_labels import KNOWN, QCD, SIGNAL

__all__ = ["MAX_CONSTITUENTS", "N_CLASSES", "TrainingSettings", "class_shares"]

#: outputs of the published networks
N_CLASSES = 210
#: constituents of a jet that are used; the hardest
MAX_CONSTITUENTS = 128

#: of QCD: near to what dijets are made of, heavy flavours often enough to be learned
_QCD_SHARES = {"QCD_q": 0.35, "QCD_g": 0.35, "QCD_c": 0.15, "QCD_b": 0.15}
#: of signal: all alike but the one that is least unlike QCD
_SIGNAL_SHARES = {name: 0.5 if name == "X_gg" else 1.0 for name in SIGNAL}


@dataclass(frozen=True)
class TrainingSettings:
    """The settings, beside the jets, that decide the result of a training.

    Attributes:
        epochs: passes over as many jets as there are.
        batch: jets of a step, on all devices together.
        seed: of the first weights, the order of the jets, and their rotations.
        supervised: whether jets of known particles are learned too.
        learning_rate: the largest; it rises linearly for a while, and falls with the cosine.
        dropout: in the perceptrons of PET2.
        weight_decay: of AdamW, except for norms and tokens.
        average: the decay of the moving average of the weights, per step.
        held_back: the share of events that judges which state is kept.
        network: sizes of PET2 other than those of the small model.
        split_seed: decides which events are held back, where several trainings share them; None: `seed`.
    """

    epochs: int = 8
    batch: int = 2048
    seed: int = 1
    supervised: bool = False
    learning_rate: float = 1e-3
    dropout: float = 0.05
    weight_decay: float = 0.1
    average: float = 0.999
    held_back: float = 0.05
    network: dict[str, int] = field(default_factory=dict)
    split_seed: int | None = None

    @property
    def seed_of_split(self) -> int:
        """The seed of what is held back."""
        return self.seed if self.split_seed is None else self.split_seed


def class_shares(supervised: bool) -> tuple[dict[int, float], dict[int, float]]:
    """Return the share of each class that is trained on, QCD and signal, by output index.

    Args:
        supervised: whether known particles are among the signal.
    """
    signal = {SIGNAL[name]: share for name, share in _SIGNAL_SHARES.items()}
    if supervised:
        signal |= dict.fromkeys(KNOWN.values(), 1.0)
    return {QCD[name]: share for name, share in _QCD_SHARES.items()}, signal
