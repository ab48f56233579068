"""Checks of workspaces: clear error messages for mistakes for which pyhf gives a traceback, NaN or no error."""

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
#: largest number of events in a bin; beyond it, rounding of the likelihood (1e-16 of them) is no longer negligible
_MOST_EVENTS = 1e12
#: the largest factor of a normsys, and one over the smallest: at five sigma its square is still a number
_MOST_FACTOR = 1e20
#: the largest factor of a shapesys's Poisson constraint, (yield / uncertainty)^2
_MOST_COUNTS = 1e30
#: settings without default of HistFactory's `lumi`: the measurement must give them
_LUMI_SETTINGS = ("auxdata", "sigmas", "inits", "bounds")
#: largest length of a quoted value or message
_MAX_QUOTED = 120


class WorkspaceError(OddjetsError):
    """An invalid workspace; the message names the channel, sample or modifier."""


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
        WorkspaceError: they are not numbers, or their number is wrong.
    """
    try:
        rows = np.atleast_2d(np.asarray(data, dtype=float))
    except (TypeError, ValueError):
        raise WorkspaceError("the data are not a list of numbers (the main data, then the auxiliary data)") from None
    if rows.ndim != 2 or rows.shape[1] != length:
        raise WorkspaceError(
            f"the data are {rows.shape[-1]} numbers where the model has {length}: one for each bin, then the auxiliary data"
        )
    return rows


def check_schema(content: Any, schema: str = "workspace.json") -> None:
    """Validate a workspace, or a part of one, with pyhf's schema.

    Raises:
        WorkspaceError: it does not follow the schema; the message has the place.
    """
    try:
        pyhf.schema.validate(content, schema)
    except pyhf.exceptions.InvalidSpecification as error:
        place = f"{error.path}: " if error.path else ""
        raise WorkspaceError(
            f"the workspace does not follow pyhf's schema: {place}{_short(error.parent.message)}"
        ) from None


def check(workspace: Mapping[str, Any], measurement: str | None = None, *, schema: bool = True) -> dict[str, Any]:
    """Check a workspace.

    Args:
        workspace: of plain lists and numbers (see `plain`).
        measurement: name of the measurement; None: the first.
        schema: compare it with pyhf's schema too.

    Returns:
        The measurement.

    Raises:
        WorkspaceError: it is invalid; the message has the place.
    """
    if not isinstance(workspace, Mapping):
        raise WorkspaceError("a workspace is a JSON object with channels, observations and measurements")
    for key in ("channels", "observations", "measurements", "version"):
        if key not in workspace:
            raise WorkspaceError(f"the workspace has no '{key}'; is it a pyhf workspace?")
    if not workspace["channels"]:
        raise WorkspaceError("the workspace has no channel: there is nothing to fit")
    if not workspace["measurements"]:
        raise WorkspaceError("the workspace has no measurement")
    try:
        _check_channels(workspace)
        chosen = _find_measurement(workspace["measurements"], measurement)
        _check_parameters(chosen, workspace["channels"])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        check_schema(workspace)
        raise WorkspaceError(f"the workspace does not follow pyhf's schema: {error}") from None
    if schema:
        check_schema(workspace)
    return chosen


def _find_measurement(measurements: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """Return the measurement with a name, or the first."""
    names = [m["name"] for m in measurements]
    if name is None:
        if len(names) > 1:
            log.warning("the workspace has %d measurements; the first, '%s', is used", len(names), names[0])
        return measurements[0]
    if name not in names:
        raise WorkspaceError(f"the workspace has no measurement '{name}'; {nearest(name, names)}")
    _refuse_duplicates([n for n in names if n == name], "measurement", "rename one")
    return measurements[names.index(name)]


def _check_channels(workspace: Mapping[str, Any]) -> None:
    one = "only one of them would be fitted; rename or remove the other"
    _refuse_duplicates((c["name"] for c in workspace["channels"]), "channel", one)
    _refuse_duplicates((o["name"] for o in workspace["observations"]), "the observation of channel", one)
    observations = {o["name"]: o["data"] for o in workspace["observations"]}
    channels = [c["name"] for c in workspace["channels"]]
    for name in observations:
        if name not in channels:
            raise WorkspaceError(
                f"there is an observation of '{name}' but no such channel; {nearest(name, channels)}".rstrip("; ")
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
            _refuse_duplicates(kinds, f"{place}: modifier", "pyhf uses the last of them; merge or remove them")
            for modifier in sample["modifiers"]:
                _check_modifier(modifier, place, sample["data"])
                if modifier["type"] == "shapefactor":
                    first = factors.setdefault(modifier["name"], (bins, name))
                    if bins > first[0]:
                        raise WorkspaceError(
                            f"{place}: shapefactor '{modifier['name']}' has {first[0]} parameters, one for each bin of channel "
                            f"'{first[1]}', and this channel has {bins} bins; pyhf would use a wrong parameter for the others"
                        )


def _is_number(value: Any) -> bool:
    """Tell whether a value is a finite number; JSON's true, "1", NaN and Infinity are not."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        # an integer beyond what a float can hold
        return False


