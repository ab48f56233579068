"""Positive definite approximations of symmetric matrices, so that a Newton step is always a descent step."""

from __future__ import annotations

import numpy as np

__all__ = ["nearby_positive", "solve_positive"]

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


def _is_positive(matrix: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return bool(np.linalg.eigvalsh(matrix)[0] > FLOOR)
    return True


def solve_positive(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve linear systems whose matrices have a unit diagonal, by the absolute eigenvalues if one is negative.

    Args:
        matrices: (T, K, K), symmetric.
        right: (T, K).

    Returns:
        The solutions, (T, K); NaN where a matrix is not finite.
    """
    result = np.full_like(right, np.nan)
    finite = np.isfinite(matrices).all(axis=(1, 2))
    good = finite.copy()
    try:
        np.linalg.cholesky(matrices[finite])
    except np.linalg.LinAlgError:
        # a single matrix that is not positive definite makes the call fail for all
        good[finite] = [_is_positive(matrix) for matrix in matrices[finite]]
    result[good] = np.linalg.solve(matrices[good], right[good][..., None])[..., 0]
    bad = finite & ~good
    if bad.any():
        values, vectors = np.linalg.eigh(matrices[bad])
        inside = np.einsum("tkl,tk->tl", vectors, right[bad]) / np.maximum(np.abs(values), FLOOR)
        result[bad] = np.einsum("tkl,tl->tk", vectors, inside)
    return result
