"""A pyhf workspace, read and checked: its channels, parameters, constraints and data as plain arrays."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyhf

from oddjets.core.errors import OddjetsError, nearest

__all__ = ["MODIFIERS", "Parameters", "Spec", "WorkspaceError", "read"]

log = logging.getLogger(__name__)

#: the HistFactory modifiers that the fast fit knows
MODIFIERS = ("histosys", "lumi", "normfactor", "normsys", "shapefactor", "shapesys", "staterror")

#: the lists of numbers that a modifier's data carries, by type; each must have one entry per bin
_PER_BIN = {"histosys": ("hi_data", "lo_data"), "shapesys": (None,), "staterror": (None,)}
#: events of a bin beyond which the likelihood's rounding (1e-16 of them) is no longer small beside its changes
_MOST_EVENTS = 1e12
#: the largest factor of a normsys, and one over the smallest: at five sigma its square is still a number
_MOST_FACTOR = 1e20
#: the largest factor of a shapesys's Poisson constraint, (yield / uncertainty)^2
_MOST_COUNTS = 1e30
#: what HistFactory's `lumi` has no default for: the measurement must say it
_OF_LUMI = ("auxdata", "sigmas", "inits", "bounds")


class WorkspaceError(OddjetsError):
    """A workspace that describes no model that can be fitted; the message names the channel, sample or modifier."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of a model in pyhf's order; all arrays have shape (n_parameters,).

    Attributes:
        names: pyhf's names; components of vectors as ``name[i]``.
        init: suggested start.
        low: lower bounds.
        high: upper bounds.
        fixed: parameters that pyhf holds constant.
        kind: "free", "normal" or "poisson", the constraint.
        sigma: width of a Gaussian constraint; of a Poisson one 1/sqrt(factor); 0 where unconstrained.
        factor: the Poisson constraint is Pois(aux | factor * parameter); 1 elsewhere.
        aux: the auxiliary measurement; the initial value where unconstrained.
        sets: name of a parameter set -> its slice.
    """

    names: tuple[str, ...]
    init: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fixed: np.ndarray
    kind: np.ndarray
    sigma: np.ndarray
    factor: np.ndarray
    aux: np.ndarray
    sets: dict[str, slice]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def constrained(self) -> np.ndarray:
        """Mask of the parameters with a constraint, shape (n_parameters,)."""
        return np.asarray(self.kind != "free")

    def index(self, name: str) -> int:
        """Return the position of a parameter.

        Raises:
            OddjetsError: no such parameter; the message has the nearest names.
        """
        try:
            return self.names.index(name)
        except ValueError:
            scalars = [n for n in self.names if "[" not in n]
            near = nearest(name, self.names if "[" in name else scalars)
            raise OddjetsError(f"the model has no parameter '{name}'; {near}") from None


@dataclass(frozen=True)
class Spec:
    """A workspace's model with one measurement and its data.

    Attributes:
        channels: pyhf's channel dictionaries in pyhf's (sorted) order.
        slices: channel -> its bins in the data vector.
        data: observed yields, shape (n_bins,).
        parameters: see `Parameters`.
        pyhf_model: pyhf's own model.
        pyhf_data: main and auxiliary data in pyhf's order.
        poi: the measurement's parameter of interest, or None.
        types: parameter set -> modifier type.
    """

    channels: tuple[dict[str, Any], ...]
    slices: dict[str, slice]
    data: np.ndarray
    parameters: Parameters
    pyhf_model: Any
    pyhf_data: np.ndarray
    poi: str | None
    types: dict[str, str]

    @property
    def n_bins(self) -> int:
        """Number of bins of all channels."""
        return len(self.data)

    def bin_name(self, index: int) -> str:
        """Say which bin a position in the data vector is."""
        for name, part in self.slices.items():
            if part.start <= index < part.stop:
                return f"bin {index - part.start} of channel '{name}'"
        raise IndexError(index)


def read(workspace: Mapping[str, Any], measurement: str | None = None) -> Spec:
    """Check a workspace and read it.

    Args:
        workspace: a pyhf workspace.
        measurement: which one; None: the first.

    Returns:
        The model and its data.

    Raises:
        WorkspaceError: a key is missing, no such measurement, a modifier unknown, a number no number, a binning wrong.
    """
    for key in ("channels", "observations", "measurements", "version"):
        if key not in workspace:
            raise WorkspaceError(f"the workspace has no '{key}'; is it a pyhf workspace?")
    if not workspace["channels"]:
        raise WorkspaceError("the workspace has no channel: there is nothing to fit")
    if not workspace["measurements"]:
        raise WorkspaceError("the workspace has no measurement")
    _check(workspace)
    try:
        # here all of it is compared with the schema; `Workspace.get_measurement` and `.model` would do parts of it again
        pyhf_workspace = pyhf.Workspace(workspace)
        chosen = _chosen(pyhf_workspace["measurements"], measurement)
        poi = chosen["config"]["poi"] or None
        _check_parameters(chosen, workspace["channels"])
        names = {m["name"] for c in workspace["channels"] for s in c["samples"] for m in s["modifiers"]}
        if poi is not None and poi not in names:
            raise WorkspaceError(f"nothing depends on the parameter of interest '{poi}'; {nearest(poi, names)}")
        content = {"channels": pyhf_workspace["channels"], "parameters": chosen["config"]["parameters"]}
        model = pyhf.Model(content, poi_name=poi, validate=False)
        data = np.asarray(pyhf_workspace.data(model), dtype=float)
    except WorkspaceError:
        raise
    except pyhf.exceptions.InvalidSpecification as error:
        raise WorkspaceError(f"the workspace does not follow pyhf's schema: {str(error).splitlines()[0]}") from None
    except (
        AssertionError,
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        pyhf.exceptions.InvalidModel,
        pyhf.exceptions.InvalidModifier,
    ) as error:
        raise WorkspaceError(f"pyhf cannot make a model of the workspace: {error or type(error).__name__}") from error
    except pyhf.exceptions.InvalidNameReuse as error:
        raise WorkspaceError(f"one name means two things in the workspace: {error}") from error
    config = model.config
    by_name = {c["name"]: c for c in workspace["channels"]}
    return Spec(
        channels=tuple(by_name[name] for name in config.channels),
        slices=dict(config.channel_slices),
        data=data[: config.nmaindata],
        parameters=_parameters(config),
        pyhf_model=model,
        pyhf_data=data,
        poi=poi,
        types=dict(config.modifiers),
    )


def _chosen(measurements: Sequence[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """Return the measurement of a name, or the first."""
    found = [m for m in measurements if name is None or m["name"] == name]
    if not found:
        known = [m["name"] for m in measurements]
        raise WorkspaceError(f"the workspace has no measurement '{name}'; {nearest(str(name), known)}")
    if name is None and len(found) > 1:
        log.warning("the workspace has %d measurements; the first, '%s', is taken", len(found), found[0]["name"])
    return found[0]


def _is_number(value: Any) -> bool:
    """Tell whether a value is a finite number; JSON's true and "1" are none, nor are NaN and Infinity."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        # an integer beyond what a float can hold
        return False


