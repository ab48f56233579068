"""Mean shares of a model's class groups in a sample: against the jets' mass, and in a window beside the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.inspection.window import RegionEvents, Window
from oddjets.io.event_table import JETS
from oddjets.io.histograms import DATA

__all__ = ["Selection", "ShareMeans", "mean_and_error", "selections_of", "share_means"]

Floats = npt.NDArray[np.float64]
Selection = str


@dataclass(frozen=True)
class ShareMeans:
    """Mean shares of class groups of one sample, letter and jet; in all events, and in bins of the jet's mass.

    Attributes:
        sample: ``data`` or the name of a process.
        selection: which events, in words: ``A, mass 140 to 170 GeV``.
        jet: 1 for the leading jets, 2 for the subleading ones.
        events: how many, not weighted; those in no bin of the mass are among them.
        means: class group to mean and its error; None without two events, or where the sum of weights is not positive.
        binned_events: how many in each bin.
        binned: class group to the same in each bin.
    """

    sample: str
    selection: Selection
    jet: int
    events: int
    means: dict[str, tuple[float, float] | None]
    binned_events: tuple[int, ...]
    binned: dict[str, tuple[tuple[float, float] | None, ...]]


def mean_and_error(values: Floats, weights: Floats) -> tuple[float, float] | None:
    """Return the weighted mean and its error: sum w x / sum w, and the root of sum w^2 (x - mean)^2 / (sum w)^2.

    The square of the error is multiplied by n / (n - 1), with n = (sum w)^2 / sum w^2 events of one weight: with equal weights
    it is the error of a mean as usual.

    Args:
        values: (n,).
        weights: (n,).

    Returns:
        None for fewer than two events, n of at most 1, or a sum of weights that is not positive.
    """
    total = float(weights.sum())
    if len(values) < 2 or total <= 0:
        return None
    effective = total**2 / float((weights**2).sum())
    if effective <= 1 + 1e-9:
        return None
    mean = float(weights @ values) / total
    variance = float(weights**2 @ (values - mean) ** 2) / total**2 * effective / (effective - 1)
    return mean, float(np.sqrt(variance))


def selections_of(
    events: RegionEvents, window: Window, unit: str = "", letters: str = "ABCD"
) -> dict[Selection, RegionEvents]:
    """Return what is compared: the window's letter, and of it what is in the window and beside it; and the other letters.

    Args:
        events: of the window's region.
        window: its letter, and its range if it has one.
        unit: of the window's observable.
        letters: those that the events can be of: not A where that is blinded.
    """
    own = events.letters == window.letter
    others = ", ".join(letter for letter in letters if letter != window.letter)
    found = {window.letter: events.select(own)}
    if window.is_bounded:
        span = f"{window.observable} {window.low:g} to {window.high:g} {unit}".rstrip()
        found |= {
            f"{window.letter}, {span}": events.inside(window),
            f"{window.letter}, beside it": events.beside(window),
        }
    return found | {others: events.select(~own)}


def share_means(
    samples: Mapping[str, Iterable[RegionEvents]],
    window: Window,
    columns: Mapping[str, str],
    edges: Sequence[float],
    unit: str = "",
    *,
    blinded: bool = False,
) -> list[ShareMeans]:
    """Compute the mean shares of all samples, selections and jets; those without events are left out.

    Args:
        samples: ``data`` or the name of a process to the events of its datasets in the window's region.
        window: the window.
        columns: class group to the column of its share, without ``_1`` and ``_2``.
        edges: bins of the mass, GeV, rising.
        unit: of the window's observable.
        blinded: whether data in A have been left out.

    Raises:
        OddjetsError: a table has no shares.
    """
    found = []
    for sample, datasets in samples.items():
        letters = "BCD" if blinded and sample == DATA else "ABCD"
        parts = [
            selections_of(_with_shares(events, columns), window, unit, letters) for events in datasets if len(events)
        ]
        for selection in parts[0] if parts else ():
            chosen = [part[selection] for part in parts]
            for jet in JETS if any(map(len, chosen)) else ():
                names = {name: f"{stem}_{jet}" for name, stem in columns.items()}
                joined = {
                    name: np.concatenate([np.asarray(part.columns[name], np.float64) for part in chosen])
                    for name in (*names.values(), f"mass_{jet}", "weight")
                }
                found.append(_means(sample, selection, jet, joined, names, np.asarray(edges, np.float64)))
    return found


def _means(
    sample: str, selection: Selection, jet: int, columns: Mapping[str, Floats], names: Mapping[str, str], edges: Floats
) -> ShareMeans:
    """Average the columns of one jet, in all events and bin by bin."""
    weights = columns["weight"]
    # as in histograms: the last bin has its upper edge, too
    bins = np.searchsorted(edges, columns[f"mass_{jet}"], side="right") - 1
    bins[columns[f"mass_{jet}"] == edges[-1]] = len(edges) - 2
    inside = [bins == number for number in range(len(edges) - 1)]
    return ShareMeans(
        sample,
        selection,
        jet,
        len(weights),
        {name: mean_and_error(columns[stem], weights) for name, stem in names.items()},
        tuple(int(mask.sum()) for mask in inside),
        {
            name: tuple(mean_and_error(columns[stem][mask], weights[mask]) for mask in inside)
            for name, stem in names.items()
        },
    )


def _with_shares(events: RegionEvents, columns: Mapping[str, Any]) -> RegionEvents:
    """Return the events, whose table must have the shares.

    Raises:
        OddjetsError: it has not.
    """
    if missing := [stem for stem in columns.values() if f"{stem}_1" not in events.columns]:
        raise OddjetsError(
            f"the event table of {events.dataset} has no column '{missing[0]}_1': tables of earlier versions have no shares of"
            " class groups; `oddjets process --force` makes it again, without inference where scores are stored"
        )
    return events
