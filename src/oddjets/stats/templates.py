"""The templates of one channel: nominal yields, statistical variances and systematic variations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.config.fit import Variations
from oddjets.config.nuisances import luminosity_parts, nuisances_of
from oddjets.core.errors import OddjetsError
from oddjets.io.yields import RegionYields

__all__ = ["Template", "nuisance_names", "read_templates", "smooth_variation", "total_of"]

#: the authors' code clips varied histograms here (OmniLearnedAD)
AUTHORS_VARIED_FLOOR = 1e-5
#: a variation that changes a bin by more than this fraction is reported as large
LARGE = 0.5


class Template(NamedTuple):
    """One process in one channel; arrays over the bins.

    Attributes:
        process: its name.
        nominal: events.
        variance: sum of squared weights.
        scales: nuisance parameter -> what it multiplies the events by at +1 and at -1: parts of the luminosity's uncertainty.
        shapes: nuisance parameter -> events with it at +1 and at -1.
        shape_variances: nuisance parameter -> sums of squared weights of these two.
    """

    process: str
    nominal: np.ndarray
    variance: np.ndarray
    scales: dict[str, tuple[float, float]]
    shapes: dict[str, tuple[np.ndarray, np.ndarray]]
    shape_variances: dict[str, tuple[np.ndarray, np.ndarray]]


def total_of(templates: Sequence[Template], size: int, scale: Mapping[str, float] | None = None) -> np.ndarray:
    """Return the events of templates of one channel, (bins,), each process scaled where ``scale`` has it."""
    scale = scale or {}
    return np.asarray(np.sum([scale.get(t.process, 1.0) * t.nominal for t in templates] + [np.zeros(size)], axis=0))


def nuisance_names(variations: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Pair variations: nuisance -> names of its up and down variation, None if one is missing."""
    result: dict[str, tuple[str | None, str | None]] = {}
    for name in variations:
        for ending, place in (("Up", 0), ("Down", 1)):
            if name.endswith(ending):
                pair = list(result.get(name.removesuffix(ending), (None, None)))
                pair[place] = name
                result[name.removesuffix(ending)] = (pair[0], pair[1])
    return result


def smooth_variation(nominal: np.ndarray, varied: np.ndarray) -> np.ndarray:
    """Smooth the ratio of a variation to its nominal over neighbouring bins; its total is unchanged.

    Both are averaged with the weights 1/4, 1/2, 1/4 before they are divided: a bin counts by its events, so that a noisy tail
    follows the bulk.

    Args:
        nominal: (bins,).
        varied: (bins,).

    Returns:
        The smooth variation, (bins,).
    """

    def average(y: np.ndarray) -> np.ndarray:
        padded = np.concatenate([y[:1], y, y[-1:]])
        return np.asarray(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:])

    below = average(nominal)
    smooth = nominal * average(varied) / np.where(below > 0, below, 1.0)
    return np.asarray(smooth * (varied.sum() / smooth.sum() if smooth.sum() > 0 else 1.0))