def _refuse_twins(names: Iterable[str], what: str, why: str) -> None:
    """Refuse two things of one name, of which pyhf would take one and forget the other."""
    for name, times in Counter(names).items():
        if times > 1:
            raise WorkspaceError(f"{what} '{name}' is there {'twice' if times == 2 else f'{times} times'}: {why}")


def _numbers(values: Any, place: str, bins: int, *, negative: bool = True) -> None:
    if not isinstance(values, list) or len(values) != bins:
        got = len(values) if isinstance(values, list) else "none"
        raise WorkspaceError(f"{place}: wrong binning: {got} values where the channel has {bins} bins")
    for i, value in enumerate(values):
        if not _is_number(value):
            raise WorkspaceError(f"{place}: bin {i} is {value!r}; a yield must be a finite number")
        if not negative and value < 0:
            raise WorkspaceError(f"{place}: bin {i} is {value!r}; it must not be negative")
        if abs(value) > _MOST_EVENTS:
            raise WorkspaceError(
                f"{place}: bin {i} is {value:g}; a fit of more than {_MOST_EVENTS:g} events in a bin is not precise enough"
            )


def _check(workspace: Mapping[str, Any]) -> None:
    """Find what pyhf would meet with a traceback, a NaN or silence."""
    try:
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
        shapes: dict[str, tuple[int, str]] = {}
        for channel in workspace["channels"]:
            name, samples = channel["name"], channel["samples"]
            if name not in observations:
                raise WorkspaceError(f"channel '{name}' has no observation; {nearest(name, observations)}")
            if not samples:
                raise WorkspaceError(f"channel '{name}' has no sample")
            bins = len(observations[name])
            _numbers(observations[name], f"observation of channel '{name}'", bins, negative=False)
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
                        first = shapes.setdefault(modifier["name"], (bins, name))
                        if first[0] != bins:
                            raise WorkspaceError(
                                f"{place}: shapefactor '{modifier['name']}' is shared with channel '{first[1]}', "
                                f"which has {first[0]} bins and not {bins}"
                            )
    except KeyError as error:
        raise WorkspaceError(
            f"the workspace does not follow pyhf's schema: {error!s} is missing or misplaced"
        ) from None
    except (AttributeError, TypeError) as error:
        raise WorkspaceError(f"the workspace does not follow pyhf's schema: {error}") from None


