"""The uncertainty of A = B C / D: which closure it is taken from, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from oddjets.core.errors import OddjetsError
from oddjets.core.rounding import rounded
from oddjets.io.histograms import DATA
from oddjets.stats.closure_parts import LEAST_EVENTS, StructuralFactor

__all__ = ["ClosureUncertainty", "closure_modifier", "closure_modifiers", "closure_uncertainties"]

#: closures whose constants are further apart than this many errors of their difference contradict each other
CONTRADICTING_SIGMAS = 2.0


class ClosureUncertainty(NamedTuple):
    """The uncertainty of A = B C / D in a region.

    Attributes:
        size: relative uncertainty of the yield in A: the larger of |constant - 1| and the constant's error.
        constant: the constant of the closure used.
        constant_error: its error.
        source: the name of that closure.
        fallback: whether it is a different closure than that of simulation at the threshold, alone or with other efficiencies.
        why: what another closure has to do with it, in words; empty: nothing.
        bins: relative shift of the yield in each bin of A by each nuisance parameter, shape (parameters, bins); empty: one
            parameter that scales all bins alike. ``size`` is then the uncertainty of their sum.
    """

    size: float
    constant: float
    constant_error: float
    source: str
    fallback: bool
    why: str = ""
    bins: tuple[tuple[float, ...], ...] = ()


class _Candidate(NamedTuple):
    source: str
    constant: float
    error: float
    #: whether simulation was measured at the threshold, too
    at_threshold: bool = False

    @property
    def size(self) -> float:
        return max(abs(self.constant - 1), self.error)

    @property
    def rank(self) -> float:
        """The error that the same events would give for a constant of 1: a Poisson error goes with the root of the constant.

        Otherwise too few events in A by chance would make a closure look well known.
        """
        return float(self.error / np.sqrt(self.constant))


def closure_uncertainties(
    result: Mapping[str, Any], regions: Sequence[str], structural: Mapping[str, StructuralFactor] | None = None
) -> dict[str, ClosureUncertainty]:
    """Turn a closure into relative uncertainties of the data-driven yield in A, by region, for `workspace.build`.

    The best known closure at the threshold is used, that with the smallest error for c = 1, of: simulation at the threshold, if
    10 events are expected in A; simulation extrapolated to the threshold from several efficiencies; data with both scores below
    the threshold, likewise. If another of them contradicts it by more than 2 errors of the difference, and is further from 1,
    the size is that of the other one. If there is none of these, the first closure with a constant is used, in this order:
    simulation at the threshold; simulation at other efficiencies, the smallest first; data below the threshold.

    Args:
        result: the content of ``closure.json``.
        regions: of the fit.
        structural: constants that the fit knows already, as by ``abcd: structural`` or ``cells``; the closure's are divided by
            them.

    Raises:
        OddjetsError: a region without a constant in any of them.
    """
    found = {}
    for region in regions:
        known = structural.get(region) if structural else None
        # a line can end below 0, where a Poisson error says nothing
        sound = [one for one in _at_threshold(result, region, known) if one.constant > 0]
        best = min(sound, key=lambda candidate: candidate.rank, default=None)
        if best is not None:
            found[region] = _of_best(best, sound, _name_of_nominal(result))
            continue
        order = list(_in_order(result))
        for i, (label, closed) in enumerate(order):
            one = _constant_of(label, closed.get(region, {}), known)
            if one is not None:
                why = "which has no constant there" if i else ""
                found[region] = ClosureUncertainty(one.size, one.constant, one.error, label, i > 0, why)
                break
        else:
            raise OddjetsError(
                f"fit.closure_uncertainty: no closure has a constant in region '{region}' (tried: "
                f"{'; '.join(label for label, _ in order)}), so the uncertainty of A = B C / D there is unknown; simulate more "
                "events, remove the region from fit.regions, or set 'closure_uncertainty: false' and justify it"
            )
    return found


def closure_modifier(region: str, size: float) -> dict[str, Any]:
    """Return the log-normal uncertainty of the data-driven process in A of a region, a modifier of a workspace.

    Args:
        region: its name.
        size: relative.
    """
    return {"name": f"closure_{region}", "type": "normsys", "data": {"hi": 1 + size, "lo": 1 / (1 + size)}}


def closure_modifiers(region: str, used: ClosureUncertainty, nominal: Sequence[float]) -> list[dict[str, Any]]:
    """Return what the closure's uncertainty adds to the data-driven process in A of a region, modifiers of a workspace.

    Args:
        region: its name.
        used: its uncertainty.
        nominal: yields of the process in A, shape (bins,).
    """
    if not used.bins:
        return [closure_modifier(region, used.size)]
    made = []
    for number, shifts in enumerate(used.bins, 1):
        high, low = (
            [value * (1 + sign * shift) for value, shift in zip(nominal, shifts, strict=True)] for sign in (1, -1)
        )
        made.append(
            {"name": f"closure_{region}_{number}", "type": "histosys", "data": {"hi_data": high, "lo_data": low}}
        )
    return made


def _simulation(result: Mapping[str, Any]) -> str:
    return str(result.get("simulation") or f"{result['process']} simulation")


def _name_of_nominal(result: Mapping[str, Any]) -> str:
    return f"{_simulation(result)} at the threshold"


def _in_order(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    scans = list(result.get("scans", ()))
    others = [s for s in scans if s["process"] != DATA]
    others.sort(key=lambda scan: np.inf if scan.get("efficiency") is None else scan["efficiency"])
    yield _name_of_nominal(result), result["regions"]
    for scan in [*others, *(s for s in scans if s["process"] == DATA)]:
        yield scan["label"], scan["regions"]


def _constant_of(source: str, closed: Mapping[str, Any], known: StructuralFactor | None) -> _Candidate | None:
    constant, error = (closed.get(key) for key in ("constant", "constant_error"))
    if constant is None or error is None:
        return None
    by = known.value if known else 1.0
    return _Candidate(source, constant / by, error / by)


def _at_threshold(result: Mapping[str, Any], region: str, known: StructuralFactor | None) -> Iterator[_Candidate]:
    """Yield the closures that say what c is at the threshold, with an error that has all parts."""
    nominal = result["regions"].get(region, {})
    one = _constant_of(_name_of_nominal(result), nominal, known)
    if one is not None and nominal.get("expected_events", LEAST_EVENTS) >= LEAST_EVENTS:
        yield one
    parts = result.get("parts", {})
    found = parts.get("regions", {}).get(region, {})
    of_events = str((parts.get("sources") or {}).get("correlation"))
    if of_events.startswith("simulation"):
        measured = (found.get("correlation") or {}).get("measured_at") or ()
        there = bool(np.isclose(measured, parts.get("working_point", np.nan)).any())
        how = "at the threshold and other efficiencies" if there else "extrapolated to the threshold"
        yield from _extrapolated(f"{_simulation(result)}, {how}", found, found, known, at_threshold=there)
    if control := found.get("control"):
        yield from _extrapolated("data with both scores below the threshold, extrapolated", found, control, known)


def _extrapolated(
    source: str,
    region: Mapping[str, Any],
    events: Mapping[str, Any],
    known: StructuralFactor | None,
    *,
    at_threshold: bool = False,
) -> Iterator[_Candidate]:
    """Yield c = structural x correlation: the first of the region at the threshold, the second of some events."""
    correlation, structural = events.get("correlation") or {}, region.get("structural") or {}
    value, error = correlation.get("value"), correlation.get("error")
    # one efficiency alone does not say what c is at another one
    if value is None or error is None or len(correlation.get("measured_at") or ()) < 2:
        return
    if known is not None:
        # what the fit knows is the structural constant itself
        yield _Candidate(source, value, error, at_threshold)
    elif structural.get("value") is not None and structural.get("error") is not None:
        by, error_by = structural["value"], structural["error"]
        yield _Candidate(source, value * by, float(np.hypot(error * by, error_by * value)), at_threshold)


def _of_best(best: _Candidate, sound: Sequence[_Candidate], nominal: str) -> ClosureUncertainty:
    size, why = best.size, ""
    first = next((c for c in sound if c.source == nominal), None)
    elsewhere = best.source != nominal and not best.at_threshold
    if elsewhere:
        why = f"which is known to ± {first.error:.2g} there" if first else "which has too few events there"
    for other in sound:
        # the error that the other one would have if the best one's constant were true
        error = other.rank * np.sqrt(best.constant)
        apart = abs(other.constant - best.constant) / np.hypot(error, best.error)
        if apart > CONTRADICTING_SIGMAS and other.size > size:
            size = other.size
            why = f"{why}; " if why else ""
            constant = " ± ".join(rounded(other.constant, other.error))
            why += f"its size is that of {other.source}, which contradicts it ({constant})"
    return ClosureUncertainty(size, best.constant, best.error, best.source, elsewhere, why)
