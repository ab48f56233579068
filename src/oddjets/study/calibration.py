"""Results of experiments without signal: false alarms, pulls, coverage, and p values that are calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, kstest, norm

from oddjets.study.experiments import ExperimentChunk

__all__ = [
    "Tail",
    "binomial_interval",
    "calibrated",
    "counted_p",
    "describe",
    "read_chunks",
    "tail_curve",
    "toy_lines",
]

Floats = npt.NDArray[np.float64]

#: the confidence of intervals
LEVEL = 0.6827
#: experiments that must be at least as extreme, or a p value is an extrapolation
LEAST_ABOVE = 10
#: the largest relative error of a p value by importance sampling that is none
MOST_ERROR = 0.5
#: the confidence of the bound of a p value where no experiment is as extreme
BOUND_LEVEL = 0.95
#: the significances of the table of false alarms
SIGMAS = (1.0, 2.0, 3.0)
#: the bins of z in the figure
Z_EDGES = np.linspace(-5.0, 6.0, 56)


def binomial_interval(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a probability (C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404).

    Args:
        successes: how many.
        trials: of how many.
        level: its confidence.
    """
    if trials == 0:
        return 0.0, 1.0
    found = binomtest(successes, trials).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def counted_p(above: int, trials: int) -> dict[str, Any]:
    """Return a p value by counting: (1 + k)/(1 + n); for k = 0 it is not measured, and there is its bound alone.

    Where none of n experiments is as extreme, p is below 1 - 0.05^(1/n) at 95 %.

    Args:
        above: experiments at least as extreme, k.
        trials: all experiments, n.
    """
    if above:
        return {"p_value": (1 + above) / (1 + trials), "bound": None}
    below = float(-np.expm1(np.log1p(-BOUND_LEVEL) / trials)) if trials else 1.0
    bound = {"p_below": below, "z_above": float(norm.isf(below)), "level": BOUND_LEVEL, "experiments": trials}
    return {"p_value": None, "bound": bound}


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


class Tail:
    """The probability of a z at least as large, without signal.

    Args:
        z: of plain experiments, NaN where the fits failed, (n,).
        tilted_z: of experiments with a signal injected, (m,); None: there are none.
        log_weight: of those, (m,).
    """

    def __init__(self, z: Floats, tilted_z: Floats | None = None, log_weight: Floats | None = None) -> None:
        self.z, self.failed = z[np.isfinite(z)], int((~np.isfinite(z)).sum())
        self.tilted = None
        if tilted_z is not None and log_weight is not None and len(tilted_z):
            self.tilted = (np.where(np.isfinite(tilted_z), tilted_z, -np.inf), np.exp(log_weight))

    def counted(self, z: float) -> tuple[float | None, float, float, int]:
        """Return p, its Clopper-Pearson interval, and the experiments at least as extreme.

        p is (1 + k)/(1 + n) as of toys; None for k = 0 (see `counted_p`).
        """
        above = int((self.z >= z).sum())
        return counted_p(above, len(self.z))["p_value"], *binomial_interval(above, len(self.z)), above

    def weighted(self, z: float) -> tuple[float, float] | None:
        """Return p by importance sampling, and its error; None without such experiments, or with none above."""
        if self.tilted is None:
            return None
        values, weights = self.tilted
        inside = np.where(values >= z, weights, 0.0)
        p = float(inside.mean())
        # of a single experiment the error is as large as p: with n - 1
        return (p, float(inside.std(ddof=1) / np.sqrt(len(inside)))) if p > 0 and len(inside) > 1 else None

    def needed(self, z: float) -> int:
        """Return how many experiments with a signal injected give p an error of 50 %, with two digits, rounded up."""
        there = 0 if self.tilted is None else len(self.tilted[0])
        tail = self.weighted(z)
        # where nothing is above, four times as many is a guess
        more = 4.0 if tail is None else max((tail[1] / (MOST_ERROR * tail[0])) ** 2, 1.0)
        number = max(more * max(there, len(self.z)) if tail is None else more * there, 1.0)
        digit = 10.0 ** max(np.floor(np.log10(number)) - 1, 0)
        return int(np.ceil(number / digit - 1e-9) * digit)

    def __call__(self, z: float) -> dict[str, Any]:
        """Return the calibrated p of an observed z: by counting, or beyond its reach by importance sampling.

        An error of importance sampling of 50 % to 100 % makes an extrapolation. Where no experiment is as extreme and
        importance sampling does not help, p and z are None, and ``bound`` has what is known.
        """
        p, low, high, above = self.counted(z)
        bound = counted_p(above, len(self.z))["bound"]
        how, reached = "counting", above >= LEAST_ABOVE
        tail = self.weighted(z)
        if not reached and tail is not None:
            relative = tail[1] / tail[0]
            # the relative error of few that are counted is 1/sqrt(k)
            if relative <= MOST_ERROR or relative < (1 - 1e-9) / np.sqrt(max(above, 1)):
                (p, error), how, reached, bound = tail, "importance sampling", relative <= MOST_ERROR, None
                low, high = max(p - error, 0.0), p + error
        return {
            "z": None if p is None else float(norm.isf(p)),
            "p_value": p,
            "bound": bound,
            "low": low,
            "high": high,
            "experiments_above": above,
            "method": how,
            "extrapolated": not reached,
        }

    @property
    def reach(self) -> float:
        """The largest z whose p is no extrapolation."""
        ordered = np.sort(self.z)[::-1]
        least = float(ordered[min(LEAST_ABOVE, len(ordered)) - 1]) if len(ordered) >= LEAST_ABOVE else 0.0
        for z in np.arange(np.ceil(10 * least) / 10, 8.0, 0.1):
            tail = self.weighted(float(z))
            if tail is None or tail[1] > MOST_ERROR * tail[0]:
                break
            least = float(z)
        return least