def _check_modifier(modifier: dict[str, Any], place: str, nominal: list[float]) -> None:
    kind, name, data = modifier["type"], modifier["name"], modifier["data"]
    here, bins = f"{place}, {kind} '{name}'", len(nominal)
    if kind not in MODIFIERS:
        raise WorkspaceError(f"{place}: modifier '{name}' has the unknown type '{kind}'; {nearest(kind, MODIFIERS)}")
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
                raise WorkspaceError(f"{here}: '{key}' is {data[key]!r}; a factor must be a number above zero")
            if not 1 / _MOST_FACTOR <= data[key] <= _MOST_FACTOR:
                raise WorkspaceError(
                    f"{here}: '{key}' is {data[key]:g}; a factor must be within {1 / _MOST_FACTOR:g} and {_MOST_FACTOR:g}"
                )


def _check_parameters(measurement: Mapping[str, Any], channels: Iterable[Mapping[str, Any]]) -> None:
    """Find in a measurement's parameters what pyhf would meet with a traceback, a NaN or silence."""
    place = f"measurement '{measurement['name']}'"
    parameters = measurement["config"]["parameters"]
    _refuse_twins((p["name"] for p in parameters), f"{place}: parameter", "join what is said of it")
    modifiers = [m for c in channels for s in c["samples"] for m in s["modifiers"]]
    # pyhf passes over parameters that the model does not have
    used = {m["name"] for m in modifiers}
    configured = {p["name"]: p for p in parameters if p["name"] in used}
    for name, parameter in configured.items():
        for key in ("inits", "auxdata", "factors", "sigmas", "bounds"):
            for value in np.ravel(np.asarray(parameter.get(key) or [], dtype=object)).tolist():
                if not _is_number(value):
                    raise WorkspaceError(f"{place}: parameter '{name}', {key}: {value!r} is no finite number")
        for sigma in parameter.get("sigmas") or []:
            if sigma <= 0:
                raise WorkspaceError(f"{place}: parameter '{name}', sigmas: {sigma:g}; a width must be above zero")
        for pair in parameter.get("bounds") or []:
            if len(pair) != 2:
                raise WorkspaceError(f"{place}: parameter '{name}', bounds: {pair} is no pair of numbers")
            low, high = pair
            if low > high:
                raise WorkspaceError(f"{place}: parameter '{name}', bounds: [{low:g}, {high:g}] do not rise")
    for name in {m["name"] for m in modifiers if m["type"] == "lumi"}:
        missing = [key for key in _OF_LUMI if not configured.get(name, {}).get(key)]
        if missing:
            raise WorkspaceError(
                f"{place}: {name} needs auxdata, sigmas, inits, bounds; the measurement's parameters do not say its "
                f"{', '.join(missing)}"
            )


def _parameters(config: Any) -> Parameters:
    kinds, sigma, factor, aux = [], [], [], []
    for name in config.par_order:
        paramset, n = config.param_set(name), config.param_set(name).n_parameters
        kind = paramset.pdf_type if paramset.constrained else "free"
        kinds += [kind] * n
        sigma += list(paramset.width()) if paramset.constrained else [0.0] * n
        factor += list(paramset.factors) if kind == "poisson" else [1.0] * n
        aux += list(paramset.auxdata) if paramset.constrained else list(paramset.suggested_init)
    bounds = np.asarray(config.suggested_bounds(), dtype=float).reshape(-1, 2)
    low, high = bounds[:, 0], bounds[:, 1]
    init = np.asarray(config.suggested_init(), dtype=float)
    for what, found in (("inits", init), ("bounds", low), ("auxdata", aux), ("sigmas", sigma), ("factors", factor)):
        if len(found) != len(config.par_names):
            raise WorkspaceError(
                f"the parameters' {what} are {len(found)} numbers where the model has {len(config.par_names)} parameters: "
                "one of them is configured with more or fewer than it has bins"
            )
    for name, start, a, b in zip(config.par_names, init, low, high, strict=True):
        if not a <= start <= b:
            raise WorkspaceError(f"parameter '{name}' starts at {start:g}, outside of its bounds [{a:g}, {b:g}]")
    return Parameters(
        names=tuple(config.par_names),
        init=init,
        low=low,
        high=high,
        fixed=np.asarray(config.suggested_fixed(), dtype=bool),
        kind=np.asarray(kinds),
        sigma=np.asarray(sigma, dtype=float),
        factor=np.asarray(factor, dtype=float),
        aux=np.asarray(aux, dtype=float),
        sets={name: config.par_slice(name) for name in config.par_order},
    )
