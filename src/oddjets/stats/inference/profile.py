"""ProfileLikelihood likelihoods, walked outwards from a minimum: each point starts from its neighbour."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Data, FitError

__all__ = ["Crossing", "ProfileLikelihood"]

#: steps of a walk: sqrt(-2 Delta log L) rises by about this in each
STRIDE = 0.5
#: a neighbour further away than this, in sqrt(-2 Delta log L), is walked to
REACH = 1.0
#: by how much a step may be longer than the one before, and steps of a walk at most
GROWTH, MAX_STEPS = 3.0, 200
#: how often a step that fails is halved before the point is given up
HALVINGS = 6
#: how far the first step looks where there is no bound, in units of the value or of one
FURTHEST = 1e9
#: by so much a minimum must be lower to be another one: fits are exact to about 1e-7
LOWER = 1e-5


class Crossing(NamedTuple):
    """Where a profile has risen by what was asked.

    Attributes:
        value: of the parameter; the bound where the rise is less than that everywhere.
        at_bound: whether it is that bound.
    """

    value: float
    at_bound: bool


class _Point(NamedTuple):
    value: float
    deviance: float
    parameters: np.ndarray


class ProfileLikelihood:
    """The likelihood of a data set as a function of one parameter, minimised over all others.

    Points are fitted when they are asked for. A point near a known one starts from it; to one that is far away, the profile is
    walked. A point whose fit fails costs itself alone.

    Args:
        model: the model.
        name: the parameter.
        start: a fit's parameters, (n,), the best one if ``deviance`` is to be the minimum.
        deviance: of that fit.
        data: the data set; None: the workspace's.
        beyond: let the parameter, which is held, go above its upper bound: limits may lie there.
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
        self.minimum = _Point(float(start[self.index]), float(deviance), np.asarray(start, dtype=float))
        self.failed: dict[float, str] = {}
        self._points = [self.minimum]
        self._held = np.zeros(len(p), dtype=bool)
        self._held[self.index] = True
        self._first = {side: self._first_step(side) for side in (-1.0, 1.0)}

    # ---- what is asked -----------------------------------------------------------------------------------------------

    def rise(self, value: float) -> float:
        """Return -2 Delta log L at a value of the parameter, against the minimum so far.

        Raises:
            FitError: no fit converges there.
        """
        return self.point(value).deviance - self.minimum.deviance

    def rises(self, values: Sequence[float]) -> np.ndarray:
        """Return -2 Delta log L at several values; NaN where no fit converges (see `failed`).

        The outermost are walked to; all between them are fitted together, each from its neighbours.
        """
        found = np.full(len(values), np.nan)
        for value in {min(values, default=self.low), max(values, default=self.high)}:
            with suppress(FitError):
                self.point(float(value))
        self._fit_between(values)
        for i in np.argsort(np.abs(np.asarray(values) - self.minimum.value), kind="stable"):
            try:
                found[i] = self.point(float(values[i])).deviance
            except FitError:
                continue
        return found - self.minimum.deviance

    def point(self, value: float) -> _Point:
        """Fit with the parameter held at a value.

        Raises:
            FitError: no fit converges there.
        """
        if not self.low <= value <= self.high:
            raise FitError(f"{self.name} = {value:g} lies outside of its bounds [{self.low:g}, {self.high:g}]")
        near = self._nearest(value)
        if near.value == value:
            return near
        for _ in range(MAX_STEPS):
            away = value - near.value
            side = float(np.sign(away))
            unit = self._unit(near, side)
            ahead = (
                value
                if abs(away) <= REACH * unit
                else near.value + side * min(STRIDE * unit, self._longest(near, side))
            )
            ahead = value if abs(value - ahead) < 0.2 * abs(ahead - near.value) else ahead
            try:
                near = self._step(near, ahead)
            except FitError:
                if ahead == value:
                    raise
                # walked into trouble half way: the point itself may be sound
                return self._step(near, value)
            if near.value == value:
                return near
        raise FitError(f"the way to {self.name} = {value:g} is too long")

    def crossing(self, rise: float, side: float) -> Crossing:
        """Return where the profile has risen by so much.

        Args:
            rise: of -2 log L.
            side: +1 for above the minimum, -1 for below.

        Raises:
            FitError: no fit converges where it would be.
        """
        bound = self.high if side > 0 else self.low
        inner = self.minimum
        for _ in range(MAX_STEPS):
            if inner.value == bound:
                return Crossing(bound, True)
            # the profile is taken as a parabola: to where it has risen, and a little beyond it
            short = np.sqrt(rise) - np.sqrt(max(inner.deviance - self.minimum.deviance, 0.0))
            unit = self._unit(inner, side)
            length = min(unit * max(1.03 * short, 0.05), REACH * unit, self._longest(inner, side))
            ahead = float(np.clip(inner.value + side * length, self.low, self.high))
            outer = self._outwards(inner, ahead)
            if outer.deviance - self.minimum.deviance >= rise:
                return Crossing(self._root(rise, inner.value, outer.value), False)
            inner = outer
        raise FitError(f"-2 log L does not rise by {rise:g} within {MAX_STEPS} steps of {self.name}")

    # ---- walking -----------------------------------------------------------------------------------------------------

    def _outwards(self, inner: _Point, ahead: float) -> _Point:
        """Take a step, or a shorter one where that fails, or a longer one past a point where nothing converges."""
        step = ahead - inner.value
        bound = self.high if step > 0 else self.low
        tried = [step * 0.5**k for k in range(HALVINGS)] + [step * 1.5, step * 2.0]
        error = FitError("")
        for length in tried:
            value = float(np.clip(inner.value + length, self.low, self.high))
            if abs(value - bound) < 1e-9 * abs(step):
                value = bound
            if value == inner.value:
                continue
            try:
                return self._step(inner, value)
            except FitError as problem:
                error = problem
        raise error

    def _root(self, rise: float, inner: float, outer: float) -> float:
        """Find the crossing between two points; where a fit in between fails, the point beside it serves."""

        def excess(value: float) -> float:
            for nudge in (0.0, 1e-3, -1e-3, 1e-2, -1e-2):
                try:
                    now = self.rise(
                        float(np.clip(value + nudge * (outer - inner), min(inner, outer), max(inner, outer)))
                    )
                except FitError:
                    continue
                return float(np.sqrt(max(now, 0.0)) - np.sqrt(rise))
            raise FitError(f"the fit did not converge with {self.name} held at {value:g}")

        if excess(inner) >= 0:
            return inner
        tolerance = 1e-5 * abs(outer - inner)
        return float(brentq(excess, inner, outer, xtol=max(tolerance, 1e-300), rtol=1e-12))

    def _unit(self, near: _Point, side: float) -> float:
        """Return over which distance sqrt(-2 Delta log L) rises by one, the profile taken as a parabola about the minimum."""
        root = np.sqrt(max(near.deviance - self.minimum.deviance, 0.0))
        away = (near.value - self.minimum.value) * side
        return float(abs(away) / root if root > 0.1 * STRIDE and away else self._first[side] / STRIDE)

    def _longest(self, near: _Point, side: float) -> float:
        """Return how long the next step may be: not much longer than the way so far."""
        return GROWTH * max(self._first[side], abs(near.value - self.minimum.value))

    def _first_step(self, side: float) -> float:
        """Return a step after which -2 log L has risen by about STRIDE^2, all other parameters held: the profile rises less."""
        p, start = self.model.parameters, self.minimum.parameters
        room = (self.high - self.minimum.value) if side > 0 else (self.minimum.value - self.low)
        if not np.isfinite(room):
            room = float(p.high[self.index] - p.low[self.index])
        room = min(room, FURTHEST * max(1.0, abs(self.minimum.value)))
        if room <= 0:
            return 0.0
        steps = room * np.geomspace(1e-15, 1.0, 61)
        points = np.repeat(start[None], len(steps), axis=0)
        points[:, self.index] = np.clip(self.minimum.value + side * steps, self.low, self.high)
        data = Data(*(np.repeat(a, len(steps), axis=0) for a in self.data))
        rise = self.model.deviance(points, data) - float(self.model.deviance(start[None], self.data)[0])
        above = np.flatnonzero(~(rise < STRIDE**2))
        return float(steps[above[0]]) if len(above) else float(room)

    def _fit_between(self, values: Sequence[float]) -> None:
        """Fit at values that lie between known points, all at once, from the straight line between their neighbours."""
        known = np.array([point.value for point in self._points])
        wanted = np.array([v for v in values if known[0] < v < known[-1] and v not in known], dtype=float)
        if not len(wanted):
            return
        after = np.searchsorted(known, wanted)
        before = after - 1
        share = ((wanted - known[before]) / (known[after] - known[before]))[:, None]
        parameters = np.stack([point.parameters for point in self._points])
        starts = parameters[before] * (1 - share) + parameters[after] * share
        starts[:, self.index] = wanted
        data = Data(*(np.repeat(a, len(wanted), axis=0) for a in self.data))
        batch = self.model.fit_batch(data, starts, self._held, restarts=bool(len(self.model.one_sided)))
        for i in np.flatnonzero(batch.converged):
            self._keep(_Point(float(wanted[i]), float(batch.deviance[i]), batch.parameters[i]))

    def _nearest(self, value: float) -> _Point:
        place = bisect.bisect_left([point.value for point in self._points], value)
        around = self._points[max(place - 1, 0) : place + 1]
        return min(around, key=lambda point: abs(point.value - value))

    def _step(self, near: _Point, value: float) -> _Point:
        """Fit at a value from its neighbours, extrapolated; from the model's start where that fails."""
        p = self.model.parameters
        starts = [near.parameters]
        others = sorted((q for q in self._points if q is not near), key=lambda q: abs(q.value - value))
        if others and others[0].value != near.value:
            share = (value - near.value) / (near.value - others[0].value)
            if abs(share) < 2:
                guess = near.parameters + share * (near.parameters - others[0].parameters)
                starts.insert(0, np.clip(guess, p.low, p.high))
        if others:
            starts.append(others[0].parameters)
        starts.append(p.init)
        many = bool(len(self.model.one_sided))
        for start in starts:
            begin = start.copy()
            begin[self.index] = value
            batch = self.model.fit_batch(self.data, begin, self._held, restarts=many)
            if batch.converged[0]:
                point = _Point(value, float(batch.deviance[0]), batch.parameters[0])
                self._keep(point)
                return point
        message = f"the fit did not converge with {self.name} held at {value:g}"
        self.failed[value] = message
        raise FitError(message)

    def _keep(self, point: _Point) -> None:
        bisect.insort(self._points, point, key=lambda known: known.value)
        if point.deviance < self.minimum.deviance - LOWER:
            self.minimum = point
