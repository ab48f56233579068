"""The two parts of the ABCD closure: what the region makes of it, and what the jets have in common.

In a region the constant c = A / (B C / D) is c_structural x c_correlation. The first is that of jets of different events,
which are independent; it differs from 1 where the region is no product of cuts on each jet. The second is what is left in the
events as they are. Both are measured at several efficiencies. At the working point the first is measured where there are
enough jets; otherwise it is extrapolated, like the second, along a straight line in the logarithm of the efficiency, weighted
with the covariance of a bootstrap of the events. All numbers of a region come from
the same replicas, so the errors of products and ratios have all correlations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.core.rounding import rounded
from oddjets.stats.cell_bins import LEAST_IN_BIN

__all__ = [
    "EFFICIENCIES",
    "LEAST_EVENTS",
    "Extrapolation",
    "StructuralFactor",
    "Verdict",
    "abcd_constant",
    "advice",
    "closure_parts",
    "effective_events",
    "extrapolate",
    "one_efficiency",
    "part_entry",
    "predicted",
    "spread",
    "structural_factors",
    "structural_part",
    "verdict",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Verdict = Literal["closes", "does not close", "inconclusive"]

#: what ``constant`` and values of parts are; `abcd_closure.region_closure` has another constant
DEFINITION = (
    "sum of A over the sum of B C / D of the bins; bins without events in B or C count as 0, those without D not"
)
#: efficiencies at which the constant is measured, beside that of the working point
EFFICIENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.10)
#: a constant whose distance from 1 is more than this many errors does not close
FAILING_SIGMAS = 3.0
#: one that is at most this many errors off closes
CLOSING_SIGMAS = 2.0
#: if its error is at most this
LARGEST_ERROR = 0.10
#: effective events that must be expected, so that the errors mean something
LEAST_EVENTS = 10.0
#: part of the prediction that must be in bins with so many events before product cells are advised
LEAST_IN_CELLS = 0.8
#: relative size of what is added to the diagonal of a covariance, so that it can be inverted
_RIDGE = 1e-6


class Extrapolation(NamedTuple):
    """A constant at the working point, from measurements at several efficiencies.

    Attributes:
        value: at the working point; NaN without measurements.
        error: its error.
        slope: change of the constant for an efficiency e times as large; NaN with one measurement.
        slope_error: its error.
        chi2: of the straight line.
        ndf: degrees of freedom.
        replicas: the value in each replica, the first being the measurement itself, shape (replicas + 1,).
    """

    value: float
    error: float
    slope: float
    slope_error: float
    chi2: float
    ndf: int
    replicas: Floats


class StructuralFactor(NamedTuple):
    """The structural constant of a region.

    Attributes:
        value: QCD in A is B C / D times this.
        error: its error.
    """

    value: float
    error: float


def structural_factors(closure: Mapping[str, Any], regions: Sequence[str]) -> dict[str, StructuralFactor]:
    """Return the structural constants of those regions that are unions.

    Args:
        closure: the content of ``closure.json``.
        regions: of the fit.

    Raises:
        OddjetsError: a region is neither a product nor a union of products, or its constant is not known.
    """
    parts = closure.get("parts", {}).get("regions", {})
    found = {}
    for region in regions:
        one = parts.get(region, {"kind": "not tested", "why": "; ".join(closure.get("parts", {}).get("notes", ()))})
        if one["kind"] == "product":
            continue
        structural = one.get("structural") or {}
        value, error = structural.get("value"), structural.get("error")
        if one["kind"] != "union" or value is None or error is None or not value > 0:
            why = one["why"] or "too few events to pair jets of different events"
            raise OddjetsError(
                f"fit.abcd: region '{region}' has no structural constant in closure.json ({why}); simulate more events, or set"
                " 'abcd: as-published'"
            )
        found[region] = StructuralFactor(value, error)
    return found


def predicted(letters: Floats) -> Floats:
    """Return B C / D by bin; NaN where D has no events.

    Args:
        letters: yields in A, B, C, D, shape (..., 4, bins).

    Returns:
        Shape (..., bins). Without events in B or C it is 0: that is as unbiased as any other count, and leaving these bins out
        would keep the upward fluctuations alone.
    """
    b, c, d = (letters[..., i, :] for i in (1, 2, 3))
    return np.asarray(np.divide(b * c, d, out=np.full(d.shape, np.nan), where=d > 0))


def abcd_constant(letters: Floats) -> Floats:
    """Return the sum of A over the sum of B C / D of the bins, those without events in D left out.

    Args:
        letters: shape (..., 4, bins).

    Returns:
        Shape (...); NaN where nothing is predicted.
    """
    prediction = predicted(letters)
    used = np.isfinite(prediction)
    observed = np.where(used, letters[..., 0, :], 0.0).sum(axis=-1)
    total = np.where(used, prediction, 0.0).sum(axis=-1)
    return np.asarray(np.divide(observed, total, out=np.full(total.shape, np.nan), where=total > 0))


def effective_events(letters: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Return how many events there would be if all weighed the same: the fewer of those in B and C, and those expected in A.

    Args:
        letters: sums of weights, shape (..., 4, bins).
        squares: sums of squared weights, likewise.

    Returns:
        Both have shape (...).
    """
    control, weights = letters[..., 1:3, :].sum(axis=-1), squares[..., 1:3, :].sum(axis=-1)
    counts = np.divide(np.maximum(control, 0) ** 2, weights, out=np.zeros(control.shape), where=weights > 0)
    total, both = control.sum(axis=-1), weights.sum(axis=-1)
    prediction = np.nansum(predicted(letters), axis=-1)
    expected = np.divide(prediction * total, both, out=np.zeros(total.shape), where=both > 0)
    return np.asarray(counts.min(axis=-1)), np.asarray(np.maximum(expected, 0))


