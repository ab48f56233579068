"""A signal that is put into pseudo-experiments: how large its significance is, and whether its fitted strength is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from oddjets.stats.dijet_function import design, fit, local_p_value, window_background
from oddjets.study.calibration import binomial_interval

__all__ = [
    "FACTORS",
    "bump_significance",
    "describe_strength",
    "injection_lines",
    "signal_window",
    "strength_for",
    "strengths_about",
]

Floats = npt.NDArray[np.float64]

#: injected strengths, in units of that with an expected significance of 3
FACTORS = (0.0, 1 / 3, 2 / 3, 1.0, 5 / 3, 10 / 3, 5.0)
#: the share of a signal's events in the window of the bump hunt
WINDOW = 0.68
#: quantiles of the bands
BANDS = {"low_95": 0.025, "low_68": 0.16, "median": 0.5, "high_68": 0.84, "high_95": 0.975}
#: parameters of the function of the bump hunt: in a spectrum of some 19 bins with a peak of efficiency in it
PARAMETERS = 4
#: the largest |z| of a spectrum, where its p is no number any more
MOST_Z = 37.0


def strengths_about(sigma: float, factors: Sequence[float] = FACTORS) -> list[float]:
    """Return the strengths to inject.

    Args:
        sigma: the error of the strength where there is no signal; three of them are taken for an expected significance of 3.
        factors: in units of that strength, ascending.
    """
    return [3 * sigma * factor for factor in factors]


def _bands(values: Floats) -> dict[str, float]:
    return {name: float(np.quantile(values, q)) for name, q in BANDS.items()}


def describe_strength(
    injected: float, z: Floats, strength: Floats | None = None, pull: Floats | None = None
) -> dict[str, Any]:
    """Return what experiments with one injected strength say.

    Args:
        injected: the strength.
        z: signed, NaN where a fit failed, shape (E,).
        strength: the fitted strengths, likewise; None: the method fits none.
        pull: sqrt(q) of the injected strength, with the sign of fitted minus injected, likewise.

    Returns:
        Bands of ``z``, with the error of the median; bands, mean and bias of ``strength``; the ``coverage`` of intervals at 68
        and 95 %; ``failed``. Nothing of these where all fits failed.
    """
    good = np.isfinite(z)
    found: dict[str, Any] = {"injected": injected, "experiments": len(z), "failed": int((~good).sum())}
    if not good.any():
        return found
    number = int(good.sum())
    # of a normal variable, a median is sqrt(pi / 2) wider than a mean
    error = float(np.sqrt(np.pi / 2) * z[good].std() / np.sqrt(number))
    found["z"] = _bands(z[good]) | {"median_error": error}
    for sigma in (3, 5):
        above = int((z[good] >= sigma).sum())
        low, high = binomial_interval(above, number)
        found[f"above_{sigma}"] = {"share": above / number, "low": low, "high": high}
    if strength is not None:
        values = strength[good]
        mean_error = float(values.std() / np.sqrt(number))
        bias = float(values.mean()) - injected
        found["strength"] = _bands(values) | {
            "mean": float(values.mean()),
            "mean_error": mean_error,
            "bias": bias,
            "relative_bias": bias / injected if injected > 0 else None,
            "relative_bias_error": mean_error / injected if injected > 0 else None,
        }
    if pull is not None:
        known = pull[np.isfinite(pull)]
        found["coverage"] = {}
        for level in (68, 95):
            edge = float(norm.isf((1 - level / 100) / 2))
            inside = int((np.abs(known) < edge).sum())
            low, high = binomial_interval(inside, len(known))
            found["coverage"][str(level)] = {"share": inside / max(len(known), 1), "low": low, "high": high}
    return found


def strength_for(sigma: float, injected: Sequence[float], medians: Sequence[float]) -> float | None:
    """Return the strength whose median z is some significance, by straight lines; None if none reaches it.

    Args:
        sigma: the significance.
        injected: strengths, ascending.
        medians: of z at each.
    """
    for i in range(1, len(injected)):
        low, high = medians[i - 1], medians[i]
        if low < sigma <= high:
            return float(injected[i - 1] + (injected[i] - injected[i - 1]) * (sigma - low) / (high - low))
    return None


def signal_window(expected: Floats, share: float = WINDOW) -> npt.NDArray[np.bool_]:
    """Return the shortest run of neighbouring bins with at least this share of a signal, shape (bins,).

    Args:
        expected: of the signal, none negative, shape (bins,).
        share: of its sum.
    """
    bins, total = len(expected), expected.sum()
    sums = np.concatenate([[0.0], np.cumsum(expected)])
    best = (bins, 0.0, 0)
    for first in range(bins):
        last = int(np.searchsorted(sums, sums[first] + share * total * (1 - 1e-12)))
        if last <= bins:
            best = min(best, (last - first, -(sums[last] - sums[first]), first))
    window = np.zeros(bins, bool)
    window[best[2] : best[2] + best[0]] = True
    return window


def bump_significance(counts: Floats, edges: Floats, window: npt.NDArray[np.bool_]) -> Floats:
    """Return the significance of a spectrum's window above a smooth function of its side bands, shape (E,).

    A search without scores: all events that pass the base selection, a dijet function with four parameters in the side
    bands (`oddjets.stats.dijet_function`), and the probability of at least the count in the window for its uncertain
    expectation.

    Args:
        counts: of experiments, shape (E, bins).
        edges: GeV, shape (bins + 1,).
        window: the bins that are not fitted, shape (bins,).
    """
    centres = 0.5 * (edges[1:] + edges[:-1])
    parameters = min(PARAMETERS, int((~window).sum()) - 1)
    terms = design(centres, max(parameters, 1))
    found = fit(counts, terms, ~window)
    expected, error = window_background(found, terms, window)
    p = local_p_value(counts[:, window].sum(axis=1), expected, error)
    # a count below its expectation has p near 1, whose z is negative
    return np.asarray(np.clip(norm.isf(p), -MOST_Z, MOST_Z))


def injection_lines(result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tell what a study of injected signals found.

    Args:
        result: method -> ``strengths`` (of `describe_strength`), ``for_3`` and ``for_5``.
        say: gets lines.
    """
    for name, found in result["methods"].items():
        needed = [
            f"{sigma} sigma " + ("not reached" if found[f"for_{sigma}"] is None else f"at {found[f'for_{sigma}']:.3g}")
            for sigma in (3, 5)
        ]
        say(f"  {name}: expected {', '.join(needed)}")
        for row in found["strengths"]:
            if "z" not in row:
                say(f"    {row['injected']:.3g}: all fits failed")
                continue
            z = row["z"]
            line = f"    {row['injected']:.3g}: z {z['median']:.2f} [{z['low_68']:.2f}, {z['high_68']:.2f}]"
            if "strength" in row:
                line += f", fitted {row['strength']['mean']:.3g} ± {row['strength']['mean_error']:.2g}"
            if "coverage" in row:
                line += f", covered {100 * row['coverage']['68']['share']:.0f} % at 68 %"
            say(line)
