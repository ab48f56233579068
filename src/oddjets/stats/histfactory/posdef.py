"""Positive definite approximations of symmetric matrices, so that a Newton step is always a descent step."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dposv

__all__ = ["nearby_positive", "solve_absolute", "solve_positive"]

#: the least eigenvalue of a matrix whose diagonal is one
FLOOR = 1e-7


def nearby_positive(matrices: np.ndarray) -> np.ndarray:
    """Raise the pivots of small symmetric matrices that are not positive, leaving positive definite ones as they are.

    The modified Cholesky factorisation of Gill, Murray and Wright, Practical Optimization (1981), section 4.4.2.2.

    Args:
        matrices: (..., L, L).

    Returns:
        The matrices, positive definite.
    """
    L = matrices.shape[-1]
    if not L:
        return matrices
    rest = matrices.copy()
    diagonal = np.abs(np.einsum("...ll->...l", rest)).max(axis=-1)
    others = np.abs(rest * (1 - np.eye(L))).max(axis=(-2, -1))
    largest = np.maximum(np.maximum(diagonal, others / np.sqrt(max(L * L - 1, 1))), 1e-300)
    floor = 1e-13 * largest
    lower = np.broadcast_to(np.eye(L), rest.shape).copy()
    pivots = np.empty(rest.shape[:-1])
    changed = np.zeros(rest.shape[:-2], dtype=bool)
    for k in range(L):
        below = rest[..., k + 1 :, k]
        theta = np.abs(below).max(axis=-1, initial=0.0)
        pivot = rest[..., k, k]
        pivots[..., k] = np.maximum(np.maximum(np.abs(pivot), theta**2 / largest), floor)
        changed |= pivots[..., k] > pivot * (1 + 1e-9)
        lower[..., k + 1 :, k] = below / pivots[..., k, None]
        rest[..., k + 1 :, k + 1 :] -= lower[..., k + 1 :, k, None] * below[..., None, :]
    if not changed.any():
        return matrices
    raised = np.matmul(lower * pivots[..., None, :], lower.swapaxes(-1, -2))
    return np.where(changed[..., None, None], raised, matrices)


def solve_positive(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve linear systems with symmetric matrices, one Cholesky factorisation each.

    Args:
        matrices: (T, K, K), symmetric.
        right: (T, K).

    Returns:
        The solutions, (T, K); NaN where a matrix is not positive definite, or not finite.
    """
    result = np.full_like(right, np.nan)
    if not right.shape[1]:
        return result
    # LAPACK itself, because NumPy fails for all matrices of a batch if one is not positive definite
    for t, matrix in enumerate(matrices):
        _, solution, failed = dposv(matrix, right[t])
        if not failed:
            result[t] = solution
    return np.where(np.isfinite(result).all(axis=1, keepdims=True), result, np.nan)


def solve_absolute(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve linear systems whose matrices have diagonals of size one, with the absolute values of their eigenvalues.

    Args:
        matrices: (T, K, K), symmetric.
        right: (T, K).

    Returns:
        The solutions, (T, K); NaN where a matrix is not finite.
    """
    result = np.full_like(right, np.nan)
    finite = np.isfinite(matrices).all(axis=(1, 2))
    if finite.any():
        values, vectors = np.linalg.eigh(matrices[finite])
        inside = np.einsum("tkl,tk->tl", vectors, right[finite]) / np.maximum(np.abs(values), FLOOR)
        result[finite] = np.einsum("tkl,tl->tk", vectors, inside)
    return result
