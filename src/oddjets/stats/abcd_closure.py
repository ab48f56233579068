"""Closure of the ABCD method: the observed yield in A against B C / D, bin by bin, with a constant fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.io.histograms import DATA, HistogramSet, ThresholdResult
from oddjets.stats.closure_parts import LEAST_EVENTS, effective_events, verdict

__all__ = [
    "ClosureSample",
    "ConstantFit",
    "chi2_p_value",
    "closure",
    "constant_fit",
    "predict",
    "region_closure",
]

#: the note if there is no simulation to test the method on
NOT_SIMULATED = "there is no simulation of '{process}': A = B C / D is not tested on it"
#: what ``constant`` of a region is here; `closure_parts.abcd_constant` is another one
DEFINITION = "least-squares constant of A / (B C / D) by bin; bins without events in B, C or D are left out"
#: toys that say how often chi2 is larger than found: with few events it does not follow its distribution
CHI2_TOYS = 1000


class ConstantFit(NamedTuple):
    """A constant fitted to ratios: value, error, chi2 and degrees of freedom."""

    value: float
    error: float
    chi2: float
    ndf: int


def predict(values: Mapping[str, np.ndarray], variances: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return B C / D and its variance by linear propagation of independent letters; NaN where a letter has no events.

    Args:
        values: yields by letter, (bins,).
        variances: sums of squared weights by letter, (bins,).
    """
    b, c, d = (np.where(values[x] > 0, values[x], np.nan) for x in "BCD")
    prediction = b * c / d
    relative = variances["B"] / b**2 + variances["C"] / c**2 + variances["D"] / d**2
    return prediction, prediction**2 * relative


def constant_fit(ratio: np.ndarray, error: np.ndarray) -> ConstantFit:
    """Fit a constant to ratios by least squares, leaving out bins without a finite ratio and error.

    Args:
        ratio: (bins,).
        error: (bins,).

    Returns:
        The fit; NaN with no usable bin.
    """
    value, width, chi2, bins = (x.item() for x in _constants(ratio, error))
    return ConstantFit(value, width, chi2, max(int(bins) - 1, 0))