def _check_variation(nominal: np.ndarray, high: np.ndarray, low: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find out whether a variation has the same sign up and down in total, or changes some bin by more than half."""
    up, down = (float(y.sum() / nominal.sum()) - 1 for y in (high, low))
    one_sided = {"up": up, "down": down} if up * down > 0 else {}
    used = nominal > 0
    change = float(np.abs(np.stack([high, low])[:, used] / nominal[used] - 1).max(initial=0.0))
    return one_sided, {"largest_change": change} if change > LARGE else {}


def _treat_variation(
    nominal: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    settings: Variations,
    report: dict[str, Any],
    place: dict[str, str],
) -> tuple[np.ndarray, np.ndarray]:
    """Report a one-sided or large variation; smooth it, and cap its bins, if the YAML says so."""
    one_sided, large = _check_variation(nominal, high, low)
    if one_sided:
        report["one_sided"].append({**place, **one_sided})
    if large:
        report["large"].append({**place, **large})
    if settings.smooth and (one_sided or large):
        report["smoothed"].append(place)
        high, low = smooth_variation(nominal, high), smooth_variation(nominal, low)
    if settings.cap is not None:
        least, most = nominal * (1 - settings.cap), nominal * (1 + settings.cap)
        outside = (np.stack([high, low]) > most) | (np.stack([high, low]) < least)
        bins = np.flatnonzero((outside & (nominal > 0)).any(axis=0))
        if len(bins):
            report["capped"].append({**place, "bins": bins.tolist()})
            high, low = (np.where(nominal > 0, np.clip(y, least, most), y) for y in (high, low))
    return high, low


def read_templates(
    analysis: Analysis,
    histograms: RegionYields,
    region: str,
    letter: str,
    processes: Sequence[str],
    report: dict[str, Any],
) -> list[Template]:
    """Read the templates of one channel.

    Args:
        analysis: defines the observable, and the systematics that are decorrelated between processes.
        histograms: the histograms to read.
        region: the region.
        letter: the letter.
        processes: the processes to read.
        report: filled with the changes, in the lists ``negative``, ``left_out``, ``mirrored``, ``one_sided``, ``large``,
            ``smoothed``, ``capped``.

    Returns:
        The processes that have events here.

    Raises:
        OddjetsError: a bin is not finite.
    """
    assert analysis.fit is not None
    observable = analysis.fit.observable
    floor = AUTHORS_VARIED_FLOOR if analysis.fit.mode == "authors-code" else 0.0
    apart = {name for s in analysis.systematics if s.decorrelate for name in nuisances_of(analysis, s)}
    luminosity = luminosity_parts(analysis)
    result = []
    for process in processes:

        def values(variation: str, low: float = floor, process: str = process) -> np.ndarray:
            raw = histograms.values(region, observable, process, letter, variation)
            place = {"region": region, "letter": letter, "process": process, "variation": variation}
            if not np.isfinite(raw).all():
                bad = int(np.flatnonzero(~np.isfinite(raw))[0])
                raise OddjetsError(
                    f"histogram of {process} in {region}_{letter} ({variation}): bin {bad} is {raw[bad]}; "
                    "look for a weight that is not finite in its events"
                )
            for i in np.flatnonzero(raw < 0):
                report["negative"].append({**place, "bin": int(i), "value": float(raw[i])})
            return np.maximum(raw, low)

        nominal = values("nominal", 0.0)
        if not nominal.any():
            varied = [
                name
                for name in histograms.variations[process]
                if (histograms.values(region, observable, process, letter, name) > 0).any()
            ]
            entry = {"region": region, "letter": letter, "process": process}
            report["left_out"].append(entry | ({"variations": varied} if varied else {}))
            continue
        variance = np.maximum(histograms.variances(region, observable, process, letter), 0.0)
        scales, shapes, spreads = {}, {}, {}
        for name, (up, down) in nuisance_names(histograms.variations[process]).items():
            high = values(up) if up else None
            low = values(down) if down else None
            if high is None or low is None:
                report["mirrored"].append({"region": region, "letter": letter, "process": process, "variation": name})
                given = high if high is not None else low
                assert given is not None
                other = np.maximum(2 * nominal - given, floor)
                high, low = (given, other) if high is not None else (other, given)
            if name in luminosity:
                # of the eras that have this part: each bin has its own mixture of eras, and the channel's is taken
                scales[name] = (float(high.sum() / nominal.sum()), float(low.sum() / nominal.sum()))
                continue
            if floor == 0:
                # a bin that is empty at nominal stays empty: the interpolation would make it negative on one side
                high, low = np.where(nominal > 0, high, 0.0), np.where(nominal > 0, low, 0.0)
            place = {"region": region, "letter": letter, "process": process, "variation": name}
            high, low = _treat_variation(nominal, high, low, analysis.fit.variations, report, place)
            parameter = f"{name}_{process}" if name in apart else name
            shapes[parameter] = (high, low)
            # a mirrored direction has the events of the other one
            spreads[parameter] = (
                np.maximum(histograms.variances(region, observable, process, letter, up or str(down)), 0.0),
                np.maximum(histograms.variances(region, observable, process, letter, down or str(up)), 0.0),
            )
        result.append(Template(process, nominal, variance, scales, shapes, spreads))
    return result
