"""Decorators that mark a method of a processor as a cut on events or on single jets, or as a jet systematic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import EventTable

__all__ = [
    "HasCuts",
    "JetColumns",
    "cut",
    "cuts_of",
    "jet_cut",
    "jet_cuts_of",
    "jet_variation",
    "jet_variations_of",
    "mask_of",
]

Method = TypeVar("Method", bound=Callable[..., Any])


class HasCuts(Protocol):
    """The methods of a processor that regions and histograms need: its base selection. Its cuts are found by name."""

    def passing(self, table: EventTable) -> npt.NDArray[np.bool_]:
        """Return which events pass the base selection, as the table's variation sees them."""
        ...


def cut(method: Method) -> Method:
    """Mark a method as a cut: it takes an `EventTable` and returns a mask; its name may stand in the YAML.

    Raises:
        OddjetsError: something stands in brackets behind the decorator.

    Examples:
        >>> import oddjets
        >>> class Prongs(oddjets.DijetProcessor):
        ...     @oddjets.cut
        ...     def three_prongs(self, table):
        ...         "The leading jet looks like three prongs."
        ...         return table["tau3_1"] / table["tau2_1"] < 0.6
        >>> cuts_of(Prongs)["three_prongs"]
        'The leading jet looks like three prongs.'
    """
    _require_method("cut", method)
    method._oddjets_cut = True  # type: ignore[attr-defined]
    return method


class JetColumns(Mapping[str, npt.NDArray[Any]]):
    """The columns of one jet per event: ``jets["tau21"]`` is ``tau21_1`` or ``tau21_2`` of the event table.

    Args:
        table: the events, as one variation sees them.
        jet: 1 for the leading jet, 2 for the subleading one.
    """

    def __init__(self, table: Mapping[str, npt.NDArray[Any]], jet: int) -> None:
        self._table = table
        self._ending = f"_{jet}"

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        try:
            return self._table[f"{column}{self._ending}"]
        except KeyError:
            # the name that was written
            raise KeyError(column) from None

    def __iter__(self) -> Iterator[str]:
        return (name.removesuffix(self._ending) for name in self._table if name.endswith(self._ending))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def jet_cut(method: Method) -> Method:
    """Mark a method as a cut on single jets: it takes the columns of one jet per event, and returns a mask.

    A region of the YAML says which jets must pass it: ``all``, ``any``, ``leading`` or ``subleading``. So the program knows
    which regions are products of cuts on each jet; only in those can A = B C / D hold.

    Raises:
        OddjetsError: something stands in brackets behind the decorator.

    Examples:
        >>> import oddjets
        >>> class Prongs(oddjets.DijetProcessor):
        ...     @oddjets.jet_cut
        ...     def three_prongs(self, jets):
        ...         "The jet looks like three prongs."
        ...         return jets["tau3"] / jets["tau2"] < 0.6
        >>> jet_cuts_of(Prongs)["three_prongs"]
        'The jet looks like three prongs.'
    """
    _require_method("jet_cut", method)
    method._oddjets_jet_cut = True  # type: ignore[attr-defined]
    return method


def jet_variation(method: Method) -> Method:
    """Mark a method as a jet systematic of its name.

    It takes the pair's columns (each of shape (events, 2)) and a sign, and returns the varied pT and soft-drop mass, GeV.

    Examples:
        >>> import oddjets
        >>> class Stretched(oddjets.DijetProcessor):
        ...     @oddjets.jet_variation
        ...     def stretch(self, pair, sign):
        ...         "Masses move by 3 %."
        ...         return pair["pt"], pair["mass"] * (1 + 0.03 * sign)
        >>> "stretch" in jet_variations_of(Stretched)
        True
    """
    _require_method("jet_variation", method)
    method._oddjets_jet_variation = True  # type: ignore[attr-defined]
    return method


def _require_method(decorator: str, method: object) -> None:
    if not callable(method):
        raise OddjetsError(f"@{decorator} takes no arguments: write it above a method without brackets; got {method!r}")


def _decorated(owner: type, mark: str) -> dict[str, str]:
    found = {}
    for name in dir(owner):
        method = getattr(owner, name, None)
        if callable(method) and getattr(method, mark, False):
            found[name] = (method.__doc__ or "").strip().split("\n")[0]
    return found


def mask_of(name: str, returned: Any, size: int) -> npt.NDArray[np.bool_]:
    """Return what a cut returned as a mask.

    Args:
        name: of the cut.
        returned: by its method.
        size: the number of events.

    Returns:
        Shape (size,).

    Raises:
        OddjetsError: it is none: without a ``return``, for example, no event would pass.
    """
    mask = np.asarray(returned)
    if mask.dtype != np.bool_ or mask.shape != (size,):
        what = "None" if returned is None else f"values of type {mask.dtype} and shape {mask.shape}"
        raise OddjetsError(
            f"cut '{name}' returns {what} for {size} events: its method must return an array with True or False for each"
            " event"
        )
    return mask


def cuts_of(owner: type) -> dict[str, str]:
    """Return the names of the cuts on events that a processor class has, with the first line of their docstrings."""
    return _decorated(owner, "_oddjets_cut")


def jet_cuts_of(owner: type) -> dict[str, str]:
    """Return the names of the cuts on single jets that a processor class has, with the first line of their docstrings."""
    return _decorated(owner, "_oddjets_jet_cut")


def jet_variations_of(owner: type) -> dict[str, str]:
    """Return the names of the jet systematics that a processor class has."""
    return _decorated(owner, "_oddjets_jet_variation")
