"""Yields by region, process, letter and variation: what templates and closures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError, nearest

__all__ = ["RegionYields", "YieldArrays", "envelope"]

Array = npt.NDArray[np.float64]


class RegionYields(Protocol):
    """The yields of an analysis at its luminosity; `histograms.HistogramSet` and `YieldArrays` have them."""

    @property
    def variations(self) -> Mapping[str, Sequence[str]]:
        """Process -> names of its variations, ``nominal`` first; others do not exist (they are not zero)."""

    @property
    def shared_events(self) -> Mapping[tuple[str, str], int]:
        """Pair of regions -> how many events are in both, for pairs that share any."""

    def values(self, region: str, observable: str, process: str, letter: str, variation: str = "nominal") -> Array:
        """Return the events in each bin, shape (bins,)."""

    def variances(self, region: str, observable: str, process: str, letter: str, variation: str = "nominal") -> Array:
        """Return the sums of squared weights in each bin, shape (bins,)."""

    def edges(self, region: str, observable: str) -> Array:
        """Return the bin edges, shape (bins + 1,), in the observable's unit."""

    def with_merged_bins(self, observable: str, groups: Mapping[str, Sequence[Sequence[int]]]) -> RegionYields:
        """Return the same with groups of neighbouring bins of some regions as their bins."""


@dataclass(frozen=True)
class YieldArrays:
    """The yields of one observable as arrays, for studies with many thresholds and no files.

    Attributes:
        observable: its name.
        bin_edges: region -> its bin edges, (bins + 1,).
        variations: process -> names of its variations, ``nominal`` first.
        contents: (region, process, variation) -> sums of weights and of squared weights, shape (2, letters, bins), letters in
            the order A, B, C, D; what is missing has no events.
        shared_events: pair of regions -> how many events are in both, for pairs that share any.
    """

    observable: str
    bin_edges: Mapping[str, Array]
    variations: Mapping[str, Sequence[str]]
    contents: Mapping[tuple[str, str, str], Array]
    shared_events: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def _at(self, region: str, process: str, letter: str, variation: str) -> Array:
        if process not in self.variations or variation not in self.variations[process]:
            known = [f"{p}, {v}" for p, names in self.variations.items() for v in names]
            raise OddjetsError(f"no yields of '{process}, {variation}'; {nearest(f'{process}, {variation}', known)}")
        found = self.contents.get((region, process, variation))
        if found is None:
            return np.zeros((2, len(self.edges(region, self.observable)) - 1))
        return np.array(found[:, "ABCD".index(letter)], np.float64)

    def values(self, region: str, observable: str, process: str, letter: str, variation: str = "nominal") -> Array:
        """Return the events in each bin, shape (bins,)."""
        return np.asarray(self._at(region, process, letter, variation)[0])

    def variances(self, region: str, observable: str, process: str, letter: str, variation: str = "nominal") -> Array:
        """Return the sums of squared weights in each bin, shape (bins,)."""
        return np.asarray(self._at(region, process, letter, variation)[1])

    def edges(self, region: str, observable: str) -> Array:
        """Return the bin edges, shape (bins + 1,), in the observable's unit."""
        if region not in self.bin_edges:
            raise OddjetsError(f"no yields in region '{region}'; {nearest(region, self.bin_edges)}")
        return self.bin_edges[region]

    def with_merged_bins(self, observable: str, groups: Mapping[str, Sequence[Sequence[int]]]) -> YieldArrays:
        """Return the same with groups of neighbouring bins of some regions as their bins.

        Args:
            observable: the observable.
            groups: region -> its groups of bins, which are all of them in order.
        """
        starts = {region: [group[0] for group in found] for region, found in groups.items()}
        edges = {
            region: np.append(found[starts[region]], found[-1]) if region in starts else found
            for region, found in self.bin_edges.items()
        }
        contents = {
            key: np.add.reduceat(found, starts[key[0]], axis=-1) if key[0] in starts else found
            for key, found in self.contents.items()
        }
        return YieldArrays(observable, edges, self.variations, contents, self.shared_events)


def envelope(nominal: Array, members: Array) -> tuple[Array, Array]:
    """Return the variations Up and Down of an envelope: per bin the largest and smallest ratio of a member to nominal.

    Where the nominal content is not positive, the ratio is 1, as in the authors' code. Variances are the nominal ones, scaled.

    Args:
        nominal: sums of weights and of squared weights, shape (2, ...).
        members: sums of weights of the members, shape (members, ...).

    Returns:
        Sums of weights and of squared weights of both, shape (2, ...).
    """
    positive = nominal[0] > 0
    ratios = np.divide(members, nominal[0], out=np.ones_like(members), where=positive)
    up, down = ratios.max(axis=0), ratios.min(axis=0)
    return tuple(np.stack([nominal[0] * ratio, nominal[1] * ratio**2]) for ratio in (up, down))  # type: ignore[return-value]
