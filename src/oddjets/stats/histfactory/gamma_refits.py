"""Refits with one gamma held, on the bins around it; the other bins enter by their quadratic expansion.

A gamma acts on one bin. If it is held at another value, the bin's own local parameters change much and the global ones
little; other bins depend only on the global ones. So a refit needs the exact likelihood of the bins that share the gamma's
block, and for the others the profile likelihood's gradient and Hessian by the global parameters at the best fit. Its cost
does not grow with the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from oddjets.stats.histfactory.hessian import profile_hessian
from oddjets.stats.histfactory.likelihood import LeftOutBins, objective
from oddjets.stats.histfactory.newton import minimise
from oddjets.stats.histfactory.results import Data, FitResult
from oddjets.stats.histfactory.tensors import cut

if TYPE_CHECKING:
    from oddjets.stats.histfactory.model import HistFactoryModel

__all__ = ["refit_gammas"]

#: bins per part
PART_BINS = 16
#: a shift of the global parameters, in units of their errors, up to which the rest's expansion is trusted; the strength is then
#: off by some per mille of its error at most (the third derivatives are of the order of the errors)
SMALL_SHIFT = 0.07


def _parts(model: HistFactoryModel) -> Iterator[np.ndarray]:
    """Yield the positions of the bins of each part, first whole blocks, then single bins."""
    layout = model.layout
    in_blocks = (len(layout.block_pars) - 1) * layout.block_size
    size = layout.block_size * max(1, PART_BINS // layout.block_size)
    for start in range(0, in_blocks, size):
        yield np.arange(start, min(start + size, in_blocks))
    for start in range(in_blocks, len(layout.order) - 1, PART_BINS):
        yield np.arange(start, min(start + PART_BINS, len(layout.order) - 1))


def refit_gammas(model: HistFactoryModel, best: FitResult, index: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Refit the workspace's data with one gamma held in each refit.

    Args:
        model: the model.
        best: its best fit, with covariance.
        index: the parameters to hold, (T,); those that are not gammas are omitted.
        start: starts of the refits, (T, n), including the values of the held gammas.

    Returns:
        The global parameters of each refit, (T, K); NaN where the refit did not converge, moves the global parameters too
        far for the expansion, or was omitted.
    """
    layout, p = model.layout, model.parameters
    result = np.full((len(index), len(layout.global_pars)), np.nan)
    free = best.errors > 0
    whole = profile_hessian(model, best.values, model.data, free, best.kinks)
    alpha, local, _ = model.split(best.values[None])
    fixed = np.broadcast_to(p.fixed, (1, len(p)))
    gradient = objective(layout, model.problem(model.data, best.values[None], fixed), alpha, local).gradient[0]
    for bins in _parts(model):
        rows = np.flatnonzero(np.isin(index, layout.gamma_pars[bins][layout.gamma_pars[bins] >= 0]))
        if not len(rows):
            continue
        part = copy.copy(model)
        part.layout = cut(layout, bins)
        alpha, local, _ = part.split(best.values[None])
        here = objective(part.layout, part.problem(model.data, best.values[None], fixed), alpha, local).gradient[0]
        hessian = whole - profile_hessian(part, best.values, model.data, free, best.kinks)
        rest = LeftOutBins(alpha[0], gradient - here, hessian)
        held = np.repeat(fixed, len(rows), axis=0)
        held[np.arange(len(rows)), index[rows]] = True
        data = Data(*(np.repeat(a, len(rows), axis=0) for a in model.data))
        begin, inside, _ = part.split(start[rows])
        found = minimise(part.layout, part.problem(data, start[rows], held)._replace(rest=rest), begin, inside)
        shift = found.alpha - alpha
        small = np.einsum("tk,kl,tl->t", shift, whole, shift) < SMALL_SHIFT**2
        result[rows] = np.where((found.converged & small)[:, None], found.alpha, np.nan)
    return result
