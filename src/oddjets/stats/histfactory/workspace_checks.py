"""What is wrong with a workspace: sentences in place of the traceback, NaN or silence that pyhf would meet it with."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyhf

from oddjets.core.errors import OddjetsError, nearest

log = logging.getLogger(__name__)

__all__ = ["MODIFIERS", "WorkspaceError", "check", "check_schema", "numbers_of", "plain"]

#: the HistFactory modifiers that the fast fit knows
MODIFIERS = ("histosys", "lumi", "normfactor", "normsys", "shapefactor", "shapesys", "staterror")

#: the lists of numbers that a modifier's data carries, by type; each must have one entry per bin
_PER_BIN = {"histosys": ("hi_data", "lo_data"), "shapesys": (None,), "staterror": (None,)}
#: modifiers that have one parameter whatever the number of bins
_SCALAR = ("histosys", "lumi", "normfactor", "normsys")
#: events of a bin beyond which the likelihood's rounding (1e-16 of them) is no longer small beside its changes
_MOST_EVENTS = 1e12
#: the largest factor of a normsys, and one over the smallest: at five sigma its square is still a number
_MOST_FACTOR = 1e20
#: the largest factor of a shapesys's Poisson constraint, (yield / uncertainty)^2
_MOST_COUNTS = 1e30
#: what HistFactory's `lumi` has no default for: the measurement must say it
_OF_LUMI = ("auxdata", "sigmas", "inits", "bounds")
#: how much of a value or of somebody else's message is quoted
_QUOTED = 120


class WorkspaceError(OddjetsError):
    """A workspace that describes no model that can be fitted; the message names the channel, sample or modifier."""


def plain(value: Any) -> Any:
    """Return a copy of a workspace with arrays as lists and NumPy's numbers as Python's: pyhf takes both."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [v if type(v) in (float, int, str) else plain(v) for v in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def numbers_of(data: Any, length: int) -> np.ndarray:
    """Return pyhf's data as rows, (T, length).

    Raises:
        WorkspaceError: they are no numbers, or too few or too many.
    """
    try:
        rows = np.atleast_2d(np.asarray(data, dtype=float))
    except (TypeError, ValueError):
        raise WorkspaceError("the data are no numbers: a list of the main data and the auxiliary ones is") from None
    if rows.ndim != 2 or rows.shape[1] != length:
        raise WorkspaceError(
            f"the data are {rows.shape[-1]} numbers where the model has {length}: one for each bin, then the auxiliary ones"
        )
    return rows


def check_schema(content: Any, schema: str = "workspace.json") -> None:
    """Hold a workspace, or a part of one, against pyhf's schema.

    Raises:
        WorkspaceError: it does not follow the schema; the message says where.
    """
    try:
        pyhf.schema.validate(content, schema)
    except pyhf.exceptions.InvalidSpecification as error:
        place = f"{error.path}: " if error.path else ""
        raise WorkspaceError(
            f"the workspace does not follow pyhf's schema: {place}{_short(error.parent.message)}"
        ) from None


def check(workspace: Mapping[str, Any], measurement: str | None = None) -> dict[str, Any]:
    """Check a workspace.

    Args:
        workspace: of plain lists and numbers (see `plain`).
        measurement: which one; None: the first.

    Returns:
        The measurement.

    Raises:
        WorkspaceError: what is wrong, and where.
    """
    for key in ("channels", "observations", "measurements", "version"):
        if key not in workspace:
            raise WorkspaceError(f"the workspace has no '{key}'; is it a pyhf workspace?")
    if not workspace["channels"]:
        raise WorkspaceError("the workspace has no channel: there is nothing to fit")
    if not workspace["measurements"]:
        raise WorkspaceError("the workspace has no measurement")
    try:
        _check_channels(workspace)
        chosen = _chosen(workspace["measurements"], measurement)
        _check_parameters(chosen, workspace["channels"])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        check_schema(workspace)
        raise WorkspaceError(f"the workspace does not follow pyhf's schema: {error}") from None
    check_schema(workspace)
    return chosen


