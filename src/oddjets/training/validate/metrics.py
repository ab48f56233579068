"""Metrics of a score: separation of signal from QCD, and sculpting of the mass of QCD."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.stats.divergence import jensen_shannon
from oddjets.training.train.reweighting import effective_number

__all__ = ["Rejection", "Sculpting", "auc", "matched_weights", "rejection", "sculpting", "threshold"]

#: bins of the soft-drop mass between 60 and 240 GeV in which distributions are compared
_MASS_BINS = np.linspace(60, 240, 10)
#: pseudo-experiments for what statistics alone does to the divergence
_PSEUDO = 400

Floats = NDArray[np.float64]


class Rejection(NamedTuple):
    """Background rejection.

    Attributes:
        rejection: one over the share of QCD that passes; infinite where none does.
        error: from the number of QCD jets that pass.
        qcd_passing: that number.
        threshold: of the score.
    """

    rejection: float
    error: float
    qcd_passing: int
    threshold: float


class Sculpting(NamedTuple):
    """The soft-drop mass of QCD after a cut; GeV.

    Attributes:
        mean: its mean.
        mean_error: statistical.
        std: its standard deviation.
        std_error: statistical, for a normal distribution.
        js_bits: the Jensen-Shannon divergence from the distribution before the cut, in bits.
        js_bits_expected: what as many jets, drawn at random, show of it on average.
        js_bits_spread: and its standard deviation.
        n: QCD jets that pass.
        threshold: of the score.
    """

    mean: float
    mean_error: float
    std: float
    std_error: float
    js_bits: float
    js_bits_expected: float
    js_bits_spread: float
    n: int
    threshold: float


def auc(signal: Floats, background: Floats, signal_weight: Floats, background_weight: Floats) -> float:
    """Return the area under the curve of efficiencies: the chance that signal scores higher, ties counted half.

    Args:
        signal: scores of signal, shape (n,).
        background: scores of background, shape (m,).
        signal_weight: shape (n,).
        background_weight: shape (m,).
    """
    values, place = np.unique(np.concatenate([signal, background]), return_inverse=True)
    s = np.bincount(place[: len(signal)], signal_weight, len(values))
    b = np.bincount(place[len(signal) :], background_weight, len(values))
    below = np.cumsum(b) - b / 2
    return float((s * below).sum() / (s.sum() * b.sum()))


def threshold(scores: Floats, weights: Floats, efficiency: float) -> float:
    """Return the score that a share `efficiency` of the weight reaches or exceeds (at least that share)."""
    order = np.argsort(scores)[::-1]
    passing = np.cumsum(weights[order])
    place = int(np.searchsorted(passing, efficiency * passing[-1] * (1 - 1e-12)))
    return float(scores[order[min(place, len(order) - 1)]])


def rejection(
    signal: Floats, background: Floats, signal_weight: Floats, background_weight: Floats, efficiency: float
) -> Rejection:
    """Compute the background rejection at a signal efficiency; arguments as of `auc`."""
    cut = threshold(signal, signal_weight, efficiency)
    passing = background_weight[background >= cut]
    if not passing.sum():
        return Rejection(np.inf, np.inf, 0, cut)
    value = float(background_weight.sum() / passing.sum())
    return Rejection(value, float(value / np.sqrt(effective_number(passing))), len(passing), cut)


def matched_weights(values: Floats, weights: Floats, target: Floats, target_weights: Floats, edges: Floats) -> Floats:
    """Weight jets to the spectrum of others.

    Args:
        values: of the jets that get weights, for example their pT, shape (n,).
        weights: that they have, shape (n,).
        target: values of the others, shape (m,).
        target_weights: shape (m,).
        edges: of the bins; the last is open.

    Returns:
        New weights, shape (n,), with the sum of the target's where both have jets.
    """
    place, wanted = (np.clip(np.searchsorted(edges, v, side="right") - 1, 0, len(edges) - 1) for v in (values, target))
    found = np.bincount(place, weights, len(edges))
    factor = np.bincount(wanted, target_weights, len(edges))
    return weights * np.divide(factor, found, out=np.zeros_like(found), where=found > 0)[place]


def sculpting(mass: Floats, scores: Floats, weights: Floats, efficiency: float) -> Sculpting:
    """Compare the soft-drop mass of QCD before and after a cut that a share of it passes.

    Args:
        mass: soft-drop masses in GeV, shape (n,).
        scores: shape (n,).
        weights: shape (n,).
        efficiency: the share of QCD; 1 for no cut.
    """
    cut = threshold(scores, weights, efficiency)
    rows = scores >= cut
    passing, number = weights[rows], effective_number(weights[rows])
    mean = float(np.average(mass[rows], weights=passing))
    std = float(np.sqrt(np.average((mass[rows] - mean) ** 2, weights=passing)))
    before = np.histogram(mass, _MASS_BINS, weights=weights)[0]
    after = np.histogram(mass[rows], _MASS_BINS, weights=passing)[0]
    draws = np.random.default_rng(1).multinomial(max(1, round(number)), before / before.sum(), _PSEUDO)
    by_chance = [jensen_shannon(draw.astype(float), before) for draw in draws]
    return Sculpting(
        mean,
        float(std / np.sqrt(number)),
        std,
        float(std / np.sqrt(2 * number)),
        jensen_shannon(after, before),
        float(np.mean(by_chance)),
        float(np.std(by_chance)),
        int(rows.sum()),
        cut,
    )