def tail_curve(tail: Tail, zs: Sequence[float]) -> list[dict[str, float | None]]:
    """Return p at some z, by counting (None where no experiment is as extreme) and by importance sampling, and asymptotic."""
    curve: list[dict[str, float | None]] = []
    for z in zs:
        p, low, high, _ = tail.counted(z)
        by_weight = tail.weighted(z)
        curve.append(
            {
                "z": float(z),
                "asymptotic": float(norm.sf(z)),
                "counted": p,
                "low": low,
                "high": high,
                "weighted": None if by_weight is None else by_weight[0],
                "weighted_error": None if by_weight is None else by_weight[1],
            }
        )
    return curve


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
            "bias_in_sd": float((fitted.mean() - strength) / fitted.std()) if fitted.std() > 0 else 0.0,
        },
        "coverage": coverage,
        "limit": _limit(found["limit"][good], strength),
        "goodness_of_fit": {
            "mean": float(gof.mean()),
            "sd": float(gof.std()),
            "quantiles": {f"{q:g}": float(np.quantile(gof, q)) for q in (0.025, 0.16, 0.5, 0.84, 0.975)},
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


def calibrated(observed: float, tails: Mapping[str, Tail], asymptotic: float) -> dict[str, Any]:
    """Return the calibrated p of the observed z, and its range over what may be true.

    Where too few experiments of another truth are as extreme, its tail is the nominal one, moved and stretched to its mean and
    standard deviation of z. A truth whose p is still not measured leaves no range (None); ``not_measured`` names it.

    Args:
        observed: z of the analysis's fit.
        tails: what may be true -> its tail; the first is nominal.
        asymptotic: the asymptotic p.
    """
    (first, nominal), *others = tails.items()
    answers = {first: nominal(observed)}
    for label, tail in others:
        answer = tail(observed)
        if answer["extrapolated"] and len(tail.z) > 1 and tail.z.std() > 0:
            ratio = nominal.z.std() / tail.z.std()
            moved = nominal(float(nominal.z.mean() + (observed - tail.z.mean()) * ratio))
            if moved["p_value"] is not None:
                answer = moved | {"method": f"{moved['method']}, moved and stretched"}
        answers[label] = answer
    values = [answer["p_value"] for answer in answers.values() if answer["p_value"] is not None]
    unmeasured = [label for label, answer in answers.items() if answer["p_value"] is None]
    return {
        "observed_z": observed,
        "p_asymptotic": asymptotic,
        **answers[first],
        "range": None if unmeasured else [min(values), max(values)],
        "not_measured": unmeasured,
        "truths": answers,
    }
