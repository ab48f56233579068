"""Scans of profile likelihoods."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oddjets.core.tables import Table, shown_as_table
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError, FitResult
from oddjets.stats.inference.profile import ProfileLikelihood
from oddjets.stats.inference.searches import Crossing, find_crossings, rise_search, rises

__all__ = ["Scan", "scan"]

#: a scan shows at least the range of so many standard deviations by the likelihood, not only by errors
LEAST_SIGMAS = 2.0


@shown_as_table
class Scan(NamedTuple):
    """A profile likelihood: parameter values and -2 Delta log L against the best fit, both (points,)."""

    values: np.ndarray
    twice_delta_nll: np.ndarray

    @property
    def _headline(self) -> str:
        return f"profile likelihood at {len(self.values)} points"

    def _tables(self) -> list[Table]:
        rows = [(f"{x:.4g}", f"{y:.4g}") for x, y in zip(self.values, self.twice_delta_nll, strict=True)]
        return [(("value", "-2 Delta log L"), rows)]


def scan(
    model: HistFactoryModel,
    name: str,
    best: FitResult,
    points: int = 41,
    sigmas: float = 3.0,
    include: float | None = None,
) -> Scan:
    """Scan the profile likelihood of a parameter about its best value.

    Args:
        model: the model.
        name: the parameter.
        best: the best fit.
        points: number of points; those whose fits fail are omitted.
        sigmas: range to each side, in units of the error of that side, within the bounds. Where -2 log L rises more slowly than
            a parabola, the range goes on until it has risen by 4, or by the square of `sigmas` if that is less.
        include: a value that the range reaches as well, if it is within the bounds.

    Returns:
        The scan.

    Raises:
        OddjetsError: the parameter is constant.
        FitError: no error was found on either side.
    """
    model.check_free(name)
    profile = ProfileLikelihood(model, name, best.values, best.deviance)
    sides = ((-1.0, profile.low), (1.0, profile.high))
    rise = min(sigmas, LEAST_SIGMAS) ** 2
    asked = [rise_search(profile, height, side) for side, _ in sides for height in (1.0, rise)]
    found = find_crossings(asked)
    value = profile.start.value
    ends = [_end(profile, side, bound, found[2 * i], found[2 * i + 1], sigmas) for i, (side, bound) in enumerate(sides)]
    if include is not None and profile.low <= include <= profile.high:
        ends = [min(ends[0], include), max(ends[1], include)]
    # the best value is one of the points; at a bound it is an end of the range
    others = points if value in ends else points - 1
    grid = np.unique(np.append(np.linspace(ends[0], ends[1], others), value))
    heights = rises(profile, grid.tolist())
    kept = np.isfinite(heights)
    return Scan(grid[kept], np.maximum(heights[kept], 0.0))


def _end(
    profile: ProfileLikelihood,
    side: float,
    bound: float,
    error: Crossing | FitError,
    risen: Crossing | FitError,
    sigmas: float,
) -> float:
    """Return where a scan ends on one side."""
    if isinstance(error, FitError):
        # without an error, scan up to the bound; failed points are omitted
        return bound
    value = profile.start.value
    reach = sigmas * abs(error.value - value)
    if not isinstance(risen, FitError):
        reach = max(reach, abs(risen.value - value))
    return float(np.clip(value + side * reach, profile.low, profile.high))
