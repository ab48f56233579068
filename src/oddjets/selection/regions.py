"""Regions and letters of events.

A region is a conjunction of cuts, on single jets and on events, on top of the base selection. A cut is a method of the
processor, by its name, or an expression over columns. Within a region, the two
scores split events into A (both pass), B (leading fails), C (subleading fails) and D (both fail), as in the paper. Events at
the threshold pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.regions import Quantifier, is_expression, split_cut
from oddjets.config.selection import Threshold
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import evaluate
from oddjets.core.tracebacks import user_line
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import LETTERS, ThresholdResult
from oddjets.selection.decorators import HasCuts, JetColumns, mask_of

__all__ = [
    "NO_CONDITION",
    "circular_regions",
    "find_threshold",
    "jet_masks",
    "letter_numbers",
    "letters",
    "quantified",
    "region_mask",
    "region_masks",
]

Mask = npt.NDArray[np.bool_]

#: of fewer events of data, scores that are equal may be chance
_MIN_EVENTS = 10

#: what is said of an expression that is neither true nor false
NO_CONDITION = "the cut '{}' is no condition; compare it with something, as in mass_2 > 100"


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
        for cut in analysis.regions[region].of_events:
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
    return _Masks(analysis, processor, table).region(region)


def region_masks(analysis: Analysis, processor: HasCuts, table: EventTable) -> dict[str, Mask]:
    """Return `region_mask` of all regions; each cut is evaluated once."""
    masks = _Masks(analysis, processor, table)
    return {region: masks.region(region) for region in analysis.regions}


def jet_masks(analysis: Analysis, processor: HasCuts, table: EventTable) -> dict[str, Mask]:
    """Return which jets pass each cut on single jets that a region names.

    Args:
        analysis: holds the regions.
        processor: has the cuts as methods.
        table: the events, as one variation sees them.

    Returns:
        Name of the cut -> mask of shape (2, n): the leading jets, and the subleading ones.
    """
    masks = _Masks(analysis, processor, table)
    for name, region in analysis.regions.items():
        for cut in (cut for cuts in region.of_jets.values() for cut in cuts):
            masks.jets(name, split_cut(cut)[0])
    return masks.of_jets


class _Masks:
    """The masks of cuts and regions on a table; each is evaluated once."""

    def __init__(self, analysis: Analysis, processor: HasCuts, table: EventTable) -> None:
        self._analysis, self._processor, self._table = analysis, processor, table
        self._of_events: dict[str, Mask] = {}
        self.of_jets: dict[str, Mask] = {}

    def region(self, name: str) -> Mask:
        """Return a region's mask."""
        if name in self._of_events:
            return self._of_events[name]
        asked = self._analysis.regions[name]
        # no PackedSelection: a negated region is no conjunction of cuts, and regions may be more than its 64 slots
        mask = np.ones(self._table.size, dtype=bool)
        for quantifier, cuts in asked.of_jets.items():
            mask &= quantified(quantifier, self._jets_passing(name, cuts))
        for cut in asked.of_events:
            bare, negated = split_cut(cut)
            passed = self.region(bare) if bare in self._analysis.regions else self._events(name, bare)
            mask &= ~passed if negated else passed
        self._of_events[name] = mask
        return mask

    def jets(self, region: str, cut: str) -> Mask:
        """Return the mask of a cut on single jets, (2, n)."""
        if cut not in self.of_jets:
            self.of_jets[cut] = np.stack(
                [self._evaluated(region, cut, JetColumns(self._table, jet)) for jet in JETS],
            )
        return self.of_jets[cut]

    def _jets_passing(self, region: str, cuts: Sequence[str]) -> Mask:
        """Return which jets pass all cuts of a list, (2, n)."""
        passed = np.ones((len(JETS), self._table.size), dtype=bool)
        for name, negated in map(split_cut, cuts):
            passed &= ~self.jets(region, name) if negated else self.jets(region, name)
        return passed

    def _events(self, region: str, cut: str) -> Mask:
        if cut not in self._of_events:
            self._of_events[cut] = self._evaluated(region, cut, self._table)
        return self._of_events[cut]

    def _evaluated(self, region: str, cut: str, columns: EventTable | JetColumns) -> Mask:
        if is_expression(cut):
            return self._expression(region, cut, columns)
        try:
            return mask_of(cut, getattr(self._processor, cut)(columns), self._table.size)
        except OddjetsError:
            raise
        except Exception as error:
            line = user_line(error)
            # the names that the cut may read, of events or of single jets
            if isinstance(error, KeyError) and error.args and error.args[0] not in columns:
                where = f"; {line}" if line else ""
                asked, known = error.args[0], [name for name in columns if "__" not in name]
                of_jets = " of each jet" if isinstance(columns, JetColumns) else ""
                raise OddjetsError(
                    f"region '{region}': cut '{cut}' needs the column '{asked}'{of_jets}, which the event table does not have"
                    f" (the files have no such branch{where}); {nearest(asked, known)}"
                ) from None
            where = f" in {line}" if line else ""
            raise OddjetsError(
                f"region '{region}': cut '{cut}' failed{where} ({type(error).__name__}: {error}); --debug shows where"
            ) from error

    def _expression(self, region: str, cut: str, columns: EventTable | JetColumns) -> Mask:
        try:
            passed = evaluate(cut, columns)
        except OddjetsError as error:
            of_jets = ", of the columns of each jet" if isinstance(columns, JetColumns) else ""
            raise OddjetsError(f"region '{region}': cut {error}{of_jets}") from None
        if passed.dtype != np.bool_:
            raise OddjetsError(f"region '{region}': {NO_CONDITION.format(cut)}")
        return np.array(np.broadcast_to(passed, self._table.size))


def quantified(quantifier: Quantifier, jets: Mask) -> Mask:
    """Return which events pass, (n,), from which jets do, (2, n)."""
    leading, subleading = jets
    if quantifier == "all":
        return np.asarray(leading & subleading)
    if quantifier == "any":
        return np.asarray(leading | subleading)
    return np.asarray(leading if quantifier == "leading" else subleading)


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
        OddjetsError: an efficiency is asked for and there is no data, too few scores of data are numbers, or all are the same.
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
        if len(lower) >= _MIN_EVENTS and lower.min() == lower.max():
            raise OddjetsError(
                f"threshold: the lower score '{spec.score}' of both jets is {value:.6g} for all {len(lower)} data events, so"
                f" that no cut keeps {spec.efficiency:g} of them: a constant is no score; see its inputs, or take another one"
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
