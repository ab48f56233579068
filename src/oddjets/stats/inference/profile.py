"""Profile likelihoods: points fitted in batches, outwards from a minimum, each started from its neighbours."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from oddjets.stats.histfactory.hessian import SingularModelError, covariance
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Data
from oddjets.stats.histfactory.starts import is_small

__all__ = ["PointRequest", "ProfileLikelihood", "ProfilePoint", "find_lower_minima", "fit_points"]

#: the first guess of a distance without a covariance: where -2 log L has risen by this squared, all others fixed
STRIDE = 0.5
#: largest first guess of a distance if there is no bound, in units of the value or of one
FURTHEST = 1e9
#: a straight line through two known points is extrapolated up to this multiple of their distance
EXTRAPOLATED = 2.0
#: largest size of a batch, in bins times processes: about a hundred megabytes
MOST_YIELDS = 2_000_000
#: smallest distance of points that are fitted from further starts, in sqrt(-2 Delta log L), and in a model with many bins or
#: global parameters, where the starts of a point take long; points that a result is read from are always fitted from them
MIN_SPACING, LARGE_SPACING = 0.02, 0.5
#: more bins than this are many
MANY_BINS = 60
#: largest number of passes in which points are refitted from their neighbours
MOST_SWEEPS = 20
#: a point that is lower in -2 log L by more than this is a different minimum: fits are exact to about 1e-7
LOWER = 1e-5
#: a point that is lower by more than this is a different minimum than the fit at the start of the profile
LOWER_THAN_START = 1e-4


class ProfilePoint(NamedTuple):
    """A fit with the parameter fixed at a value: the deviance and all parameters, (n,), of the minimum."""

    value: float
    deviance: float
    parameters: np.ndarray


class ProfileLikelihood:
    """The likelihood of a data set as a function of one parameter, minimised over all others, as a list of fitted points.

    Args:
        model: the model.
        name: the parameter.
        start: the parameters of a fit, (n,), usually the best fit.
        deviance: the deviance of that fit.
        data: the data set; None: the workspace's.
        beyond: allow values of the parameter above its upper bound, where limits may lie.

    Attributes:
        minimum: the lowest point so far.
        low: the parameter's lower bound.
        high: its upper bound.
        failed: values at which no fit converged.
        checked: values at which other minima were searched for.
    """

    def __init__(
        self,
        model: HistFactoryModel,
        name: str,
        start: np.ndarray,
        deviance: float,
        data: Data | None = None,
        *,
        beyond: bool = False,
    ) -> None:
        self.model, self.name = model, name
        self.data = model.data if data is None else data
        p = model.parameters
        self.index = p.index(name)
        self.low, self.high = float(p.low[self.index]), np.inf if beyond else float(p.high[self.index])
        self.start = ProfilePoint(float(start[self.index]), float(deviance), np.asarray(start, dtype=float))
        self.minimum = self.start
        self.failed: set[float] = set()
        self.checked: set[float] = {self.start.value}
        self._points = [self.start]

    @property
    def points(self) -> Sequence[ProfilePoint]:
        """All points, in ascending order of the value."""
        return self._points

    @property
    def found_lower(self) -> bool:
        """Whether a point is lower than the fit at the start, which then was not the minimum."""
        return self.minimum is not self.start

    def height(self, point: ProfilePoint) -> float:
        """Return sqrt(-2 Delta log L) relative to the fit at the start; 0 for a point that is lower."""
        return float(np.sqrt(max(point.deviance - self.start.deviance, 0.0)))

    def point_at(self, value: float) -> ProfilePoint | None:
        """Return the point at a value, if there is one."""
        place = bisect.bisect_left(self._points, value, key=lambda point: point.value)
        return self._points[place] if place < len(self._points) and self._points[place].value == value else None

    def add(self, point: ProfilePoint) -> None:
        """Add a point; it replaces the one at the same value."""
        place = bisect.bisect_left(self._points, point.value, key=lambda known: known.value)
        if place < len(self._points) and self._points[place].value == point.value:
            self._points[place] = point
        else:
            self._points.insert(place, point)
        self.failed.discard(point.value)
        # beyond its bound the parameter has no best value
        inside = point.value <= self.model.parameters.high[self.index]
        if inside and point.deviance < self.minimum.deviance - (LOWER if self.found_lower else LOWER_THAN_START):
            self.minimum = point

    def unit(self, side: float) -> float:
        """Return the distance over which sqrt(-2 Delta log L) rises by about one.

        It is taken from the covariance; without one, from the likelihood with all other parameters fixed.

        Args:
            side: +1 above the minimum, -1 below it.
        """
        if self._response is not None:
            return self._response[0]
        return self._upwards if side > 0 else self._downwards

    def starts(self, value: float) -> list[np.ndarray]:
        """Return starts for a fit at a value, best first: extrapolated from neighbours, each neighbour, the model's start."""
        p = self.model.parameters
        place = bisect.bisect_left(self._points, value, key=lambda point: point.value)
        around = sorted(self._points[max(place - 2, 0) : place + 2], key=lambda point: abs(point.value - value))
        near = around[0]
        result = [near.parameters, *(point.parameters for point in around[1:2]), p.init]
        if (guess := self._guess(value, around)) is not None:
            result.insert(0, np.clip(guess, p.low, p.high))
        for i, start in enumerate(result):
            result[i] = start.copy()
            result[i][self.index] = value
        return result

    def _guess(self, value: float, around: list[ProfilePoint]) -> np.ndarray | None:
        near, others = around[0], around[1:]
        # prefer a neighbour on the other side of the value: interpolation rather than extrapolation
        others.sort(key=lambda point: (point.value - value) * (near.value - value) > 0)
        if others:
            share = (value - near.value) / (near.value - others[0].value)
            if abs(share) <= EXTRAPOLATED:
                return np.asarray(near.parameters + share * (near.parameters - others[0].parameters))
        if self._response is not None:
            return np.asarray(near.parameters + (value - near.value) * self._response[1])
        return None

    @cached_property
    def _response(self) -> tuple[float, np.ndarray] | None:
        """The parameter's error at the start and the slopes of all parameters by it, (n,); None: there is no covariance."""
        p, values = self.model.parameters, self.start.parameters
        free = ~p.fixed & (values > p.low) & (values < p.high)
        free[self.index] = True
        try:
            found = covariance(self.model, values, self.data, free)
        except SingularModelError:
            return None
        row = found.parts.rows(np.array([self.index]))[0]
        variance = row[self.index]
        if not (np.isfinite(row).all() and variance > 0) or len(found.kinks.bins):
            return None
        return float(np.sqrt(variance)), row / variance

    @cached_property
    def _upwards(self) -> float:
        return self._first_step(1.0)

    @cached_property
    def _downwards(self) -> float:
        return self._first_step(-1.0)

    def _first_step(self, side: float) -> float:
        """Return 1/STRIDE times a step after which -2 log L has risen by STRIDE^2 with others fixed; the profile rises less."""
        p, start = self.model.parameters, self.start.parameters
        room = (self.high - self.start.value) if side > 0 else (self.start.value - self.low)
        if not np.isfinite(room):
            room = float(p.high[self.index] - p.low[self.index])
        room = min(room, FURTHEST * max(1.0, abs(self.start.value)))
        steps = room * np.geomspace(1e-15, 1.0, 61)
        rise = np.empty(len(steps))
        most = _most_rows(self.model)
        for first in range(0, len(steps), most):
            part = steps[first : first + most]
            points = np.repeat(start[None], len(part), axis=0)
            points[:, self.index] = np.clip(self.start.value + side * part, self.low, self.high)
            data = Data(*(np.repeat(a, len(part), axis=0) for a in self.data))
            rise[first : first + most] = self.model.deviance(points, data)
        rise -= float(self.model.deviance(start[None], self.data)[0])
        above = np.flatnonzero(~(rise < STRIDE**2))
        return float(steps[above[0]] if len(above) else room) / STRIDE