def extrapolate(points: Floats, efficiencies: Sequence[float], at: float, usable: Mask) -> Extrapolation:
    """Fit a straight line in the logarithm of the efficiency to constants, and return it at the working point.

    Where chi2 is above its degrees of freedom, the line is not quite straight: the errors are scaled by the root of the ratio,
    as the Particle Data Group does. One measurement alone stands for all efficiencies.

    Args:
        points: the constants, shape (efficiencies, replicas + 1); the first replica is the measurement.
        efficiencies: where they were measured.
        at: the working point's efficiency.
        usable: which of them have enough events, shape (efficiencies,).
    """
    usable = usable & np.isfinite(points[:, 0])
    if not usable.any():
        nothing = np.full(points.shape[1], np.nan)
        return Extrapolation(np.nan, np.nan, np.nan, np.nan, np.nan, 0, nothing)
    y = points[usable]
    x = np.log(np.asarray(efficiencies)[usable] / at)
    good = np.isfinite(y).all(axis=0)
    covariance = np.atleast_2d(np.cov(y[:, good][:, 1:]))
    covariance = covariance + _RIDGE * np.diag(np.maximum(np.diag(covariance), _RIDGE))
    design = np.column_stack([np.ones_like(x), x]) if len(x) > 1 else np.ones((1, 1))
    weighted = np.linalg.solve(covariance, design)
    estimator = np.linalg.solve(design.T @ weighted, weighted.T)
    found = estimator @ y
    residual = y[:, 0] - design @ found[:, 0]
    chi2 = float(residual @ np.linalg.solve(covariance, residual))
    ndf = max(len(x) - 2, 0)
    scale = max(1.0, float(np.sqrt(chi2 / ndf))) if ndf else 1.0
    found = found[:, :1] + scale * (found - found[:, :1])
    slope, slope_error = (float(found[1, 0]), spread(found[1])) if len(x) > 1 else (np.nan, np.nan)
    return Extrapolation(float(found[0, 0]), spread(found[0]), slope, slope_error, chi2, ndf, found[0])


def spread(replicas: Floats) -> float:
    """Return the error that replicas give: half of the range of their central 68 %, which single ones far off leave alone."""
    finite = replicas[1:][np.isfinite(replicas[1:])]
    if len(finite) < len(replicas) / 2:
        return float("nan")
    low, high = np.quantile(finite, [0.1587, 0.8413])
    return float(high - low) / 2


def verdict(constant: float | None, error: float | None) -> Verdict:
    """Return whether ABCD closes: |c - 1| above 3 errors does not; at most 2 errors, with an error of at most 10 %, does."""
    if constant is None or error is None or not np.isfinite(constant) or not np.isfinite(error) or error <= 0:
        return "inconclusive"
    off = abs(constant - 1) / error
    if off > FAILING_SIGMAS:
        return "does not close"
    return "closes" if off <= CLOSING_SIGMAS and error <= LARGEST_ERROR else "inconclusive"


def closure_parts(
    events: Floats, pairs: Floats, squares: Floats, efficiencies: Sequence[float], at: float
) -> dict[str, Any]:
    """Return the parts of the closure of one region.

    Args:
        events: yields of the events as they are, shape (efficiencies, replicas + 1, 4, bins); the first replica is the
            measurement.
        pairs: those of jets of different events, of the same shape, from the same replicas.
        squares: sums of squared weights of the events, shape (efficiencies, 4, bins).
        efficiencies: where they were counted.
        at: the working point's efficiency.

    Returns:
        ``structural``, ``correlation`` and ``unmixed``, each with ``values`` and ``errors`` by efficiency, and ``value``,
        ``error``, ``slope``, ``slope_error``, ``chi2``, ``ndf`` at the working point, and ``used``, whether there are enough
        events at each efficiency: at least 10 in B and in C, and 10 expected in A where jets of one event are looked at; where
        there are not, values and errors are None. ``measured_at`` has the efficiencies that the value at the working point is
        from: if it is a single other one, the slope is not known (None), and ``error`` does not have its part. The
        ``constant`` at the working point, ``constant_error``, and the ``verdict``.
    """
    in_control, expected = effective_events(events[:, 0], squares)
    single, usable = in_control >= LEAST_EVENTS, np.minimum(in_control, expected) >= LEAST_EVENTS
    structural, unmixed = abcd_constant(pairs), abcd_constant(events)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = unmixed / structural
    measured = {"structural": (structural, single), "correlation": (correlation, usable), "unmixed": (unmixed, usable)}
    # pairs of different events are many at the working point too, where no line has to be straight
    there = np.isclose(efficiencies, at)
    direct = single & there if (single & there).any() else single
    asked = {**measured, "structural": (structural, direct)}
    found = {name: extrapolate(points, efficiencies, at, use) for name, (points, use) in asked.items()}
    where = {name: np.asarray(efficiencies)[use & np.isfinite(points[:, 0])] for name, (points, use) in asked.items()}
    product = found["structural"].replicas * found["correlation"].replicas
    constant, error = float(product[0]), spread(product)
    return {
        **{
            name: part_entry(points, use, found[name], where[name].tolist()) for name, (points, use) in measured.items()
        },
        "constant": _json(constant),
        "constant_error": _json(error),
        "verdict": verdict(constant, error),
    }


