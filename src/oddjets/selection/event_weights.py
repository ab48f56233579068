"""An audit of event weights: large shares of single events, and large changes by variations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.io.histograms import LETTERS

__all__ = ["ALL_LETTERS", "ENOUGH", "EVEN", "FEW", "MOST", "OUTLIER", "WeightAudit"]

Array = npt.NDArray[Any]

#: an event with more than this share of a template's weight has most of it
MOST = 0.5
#: effective events over events: above it a template has few events, not an odd one; two whose weights are within a
#: factor of ten of each other have more
EVEN = 0.6
#: likewise: below it a few events carry a template that many were made for, where at least so many are stored
FEW, ENOUGH = 0.1, 20
#: times the nominal weight: no uncertainty of one standard deviation makes ten events of one; weights of a shower do, where
#: a splitting of small probability is reweighted, and then they speak of that event alone
OUTLIER = 10.0
#: a region's letters taken together
ALL_LETTERS = "all"


class WeightAudit:
    """Sums over the weights of simulated events; no event is kept."""

    def __init__(self) -> None:
        # events, sum, sum of absolute values, of squares, largest absolute value
        self._cells: dict[tuple[str, str, str], Array] = {}
        # events, outliers, largest ratio
        self._varied: dict[tuple[str, str], list[float]] = {}
        self._worst: dict[tuple[str, str], tuple[str, str]] = {}

    def add(
        self,
        process: str,
        weights: npt.NDArray[np.float64],
        letter: npt.NDArray[np.int8],
        masks: Mapping[str, npt.NDArray[np.bool_]],
    ) -> None:
        """Add events with their nominal weights.

        Args:
            process: of them.
            weights: normalised, shape (events,).
            letter: of each its number, 0 for A to 3 for D, shape (events,).
            masks: region to whether an event is in it, shape (events,).
        """
        for region, mask in masks.items():
            of_region, letter_of = weights[mask], letter[mask]
            for number, name in enumerate(LETTERS):
                chosen = of_region[letter_of == number]
                chosen = chosen[np.isfinite(chosen)]
                if len(chosen):
                    sizes = np.abs(chosen)
                    found = np.array([len(chosen), chosen.sum(), sizes.sum(), (chosen**2).sum(), sizes.max()])
                    for place in (name, ALL_LETTERS):
                        cell = self._cells.setdefault((process, region, place), np.zeros(5))
                        cell[:4] += found[:4]
                        cell[4] = max(cell[4], found[4])

    def add_varied(
        self,
        process: str,
        variation: str,
        weights: npt.NDArray[np.float64],
        nominal: npt.NDArray[np.float64],
        letter: npt.NDArray[np.int8],
        masks: Mapping[str, npt.NDArray[np.bool_]],
    ) -> None:
        """Add events with the weights of a variation, and the nominal ones beside them; see `add`."""
        used = np.any(list(masks.values()), axis=0) & np.isfinite(weights) & np.isfinite(nominal)
        with np.errstate(divide="ignore", invalid="ignore"):
            # a weight that a variation makes of nothing is beyond every ratio
            ratio = np.where(used & (weights != nominal), np.abs(weights / nominal), np.where(used, 1.0, 0.0))
        entry = self._varied.setdefault((process, variation), [0, 0, 0.0])
        entry[0] += int(used.sum())
        entry[1] += int((ratio > OUTLIER).sum())
        finite = np.where(np.isfinite(ratio), ratio, 0.0)
        if used.any() and finite.max() > entry[2]:
            at = int(np.argmax(finite))
            entry[2] = float(finite[at])
            self._worst[process, variation] = next(r for r, mask in masks.items() if mask[at]), LETTERS[letter[at]]

    def summary(self) -> dict[str, Any]:
        """Return the content of ``event_weights.json``.

        Returns:
            ``templates``: of each process, region and letter (and ``all`` of them) the ``events``, their ``sum``, the
            ``effective`` number (sum w)^2 / sum w^2, how many events of one size it is ``worth``, (sum |w|)^2 / sum w^2, the
            ``largest_share`` of one event, and whether it is ``heavy``: one event has most of the weight, and not because
            events are few, or it is worth fewer than a tenth of its many events. ``variations``: of each process and
            variation of weights the ``events``, the ``largest_ratio`` of a varied to a nominal weight with its region and
            letter, and the ``outliers`` beyond `OUTLIER`, among them those whose nominal weight is zero. ``limits``: the
            numbers used.
        """
        templates = []
        for (process, region, letter), (events, total, sizes, squares, largest) in self._cells.items():
            share = largest / sizes if sizes > 0 else 0.0
            worth = sizes**2 / squares if squares > 0 else events
            one = events > 1 and share > MOST and worth < EVEN * events
            templates.append(
                {
                    "process": process,
                    "region": region,
                    "letter": letter,
                    "events": int(events),
                    "sum": float(total),
                    "effective": float(total**2 / squares) if squares > 0 else 0.0,
                    "largest_share": float(share),
                    "worth": float(worth),
                    "heavy": bool(one or (events >= ENOUGH and worth < FEW * events)),
                }
            )
        variations = []
        for (process, variation), (events, outliers, ratio) in self._varied.items():
            region, letter = self._worst.get((process, variation), ("", ""))
            variations.append(
                {
                    "process": process,
                    "variation": variation,
                    "events": int(events),
                    "outliers": int(outliers),
                    "largest_ratio": ratio,
                    "region": region,
                    "letter": letter,
                }
            )
        limits = {"share": MOST, "even": EVEN, "few": FEW, "enough": ENOUGH, "ratio": OUTLIER}
        return {"limits": limits, "templates": templates, "variations": variations}