#: a point to be fitted: the profile, and the value of its parameter
PointRequest = tuple[ProfileLikelihood, float]


def fit_points(requests: Sequence[PointRequest]) -> None:
    """Fit points of profiles of one model in one batch, and add them to the profiles; failed points are marked."""
    todo = [(profile, value) for profile, value in dict.fromkeys(requests) if profile.point_at(value) is None]
    starts = [profile.starts(value) for profile, value in todo]
    for profile, value in todo:
        profile.failed.add(value)
    for attempt in range(max(map(len, starts), default=0)):
        rows = [i for i, (profile, value) in enumerate(todo) if value in profile.failed and attempt < len(starts[i])]
        if not rows:
            return
        for i, point in zip(
            rows, _fitted([todo[i] for i in rows], [starts[i][attempt] for i in rows], lowest=False), strict=True
        ):
            if point is not None:
                todo[i][0].add(point)


def find_lower_minima(profiles: Sequence[ProfileLikelihood], results: Sequence[PointRequest] = ()) -> bool:
    """Search for lower minima at points of one model's profiles, by restarts and by starts from neighbouring points.

    Args:
        profiles: the profiles. Restarts are made at points that are not close to another one.
        results: points of them that results are read from: among close points, these have the restarts.

    Returns:
        Whether one was found.
    """
    points = [(profile, point.value) for profile in dict.fromkeys(profiles) for point in profile.points]
    new = [(profile, value) for profile, value in points if value not in profile.checked]
    for profile, value in new:
        profile.checked.add(value)
    spaced = [ask for profile in dict.fromkeys(profiles) for ask in _spaced(profile, set(new), set(results))]
    changed = _take_lower(spaced, [_at(profile, value).parameters for profile, value in spaced], lowest=True)
    lower = bool(changed)
    near = new
    for _ in range(MOST_SWEEPS):
        changed = []
        for step in (-1, 1):
            pairs = [(request, other) for request in near if (other := _neighbour(*request, step)) is not None]
            starts = [
                np.where(np.arange(len(q.parameters)) == request[0].index, request[1], q.parameters)
                for request, q in pairs
            ]
            changed += _take_lower([request for request, _ in pairs], starts, lowest=False)
        if not changed:
            break
        lower = True
        # a change at a point can lead to a lower minimum at its neighbours
        near = [
            (profile, q.value) for profile, value in changed for k in (-1, 1) if (q := _neighbour(profile, value, k))
        ]
    return lower


