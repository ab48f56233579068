"""Hessians of the shape of an arrow, and their inverses in parts: a matrix of ten thousand parameters takes 0.8 GB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

__all__ = ["Arrow", "ArrowInverse", "invert"]


class Arrow(NamedTuple):
    """A Hessian of the shape of an arrow: the global parameters couple to all, the rest only within small groups.

    Attributes:
        head: (K, K).
        groups: parameter index or -1, (G, m): local parameters with the gammas of their bins.
        across: (G, m, K); inside: (G, m, m).
    """

    head: np.ndarray
    groups: np.ndarray
    across: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class ArrowInverse:
    """The inverse of an arrow, (n, n): Z Z^T, and a block for each group; rows of parameters that are held are zero.

    Attributes:
        factor: Z, (n, K).
        groups: parameter index or -1, (G, m).
        blocks: (G, m, m).
    """

    factor: np.ndarray
    groups: np.ndarray
    blocks: np.ndarray

    @staticmethod
    def empty() -> ArrowInverse:
        """Return a matrix of no parameters."""
        return ArrowInverse(np.zeros((0, 0)), np.zeros((0, 0), dtype=int), np.zeros((0, 0, 0)))

    @cached_property
    def _place(self) -> tuple[np.ndarray, np.ndarray]:
        """Each parameter's group and its place there, (n,); -1 for the global ones."""
        group, place = (np.full(len(self.factor), -1) for _ in range(2))
        g, j = np.nonzero(self.groups >= 0)
        group[self.groups[g, j]], place[self.groups[g, j]] = g, j
        return group, place

    @cached_property
    def diagonal(self) -> np.ndarray:
        """The variances, (n,)."""
        result = (self.factor**2).sum(axis=1)
        there = self.groups >= 0
        result[self.groups[there]] += np.einsum("gjj->gj", self.blocks)[there]
        return np.asarray(result)

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Return some rows, (k, n).

        Args:
            index: the parameters, (k,).
        """
        index = np.asarray(index, dtype=int)
        n = len(self.factor)
        # column n takes the padding
        result = np.zeros((len(index), n + 1))
        np.matmul(self.factor[index], self.factor.T, out=result[:, :n])
        group, place = (a[index] for a in self._place)
        row = np.flatnonzero(group >= 0)
        result[row[:, None], self.groups[group[row]]] += self.blocks[group[row], place[row]]
        return result[:, :n]

    def among(self, index: np.ndarray) -> np.ndarray:
        """Return the rows and columns of some parameters, (k, k).

        Args:
            index: the parameters, (k,).
        """
        index = np.asarray(index, dtype=int)
        result = self.factor[index] @ self.factor[index].T
        group, place = (a[index] for a in self._place)
        i, j = np.nonzero((group[:, None] == group) & (group >= 0))
        result[i, j] += self.blocks[group[i], place[i], place[j]]
        return np.asarray(result)

    def dense(self) -> np.ndarray:
        """Return the whole matrix, (n, n)."""
        return self.rows(np.arange(len(self.factor)))


def invert(arrow: Arrow, global_pars: np.ndarray, scale: np.ndarray) -> ArrowInverse | None:
    """Invert an arrow by its Schur complement, as K is much less than n.

    Args:
        arrow: the Hessian.
        global_pars: parameter index of the head, (K,).
        scale: units of the parameters in which the diagonal is one, (n,); zero for those that are held.

    Returns:
        The inverse; None where the matrix is not positive definite.
    """
    K, (G, m) = len(global_pars), arrow.groups.shape
    rest = np.where(arrow.groups >= 0, scale[arrow.groups], 0.0)
    head_scale = scale[global_pars]
    inside = arrow.inside * rest[:, :, None] * rest[:, None, :]
    j, k = np.arange(m), np.arange(K)
    inside[:, j, j] += rest == 0
    across = arrow.across * rest[:, :, None] * head_scale
    head = arrow.head * head_scale[:, None] * head_scale
    head[k, k] += head_scale == 0
    try:
        root = np.linalg.inv(np.linalg.cholesky(inside)) if G * m else inside
        blocks = np.matmul(root.swapaxes(1, 2), root)
        carried = np.matmul(blocks, across).reshape(G * m, K)
        complement = head - across.reshape(G * m, K).T @ carried
        root = np.linalg.inv(np.linalg.cholesky(complement))
    except np.linalg.LinAlgError:
        return None
    factor = np.zeros((len(scale), K))
    there = arrow.groups >= 0
    factor[arrow.groups[there]] = (carried @ root.T).reshape(G, m, K)[there]
    factor[global_pars] = -root.T
    factor *= scale[:, None]
    return ArrowInverse(factor, arrow.groups, blocks * rest[:, :, None] * rest[:, None, :])
