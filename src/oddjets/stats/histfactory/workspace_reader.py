"""Reading and checking of pyhf workspaces: channels, parameters, constraints and data as plain arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyhf

from oddjets.core.errors import OddjetsError, nearest
from oddjets.stats.histfactory.pyhf_config import pyhf_config
from oddjets.stats.histfactory.workspace_checks import WorkspaceError, check, numbers_of, plain

#: events below zero that are rounding
NEARLY_NOTHING = 1e-7

__all__ = ["Parameters", "Spec", "read"]


@dataclass(frozen=True)
class Parameters:
    """The parameters of a model in pyhf's order; all arrays have shape (n_parameters,).

    Attributes:
        names: pyhf's names; components of vectors as ``name[i]``.
        init: suggested start, the nearest bound where that lies outside.
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
    def binned(self) -> np.ndarray:
        """Mask of the parameters of single bins, shape (n_parameters,)."""
        return np.array([name not in self.sets for name in self.names], dtype=bool)

    @cached_property
    def constrained(self) -> np.ndarray:
        """Mask of the parameters with a constraint, shape (n_parameters,)."""
        return np.asarray(self.kind != "free")

    def index(self, name: str) -> int:
        """Return the position of a parameter.

        Raises:
            OddjetsError: no such parameter; the message has the nearest names.
        """
        if name in self.names:
            return self.names.index(name)
        part = self.sets.get(name)
        if part is not None and part.stop - part.start == 1:
            return int(part.start)
        if part is not None:
            raise OddjetsError(
                f"'{name}' is {part.stop - part.start} parameters, one for each bin; name one of them, as '{name}[0]'"
            )
        near = nearest(name, self.names if "[" in name else [n for n in self.names if n in self.sets])
        raise OddjetsError(f"the model has no parameter '{name}'; {near}".rstrip("; "))


