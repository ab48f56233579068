"""The distance correlation as a loss: differentiable in PyTorch, so that two networks can be trained to be independent."""

from __future__ import annotations

from typing import Any

from oddjets.core.optional_imports import require
from oddjets.stats.divergence import LEAST_EVENTS

__all__ = ["distance_correlation_of"]


def distance_correlation_of(one: Any, other: Any) -> Any:
    """Return the bias-corrected squared distance correlation of two tensors, a tensor of no dimension.

    `oddjets.stats.divergence.distance_correlation` computes the same for arrays, without derivatives (G. J. Szekely, M. L.
    Rizzo, Ann. Stat. 42 (2014) 2382). As a loss: DisCo, G. Kasieczka, D. Shih, Phys. Rev. Lett. 125 (2020) 122001; for the two
    variables of ABCD: G. Kasieczka, B. Nachman, M. D. Schwartz, D. Shih, arXiv:2007.14400. Without the correction, the loss of
    independent variables in a batch of n would be of the order 1 / n, and the networks would be trained to lower this. Memory
    grows with the square of n.

    Args:
        one: (n,).
        other: likewise.

    Raises:
        OddjetsError: PyTorch is not installed.
        ValueError: fewer than ten jets.
    """
    torch = require("torch")
    n = len(one)
    if n < LEAST_EVENTS:
        raise ValueError(f"a distance correlation needs {LEAST_EVENTS} jets, not {n}")

    off_diagonal = 1 - torch.eye(n, dtype=one.dtype)

    def centred(values: Any) -> Any:
        distances = (values[:, None] - values[None, :]).abs()
        rows = distances.sum(dim=0)
        found = distances - (rows[:, None] + rows[None, :]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
        return found * off_diagonal

    a, b = centred(one), centred(other)
    widths = (a * a).sum() * (b * b).sum()
    # without any spread there is nothing to correlate, and the root has no derivative
    return (a * b).sum() / widths.clamp_min(1e-30).sqrt()
