"""pyhf's lowest minima of hard workspaces, by MINUIT from several starts: what the fast fit is measured against."""

from __future__ import annotations

import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import pyhf
from helpers.random_workspace import hard_workspace

#: starts of a fit
STARTS = 8


class Reference(NamedTuple):
    """pyhf's lowest -2 ln L of one workspace.

    Attributes:
        seed: of the workspace.
        twice_nll: None where no start converged.
        converged: how many starts did.
        seconds: of all of them.
        clipped: by ``clip_bin_data=0``.
    """

    seed: int
    twice_nll: float | None
    converged: int
    seconds: float
    clipped: bool = False


def starts(model: pyhf.Model, seed: int) -> list[np.ndarray]:
    """pyhf's own start, near both ends of the ranges, and five random points."""
    config, rng = model.config, np.random.default_rng([seed, 1])
    init, fixed = np.array(config.suggested_init()), np.array(config.suggested_fixed())
    low, high = np.array(config.suggested_bounds(), dtype=float).T
    for name in config.par_order:
        if (parameter := config.param_set(name)).constrained:
            s = config.par_slice(name)
            width = 3 * np.maximum(np.array(parameter.width()), 1e-3)
            low[s], high[s] = np.maximum(low[s], init[s] - width), np.minimum(high[s], init[s] + width)
    points = [init, low + 0.02 * (high - low), high - 0.02 * (high - low)]
    points += [low + rng.random(len(init)) * (high - low) for _ in range(STARTS - 3)]
    return [np.where(fixed, init, point) for point in points]


def reference(seed: int) -> Reference:
    """Fit one hard workspace by pyhf from every start.

    pyhf rewards an empty bin for expecting less than nothing, without end; where its lowest minimum does, all starts are fitted
    again with its ``clip_bin_data=0``, which is the likelihood here.
    """
    before = pyhf.get_backend()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(maxiter=20000, strategy=0))
    try:
        workspace, began = pyhf.Workspace(hard_workspace(seed)), time.perf_counter()
        model = workspace.model(validate=False)
        data = workspace.data(model)
        values, points = minima(model, data, seed)
        clipped = bool(points) and below_zero(model, data, points[int(np.argmin(values))])
        if clipped:
            values, _ = minima(workspace.model(validate=False, clip_bin_data=0.0), data, seed)
    finally:
        pyhf.set_backend(*before)
    took = round(time.perf_counter() - began, 2)
    return Reference(seed, min(values, default=None), len(values), took, clipped=clipped)


def minima(model: pyhf.Model, data: Any, seed: int) -> tuple[list[float], list[np.ndarray]]:
    """Return -2 ln L of those starts that converge, and where."""
    values, points, config = [], [], model.config
    for start in starts(model, seed):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                point, value = pyhf.infer.mle.fit(
                    data,
                    model,
                    start.tolist(),
                    config.suggested_bounds(),
                    config.suggested_fixed(),
                    return_fitted_val=True,
                )
            # the last: iminuit without an error matrix, which pyhf takes for granted
            except (pyhf.exceptions.FailedMinimization, ValueError, AttributeError):
                continue
        if np.isfinite(value):
            values.append(float(value))
            points.append(point)
    return values, points


def below_zero(model: pyhf.Model, data: Any, point: np.ndarray) -> bool:
    """Tell whether a point expects less than nothing in an empty bin."""
    rate = model.expected_data(point, include_auxdata=False)
    return bool(((rate < -1e-6) & (np.array(data)[: len(rate)] <= 0)).any())
