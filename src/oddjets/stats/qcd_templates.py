"""Nominal templates of the process that ABCD estimates: data minus simulation, and B C / D of those in A."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oddjets.config.fit import Fit
from oddjets.io.yields import RegionYields
from oddjets.stats.templates import Template, total_of

__all__ = ["QCD_FLOOR", "initial_strengths", "qcd_of_authors_code", "qcd_templates", "unclipped"]

#: smallest nominal QCD, events per bin; half an event is well below the Poisson error of an empty bin
QCD_FLOOR = 0.5

Report = dict[str, Any]


def initial_strengths(fit: Fit) -> dict[str, float]:
    """Return signal process to the strength at which its fit starts, within its bounds."""
    return {poi.process: float(np.clip(poi.init, *poi.bounds)) for poi in fit.pois}


def qcd_templates(
    region: str,
    data: Mapping[str, np.ndarray],
    templates: Mapping[str, list[Template]],
    strengths: Mapping[str, float],
    report: Report,
) -> dict[str, np.ndarray]:
    """Compute nominal QCD: data minus simulation in B, C and D, with a floor; BC/D of those in A.

    Args:
        region: the region, for the report.
        data: data by letter.
        templates: of simulation, by letter.
        strengths: by which the templates of signals are multiplied.
        report: filled with the bins at the floor.
    """
    qcd = {}
    for letter in "BCD":
        rest = data[letter] - total_of(templates[letter], len(data[letter]), strengths)
        qcd[letter] = _floored(rest, QCD_FLOOR, region, letter, "data_minus_simulation", report)
    qcd["A"] = qcd["B"] * qcd["C"] / qcd["D"]
    return qcd


def qcd_of_authors_code(
    region: str, data: Mapping[str, np.ndarray], simulation: Mapping[str, np.ndarray], report: Report
) -> dict[str, np.ndarray]:
    """Compute nominal QCD as the authors' code does (OmniLearnedAD, `save_combine_histograms`).

    Data minus the simulated background, without clipping it first; the signal is not subtracted.
    B, C and D are clipped at zero for the templates, and A is (C/D) B of the yields before that clip, 0 where D is 0, and
    clipped itself.

    Args:
        region: the region, for the report.
        data: data by letter.
        simulation: the sum of the simulated backgrounds by letter, not clipped.
        report: filled with the clipped bins.
    """
    rest = {letter: data[letter] - simulation[letter] for letter in "BCD"}
    prediction = np.divide(rest["C"], rest["D"], out=np.zeros_like(rest["D"]), where=rest["D"] != 0) * rest["B"]
    qcd = {x: _floored(rest[x], 0.0, region, x, "data_minus_simulation", report) for x in "BCD"}
    qcd["A"] = _floored(prediction, 0.0, region, "A", "b_c_over_d", report)
    return qcd


def _floored(values: np.ndarray, floor: float, region: str, letter: str, what: str, report: Report) -> np.ndarray:
    """Apply a lower limit to the bins of a template, and list the changed bins in the report."""
    report["floored"] += [
        {"region": region, "letter": letter, "bin": int(i), what: float(values[i]), "floor": floor}
        for i in np.flatnonzero(values < floor)
    ]
    return np.asarray(np.maximum(values, floor))


def unclipped(
    histograms: RegionYields, region: str, observable: str, processes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the sum of simulated processes by letter, with negative bins unchanged."""
    size = len(histograms.edges(region, observable)) - 1
    none = np.zeros(size)
    return {
        letter: np.asarray(sum((histograms.values(region, observable, p, letter) for p in processes), none))
        for letter in "BCD"
    }
