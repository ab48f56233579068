"""Summary of experiments without signal: false alarms, strength, coverage, limits, pulls and closure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kstest, norm

from oddjets.study.calibration import binomial_interval
from oddjets.study.experiment_chunk import ExperimentChunk

__all__ = ["describe", "read_chunks", "toy_lines"]

Floats = npt.NDArray[np.float64]

#: the significances of the table of false alarms
SIGMAS = (1.0, 2.0, 3.0)
#: the bins of z in the figure
Z_EDGES = np.linspace(-5.0, 6.0, 56)


def read_chunks(files: Iterable[Path]) -> dict[str, Floats]:
    """Read recorded experiments: an array over experiments for each entry of `ExperimentChunk`; nuisances are summed."""
    found: dict[str, list[Floats]] = {}
    sums: Floats | None = None
    for file in files:
        chunk = ExperimentChunk.load(file)
        for name, value in vars(chunk).items():
            if name != "nuisances":
                found.setdefault(name, []).append(value)
        if chunk.nuisances.size:
            sums = chunk.nuisances if sums is None else sums + chunk.nuisances
    whole = {name: np.concatenate(values) for name, values in found.items()}
    return whole | {"nuisances": np.zeros((3, 0)) if sums is None else sums}


def _quantiles(values: Floats) -> dict[str, float]:
    return {f"{q:g}": float(np.quantile(values, q)) for q in (0.025, 0.16, 0.5, 0.84, 0.975)}


def _rates(z: Floats, failed: int) -> list[dict[str, Any]]:
    """Return how often z is as large as 1, 2, 3, with failures as no alarms left out, and as alarms."""
    rates = []
    for sigma in SIGMAS:
        expected, above = float(norm.sf(sigma)), int((z >= sigma).sum())
        low, high = binomial_interval(above, len(z))
        rates.append(
            {
                "sigma": sigma,
                "expected": expected,
                "above": above,
                "of": len(z),
                "rate": above / max(len(z), 1),
                "low": low,
                "high": high,
                "ratio": above / max(len(z), 1) / expected,
                "rate_failures_are_alarms": (above + failed) / max(len(z) + failed, 1),
                "rate_failures_are_none": above / max(len(z) + failed, 1),
            }
        )
    return rates


def _by_toys(p: Floats, toys: int) -> dict[str, Any] | None:
    """Return how p values by toys are distributed; None where there are none.

    With n toys p is one of 1/(1 + n), 2/(1 + n), ..., 1, all alike where it is right; so an alarm at s sigma is expected in
    floor((1 + n) p_s)/(1 + n) of the experiments, p_s being the normal probability. Where this is 0, n is too small to see one.
    """
    known = p[np.isfinite(p)]
    if not toys or not len(known):
        return None
    # the middle of the steps, so that the test sees no more than half a step of them
    test = kstest(known - 0.5 / (1 + toys), "uniform")
    alarms = []
    for sigma in SIGMAS:
        nominal = float(norm.sf(sigma))
        expected, above = np.floor((1 + toys) * nominal) / (1 + toys), int((known <= nominal).sum())
        low, high = binomial_interval(above, len(known))
        seen = expected > 0
        alarms.append(
            {
                "sigma": sigma,
                "expected": float(expected),
                "above": above if seen else None,
                "of": len(known),
                "rate": above / len(known) if seen else None,
                "low": low if seen else None,
                "high": high if seen else None,
            }
        )
    return {
        "toys": toys,
        "not_found": len(p) - len(known),
        "kolmogorov_smirnov": {"statistic": float(test.statistic), "p_value": float(test.pvalue)},
        "p_values": np.histogram(known, 20, (0.0, 1.0))[0].tolist(),
        "false_alarms": alarms,
    }


def toy_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what p values by toys say, in lines; nothing without them.

    Args:
        result: with the entries of `describe`.
    """
    found = result.get("toys")
    if not found:
        return []
    test = found["kolmogorov_smirnov"]["p_value"]
    lines = [f"p by {found['toys']} toys of each experiment: Kolmogorov-Smirnov p = {test:.3g}"]
    for r in found["false_alarms"]:
        if r["rate"] is None:
            lines.append(
                f"p by toys, {r['sigma']:g} sigma: too few toys, {np.ceil(1 / norm.sf(r['sigma']) - 1):.0f} are needed"
            )
        else:
            ratios = [r[key] / r["expected"] for key in ("rate", "low", "high")]
            lines.append(
                f"p by toys, {r['sigma']:g} sigma: {r['rate']:.4g}, expected {r['expected']:.4g}; ratio"
                f" {ratios[0]:.2f} [{ratios[1]:.2f}, {ratios[2]:.2f}]"
            )
    return lines


