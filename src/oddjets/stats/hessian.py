"""The exact Hessian of the likelihood over all parameters, and the covariance from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oddjets.errors import OddjetsError
from oddjets.stats.yields import Slopes, evaluate, row_weights, slopes, total

if TYPE_CHECKING:
    from oddjets.stats.model import Data, Model

__all__ = ["SingularModelError", "covariance", "hessian"]

#: a direction whose curvature is this small against its parameters' own is not determined
SINGULAR = 1e-11


class SingularModelError(OddjetsError):
    """The data cannot tell some parameters apart; the message names them."""


def hessian(model: Model, pars: np.ndarray, data: Data) -> np.ndarray:
    """Return the second derivatives of -log L at one point.

    Args:
        model: the model.
        pars: parameters, (n,).
        data: one data set.

    Returns:
        The matrix, (n, n), gammas included.
    """
    layout, p = model.layout, model.parameters
    alpha, local, gamma = model._split(pars[None])
    y = evaluate(layout, alpha, local)
    weight = np.concatenate([np.ones((1, gamma.shape[1], 1)), gamma], axis=2)
    rate = (y.rows * weight).sum(axis=2)[0]
    n = np.append(data.main[0], 0.0)[layout.order]
    r = np.where(rate > 0, 1 - n / np.where(rate > 0, rate, 1.0), 1.0)
    w = np.where(rate > 0, n / np.where(rate > 0, rate, 1.0) ** 2, 0.0)
    bend = total(y, row_weights(layout, r[None, :, None] * weight))
    P1, n_pars = len(rate), len(p)
    slope = np.zeros((P1, n_pars + 1))
    first = slopes(y, row_weights(layout, weight))
    slope[:, layout.global_pars] = first.by_global[0]
    # column n_pars takes what pads
    blocks = np.where(layout.block_pars >= 0, layout.block_pars, n_pars)[layout.bin_block]
    slope[np.arange(P1)[:, None], blocks] += first.by_local[0]
    gammas = np.where(layout.gamma_pars >= 0, layout.gamma_pars, n_pars)
    scaled = y.rows[0, :, 1:]
    slope[np.arange(P1)[:, None], gammas] += scaled
    result = (slope * w[:, None]).T @ slope
    by_row: list[Slopes] = [slopes(y, layout.row[None, :, :, 1 + k]) for k in range(gamma.shape[2])]
    g = layout.global_pars
    result[np.ix_(g, g)] += bend.global_global[0]
    for b in range(P1 - 1):
        lo = blocks[b]
        result[np.ix_(lo, lo)] += bend.local_local[0, b]
        if bend.global_local is not None:
            result[np.ix_(lo, g)] += bend.global_local[0, b]
            result[np.ix_(g, lo)] += bend.global_local[0, b].T
        for k, i in enumerate(gammas[b]):
            if i == n_pars:
                continue
            for index, part in ((g, by_row[k].by_global), (lo, by_row[k].by_local)):
                result[i, index] += r[b] * part[0, b]
                result[index, i] += r[b] * part[0, b]
    result = result[:-1, :-1]
    curvature = np.where(p.kind == "normal", 1 / np.where(p.sigma > 0, p.sigma, 1.0) ** 2, 0.0)
    poisson = p.kind == "poisson"
    curvature[poisson] = data.aux[0, poisson] / pars[poisson] ** 2
    result[np.arange(n_pars), np.arange(n_pars)] += curvature
    return result


def covariance(model: Model, pars: np.ndarray, data: Data, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert the Hessian of the free parameters.

    Args:
        model: the model.
        pars: the minimum, (n,).
        data: one data set.
        free: mask of the parameters that vary, (n,).

    Returns:
        The covariance, (n, n), zero where held; and the indices of free parameters without any effect, which stay out.

    Raises:
        SingularModelError: some directions are not determined; the message names their parameters.
    """
    matrix = hessian(model, pars, data)
    diagonal = np.diag(matrix)
    idle = free & (np.abs(diagonal) < 1e-12)
    index = np.flatnonzero(free & ~idle)
    scale = 1 / np.sqrt(np.abs(diagonal[index]))
    scaled = matrix[np.ix_(index, index)] * scale[:, None] * scale
    try:
        root = np.linalg.inv(np.linalg.cholesky(scaled))
        inverse = root.T @ root
    except np.linalg.LinAlgError:
        inverse = None
    # the smallest eigenvalue is at least one over the trace of the inverse
    if inverse is None or (len(index) and np.trace(inverse) > 1 / SINGULAR):
        _, vectors = np.linalg.eigh(scaled)
        vector = np.abs(vectors[:, 0])
        names = [model.parameters.names[index[i]] for i in np.argsort(-vector)[:6] if vector[i] > 0.2 * vector.max()]
        raise SingularModelError(
            "the model is singular: the data cannot tell these parameters apart: "
            + ", ".join(names)
            + "; remove one, or give it a constraint"
        )
    result = np.zeros_like(matrix)
    result[np.ix_(index, index)] = inverse * scale[:, None] * scale
    return result, np.flatnonzero(idle)