def _as_json(value: Any) -> str:
    """Write a value as in JSON, shortened if it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


def _refuse_duplicates(names: Iterable[str], what: str, why: str) -> None:
    """Refuse duplicate names, of which pyhf would use one and ignore the others."""
    for name, times in Counter(names).items():
        if times > 1:
            raise WorkspaceError(f"{what} '{name}' is there {'twice' if times == 2 else f'{times} times'}: {why}")


def _numbers(values: Any, place: str, bins: int, *, negative: bool = True) -> None:
    if not isinstance(values, list):
        raise WorkspaceError(f"{place}: {_as_json(values)} is not a list of numbers, one for each bin")
    if len(values) != bins:
        raise WorkspaceError(f"{place}: wrong binning: {len(values)} values where the channel has {bins} bins")
    for i, value in enumerate(values):
        if not _is_number(value):
            raise WorkspaceError(f"{place}: bin {i} is {_as_json(value)}; a yield must be a finite number")
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
        raise WorkspaceError(f"{here}: pyhf does not support a staterror with '/' in its name; rename it")
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
                raise WorkspaceError(f"{here}: '{key}' is {_as_json(data[key])}; a factor must be a number above zero")
            if not 1 / _MOST_FACTOR <= data[key] <= _MOST_FACTOR:
                raise WorkspaceError(
                    f"{here}: '{key}' is {data[key]:g}; a factor must be within {1 / _MOST_FACTOR:g} and {_MOST_FACTOR:g}"
                )


def _check_parameters(measurement: Mapping[str, Any], channels: Sequence[Mapping[str, Any]]) -> None:
    """Check a measurement's parameters; pyhf ignores those that are not in the model."""
    place = f"measurement '{measurement['name']}'"
    parameters = measurement["config"]["parameters"]
    _refuse_duplicates((p["name"] for p in parameters), f"{place}: parameter", "merge its entries")
    sizes = _sizes(channels)
    configured = {p["name"]: p for p in parameters if p["name"] in sizes}
    for name, parameter in configured.items():
        _check_parameter(parameter, f"{place}: parameter '{name}'", sizes[name])
    for name in sorted(
        {m["name"] for c in channels for s in c["samples"] for m in s["modifiers"] if m["type"] == "lumi"}
    ):
        missing = [key for key in _LUMI_SETTINGS if not configured.get(name, {}).get(key)]
        if missing:
            raise WorkspaceError(
                f"{place}: {name} needs auxdata, sigmas, inits, bounds; the measurement's parameters lack "
                f"{', '.join(missing)}"
            )


def _sizes(channels: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of components of each parameter of the model."""
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
            raise WorkspaceError(f"{place}, {key}: {_as_json(values)} is not a list")
        if len(values) != size:
            raise WorkspaceError(f"{place}, {key}: {len(values)} values where the parameter has {size}")
        for value in values:
            if key == "bounds" and (not isinstance(value, list) or len(value) != 2):
                raise WorkspaceError(f"{place}, bounds: {_as_json(value)} is not a pair of numbers")
            for number in value if key == "bounds" else [value]:
                if not _is_number(number):
                    raise WorkspaceError(f"{place}, {key}: {_as_json(number)} is not a finite number")
            if key == "bounds" and value[0] > value[1]:
                raise WorkspaceError(
                    f"{place}, bounds: [{value[0]:g}, {value[1]:g}]: the lower bound is above the upper one"
                )
            if key == "sigmas" and value <= 0:
                raise WorkspaceError(f"{place}, sigmas: {value:g}; a width must be above zero")
            if key == "factors" and value <= 0:
                raise WorkspaceError(f"{place}, factors: {value:g}; a factor must be above zero")
    fixed = parameter.get("fixed")
    if fixed is not None and not isinstance(fixed, bool):
        raise WorkspaceError(f"{place}, fixed: {_as_json(fixed)} is neither true nor false")
