"""Sculpting of QCD's mass by a score: what passes against what fails, and the bumps that it would make.

A search for a bump after a cut on a score is only right if the cut makes none. Three answers, each with what statistics alone
does: the divergence of the mass of events that pass from that of events that fail; a narrow signal that QCD alone would seem to
have; and the correlation of both scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from oddjets.stats.divergence import distance_correlation, jensen_shannon
from oddjets.study.events import EventArrays

__all__ = [
    "EFFICIENCIES",
    "correlation_of_scores",
    "divergence_of",
    "effective",
    "sculpting_lines",
    "spurious_signal",
    "thresholds_for",
]

Floats = npt.NDArray[np.float64]

#: fractions of QCD that pass
EFFICIENCIES = (0.05, 0.02, 0.01, 0.005, 0.002)
#: random divisions of the events
DIVISIONS = 1000
#: fewer effective events that pass say nothing
LEAST_PASSING = 10.0
#: the relative width of the narrow signal: the resolution of the soft-drop mass, and a natural width below it
WIDTH = 0.1
#: events with which the distance correlation says something, and the most that are taken: its time grows with their square
SPEAKING, MOST_EVENTS = 1000, 5000
#: of the number of events, what the effective one is at least, or weights would decide a measure that has none
ALIKE = 0.9
#: the spurious signal over its error that is accepted (METHODS of dijet and diphoton searches: 20 %)
CRITERION = 0.2


def effective(weights: Floats) -> float:
    """Return the number of events without weights that have the same relative error: (sum w)^2 / sum w^2."""
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def thresholds_for(scores: Floats, weights: Floats, efficiencies: tuple[float, ...] = EFFICIENCIES) -> Floats:
    """Return the thresholds that fractions of the weight pass, shape (efficiencies,).

    Args:
        scores: shape (n,).
        weights: none negative, shape (n,).
        efficiencies: fractions.
    """
    order = np.argsort(scores)[::-1]
    passing = np.cumsum(weights[order])
    places = np.searchsorted(passing, np.asarray(efficiencies) * passing[-1] * (1 - 1e-12))
    return np.asarray(scores[order[np.minimum(places, len(order) - 1)]])


def divergence_of(
    values: Floats, passes: npt.NDArray[np.bool_], weights: Floats, edges: Floats, *, seed: int = 1
) -> dict[str, Any]:
    """Return how much the spectrum of events that pass differs from that of events that fail.

    The divergence is never zero for finite samples. What is compared with it is that of random divisions of the same events, as
    many pass: each event is among those that pass with the same probability.

    Args:
        values: the mass or another observable, shape (n,).
        passes: which events pass, shape (n,).
        weights: none negative, shape (n,).
        edges: of the bins; events outside are left out, shape (bins + 1,).
        seed: of the random divisions.

    Returns:
        ``bits``, ``by_chance`` and its ``spread``, ``excess`` with its significance ``z`` (of the ``p_value`` by counting),
        and the effective number that passes; None for all where it is below ten, or nothing fails.
    """
    inside = (values >= edges[0]) & (values < edges[-1])
    place = np.searchsorted(edges, values[inside], side="right") - 1
    w, chosen, bins = weights[inside], passes[inside], len(edges) - 1
    number = effective(w[chosen])
    found: dict[str, Any] = {"effective_passing": number, "bits": None, "by_chance": None, "spread": None}
    found |= {"excess": None, "p_value": None, "z": None}
    if number < LEAST_PASSING or not w[~chosen].sum() > 0:
        return found
    total = np.bincount(place, w, bins)

    def bits(rows: npt.NDArray[Any]) -> float:
        after = np.bincount(place[rows], w[rows], bins).astype(np.float64)
        return jensen_shannon(after, np.maximum(total - after, 0.0))

    observed = bits(np.flatnonzero(chosen))
    rng = np.random.default_rng(seed)
    count, chance = int(chosen.sum()), np.empty(DIVISIONS)
    for i in range(DIVISIONS):
        chance[i] = bits(rng.choice(len(w), count, replace=False))
    p = float((1 + (chance >= observed).sum()) / (1 + DIVISIONS))
    return found | {
        "bits": observed,
        "by_chance": float(chance.mean()),
        "spread": float(chance.std()),
        "excess": observed - float(chance.mean()),
        "p_value": p,
        "z": float(norm.isf(p)),
    }


def _narrow(edges: Floats, mass: float, width: float) -> Floats:
    """Return the shape of a narrow signal in bins; its sum is 1 where it is inside, shape (bins,)."""
    return np.asarray(np.diff(norm.cdf(edges, mass, width * mass)))


def spurious_signal(
    letters: Floats, squares: Floats, edges: Floats, others: Floats | None = None, width: float = WIDTH
) -> dict[str, Any]:
    """Return the narrow signal that QCD in A seems to have above its ABCD estimate, against the mass.

    The strength of a normal peak is fitted by least squares to A - B C / D, with the errors that an experiment has:
    A + (B C / D)^2 (1/B + 1/C + 1/D) in each bin, and other processes in A. Its own error is the statistical one of an
    experiment; the uncertainty of the ratio is that of the sample, by propagation of its weights.

    Args:
        letters: expected events of QCD in A, B, C, D of an experiment, shape (4, bins).
        squares: sums of squared weights of the sample, shape (4, bins).
        edges: GeV, shape (bins + 1,).
        others: expected events of other processes in A, shape (bins,).
        width: of the signal, relative to its mass.

    Returns:
        For each mass: ``mass``, ``ratio`` (the signal over its error in an experiment) and its ``uncertainty``; the ``largest``
        ratio in size with its mass; the criterion; bins that were left out, where an estimate is impossible.
    """
    a, b, c, d = letters
    used = (b > 0) & (c > 0) & (d > 0)
    safe = np.where(used, letters, 1.0)
    predicted = np.where(used, safe[1] * safe[2] / safe[3], 0.0)
    variance = np.maximum(a, 0.0) + predicted**2 * (1 / safe[1] + 1 / safe[2] + 1 / safe[3])
    variance = variance + (0.0 if others is None else np.maximum(others, 0.0))
    used &= variance > 0
    relative = np.where(used, squares[1:] / safe[1:] ** 2, 0.0).sum(axis=0)
    of_sample = squares[0] + predicted**2 * relative
    rows = []
    for mass in 0.5 * (edges[1:] + edges[:-1]):
        shape = np.where(used, _narrow(edges, float(mass), width), 0.0)
        information = float((shape[used] ** 2 / variance[used]).sum())
        if not information > 0:
            continue
        weights = np.where(used, shape / np.where(used, variance, 1.0), 0.0)
        # fitted signal / its error = sum w (A - P) / sqrt(sum s^2 / V)
        ratio = float((weights * (a - predicted)).sum() / np.sqrt(information))
        error = float(np.sqrt((weights**2 * of_sample).sum() / information))
        rows.append({"mass": float(mass), "ratio": ratio, "uncertainty": error})
    largest = max(rows, key=lambda row: abs(row["ratio"]), default=None)
    return {
        "masses": rows,
        "largest": largest,
        "criterion": CRITERION,
        "decided": largest is not None and bool(all(row["uncertainty"] < CRITERION for row in rows)),
        "bins_left_out": int((~used).sum()),
        "width": width,
    }


def correlation_of_scores(events: EventArrays, inside: npt.NDArray[np.bool_], *, seed: int = 1) -> dict[str, Any]:
    """Return the distance correlation of the ranks of both scores, of some events.

    It sees any dependence, but a small one of the tails, which moves the ABCD estimate by several per cent, is lost in it: the
    closure says more (`oddjets closure`).

    Args:
        events: of the data-driven process.
        inside: which of them, shape (n,).
        seed: of the choice of at most 5000.

    Returns:
        ``squared``, ``p_value`` and ``n``; None for both, with ``why``, where there are too few events, or their weights
        differ.
    """
    rows = np.flatnonzero(inside & np.isfinite(events.scores).all(axis=0))
    found: dict[str, Any] = {"squared": None, "p_value": None, "n": len(rows)}
    if len(rows) < SPEAKING:
        return found | {"why": f"fewer than {SPEAKING} events"}
    if effective(events.nominal[rows]) < ALIKE * len(rows):
        return found | {"why": "the weights of the events differ"}
    if len(rows) > MOST_EVENTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_EVENTS, replace=False))
    made = distance_correlation(*(rankdata(score) for score in events.scores[:, rows]))
    return found | {"squared": made.squared, "p_value": made.p_value, "n": made.n}


def sculpting_lines(result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tell what a study of sculpting found.

    Args:
        result: the content of ``sculpting.json``.
        say: gets lines.
    """
    say(f"sculpting of {result['observable']} of '{result['process']}' by '{result['score']}':")
    for region, found in result["regions"].items():
        known = found["correlation"]
        said = f"p {known['p_value']:.2g}" if known["p_value"] is not None else f"not measured ({known['why']})"
        say(f"  {region}: distance correlation of the scores {said}, {known['n']} events")
        if closure := found.get("closure"):
            say(f"    {_closure_text(closure)}")
        for row in found["efficiencies"]:
            say(f"    {100 * row['efficiency']:g} %: {_divergence_text(row['divergence'])}{_spurious_text(row)}")