@dataclass(frozen=True)
class Spec:
    """A workspace's model with one measurement and its data.

    Attributes:
        channels: pyhf's channel dictionaries in pyhf's (sorted) order.
        slices: channel -> its bins in the data vector.
        data: observed yields, shape (n_bins,).
        parameters: see `Parameters`.
        settings: pyhf's parameter settings of the measurement.
        aux_order: the parameters of pyhf's auxiliary data in their order.
        pyhf_data: main and auxiliary data in pyhf's order.
        poi: the requested parameter of interest, or the measurement's, or None.
        types: parameter set -> modifier type.
    """

    channels: tuple[dict[str, Any], ...]
    slices: dict[str, slice]
    data: np.ndarray
    parameters: Parameters
    settings: list[dict[str, Any]]
    aux_order: np.ndarray
    pyhf_data: np.ndarray
    poi: str | None
    types: dict[str, str]

    @property
    def n_bins(self) -> int:
        """Number of bins of all channels."""
        return len(self.data)

    def bin_name(self, index: int) -> str:
        """Return the name of the bin at a position in the data vector."""
        for name, part in self.slices.items():
            if part.start <= index < part.stop:
                return f"bin {index - part.start} of channel '{name}'"
        raise IndexError(index)

    @cached_property
    def pyhf_model(self) -> Any:
        """The model of pyhf itself, for comparisons: the fast fit does not use it."""
        spec = {"channels": list(self.channels), "parameters": self.settings}
        model = pyhf.Model(spec, poi_name=None, validate=False)
        sets = self.parameters.sets.items()
        single = [name for name, part in sets if part.stop - part.start == 1 and self.poi in (name, f"{name}[0]")]
        model.config.set_poi(single[0] if single else None)
        return model

    def split(self, data: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split pyhf data, shape (T, n) or (n,), into main, (T, n_bins), and auxiliary ones by parameter, (T, n_parameters).

        Raises:
            WorkspaceError: they are not finite numbers, their number is wrong, or there are negative events.
        """
        P = self.n_bins
        rows = numbers_of(data, P + len(self.aux_order))
        main = np.arange(rows.shape[1]) < P
        # Asimov data of a bin without expectation are zero only within rounding
        rows = np.where(main & (rows < 0) & (rows > -NEARLY_NOTHING), 0.0, rows)
        bad = np.argwhere(~np.isfinite(rows) | ((rows < 0) & main))
        if len(bad):
            row, i = bad[0].tolist()
            place = self.bin_name(i) if i < P else f"auxiliary data of '{self.parameters.names[self.aux_order[i - P]]}'"
            raise WorkspaceError(f"the data, {place}: {rows[row, i]:g} is not a possible number of events")
        aux = np.repeat(self.parameters.aux[None], len(rows), axis=0)
        # pyhf's auxiliary data of a Poisson constraint are counts already
        aux[:, self.aux_order] = rows[:, P:]
        return rows[:, :P], aux


def read(
    workspace: Mapping[str, Any], measurement: str | None = None, poi: str | None = None, *, schema: bool = True
) -> Spec:
    """Check a workspace and read it.

    Args:
        workspace: a pyhf workspace.
        measurement: which one; None: the first.
        poi: the parameter of interest; None: the measurement's.
        schema: compare it with pyhf's schema too.

    Returns:
        The model and its data.

    Raises:
        WorkspaceError: a key is missing, no such measurement, a modifier unknown, a number no number, a binning wrong.
    """
    content: dict[str, Any] = plain(workspace)
    chosen = check(content, measurement, schema=schema)
    names = {m["name"] for c in content["channels"] for s in c["samples"] for m in s["modifiers"]}
    theirs = chosen["config"]["poi"] or None
    if poi is None and theirs is not None and theirs not in names:
        raise WorkspaceError(
            f"nothing depends on the parameter of interest '{theirs}'; {nearest(theirs, names)}".rstrip("; ")
        )
    try:
        config = pyhf_config(content["channels"], chosen["config"]["parameters"])
    except pyhf.exceptions.InvalidNameReuse as error:
        raise WorkspaceError(f"a name is used for two different things in the workspace: {error}") from error
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
    wanted = theirs if poi is None else poi
    # for pyhf, what has several bins has none of interest
    if wanted in config.par_map and config.param_set(wanted).n_parameters == 1:
        config.set_poi(wanted)
        wanted = config.par_names[config.poi_index]
    channels = {c["name"]: c for c in content["channels"]}
    observed = {o["name"]: o["data"] for o in content["observations"]}
    data = np.concatenate([np.asarray(observed[name], dtype=float) for name in config.channels])
    parts = [config.par_slice(name) for name in config.auxdata_order]
    return Spec(
        channels=tuple(channels[name] for name in config.channels),
        slices=dict(config.channel_slices),
        data=data,
        parameters=_parameters(config),
        settings=chosen["config"]["parameters"],
        aux_order=np.concatenate([np.arange(part.start, part.stop) for part in parts] or [np.zeros(0, int)]).astype(
            int
        ),
        pyhf_data=np.concatenate([data, np.asarray(config.auxdata, dtype=float)]),
        poi=wanted,
        types=dict(config.modifiers),
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
    fixed = np.asarray(config.suggested_fixed(), dtype=bool)
    if twins := [name for name, times in Counter(config.par_names).items() if times > 1]:
        raise WorkspaceError(f"two parameters of the model are called '{twins[0]}'; rename one")
    for name, kind, count, start, held in zip(config.par_names, kinds, aux, init, fixed, strict=True):
        if kind == "poisson" and count < 0:
            raise WorkspaceError(f"parameter '{name}', auxdata: {count:g}; a Poisson count must not be negative")
        if kind == "poisson" and count > 0 and held and start <= 0:
            raise WorkspaceError(
                f"parameter '{name}' is fixed at {start:g}, where its auxiliary measurement of {count:g} is impossible; fix it "
                "at 1, which means no uncertainty"
            )
    return Parameters(
        names=tuple(config.par_names),
        # a start outside the bounds is moved to the nearest bound; a fixed parameter keeps its value
        init=np.where(fixed, init, np.clip(init, low, high)),
        low=low,
        high=high,
        fixed=fixed,
        kind=np.asarray(kinds),
        sigma=np.asarray(sigma, dtype=float),
        factor=np.asarray(factor, dtype=float),
        aux=np.asarray(aux, dtype=float),
        sets={name: config.par_slice(name) for name in config.par_order},
    )