def _spaced(
    profile: ProfileLikelihood, new: Collection[PointRequest], results: Collection[PointRequest]
) -> list[PointRequest]:
    """Return those of a profile's new points that are not close to another one: a search clusters them at its crossing.

    Of close points that of a result is kept.
    """
    small = profile.model.spec.n_bins <= MANY_BINS and is_small(profile.model)
    others = MIN_SPACING if small else LARGE_SPACING
    chosen: list[PointRequest] = []
    heights: list[float] = []
    for spacing, of_result in ((MIN_SPACING, True), (others, False)):
        for point in profile.points:
            request = (profile, point.value)
            height = float(np.sign(point.value - profile.start.value)) * profile.height(point)
            if (request in results) is of_result and all(abs(height - h) > spacing for h in heights):
                heights.append(height)
                if request in new:
                    chosen.append(request)
    return chosen


def _at(profile: ProfileLikelihood, value: float) -> ProfilePoint:
    point = profile.point_at(value)
    assert point is not None
    return point


def _neighbour(profile: ProfileLikelihood, value: float, step: int) -> ProfilePoint | None:
    place = bisect.bisect_left(profile.points, value, key=lambda point: point.value) + step
    return profile.points[place] if 0 <= place < len(profile.points) else None


def _take_lower(requests: Sequence[PointRequest], starts: Sequence[np.ndarray], *, lowest: bool) -> list[PointRequest]:
    """Refit known points and keep lower results; return those that are lower by more than a fit's precision."""
    result = []
    for (profile, value), point in zip(requests, _fitted(requests, starts, lowest=lowest), strict=True):
        known = _at(profile, value)
        if point is not None and point.deviance < known.deviance:
            if point.deviance < known.deviance - LOWER:
                result.append((profile, value))
            profile.add(point)
    return result


def _fitted(
    requests: Sequence[PointRequest], starts: Sequence[np.ndarray], *, lowest: bool
) -> list[ProfilePoint | None]:
    """Fit points in batches; None if a fit does not converge."""
    result: list[ProfilePoint | None] = []
    most = _most_rows(requests[0][0].model) if requests else 1
    for first in range(0, len(requests), most):
        part = requests[first : first + most]
        model = part[0][0].model
        data = Data(*(np.concatenate(rows) for rows in zip(*(profile.data for profile, _ in part), strict=True)))
        held = np.zeros((len(part), len(model.parameters)), dtype=bool)
        held[np.arange(len(part)), [profile.index for profile, _ in part]] = True
        batch = model.fit_batch(data, np.stack(starts[first : first + most]), held, restarts=lowest)
        result += [
            ProfilePoint(value, float(deviance), parameters) if converged else None
            for (_, value), deviance, parameters, converged in zip(
                part, batch.deviance, batch.parameters, batch.converged, strict=True
            )
        ]
    return result


def _most_rows(model: HistFactoryModel) -> int:
    return max(1, MOST_YIELDS // (model.layout.nominal.size + 1))