def structural_part(structural: Mapping[str, Any], control: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parts of the closure of a region from jets of different events, and from other events as they are.

    Args:
        structural: an entry with ``structural``, as `closure_parts` has it.
        control: parts with the ``correlation`` of other events, such as data below the threshold; None: there are none.

    Returns:
        ``structural``, that ``correlation`` if there is one, the ``constant``, its error (the two are taken as independent)
        and the ``verdict``.
    """
    found: dict[str, Any] = dict(structural)
    value, error = (structural["structural"][name] for name in ("value", "error"))
    other = control["correlation"] if control else {"value": None, "error": None}
    if other["value"] is not None:
        found["correlation"] = other
    constant, total = None, None
    if None not in (value, error, other["value"], other["error"]):
        constant = value * other["value"]
        total = float(np.hypot(error * other["value"], other["error"] * value))
    return {**found, "constant": constant, "constant_error": total, "verdict": verdict(constant, total)}


def one_efficiency(part: Mapping[str, Any], at: float) -> float | None:
    """Return the efficiency that a part's value at the working point is from, where it is a single other one; else None.

    Args:
        part: an entry of `closure_parts`.
        at: the efficiency of the working point.
    """
    # results of earlier versions do not say
    measured: Sequence[float] = part.get("measured_at") or ()
    return float(measured[0]) if len(measured) == 1 and not np.isclose(measured[0], at) else None


def part_entry(points: Floats, usable: Mask, found: Extrapolation, measured_at: Sequence[float]) -> dict[str, Any]:
    """Return a part of the closure as `closure_parts` has it.

    Args:
        points: the constants, shape (efficiencies, replicas + 1); the first replica is the measurement.
        usable: which of them have enough events, shape (efficiencies,).
        found: at the working point.
        measured_at: efficiencies that this is from.
    """
    # few events give a constant of 0, or anything
    known = [_json(value) if use else None for value, use in zip(points[:, 0], usable, strict=True)]
    return {
        "values": known,
        "errors": [None if value is None else _json(spread(one)) for value, one in zip(known, points, strict=True)],
        "used": usable.tolist(),
        "measured_at": list(measured_at),
        **{name: _json(value) for name, value in found._asdict().items() if name not in ("replicas", "ndf")},
        "ndf": found.ndf,
    }


def advice(kind: str, structural: Mapping[str, Any] | None, cells: Floats | None) -> dict[str, Any]:
    """Return the treatment of a region that its closure and counts suggest: see ``fit.abcd``.

    Args:
        kind: product, union or unknown.
        structural: the entry of `closure_parts`.
        cells: expected yields of the product cells of a union, shape (cells, 4, bins); A is not looked at.

    Returns:
        ``treatment`` and ``why``.
    """
    if kind == "product":
        return {"treatment": "as-published", "why": "it is a product of cuts on each jet"}
    if kind == "unknown" or structural is None or structural["value"] is None or structural["error"] is None:
        return {"treatment": None, "why": "its structural constant is not known"}
    off, error = abs(structural["value"] - 1), structural["error"]
    if off <= max(CLOSING_SIGMAS * error, 0.01):
        return {
            "treatment": "as-published",
            "why": f"its structural constant is {' ± '.join(rounded(structural['value'], error))}",
        }
    share = 0.0 if cells is None else _share_in_full_bins(cells)
    why = f"{share:.0%} of B C / D is in bins of product cells with at least {LEAST_IN_BIN:.0f} events in B, C and D"
    return {"treatment": "cells" if share >= LEAST_IN_CELLS else "structural", "why": why}


def _share_in_full_bins(cells: Floats) -> float:
    prediction = np.maximum(np.nan_to_num(predicted(cells)), 0.0)
    full = (cells[..., 1:, :] >= LEAST_IN_BIN).all(axis=-2)
    total = float(prediction.sum())
    return float(prediction[full].sum()) / total if total > 0 else 0.0


def _json(value: float) -> float | None:
    """Replace NaN and infinities by None, because JSON has none."""
    return float(value) if np.isfinite(value) else None
