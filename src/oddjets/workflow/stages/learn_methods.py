"""The methods of the stage `learn`: from labels of the jets, or without any."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence

from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.optional_imports import require
from oddjets.learning.autoencoder import AutoencoderTrainer
from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.mixture import MixtureTrainer
from oddjets.learning.model import Trainer

__all__ = ["METHODS", "OUTLIERS", "chosen_method", "trained_with", "trainer_of"]

#: without labels: jets are scored by how odd they are among all
OUTLIERS = ("autoencoder", "mixture")
METHODS = ("tag-n-train", "mass-window", *OUTLIERS)
#: stands for one of `OUTLIERS`
_EITHER = "outliers"


def chosen_method(asked: str) -> tuple[str, str]:
    """Return a method of `METHODS`, and why it was chosen; "" if it is the one that was asked for.

    Args:
        asked: one of `METHODS`; or ``outliers``: an autoencoder where PyTorch is installed, a mixture elsewhere.

    Raises:
        OddjetsError: no such method, or an autoencoder is asked for and PyTorch is not installed.
    """
    if asked == _EITHER:
        if importlib.util.find_spec("torch") is not None:
            return "autoencoder", "autoencoder, since PyTorch is installed; '--method mixture' needs none"
        return "mixture", "mixture, since PyTorch is not installed; '--method autoencoder' needs it (extra 'train')"
    if asked not in METHODS:
        raise OddjetsError(f"--method: no method '{asked}'; {nearest(asked, (*METHODS, _EITHER))}")
    if asked == "autoencoder":
        require("torch")
    return asked, ""


def trained_with(method: str) -> str:
    """Return the package that trains, and its version: another one may give other numbers.

    Args:
        method: of `METHODS`.

    Raises:
        OddjetsError: it is not installed.
    """
    package, module, extra = (
        ("torch", "torch", "train") if method == "autoencoder" else ("scikit-learn", "sklearn", "learn")
    )
    require(module, extra)
    return f"{package} {importlib.metadata.version(package)}"


def trainer_of(method: str, members: int, columns: Sequence[str]) -> tuple[Trainer, str]:
    """Return what trains a fold, and what it trains in words.

    Args:
        method: of `METHODS`.
        members: trainings of each fold.
        columns: names of the columns, for errors.
    """
    if method == "mixture":
        mixture = MixtureTrainer(members=members, names=tuple(columns))
        return mixture, f"{members} mixtures of {mixture.components} normal distributions"
    if method == "autoencoder":
        network = AutoencoderTrainer(members=members, names=tuple(columns))
        return network, f"{members} autoencoders with a bottleneck of {network.settings.bottleneck}"
    return BoostedTrainer(members=members, names=tuple(columns)), f"{members} boosted ensembles of small trees"