def _closure_text(found: Mapping[str, Any]) -> str:
    if found["constants"] is None:
        return f"closure by bin at {found['threshold']:.4g}: not known ({found['why']})"
    sizes = np.sqrt((np.asarray(found["constants"]) - 1) ** 2 + np.diag(found["covariance"]))
    fitted = f"c from {min(found['constants']):.2f} to {max(found['constants']):.2f}"
    chi2 = f"chi2 {found['chi2']:.1f} of {found['ndf']}"
    return (
        f"closure by bin at {found['threshold']:.4g}: {fitted} ({chi2}); uncertainty"
        f" {100 * sizes.min():.2g} to {100 * sizes.max():.2g} % a bin"
    )


def _divergence_text(found: Mapping[str, Any]) -> str:
    if found["bits"] is None:
        return "too few events pass"
    return f"divergence {found['bits']:.4f} bits, by chance {found['by_chance']:.4f} ± {found['spread']:.4f}"


def _spurious_text(row: Mapping[str, Any]) -> str:
    text = ""
    for source, words in (("simulation", "spurious signal"), ("mixed", "of independent jets")):
        found = row[f"spurious_{source}"]
        if (largest := found["largest"]) is not None:
            size = f"{largest['ratio']:+.2f} ± {largest['uncertainty']:.2f} errors"
            text += f"; {words} {size} at {largest['mass']:.0f} GeV"
            if not found["decided"]:
                text += " (too few events to know it to 20 %)"
    return text