def _chosen(measurements: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """The measurement of a name, or the first."""
    names = [m["name"] for m in measurements]
    if name is None:
        if len(names) > 1:
            log.warning("the workspace has %d measurements; the first, '%s', is taken", len(names), names[0])
        return measurements[0]
    if name not in names:
        raise WorkspaceError(f"the workspace has no measurement '{name}'; {nearest(name, names)}")
    _refuse_twins([n for n in names if n == name], "measurement", "rename one")
    return measurements[names.index(name)]


def _check_channels(workspace: Mapping[str, Any]) -> None:
    one = "only one of them would be fitted; rename or remove the other"
    _refuse_twins((c["name"] for c in workspace["channels"]), "channel", one)
    _refuse_twins((o["name"] for o in workspace["observations"]), "the observation of channel", one)
    observations = {o["name"]: o["data"] for o in workspace["observations"]}
    channels = [c["name"] for c in workspace["channels"]]
    for name in observations:
        if name not in channels:
            raise WorkspaceError(
                f"there is an observation of '{name}' and no such channel; {nearest(name, channels)}".rstrip("; ")
            )
    # pyhf goes through the channels by name; the first one says how many parameters a shapefactor has
    factors: dict[str, tuple[int, str]] = {}
    for channel in sorted(workspace["channels"], key=lambda c: str(c["name"])):
        name, samples = channel["name"], channel["samples"]
        if name not in observations:
            raise WorkspaceError(f"channel '{name}' has no observation; {nearest(name, observations)}".rstrip("; "))
        if not samples:
            raise WorkspaceError(f"channel '{name}' has no sample")
        seen = observations[name]
        bins = len(seen) if isinstance(seen, list) else 0
        _numbers(seen, f"observation of channel '{name}'", bins, negative=False)
        if len({s["name"] for s in samples}) != len(samples):
            raise WorkspaceError(f"channel '{name}' has two samples of the same name")
        for sample in samples:
            place = f"channel '{name}', sample '{sample['name']}'"
            _numbers(sample["data"], place, bins)
            kinds = (f"{m['type']} {m['name']}" for m in sample["modifiers"])
            _refuse_twins(kinds, f"{place}: modifier", "pyhf takes the last of them; join or remove them")
            for modifier in sample["modifiers"]:
                _check_modifier(modifier, place, sample["data"])
                if modifier["type"] == "shapefactor":
                    first = factors.setdefault(modifier["name"], (bins, name))
                    if bins > first[0]:
                        raise WorkspaceError(
                            f"{place}: shapefactor '{modifier['name']}' has {first[0]} parameters, one for each bin of channel "
                            f"'{first[1]}', and this channel has {bins} bins; pyhf would take another parameter for the rest"
                        )


def _is_number(value: Any) -> bool:
    """Tell whether a value is a finite number; JSON's true and "1" are none, nor are NaN and Infinity."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        # an integer beyond what a float can hold
        return False


def _shown(value: Any) -> str:
    """A value as JSON has it, cut off where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def _refuse_twins(names: Iterable[str], what: str, why: str) -> None:
    """Refuse two things of one name, of which pyhf would take one and forget the other."""
    for name, times in Counter(names).items():
        if times > 1:
            raise WorkspaceError(f"{what} '{name}' is there {'twice' if times == 2 else f'{times} times'}: {why}")


def _numbers(values: Any, place: str, bins: int, *, negative: bool = True) -> None:
    if not isinstance(values, list):
        raise WorkspaceError(f"{place}: {_shown(values)} is no list of numbers, one for each bin")
    if len(values) != bins:
        raise WorkspaceError(f"{place}: wrong binning: {len(values)} values where the channel has {bins} bins")
    for i, value in enumerate(values):
        if not _is_number(value):
            raise WorkspaceError(f"{place}: bin {i} is {_shown(value)}; a yield must be a finite number")
        if not negative and value < 0:
            raise WorkspaceError(f"{place}: bin {i} is {value!r}; it must not be negative")
        if abs(value) > _MOST_EVENTS:
            raise WorkspaceError(
                f"{place}: bin {i} is {value:g}; a fit of more than {_MOST_EVENTS:g} events in a bin is not precise enough"
            )


def _check_modifier(modifier: dict[str, Any], place: str, nominal: list[float]) -> None:
    kind, name, data = modifier["type"], modifier["name"], modifier["data"]
    here, bins = f"{place}, {kind} '{name}'", len(nominal)
    if kind not in MODIFIERS:
        raise WorkspaceError(f"{place}: modifier '{name}' has the unknown type '{kind}'; {nearest(kind, MODIFIERS)}")
    if kind == "staterror" and "/" in name:
        raise WorkspaceError(f"{here}: pyhf makes no model of a staterror with '/' in its name; rename it")
    for key in _PER_BIN.get(kind, ()):
        _numbers(
            data if key is None else data[key], here + (f", {key}" if key else ""), bins, negative=kind == "histosys"
        )
    if kind == "shapesys":
        for i, (events, uncertainty) in enumerate(zip(nominal, data, strict=True)):
            if events > 0 and 0 < uncertainty < events / math.sqrt(_MOST_COUNTS):
                raise WorkspaceError(
                    f"{here}: bin {i} is {uncertainty:g} of {events:g} events, too small for its constraint, a Poisson count"
                    " of (yield / uncertainty)^2; write 0 where there is no uncertainty"
                )
    if kind == "normsys":
        for key in ("hi", "lo"):
            if not _is_number(data[key]) or data[key] <= 0:
                raise WorkspaceError(f"{here}: '{key}' is {_shown(data[key])}; a factor must be a number above zero")
            if not 1 / _MOST_FACTOR <= data[key] <= _MOST_FACTOR:
                raise WorkspaceError(
                    f"{here}: '{key}' is {data[key]:g}; a factor must be within {1 / _MOST_FACTOR:g} and {_MOST_FACTOR:g}"
                )


def _check_parameters(measurement: Mapping[str, Any], channels: Sequence[Mapping[str, Any]]) -> None:
    """Check a measurement's parameters; pyhf passes over those that the model does not have."""
    place = f"measurement '{measurement['name']}'"
    parameters = measurement["config"]["parameters"]
    _refuse_twins((p["name"] for p in parameters), f"{place}: parameter", "join what is said of it")
    sizes = _sizes(channels)
    configured = {p["name"]: p for p in parameters if p["name"] in sizes}
    for name, parameter in configured.items():
        _check_parameter(parameter, f"{place}: parameter '{name}'", sizes[name])
    for name in sorted(
        {m["name"] for c in channels for s in c["samples"] for m in s["modifiers"] if m["type"] == "lumi"}
    ):
        missing = [key for key in _OF_LUMI if not configured.get(name, {}).get(key)]
        if missing:
            raise WorkspaceError(
                f"{place}: {name} needs auxdata, sigmas, inits, bounds; the measurement's parameters do not say its "
                f"{', '.join(missing)}"
            )


def _sizes(channels: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many numbers each parameter of the model is."""
    bins: dict[str, dict[str, int]] = {}
    scalar, shared = set(), set()
    for channel in sorted(channels, key=lambda c: str(c["name"])):
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                name, kind = modifier["name"], modifier["type"]
                bins.setdefault(name, {})[channel["name"]] = len(sample["data"])
                scalar |= {name} if kind in _SCALAR else set()
                shared |= {name} if kind == "shapefactor" else set()
    return {
        name: 1 if name in scalar else next(iter(of.values())) if name in shared else sum(of.values())
        for name, of in bins.items()
    }


def _check_parameter(parameter: Mapping[str, Any], place: str, size: int) -> None:
    for key in ("inits", "auxdata", "factors", "sigmas", "bounds"):
        values = parameter.get(key)
        if values is None:
            continue
        if not isinstance(values, list):
            raise WorkspaceError(f"{place}, {key}: {_shown(values)} is no list")
        if len(values) != size:
            raise WorkspaceError(f"{place}, {key}: {len(values)} values where the parameter has {size}")
        for value in values:
            if key == "bounds" and (not isinstance(value, list) or len(value) != 2):
                raise WorkspaceError(f"{place}, bounds: {_shown(value)} is no pair of numbers")
            for number in value if key == "bounds" else [value]:
                if not _is_number(number):
                    raise WorkspaceError(f"{place}, {key}: {_shown(number)} is no finite number")
            if key == "bounds" and value[0] > value[1]:
                raise WorkspaceError(f"{place}, bounds: [{value[0]:g}, {value[1]:g}] do not rise")
            if key == "sigmas" and value <= 0:
                raise WorkspaceError(f"{place}, sigmas: {value:g}; a width must be above zero")
            if key == "factors" and value <= 0:
                raise WorkspaceError(f"{place}, factors: {value:g}; a factor must be above zero")
    fixed = parameter.get("fixed")
    if fixed is not None and not isinstance(fixed, bool):
        raise WorkspaceError(f"{place}, fixed: {_shown(fixed)} is neither true nor false")
