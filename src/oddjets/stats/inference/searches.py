"""Searches for the parameter values at which profile likelihoods reach a height; their points are fitted in batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.profile import (
    PointRequest,
    ProfileLikelihood,
    ProfilePoint,
    find_lower_minima,
    fit_points,
)

__all__ = ["Crossing", "Search", "find_crossings", "rise_search", "rises"]

#: the rise of the height in each step outwards, if the profile is a parabola
STEP_RISE = 2.0
#: largest length of a step in units of the distance from the start, and largest number of steps
GROWTH, MAX_STEPS = 3.0, 200
#: largest distance of a search, in units of its first guess
FURTHEST = 1e12
#: the most times that a failing step is halved before a longer one is tried
HALVINGS = 6
#: a point is the crossing if its height is this close to the target, relative to it
CLOSE = 1e-6
#: the search ends if the interval has shrunk to this fraction of the value
NARROW = 1e-12
#: number of steps after which the interval must have halved
PATIENCE = 3
#: the most times that the search is repeated because of a lower minimum
MOST_CHECKS = 6
#: a target that is never reached, so that the search ends at its bound
UNREACHABLE = 1e300
#: offsets that are tried if a point fails, in units of the interval
OFFSETS = (0.0, 1e-3, -1e-3, 1e-2, -1e-2, 0.1, -0.1, 0.25, -0.25)
#: largest number of points of an interpolation
MAX_NODES = 4


class Crossing(NamedTuple):
    """The parameter value at which a search ends.

    Attributes:
        value: where the height equals the target; the bound if the height is below the target everywhere.
        at_bound: whether it is the bound.
    """

    value: float
    at_bound: bool


#: a running search: it yields the points that it needs next
Steps = Generator[list[PointRequest], None, Crossing]


@dataclass(frozen=True)
class Search:
    """A search for the value at which a height, which rises outwards along profiles, equals a target.

    Attributes:
        profiles: profiles of one parameter of one model; the height depends on a point of each.
        height: the height as a function of one point of each profile, linear if the profiles are parabolas. It may raise
            a FitError.
        target: the height to find.
        start: the first value; the height is below the target there.
        side: +1 upwards, -1 downwards.
        bound: the last value.
        unit: the approximate distance over which the height rises by one.
    """

    profiles: tuple[ProfileLikelihood, ...]
    height: Callable[[tuple[ProfilePoint, ...]], float]
    target: float
    start: float
    side: float
    bound: float
    unit: float

    def requests(self, value: float) -> list[PointRequest]:
        """Return the points whose fits give the height at a value."""
        return [(profile, value) for profile in self.profiles]

    def steps(self) -> Steps:
        """Step outwards until the target is bracketed, then interpolate.

        Raises:
            FitError: no fit converges near the target, or the target is not reached at any distance.
        """
        if self.start == self.bound:
            return Crossing(self.bound, True)
        yield self.requests(self.start)
        if self._height(self.start) is None:
            raise self._failure(self.start)
        widths: list[float] = []
        for _ in range(MAX_STEPS):
            known = self._known()
            first = next((i for i, (_, height) in enumerate(known) if height >= self.target), None)
            near = [i for i in (first, len(known) - 1 if first is None else first - 1) if i is not None]
            for value, height in (known[i] for i in near):
                if abs(height - self.target) <= CLOSE * self.target:
                    return Crossing(value, False)
            if first == 0:
                return Crossing(self.start, False)
            if first is None:
                if known[-1][0] == self.bound:
                    return Crossing(self.bound, True)
                yield from self._outwards(known)
                continue
            inner, outer = known[first - 1][0], known[first][0]
            widths.append(abs(outer - inner))
            if widths[-1] <= NARROW * max(abs(inner), abs(outer)):
                return Crossing(outer, False)
            stuck = len(widths) > PATIENCE and widths[-1] > 0.5 * widths[-1 - PATIENCE]
            yield from self._between(inner, outer, 0.5 * (inner + outer) if stuck else self._interpolated(known, first))
        raise FitError(
            f"-2 log L does not reach the required value within {MAX_STEPS} steps of {self.profiles[0].name}"
        )

    def _height(self, value: float) -> float | None:
        points = tuple(point for profile in self.profiles if (point := profile.point_at(value)) is not None)
        return self.height(points) if len(points) == len(self.profiles) else None

    def _known(self) -> list[tuple[float, float]]:
        """Return values and heights from the start outwards."""
        values = sorted(
            (p.value for p in self.profiles[0].points if (p.value - self.start) * self.side >= 0),
            key=lambda v: v * self.side,
        )
        return [(value, height) for value in values if (height := self._height(value)) is not None]

    def _interpolated(self, known: list[tuple[float, float]], first: int) -> float:
        """Interpolate the value as a function of the height to the target."""
        inner, outer = known[first - 1][0], known[first][0]
        low, high = min(inner, outer), max(inner, outer)
        around = sorted(known[max(first - 3, 0) : first + 3], key=lambda point: abs(point[1] - self.target))
        for number in range(min(MAX_NODES, len(around)), 1, -1):
            part = sorted(around[:number], key=lambda point: point[1])
            heights, values = np.array([h for _, h in part]), np.array([v for v, _ in part])
            if (np.diff(heights) > 0).all() and low < (value := _lagrange(heights, values, self.target)) < high:
                return value
        share = (self.target - known[first - 1][1]) / (known[first][1] - known[first - 1][1])
        value = inner + share * (outer - inner)
        return value if low < value < high else 0.5 * (inner + outer)

    def _outwards(self, known: list[tuple[float, float]]) -> Generator[list[PointRequest], None, None]:
        """Request a step outwards; if its fit fails, shorter steps, then longer ones."""
        inner, height = known[-1]
        unit, way = self.unit, abs(inner - self.start)
        if way > FURTHEST * self.unit:
            raise FitError(f"-2 log L does not reach the required value up to {self.profiles[0].name} = {inner:g}")
        if len(known) > 1 and height > known[-2][1]:
            unit = abs(inner - known[-2][0]) / (height - known[-2][1])
        length = min(1.02 * (self.target - height), STEP_RISE) * unit
        length = min(length, GROWTH * max(way, self.unit))
        # a small rest of the range is included in this step
        room = abs(self.bound - inner)
        length = room if length > 0.9 * room else max(length, 1e-3 * way)
        for share in (*(0.5**k for k in range(HALVINGS)), 1.5, 2.0):
            value = self.bound if share * length >= room else inner + self.side * share * length
            if value == inner:
                continue
            yield self.requests(value)
            if self._height(value) is not None:
                return
        raise self._failure(inner + self.side * length)

    def _between(self, inner: float, outer: float, value: float) -> Generator[list[PointRequest], None, None]:
        """Request a point between two others; if its fit fails, nearby points."""
        low, high = min(inner, outer), max(inner, outer)
        for offset in OFFSETS:
            now = float(np.clip(value + offset * (outer - inner), low, high))
            if now in (low, high):
                continue
            yield self.requests(now)
            if self._height(now) is not None:
                return
        raise self._failure(value)

    def _failure(self, value: float) -> FitError:
        return FitError(f"the fit did not converge with {self.profiles[0].name} held at {value:g}")


def _lagrange(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """Evaluate the polynomial through a few points."""
    off = ~np.eye(len(x), dtype=bool)
    weights = [np.prod((at - x[keep]) / (x[i] - x[keep])) for i, keep in enumerate(off)]
    return float(np.dot(weights, y))


def rise_search(profile: ProfileLikelihood, rise: float, side: float) -> Search:
    """Return the search for the value at which -2 log L has risen by a given amount above the minimum.

    Args:
        profile: the profile.
        rise: the rise of -2 log L.
        side: +1 above the minimum, -1 below it.
    """

    def height(points: tuple[ProfilePoint, ...]) -> float:
        if profile.found_lower:
            raise FitError(f"the profile of {profile.name} found a lower minimum than the best fit")
        return profile.height(points[0])

    return Search(
        (profile,),
        height,
        float(np.sqrt(rise)),
        profile.start.value,
        side,
        profile.high if side > 0 else profile.low,
        profile.unit(side),
    )


def find_crossings(searches: Sequence[Search]) -> list[Crossing | FitError]:
    """Run searches together; their points are checked from other starts, and the search is repeated if one leads lower.

    Returns:
        The crossing of each search, or the reason why there is none.
    """
    found = _run_together(searches)
    for _ in range(MOST_CHECKS):
        profiles = [profile for search in searches for profile in search.profiles]
        ends = [
            request
            for search, end in zip(searches, found, strict=True)
            if isinstance(end, Crossing)
            for request in search.requests(end.value)
        ]
        if not find_lower_minima(profiles, ends):
            break
        found = _run_together(searches)
    return found


def _run_together(searches: Sequence[Search]) -> list[Crossing | FitError]:
    found: dict[int, Crossing | FitError] = {}
    running = {k: search.steps() for k, search in enumerate(searches)}
    while running:
        requests: list[PointRequest] = []
        for k, steps in list(running.items()):
            try:
                requests += next(steps)
            except StopIteration as end:
                found[k] = end.value
                del running[k]
            except FitError as error:
                found[k] = error
                del running[k]
        fit_points(requests)
    return [found[k] for k in range(len(searches))]


def rises(profile: ProfileLikelihood, values: Sequence[float]) -> np.ndarray:
    """Return -2 Delta log L at several values of the parameter, against the lowest point; NaN where no fit converges.

    The outermost values are reached in steps; those in between are fitted together, each started from its neighbours, and all
    are checked from other starts.
    """
    requests = [(profile, float(v)) for v in values if profile.low <= v <= profile.high]
    start = profile.start.value
    ends = {side: max(((v - start) * side for _, v in requests), default=0.0) for side in (-1.0, 1.0)}
    # searches that end only at their bounds, the outermost values
    _run_together(
        [
            Search(
                (profile,),
                lambda points: profile.height(points[0]),
                UNREACHABLE,
                start,
                side,
                start + side * way,
                profile.unit(side),
            )
            for side, way in ends.items()
            if way > 0
        ]
    )
    for _ in range(2):
        # a second time for fits that failed, because they have closer neighbours now
        fit_points(requests)
    find_lower_minima([profile])
    found = [profile.point_at(float(v)) for v in values]
    return np.array([np.nan if point is None else point.deviance - profile.minimum.deviance for point in found])
