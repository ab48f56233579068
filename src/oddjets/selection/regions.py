"""Regions and letters of events.

A region is a conjunction of named cuts on top of the base selection. Within it, the two scores split events into A (both
pass), B (leading fails), C (subleading fails) and D (both fail), as in the paper. Events at the threshold pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.selection import Threshold
from oddjets.core.errors import OddjetsError
from oddjets.core.tracebacks import user_line
from oddjets.io.event_table import EventTable
from oddjets.io.histograms import LETTERS, ThresholdResult
from oddjets.selection.decorators import HasCuts, mask_of

__all__ = [
    "circular_regions",
    "find_threshold",
    "letter_numbers",
    "letters",
    "region_mask",
    "region_masks",
    "split_cut",
]

Mask = npt.NDArray[np.bool_]


def split_cut(name: str) -> tuple[str, bool]:
    """Return a cut's name and whether it is negated: ``not low_tau21``."""
    words = name.split()
    if len(words) == 2 and words[0] == "not":
        return words[1], True
    return name.strip(), False


def circular_regions(analysis: Analysis) -> dict[str, str]:
    """Check that regions refer to each other without circles.

    Returns:
        Region to the problem it has; empty if there is none.
    """
    problems: dict[str, str] = {}

    def visit(region: str, above: tuple[str, ...]) -> None:
        if region in above:
            problems[region] = f"refers to itself: {' -> '.join((*above, region))}"
            return
        for cut in analysis.regions[region].cuts:
            name, _ = split_cut(cut)
            if name in analysis.regions:
                visit(name, (*above, region))

    for region in analysis.regions:
        visit(region, ())
    return problems


def region_mask(analysis: Analysis, processor: HasCuts, region: str, table: EventTable) -> Mask:
    """Return which events of a table are in a region, on top of the base selection.

    Args:
        analysis: holds the regions.
        processor: has the cuts as methods.
        region: its name.
        table: the events, as one variation sees them.
    """
    return _mask(analysis, processor, region, table, {})


def region_masks(analysis: Analysis, processor: HasCuts, table: EventTable) -> dict[str, Mask]:
    """Return `region_mask` of all regions; each cut is evaluated once."""
    known: dict[str, Mask] = {}
    return {region: _mask(analysis, processor, region, table, known) for region in analysis.regions}


def _mask(analysis: Analysis, processor: HasCuts, region: str, table: EventTable, known: dict[str, Mask]) -> Mask:
    """Return a region's mask; ``known`` has cuts and regions that were evaluated before, and takes the new ones."""
    if region in known:
        return known[region]
    # no PackedSelection: a negated region is no conjunction of cuts, and regions may be more than its 64 slots
    mask = np.ones(table.size, dtype=bool)
    for cut in analysis.regions[region].cuts:
        name, negated = split_cut(cut)
        if name in analysis.regions:
            passed = _mask(analysis, processor, name, table, known)
        else:
            if name not in known:
                known[name] = _evaluated(processor, region, name, table)
            passed = known[name]
        mask &= ~passed if negated else passed
    known[region] = mask
    return mask


def _evaluated(processor: HasCuts, region: str, cut: str, table: EventTable) -> Mask:
    try:
        return mask_of(cut, getattr(processor, cut)(table), table.size)
    except OddjetsError:
        raise
    except Exception as error:
        line = user_line(error)
        if isinstance(error, KeyError) and error.args and error.args[0] not in table:
            where = f"; {line}" if line else ""
            raise OddjetsError(
                f"region '{region}': cut '{cut}' needs the column {error}, which the event table does not have"
                f" (the files have no such branch{where})"
            ) from None
        where = f" in {line}" if line else ""
        raise OddjetsError(
            f"region '{region}': cut '{cut}' failed{where} ({type(error).__name__}: {error}); --debug shows where"
        ) from error


def letter_numbers(
    score_1: npt.NDArray[np.float64],
    score_2: npt.NDArray[np.float64],
    threshold: float | npt.NDArray[np.float64],
    *,
    strict: bool = False,
) -> npt.NDArray[np.int8]:
    """Return the letter of each event as its place in `LETTERS`: 0 for A to 3 for D.

    Args:
        score_1: score of the leading jet, shape (n,).
        score_2: score of the subleading jet, shape (n,).
        threshold: a score at or above it passes; several thresholds have shape (thresholds, 1).
        strict: a score at the threshold fails.

    Returns:
        Shape (n,), or (thresholds, n).
    """
    passes = np.greater if strict else np.greater_equal
    leading, subleading = passes(score_1, threshold), passes(score_2, threshold)
    return np.asarray((~leading).view(np.int8) + 2 * (~subleading).view(np.int8), np.int8)


def letters(
    score_1: npt.NDArray[np.float64], score_2: npt.NDArray[np.float64], threshold: float, *, strict: bool = False
) -> npt.NDArray[np.str_]:
    """Return the letter of each event, of A, B, C, D: every event has exactly one; see `letter_numbers`."""
    return np.array(LETTERS)[letter_numbers(score_1, score_2, threshold, strict=strict)]


def find_threshold(spec: Threshold, data: Mapping[str, npt.NDArray[np.float64]] | None) -> ThresholdResult:
    """Find the cut on the scores.

    Args:
        spec: an efficiency of data or a fixed value.
        data: the columns ``score_<name>_1`` and ``_2`` of data after the base selection; None without data.

    Returns:
        The threshold: for an efficiency, the (1 - efficiency) quantile (linear) of min(score_1, score_2).

    Raises:
        OddjetsError: an efficiency is asked for and there is no data, or too few scores of data are numbers.
    """
    lower = None
    if data is not None:
        lower = np.minimum(data[f"score_{spec.score}_1"], data[f"score_{spec.score}_2"])
        # a score that is no number passes no threshold
        lower = np.where(np.isnan(lower), -np.inf, lower)
    if spec.value is not None:
        value = spec.value
    elif lower is None or len(lower) == 0:
        assert spec.efficiency is not None
        what = "there is no data" if lower is None else "no data event passes the base selection"
        raise OddjetsError(
            f"threshold: an efficiency of {spec.efficiency} asks for a quantile over data, but {what};"
            " give 'threshold.value' (a fixed cut on the score) instead"
        )
    else:
        assert spec.efficiency is not None
        with np.errstate(invalid="ignore"):
            value = float(np.quantile(lower, 1.0 - spec.efficiency))
        if not np.isfinite(value):
            raise OddjetsError(
                f"threshold: {int(np.sum(~np.isfinite(lower)))} of {len(lower)} data events have a score"
                f" '{spec.score}' that is NaN or infinite, too many for an efficiency of {spec.efficiency}: check the"
                " inputs of the score"
            )
    n_data = 0 if lower is None else len(lower)
    passes = np.greater if spec.strict else np.greater_equal
    n_above = 0 if lower is None else int(np.sum(passes(lower, value)))
    return ThresholdResult(
        score=spec.score,
        value=value,
        efficiency_asked=spec.efficiency,
        efficiency_found=n_above / n_data if n_data else None,
        n_data=n_data,
        n_above=n_above,
    )
