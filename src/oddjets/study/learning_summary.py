"""Summary of experiments with a learnt score: separation, gain over the seed, closure, and significance by strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kstest, norm

from oddjets.study.injection import describe_strength, strength_for
from oddjets.study.learning import EVIDENCE, FITTED, SCORES

__all__ = ["break_even", "describe_learning", "learning_lines", "mean_of", "ratio_of_sums", "uniformity"]

Floats = npt.NDArray[np.float64]

#: replicas of the experiments, for the interval of the break-even
REPLICAS = 400


def mean_of(values: Floats) -> dict[str, Any]:
    """Return the mean over experiments with its error, and their spread.

    Args:
        values: NaN where an experiment has none, (E,).

    Returns:
        ``mean``, ``error``, ``sd`` and ``experiments``; None for numbers that so few experiments do not have.
    """
    known = values[np.isfinite(values)]
    number = len(known)
    sd = float(known.std(ddof=1)) if number > 1 else None
    return {
        "mean": float(known.mean()) if number else None,
        "error": None if sd is None else sd / float(np.sqrt(number)),
        "sd": sd,
        "experiments": number,
    }


def ratio_of_sums(one: Floats, other: Floats) -> dict[str, Any]:
    """Return the sum of one number over that of another, of the same experiments, with its error.

    The error is that of a ratio estimator: the spread of one - ratio x other, over the sum of the other.

    Args:
        one: (E,).
        other: (E,).

    Returns:
        ``value`` and ``error``, None where there is none.
    """
    total = float(other.sum())
    if not total > 0:
        return {"value": None, "error": None}
    value = float(one.sum()) / total
    rest = one - value * other
    error = float(np.sqrt(len(one)) * rest.std(ddof=1)) / total if len(one) > 1 else None
    return {"value": value, "error": error}


def uniformity(z: Floats) -> dict[str, Any]:
    """Return whether signed z is that of a normal variable: then its p is uniform.

    Args:
        z: NaN where a fit failed, (E,).

    Returns:
        ``ks_p`` of a Kolmogorov-Smirnov test, None where all fits failed, and the mean and the standard deviation.
    """
    known = z[np.isfinite(z)]
    p = float(kstest(norm.cdf(known), "uniform").pvalue) if len(known) else None
    return {"ks_p": p, **mean_of(z)}


def break_even(strengths: Sequence[float], gains: Sequence[Floats], *, seed: int = 1) -> dict[str, Any]:
    """Return the smallest strength at which the mean gain over the seed is 1, by straight lines.

    Args:
        strengths: ascending.
        gains: at each strength over experiments, which are the same ones in their background, (E,) each.
        seed: of the replicas.

    Returns:
        ``strength``, with a 68 % interval ``low`` and ``high`` by a bootstrap of the experiments; each None where no strength
        reaches it; 0 where there is a gain without a signal.
    """
    table = np.stack(gains)

    def crossing(means: Floats) -> float:
        if means[0] >= 1:
            return 0.0
        found = strength_for(1.0, strengths, means.tolist())
        return np.inf if found is None else found

    rng = np.random.default_rng(seed)
    rows = rng.integers(0, table.shape[1], (REPLICAS, table.shape[1]))
    replicas = [crossing(np.nanmean(table[:, of], axis=1)) for of in rows]
    # an infinite one is larger than all, and is no number to interpolate with
    low, high = np.quantile(replicas, [0.16, 0.84], method="nearest").tolist()
    value = crossing(np.nanmean(table, axis=1))
    return {
        name: x if np.isfinite(x) else None
        for name, x in (("strength", value), ("low", float(low)), ("high", float(high)))
    }


def describe_learning(results: Mapping[float, Mapping[str, Floats]]) -> dict[str, Any]:
    """Return what the experiments of one signal say.

    Args:
        results: of `run_learning`.

    Returns:
        ``strengths``: for each the ``injected`` strength, ``events`` and ``injected_events`` on average, `EVIDENCE`
        that anything was learnt, for each score
        ``sic``, ``auc``, ``closure`` (A D / (B C) of the background), ``permuted`` (A over its mean if jets are exchanged
        inside folds), ``sculpting``, and ``fit`` (of `describe_strength`, for the seed and the product); and the ``gain`` of
        the others over the seed. ``loss_at_zero``: the gain of the product without signal, minus 1. ``break_even`` of
        `break_even`. ``uniformity`` of z without signal, by score; None of the two where no strength is 0, or
        nothing was fitted.
    """
    rows = [_of_strength(strength, results[strength]) for strength in sorted(results)]
    zero = results.get(0.0)
    gains = {
        name: break_even(sorted(results), [_gain(results[strength], name) for strength in sorted(results)])
        for name in SCORES
        if name != "seed"
    }
    fitted = [name for name in FITTED if zero is not None and f"z_{name}" in zero]
    loss = None if zero is None else mean_of(_gain(zero, "product") - 1)
    return {
        "strengths": rows,
        "loss_at_zero": loss,
        "break_even": gains,
        "uniformity": {name: uniformity(zero[f"z_{name}"]) for name in fitted} if zero is not None and fitted else None,
    }


def _gain(values: Mapping[str, Floats], name: str) -> Floats:
    over = values["sic_seed"]
    return np.asarray(np.divide(values[f"sic_{name}"], over, out=np.full(len(over), np.nan), where=over > 0))


def _of_strength(strength: float, values: Mapping[str, Floats]) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for name in SCORES:
        of = {key: values[f"{key}_{name}"] for key in ("sic", "auc", "sculpting", "in_a", "predicted", "permuted")}
        scores[name] = {key: mean_of(of[key]) for key in ("sic", "auc", "sculpting")} | {
            "closure": ratio_of_sums(of["in_a"], of["predicted"]),
            "permuted": ratio_of_sums(of["in_a"], of["permuted"]),
        }
        if f"z_{name}" in values:
            fitted = (values[f"{key}_{name}"] for key in ("z", "strength", "pull"))
            scores[name]["fit"] = describe_strength(strength, *fitted)
    return {
        "injected": strength,
        "events": float(values["events"].mean()),
        "injected_events": float(values["injected"].mean()),
        **{name: mean_of(values[name]) for name in EVIDENCE},
        "scores": scores,
        "gain": {name: mean_of(_gain(values, name)) for name in SCORES if name != "seed"},
    }


def learning_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what a study of learnt scores found, in lines.

    Args:
        result: the content of its file.
    """
    lines = [
        f"a score learnt anew in {result['experiments']} experiments for each strength, {result['source']}:",
        f"  from {', '.join(result['trained_on'])}",
    ]
    for signal, one in ((result["signal"], result), *result["hold_out"].items()):
        held = ", held out" if signal in result["hold_out"] else ""
        lines.append(f"  {signal} injected{held}; significance improvement at 1 % of background:")
        for row in one["strengths"]:
            improved = ", ".join(f"{name} {_shown(row['scores'][name]['sic'])}" for name in SCORES)
            lines.append(
                f"    {row['injected']:.3g} ({row['injected_events']:.0f} events): {improved}; product over seed"
                f" {_shown(row['gain']['product'])}; weight {_shown(row['weight'])} of {_shown(row['n_sigma'])} sigma"
            )
        if one["loss_at_zero"] is not None:
            lines.append(f"    without signal, product over seed minus 1: {_shown(one['loss_at_zero'])}")
        even = one["break_even"]["product"]
        reached = "not reached" if even["strength"] is None else f"at strength {even['strength']:.3g}"
        lines.append(f"    break-even of the product: {reached}")
        for name, known in (one["uniformity"] or {}).items():
            if known["ks_p"] is not None:
                lines.append(
                    f"    z without signal, {name}: mean {_shown(known)}, sd {known['sd'] or 0:.2f}, uniform p"
                    f" {known['ks_p']:.2g}"
                )
        first = one["strengths"][0]
        closed = ", ".join(f"{name} {_ratio(first['scores'][name]['closure'])}" for name in SCORES)
        permuted = ", ".join(f"{name} {_ratio(first['scores'][name]['permuted'])}" for name in SCORES)
        lines.append(f"    A D / (B C) of the background at strength {first['injected']:.3g}: {closed}")
        lines.append(f"    A over permutations inside folds: {permuted}")
        sculpted = ", ".join(f"{name} {_shown(first['scores'][name]['sculpting'])}" for name in SCORES)
        lines.append(f"    divergence of the mass of the background that passes, beyond chance, in bits: {sculpted}")
    return lines


def _shown(found: Mapping[str, Any]) -> str:
    if found["mean"] is None:
        return "none"
    return f"{found['mean']:.3g}" + ("" if found["error"] is None else f" ± {found['error']:.2g}")


def _ratio(found: Mapping[str, Any]) -> str:
    return "none" if found["value"] is None else f"{found['value']:.3f} ± {found['error'] or 0:.3f}"
