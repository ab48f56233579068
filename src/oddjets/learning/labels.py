"""Weak labels of the jets of data: whether the other jet of the event is odd, or whether a mass is in a window.

The label of a jet is 1 (signal-like), 0 (background-like) or -1 (not trained on). No truth is used. A classifier between two
mixtures of the same two kinds is, in the limit, the one between the kinds (E. Metodiev, B. Nachman, J. Thaler, JHEP 10 (2017)
174), as long as the features of a jet do not depend on the label within a kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError

__all__ = ["MassLabelWarning", "mass_window", "pt_edges_of", "tag_n_train"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]

#: jets that a bin in pT has at least: five of a hundred are signal-like
_LEAST_IN_BIN = 400


class MassLabelWarning(UserWarning):
    """A warning that labels are made from masses, which a score then sculpts."""


def tag_n_train(
    seed: npt.ArrayLike, pt: npt.ArrayLike, pt_edges: Sequence[float] = (), high: float = 0.95, low: float = 0.80
) -> Labels:
    """Label each jet by the seed score of the other jet of its event (Tag N' Train, arXiv:2002.12376), (n, 2).

    A jet is signal-like if the other jet's score is at or above the quantile ``high`` of the jets in the same bin of that other
    jet's pT, and background-like if it is at or below the quantile ``low``. Both jets of all events are in the quantiles. A
    jet beside one whose score is not finite gets no label.

    Args:
        seed: the score of both jets, large for odd jets, (n, 2).
        pt: GeV, (n, 2).
        pt_edges: inner edges of the bins, GeV, ascending; none: one bin. See `pt_edges_of`.
        high: between 0 and 1.
        low: between 0 and ``high``.

    Raises:
        OddjetsError: quantiles that are not in order.

    Examples:
        >>> seed = np.array([[0.1, 0.2], [0.3, 0.9], [0.2, 0.4]])
        >>> tag_n_train(seed, np.full((3, 2), 500.0), high=0.9, low=0.5).tolist()
        [[0, 0], [1, -1], [-1, 0]]
    """
    if not 0 < low <= high < 1:
        raise OddjetsError(f"labels: quantiles have to be 0 < low <= high < 1 (got low {low:g}, high {high:g})")
    scores, bins = np.asarray(seed, np.float64), np.digitize(np.asarray(pt, np.float64), np.asarray(pt_edges))
    found = np.full(scores.shape, -1, np.int8)
    finite = np.isfinite(scores)
    for number in np.unique(bins[finite]):
        here = finite & (bins == number)
        below, above = np.quantile(scores[here], [low, high])
        found[here & (scores >= above)] = 1
        # where many jets have one score, it may be both quantiles: such a jet is not odd
        found[here & (scores <= below)] = 0
    return np.ascontiguousarray(found[:, ::-1])


def pt_edges_of(pt: npt.ArrayLike, most: int = 5) -> tuple[float, ...]:
    """Return inner edges of bins with about as many jets each, GeV: as many as have 400 jets each, and no more than ``most``.

    Args:
        pt: of jets, GeV, any shape.
        most: bins.
    """
    values = np.ravel(np.asarray(pt, np.float64))
    bins = int(np.clip(values.size // _LEAST_IN_BIN, 1, most))
    return tuple(np.unique(np.quantile(values, np.arange(1, bins) / bins)).tolist()) if bins > 1 else ()


def mass_window(
    mass: npt.ArrayLike,
    window: tuple[float, float],
    sidebands: Sequence[tuple[float, float]],
    *,
    of_other: bool = True,
) -> Labels:
    """Label jets by a mass: 1 in a window, 0 in side bands (CWoLa hunting, arXiv:1902.02634), (n, 2).

    Args:
        mass: of both jets, GeV, (n, 2).
        window: from (included) and to (excluded), GeV.
        sidebands: the same; they do not overlap with the window.
        of_other: the mass is that of the other jet of the event; else the jet's own one.

    Raises:
        OddjetsError: a range that is empty, or side bands that overlap with the window, or none.

    Warns:
        MassLabelWarning: always: a feature that knows the mass makes the score a function of it, and the spectrum of background
            gets a bump where the window was.
    """
    for low, high in (window, *sidebands):
        if not low < high:
            raise OddjetsError(
                f"labels: the range of masses {low:g} to {high:g} GeV is empty; give the lower end first"
            )
    if not sidebands:
        raise OddjetsError("labels: a mass window needs at least one side band")
    for low, high in sidebands:
        if low < window[1] and high > window[0]:
            raise OddjetsError(
                f"labels: the side band {low:g} to {high:g} GeV overlaps with the window {window[0]:g} to {window[1]:g} GeV"
            )
    warnings.warn(
        f"labels are made from the mass of the {'other' if of_other else 'same'} jet: a score that can guess the mass sculpts"
        " it, and background looks like a signal in the window; look at `oddjets study sculpting` before any use",
        MassLabelWarning,
        stacklevel=2,
    )
    values = np.asarray(mass, np.float64)
    found = np.full(values.shape, -1, np.int8)
    for low, high in sidebands:
        found[(values >= low) & (values < high)] = 0
    found[(values >= window[0]) & (values < window[1])] = 1
    return np.ascontiguousarray(found[:, ::-1]) if of_other else found
