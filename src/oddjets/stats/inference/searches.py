"""Where profiles reach a height: searches walk outwards side by side, the points that they ask for fitted in one batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.profile import Asked, ProfileLikelihood, ProfilePoint, fit_together, improve

__all__ = ["Crossing", "Search", "rise_search", "rises", "settle"]

#: a walk's steps: the height rises by this in each, if the profile is a parabola
REACH = 2.0
#: by how much a step may be longer than the way so far, and steps of a search at most
GROWTH, MAX_STEPS = 3.0, 200
#: how far a search goes, in units of its first guess of the distance
FURTHEST = 1e12
#: how often a step that fails is halved before it is tried beyond
HALVINGS = 6
#: a point is a crossing whose height is this close to what is asked, relative to it
CLOSE = 1e-7
#: where an interval between points has shrunk to this part of its place there is no more to find
NARROW = 1e-12
#: steps after which an interval must have halved
PATIENCE = 3
#: how often a check may find a lower minimum
MOST_CHECKS = 6
#: a height that is never reached: a walk with it ends at its bound
NEVER = 1e300
#: where to try beside a point that fails, in units of the interval
BESIDE = (0.0, 1e-3, -1e-3, 1e-2, -1e-2, 0.1, -0.1, 0.25, -0.25)


class Crossing(NamedTuple):
    """Where a profile reaches what was asked.

    Attributes:
        value: of the parameter; the bound where the rise is less than that everywhere.
        at_bound: whether it is that bound.
    """

    value: float
    at_bound: bool


#: a search that runs: it yields the points that it needs next
Steps = Generator[list[Asked], None, Crossing]


@dataclass(frozen=True)
class Search:
    """Where a height that rises outwards along profiles comes to a target.

    Attributes:
        profiles: of one parameter of one model; the height needs a point of each.
        height: of the points, one of each profile; a straight line where the profiles are parabolas. It may raise a FitError.
        target: the height asked for.
        start: where the search begins; the height is below the target there.
        side: +1 upwards, -1 downwards.
        bound: where the way ends.
        unit: over which distance the height rises by one, roughly.
    """

    profiles: tuple[ProfileLikelihood, ...]
    height: Callable[[tuple[ProfilePoint, ...]], float]
    target: float
    start: float
    side: float
    bound: float
    unit: float

    def asks(self, value: float) -> list[Asked]:
        """What must be fitted to know the height at a value."""
        return [(profile, value) for profile in self.profiles]

    def steps(self) -> Steps:
        """Walk and close in.

        Raises:
            FitError: no fit converges where it would be, or the height is not reached however far.
        """
        if self.start == self.bound:
            return Crossing(self.bound, True)
        yield self.asks(self.start)
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
        raise FitError(f"-2 log L does not rise as asked within {MAX_STEPS} steps of {self.profiles[0].name}")

    def _height(self, value: float) -> float | None:
        points = tuple(point for profile in self.profiles if (point := profile.at(value)) is not None)
        return self.height(points) if len(points) == len(self.profiles) else None

    def _known(self) -> list[tuple[float, float]]:
        """Values and heights from the start outwards."""
        values = sorted(
            (p.value for p in self.profiles[0].points if (p.value - self.start) * self.side >= 0),
            key=lambda v: v * self.side,
        )
        return [(value, height) for value in values if (height := self._height(value)) is not None]

    def _interpolated(self, known: list[tuple[float, float]], first: int) -> float:
        """Where the height comes to the target by interpolation of the value as a function of the height."""
        part = known[max(first - 2, 0) : first + 2]
        heights, values = np.array([h for _, h in part]), np.array([v for v, _ in part])
        if not (np.diff(heights) > 0).all():
            part = known[first - 1 : first + 1]
            heights, values = np.array([h for _, h in part]), np.array([v for v, _ in part])
        value = float(PchipInterpolator(heights, values)(self.target))
        inner, outer = known[first - 1][0], known[first][0]
        return value if min(inner, outer) < value < max(inner, outer) else 0.5 * (inner + outer)

    def _outwards(self, known: list[tuple[float, float]]) -> Generator[list[Asked], None, None]:
        """Ask for a step, for shorter ones where that fails, or longer ones past a point where nothing converges."""
        inner, height = known[-1]
        unit, way = self.unit, abs(inner - self.start)
        if way > FURTHEST * self.unit:
            raise FitError(f"-2 log L does not rise as asked up to {self.profiles[0].name} = {inner:g}")
        if len(known) > 1 and height > known[-2][1]:
            unit = abs(inner - known[-2][0]) / (height - known[-2][1])
        length = min(1.02 * (self.target - height), REACH) * unit
        length = min(length, GROWTH * max(way, self.unit))
        # what is left of the way is no step of its own
        room = abs(self.bound - inner)
        length = room if length > 0.9 * room else max(length, 1e-3 * way)
        for share in (*(0.5**k for k in range(HALVINGS)), 1.5, 2.0):
            value = self.bound if share * length >= room else inner + self.side * share * length
            if value == inner:
                continue
            yield self.asks(value)
            if self._height(value) is not None:
                return
        raise self._failure(inner + self.side * length)

    def _between(self, inner: float, outer: float, value: float) -> Generator[list[Asked], None, None]:
        """Ask for a point between two, or for one beside it where that fails."""
        low, high = min(inner, outer), max(inner, outer)
        for beside in BESIDE:
            now = float(np.clip(value + beside * (outer - inner), low, high))
            if now in (low, high):
                continue
            yield self.asks(now)
            if self._height(now) is not None:
                return
        raise self._failure(value)

    def _failure(self, value: float) -> FitError:
        return FitError(f"the fit did not converge with {self.profiles[0].name} held at {value:g}")


def rise_search(profile: ProfileLikelihood, rise: float, side: float) -> Search:
    """Return the search for where -2 log L has risen above the minimum.

    Args:
        profile: the profile.
        rise: of -2 log L.
        side: +1 for above the minimum, -1 for below.
    """

    def height(points: tuple[ProfilePoint, ...]) -> float:
        if profile.moved:
            raise FitError(f"the profile of {profile.name} found a lower minimum than the best fit")
        return _root(profile, points[0])

    return Search(
        (profile,),
        height,
        float(np.sqrt(rise)),
        profile.start.value,
        side,
        profile.high if side > 0 else profile.low,
        profile.unit(side),
    )


def settle(searches: Sequence[Search]) -> list[Crossing | FitError]:
    """Run searches side by side; their points are checked by other starts, and it is searched again where one leads lower.

    Returns:
        What each found, or why it did not.
    """
    found = _side_by_side(searches)
    for _ in range(MOST_CHECKS):
        if not improve([profile for search in searches for profile in search.profiles]):
            break
        found = _side_by_side(searches)
    return found


def _side_by_side(searches: Sequence[Search]) -> list[Crossing | FitError]:
    found: dict[int, Crossing | FitError] = {}
    running = {k: search.steps() for k, search in enumerate(searches)}
    while running:
        asked: list[Asked] = []
        for k, steps in list(running.items()):
            try:
                asked += next(steps)
            except StopIteration as end:
                found[k] = end.value
                del running[k]
            except FitError as error:
                found[k] = error
                del running[k]
        fit_together(asked)
    return [found[k] for k in range(len(searches))]


def rises(profile: ProfileLikelihood, values: Sequence[float]) -> np.ndarray:
    """Return -2 Delta log L at several values of the parameter, against the lowest point; NaN where no fit converges.

    The outermost are walked to; all between are fitted together, each from its neighbours. All are checked by other starts.
    """
    asked = [(profile, float(v)) for v in values if profile.low <= v <= profile.high]
    start = profile.start.value
    ends = {side: max(((v - start) * side for _, v in asked), default=0.0) for side in (-1.0, 1.0)}
    # the end is the bound of a walk that nothing else stops
    _side_by_side(
        [
            Search(
                (profile,),
                lambda points: _root(profile, points[0]),
                NEVER,
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
        # once more where a fit failed: the neighbours are nearer now
        fit_together(asked)
    improve([profile])
    found = [profile.at(float(v)) for v in values]
    return np.array([np.nan if point is None else point.deviance - profile.minimum.deviance for point in found])


def _root(profile: ProfileLikelihood, point: ProfilePoint) -> float:
    return float(np.sqrt(max(point.deviance - profile.start.deviance, 0.0)))
