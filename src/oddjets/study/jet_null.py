"""Searches in the mass of the oddest single jets, repeated in experiments without signal: the content of their file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kstest, norm

from oddjets.core.errors import OddjetsError
from oddjets.io.studies import few_experiments
from oddjets.stats import dijet_function
from oddjets.study.calibration import LEAST_ABOVE, binomial_interval, counted_p
from oddjets.study.single_jets import JetCells, Searched, Source, draw, search_all

__all__ = ["NAMES", "lines_of", "null_of_jets"]

Floats = npt.NDArray[np.float64]

#: what the p of a source is the probability under
NAMES = {
    "sidebands": "p if the fits outside the window are right",
    "mixed-masses": "p if score and mass are independent at the same pT",
}
#: experiments that are searched at a time
_CHUNK = 250
#: significances of the table of false alarms
SIGMAS = (1.0, 2.0, 3.0)
#: local p at which the curves of the figure have points
CURVE = np.logspace(-6, 0, 61)
#: below, local p are said not to be uniform
LEAST_KS = 0.05


def null_of_jets(
    cells: JetCells,
    source: Source,
    experiments: int,
    seed: int,
    *,
    progress: Callable[[int], None] = lambda number: None,
) -> dict[str, Any]:
    """Repeat all searches in experiments without signal, and compare what was seen with them.

    The statistic of all choices together is the smallest of their local p-values, in the window or at any position; in each
    experiment all choices see the same jets. p = (1 + experiments with one as small) / (1 + experiments).

    Args:
        cells: the jets; see `oddjets.study.single_jets.count_cells`.
        source: what experiments are drawn from.
        experiments: how many.
        seed: of all random numbers.
        progress: gets the number of experiments that were made since the last call.

    Returns:
        Plain numbers and text: ``choices``, ``together`` (in the ``window``, and ``anywhere``), ``curve``, ``left_out``.

    Raises:
        OddjetsError: no choice has a spectrum that can be fitted.
    """
    kept = cells.fitted()
    left_out = [c for c in cells.choices if c not in kept.choices]
    if not kept.choices:
        raise OddjetsError(
            "no score and efficiency of 'jet_bump' selects jets enough for a fit outside the window (100, in half of the bins);"
            " import more files, or give larger efficiencies"
        )
    seen = search_all(kept.spectra[None], kept)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, experiments, _CHUNK):
        number = min(_CHUNK, experiments - start)
        parts.append(search_all(draw(kept, source, number, rng), kept))
        progress(number)
    made = Searched(*(np.concatenate([part[i] for part in parts]) for i in range(len(Searched._fields))))
    return {
        "source": source,
        "name": NAMES[source],
        "experiments": experiments,
        "seed": seed,
        "positions": int(dijet_function.positions(len(kept.window), kept.width).sum()),
        "window": [float(e) for e in kept.edges[[kept.window.argmax(), len(kept.window) - kept.window[::-1].argmax()]]],
        "steps_of_pT": len(kept.steps),
        "choices": [_of_choice(kept, k, seen, made) for k in range(len(kept.choices))],
        "together": {
            "window": _together(kept, seen.local[0], made.local),
            "anywhere": _together(kept, seen.smallest[0], made.smallest),
        },
        "curve": {
            "p": CURVE.tolist(),
            "choices": [_fractions(p) for p in made.local.T],
            "window": _fractions(made.local.min(axis=1)),
            "anywhere": _fractions(made.smallest.min(axis=1)),
        },
        "left_out": [{"score": c.score, "efficiency": c.efficiency} for c in left_out],
    }


def _fractions(p: Floats) -> list[float]:
    """Return the fraction of experiments with a p up to each of `CURVE`."""
    return [float(n) / len(p) for n in np.searchsorted(np.sort(p), CURVE, side="right")]


def _counted(seen: float, made: Floats) -> dict[str, Any]:
    """Return how often experiments have a p as small as the one that was seen."""
    # equal counts have the same p but for rounding
    below = int((made <= seen * (1 + 1e-9)).sum())
    low, high = binomial_interval(below, len(made))
    return {
        "seen": seen,
        **counted_p(below, len(made)),
        "low": low,
        "high": high,
        "experiments_below": below,
        "extrapolated": below < LEAST_ABOVE,
    }


def _together(cells: JetCells, seen: Floats, made: Floats) -> dict[str, Any]:
    best = int(seen.argmin())
    found = _counted(float(seen[best]), made.min(axis=1))
    return {**found, "score": cells.choices[best].score, "efficiency": cells.choices[best].efficiency}


def _of_choice(cells: JetCells, k: int, seen: Searched, made: Searched) -> dict[str, Any]:
    place, local = int(seen.place[0, k]), made.local[:, k]
    alarms = []
    for sigma in SIGMAS:
        expected, below = float(norm.sf(sigma)), int((local <= norm.sf(sigma)).sum())
        low, high = binomial_interval(below, len(local))
        alarms.append(
            {"sigma": sigma, "expected": expected, "below": below, "of": len(local), "low": low, "high": high}
        )
    return {
        **cells.choices[k]._asdict(),
        "jets": int(cells.spectra[k].sum()),
        "sidebands_p": float(seen.quality[0, k]),
        "local": _counted(float(seen.local[0, k]), local),
        "anywhere": _counted(float(seen.smallest[0, k]), made.smallest[:, k]),
        "at": [float(cells.edges[place]), float(cells.edges[place + cells.width])],
        "uniform": {"kolmogorov_smirnov": float(kstest(local, "uniform").pvalue), "alarms": alarms},
    }


def lines_of(found: dict[str, Any]) -> list[str]:
    """Return what a study says, in lines for people.

    Args:
        found: from `null_of_jets`.
    """
    number = found["experiments"]
    lines = [
        f"{found['source']}: {number} experiments without signal, {len(found['choices'])} choices of score and efficiency"
    ]
    lines += [
        f"{_of(one)}: local p {one['local']['seen']:.2g} in the window, of experiments {_said(one['local'])};"
        f" {one['anywhere']['seen']:.2g} at {one['at'][0]:g} to {one['at'][1]:g} GeV, of experiments {_said(one['anywhere'])}"
        for one in found["choices"]
    ]
    together = found["together"]
    for key, words in (("window", "in the window"), ("anywhere", f"at {found['positions']} masses")):
        one = together[key]
        lines.append(
            f"all scores and efficiencies, {words}: smallest local p {one['seen']:.2g} ({_of(one)}), global {_said(one)}"
        )
    odd = [one for one in found["choices"] if one["uniform"]["kolmogorov_smirnov"] < LEAST_KS]
    if odd:
        lines.append(
            f"warning: without signal, local p-values are not uniform (p < {LEAST_KS:g} by Kolmogorov and Smirnov):"
            f" {_named(odd)}; the fractions of experiments count, and not the local p"
        )
    bad = [one for one in found["choices"] if one["sidebands_p"] < dijet_function.LEAST_QUALITY]
    if bad:
        lines.append(
            f"warning: no fit outside the window describes its sidebands (p of chi2 < {dijet_function.LEAST_QUALITY:g}):"
            f" {_named(bad)}; an excess may be of the function, or of something beside the window"
        )
    if found["left_out"]:
        lines.append(f"too few jets for a fit: {_named(found['left_out'])}")
    return [*lines, *few_experiments(number)]


def _of(one: dict[str, Any]) -> str:
    return f"{one['score']}, {100 * one['efficiency']:g} %"


def _named(some: Sequence[dict[str, Any]]) -> str:
    return "; ".join(_of(one) for one in some)


def _said(one: dict[str, Any]) -> str:
    if bound := one["bound"]:
        return f"p < {bound['p_below']:.2g} at {100 * bound['level']:g} % (none of {bound['experiments']})"
    return f"p = {one['p_value']:.3g} [{one['low']:.2g}, {one['high']:.2g}]"