def _constants(ratio: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return constants, errors, chi2 and numbers of bins of many fits, (...), from ratios and errors, (..., bins)."""
    use = np.isfinite(ratio) & np.isfinite(error) & (error > 0)
    weight = np.where(use, 1 / np.where(use, error, 1.0) ** 2, 0.0)
    y = np.where(use, ratio, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (weight * y).sum(axis=-1) / weight.sum(axis=-1)
        width = 1 / np.sqrt(weight.sum(axis=-1))
    bins = use.sum(axis=-1)
    nothing = np.where(bins > 0, 0.0, np.nan)
    return value, width + nothing, (weight * (y - value[..., None]) ** 2).sum(axis=-1) + nothing, bins


def _ratios(values: Mapping[str, np.ndarray], variances: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return A over B C / D, the error that is expected where the overall ratio holds, that ratio and the weight of A's events.

    Yields and variances have shape (..., bins).
    """
    prediction, variance = predict(values, variances)
    total = values["A"].sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        event_weight = np.where(total > 0, variances["A"].sum(axis=-1) / total, np.nan)
        ratio = values["A"] / prediction
        overall = total / np.nansum(prediction, axis=-1)
        scaled = (event_weight * overall)[..., None] * prediction + variance * overall[..., None] ** 2
        error = np.sqrt(scaled) / prediction
    return ratio, error, overall, event_weight


def chi2_p_value(
    values: Mapping[str, np.ndarray], variances: Mapping[str, np.ndarray], chi2: float, constant: float, seed: int = 1
) -> float:
    """Return how often toys in which the constant holds in every bin have a larger chi2 about their constants.

    Letters are drawn as weighted Poisson counts, with the weight that their events have on average.

    Args:
        values: yields by letter, (bins,).
        variances: sums of squared weights by letter, (bins,).
        chi2: found.
        constant: found; A of the toys is B C / D times this.
        seed: of the toys.

    Returns:
        The p value, never 0: (1 + larger ones) / (1 + toys); NaN where there is no chi2.
    """
    if not np.isfinite(chi2) or not constant > 0:
        return float("nan")
    rng = np.random.default_rng(seed)
    prediction, _ = predict(values, variances)
    means = {**{x: np.maximum(values[x], 0.0) for x in "BCD"}, "A": np.nan_to_num(constant * prediction)}
    total = float(values["A"].sum())
    weights = {x: np.where(values[x] > 0, variances[x] / np.where(values[x] > 0, values[x], 1.0), 0.0) for x in "BCD"}
    weights["A"] = np.full(prediction.shape, variances["A"].sum() / total if total > 0 else 0.0)
    drawn, spreads = {}, {}
    for x in "ABCD":
        counts = np.divide(means[x], weights[x], out=np.zeros_like(prediction), where=weights[x] > 0)
        drawn[x] = rng.poisson(counts, (CHI2_TOYS, len(counts))) * weights[x]
        spreads[x] = drawn[x] * weights[x]
    ratio, error, _, _ = _ratios(drawn, spreads)
    toys = _constants(ratio, error)[2]
    toys = toys[np.isfinite(toys)]
    return float((1 + np.count_nonzero(toys >= chi2)) / (1 + len(toys)))


def region_closure(
    edges: np.ndarray, values: dict[str, np.ndarray], variances: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Test A = B C / D in one region.

    A bin's error is the one expected where the overall ratio holds: the observed error of an empty or unlucky bin would bias
    the constant, so the variance of A is the scaled prediction times the mean weight of A's events.

    Args:
        edges: bin edges, (bins + 1,).
        values: yields by letter, (bins,).
        variances: sums of squared weights by letter, (bins,).

    Returns:
        The region's entry of ``closure.json``.
    """
    prediction, variance = predict(values, variances)
    observed = values["A"]
    ratio, error, _, event_weight = _ratios(values, variances)
    fit = constant_fit(ratio, error)
    enough = np.isfinite(event_weight) and np.nansum(prediction) >= LEAST_EVENTS * event_weight
    letters, squares = (np.stack([of[x] for x in "ABCD"]) for of in (values, variances))
    return {
        "edges": np.asarray(edges).tolist(),
        "observed": observed.tolist(),
        "observed_error": np.sqrt(variances["A"]).tolist(),
        "predicted": _json(prediction),
        "predicted_error": _json(np.sqrt(variance)),
        "constant": _json(fit.value),
        "constant_error": _json(fit.error),
        "expected_events": float(effective_events(letters, squares)[1]),
        "chi2": _json(fit.chi2),
        "ndf": fit.ndf,
        "chi2_p": _json(chi2_p_value(values, variances, fit.chi2, fit.value)) if fit.ndf else None,
        "verdict": verdict(fit.value, fit.error) if enough else "inconclusive",
    }


def _json(value: Any) -> Any:
    """Replace NaN by None, because JSON has no NaN."""
    if isinstance(value, np.ndarray):
        return [_json(float(v)) for v in value]
    return value if np.isfinite(value) else None


class ClosureSample(NamedTuple):
    """Histograms for a further test of the method.

    Attributes:
        label: what they are, e.g. "QCD simulation at 5 %" or "data below the threshold".
        process: on the process axis; for data, the other processes' simulation is subtracted.
        histograms: filled with the threshold, and from the events, that the label says.
    """

    label: str
    process: str
    histograms: HistogramSet


def _yields(
    analysis: Analysis, histograms: HistogramSet, process: str, region: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return yields and variances by letter; the simulated processes are subtracted from data.

    What a fit scales by a thousand (``template_scale``) is not subtracted a thousandfold.
    """
    observable, _ = analysis.abcd_bins
    values: dict[str, np.ndarray] = {x: histograms.values(region, observable, process, x) for x in "ABCD"}
    variances: dict[str, np.ndarray] = {x: histograms.variances(region, observable, process, x) for x in "ABCD"}
    others = [p for p in histograms.processes if p != analysis.data_driven] if process == DATA else []
    for other in others:
        scale = analysis.processes[other].template_scale
        for x in "ABCD":
            values[x] = values[x] - histograms.values(region, observable, other, x) / scale
            variances[x] = variances[x] + histograms.variances(region, observable, other, x) / scale**2
    return values, variances


def _regions(analysis: Analysis, histograms: HistogramSet, process: str) -> dict[str, Any]:
    observable, regions = analysis.abcd_bins
    return {
        region: region_closure(histograms.edges(region, observable), *_yields(analysis, histograms, process, region))
        for region in regions
    }


def closure(analysis: Analysis, histograms: HistogramSet, scans: Sequence[ClosureSample] = ()) -> dict[str, Any]:
    """Test A = B C / D on the simulation of the data-driven process, and again on other sources.

    Args:
        analysis: defines the process, the observable and the regions (`Analysis.abcd_bins`).
        histograms: with that process, if it is simulated.
        scans: other efficiencies, or data with both scores just below the threshold.

    Returns:
        The content of ``closure.json``: process, the ``definition`` of the constants and, by region, observed and predicted
        yields with errors, the fitted constant, how many events of equal weights are expected in A, chi2/ndf with its p value
        from toys, and a verdict: "closes", "does not close" or "inconclusive" (see `closure_parts.verdict`; always the last
        where fewer than 10 events are expected in A);
        ``scans`` is a list of label, process and regions of the same form. Without simulation of the process ``regions``
        is empty, ``note`` says so, and only the scans in data remain.

    Raises:
        OddjetsError: no data-driven process.
    """
    process = analysis.data_driven
    if process is None:
        raise OddjetsError("the closure needs a process with 'data_driven: true'")
    simulated = process in histograms.variations
    return {
        "process": process,
        "definition": DEFINITION,
        **({} if simulated else {"note": NOT_SIMULATED.format(process=process)}),
        "regions": _regions(analysis, histograms, process) if simulated else {},
        "scans": [
            {
                "label": source.label,
                "process": source.process,
                "threshold": source.histograms.threshold.value,
                "efficiency": _efficiency(source.histograms.threshold),
                "regions": _regions(analysis, source.histograms, source.process),
            }
            for source in scans
            if source.process in source.histograms.variations
        ],
    }


def _efficiency(threshold: ThresholdResult) -> float | None:
    """Return the fraction of data above a threshold; the requested one if the data in A are blinded."""
    return threshold.efficiency_asked if threshold.n_above is None else threshold.efficiency_found