def describe(
    found: Mapping[str, Floats], names: Sequence[str], regions: Sequence[str], strength: float, toys: int = 0
) -> dict[str, Any]:
    """Return what plain experiments say, for ``null_*.json``.

    Args:
        found: from `read_chunks`.
        names: the nuisance parameters.
        regions: of the fit.
        strength: the true strength.
        toys: of each experiment.
    """
    good = np.isfinite(found["z"])
    z, pull, fitted = (found[name][good] for name in ("z", "pull", "strength"))
    failed = int((~good).sum())
    if not len(z):
        return {"experiments": failed, "failed": failed}
    # of the p value of a signed z, which without signal is uniform
    test = kstest(z, "norm")
    of_p = np.histogram(norm.sf(z), 20, (0.0, 1.0))[0]
    pull = pull[np.isfinite(pull)]
    coverage = []
    for level, half in ((0.6827, 1.0), (0.95, float(norm.isf(0.025)))):
        inside = int((np.abs(pull) <= half).sum())
        low, high = binomial_interval(inside, len(pull))
        coverage.append({"level": level, "covered": inside / max(len(pull), 1), "low": low, "high": high})
    error = float(fitted.std() / np.sqrt(len(fitted)))
    gof = found["gof"][good]
    count, total, squares = found["nuisances"] if found["nuisances"].size else np.ones((3, 0))
    mean = total / np.maximum(count, 1)
    return {
        "experiments": len(good),
        "failed": failed,
        "z": {
            "mean": float(z.mean()),
            "sd": float(z.std()),
            "kolmogorov_smirnov": {"statistic": float(test.statistic), "p_value": float(test.pvalue)},
            "edges": Z_EDGES.tolist(),
            "counts": np.histogram(np.clip(z, Z_EDGES[0], np.nextafter(Z_EDGES[-1], 0)), Z_EDGES)[0].tolist(),
        },
        "p_values": of_p.tolist(),
        "false_alarms": _rates(z, failed),
        "toys": _by_toys(found["toy_p"][good], toys),
        "strength": {
            "true": strength,
            "mean": float(fitted.mean()),
            "error_of_mean": error,
            "sd": float(fitted.std()),
            # a few experiments in which a nuisance parameter takes the signal away have a strength without bound
            "quantiles": _quantiles(fitted),
            "bias_in_sd": float((fitted.mean() - strength) / fitted.std()) if fitted.std() > 0 else 0.0,
        },
        "coverage": coverage,
        "limit": _limit(found["limit"][good], strength),
        "goodness_of_fit": {
            "mean": float(gof.mean()),
            "sd": float(gof.std()),
            "quantiles": _quantiles(gof),
        },
        "nuisances": [
            {"name": name, "mean": float(m), "sd": float(np.sqrt(max(s / max(n, 1) - m**2, 0.0)))}
            for name, n, m, s in zip(names, count, mean, squares, strict=False)
        ],
        "closure": _closure(found["in_a"], found["predicted"], regions),
        "events": {"above": float(found["above"].mean()), "total": float(found["total"].mean())},
    }


def _limit(limit: Floats, strength: float) -> dict[str, Any] | None:
    if not np.isfinite(limit).any():
        return None
    known = limit[np.isfinite(limit)]
    return {
        "level": 0.95,
        "not_found": int((~np.isfinite(limit)).sum()),
        "quantiles": {f"{q:g}": float(np.quantile(known, q)) for q in (0.025, 0.16, 0.5, 0.84, 0.975)},
        "covered": float((limit >= strength).mean()),
    }


def _closure(in_a: Floats, predicted: Floats, regions: Sequence[str]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for i, region in enumerate(regions):
        there = np.isfinite(predicted[:, i]) & (predicted[:, i] > 0)
        if there.any():
            ratio = in_a[there, i] / predicted[there, i]
            found[region] = {
                "constant": float(in_a[there, i].sum() / predicted[there, i].sum()),
                "error_of_mean": _ratio_error(in_a[there, i], predicted[there, i]),
                "sd": float(ratio.std()),
            }
    return found


def _ratio_error(numerator: Floats, denominator: Floats) -> float | None:
    """Return the error of a ratio of sums by linear propagation; None of a single experiment."""
    if len(numerator) < 2:
        return None
    residual = numerator - numerator.sum() / denominator.sum() * denominator
    return float(residual.std(ddof=1) * np.sqrt(len(residual)) / denominator.sum())
