"""The window that is inspected: a region, a letter and a range of an observable."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.inspect import Inspect
from oddjets.core.errors import OddjetsError, nearest

__all__ = ["Window"]

#: whose events are inspected if nobody says otherwise
DATA = "data"


@dataclass(frozen=True)
class Window:
    """Events of a region and letter, with an observable between two values.

    Attributes:
        region: its name.
        letter: A, B, C or D.
        observable: its name.
        low: lower end, in the observable's unit; events at it are inside.
        high: upper end; events at it are outside, as in the bins of a histogram.
        of: whose events: ``data``, the name of a simulated process, or that of a dataset.
        picks: the list whose events are looked at instead, whatever their region and letter; None: there is none.
    """

    region: str
    letter: str
    observable: str
    low: float = -math.inf
    high: float = math.inf
    of: str = DATA
    picks: str | None = None

    @classmethod
    def of_analysis(cls, analysis: Analysis, asked: Inspect) -> Window:
        """Return the window that is asked for, with what is left open filled in.

        Args:
            analysis: its regions and observables.
            asked: the section ``inspect``, or options of the command line.

        Raises:
            OddjetsError: no such region or observable; the message has the nearest.
        """
        fit = analysis.fit
        region = asked.region or (fit.regions[0] if fit is not None else next(iter(analysis.regions)))
        observable = asked.observable or (fit.observable if fit is not None else next(iter(analysis.observables)))
        for what, name, known in (
            ("region", region, analysis.regions),
            ("observable", observable, analysis.observables),
        ):
            if name not in known:
                raise OddjetsError(f"inspect: no {what} '{name}'; {nearest(name, known)}")
        low, high = asked.bins or (-math.inf, math.inf)
        return cls(region, asked.letter, observable, low, high, asked.dataset or asked.process or DATA, asked.picks)

    @property
    def name(self) -> str:
        """A name for files: ``SR_A``, ``SR_A_leading_mass_140_170``, ``SR_A_top``."""
        of = "" if self.of == DATA else f"_{self.of}"
        if self.picks is not None:
            return f"picks_{re.sub(r'[^A-Za-z0-9]+', '_', Path(self.picks).stem)}{of}"
        span = ""
        if self.is_bounded:
            span = f"_{self.observable}_{self.low:g}_{self.high:g}"
        return f"{self.region}_{self.letter}{span}{of}"

    @property
    def is_bounded(self) -> bool:
        """Whether the observable is bounded at all."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    def contains(self, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which values of the observable are inside, (n,); NaN is not, unless there are no bounds."""
        values = np.asarray(values, np.float64)
        return (values >= self.low) & (values < self.high) if self.is_bounded else np.ones(values.shape, bool)

    def edges(self, analysis: Analysis) -> list[float]:
        """Return the bin edges of the observable in the region, in the observable's unit."""
        return analysis.binning(self.observable, self.region)

    def off_edges(self, analysis: Analysis) -> list[float]:
        """Return the ends that are no bin edges, where counts of bins and of events differ."""
        edges = self.edges(analysis)
        return [
            end
            for end in (self.low, self.high)
            if math.isfinite(end) and not any(math.isclose(end, edge, rel_tol=1e-9, abs_tol=1e-9) for edge in edges)
        ]

    def inner_bins(self, analysis: Analysis) -> npt.NDArray[np.intp]:
        """Return the numbers, from 0, of the bins that are inside as a whole, (n,)."""
        edges = np.asarray(self.edges(analysis))
        slack = 1e-9 * np.maximum(1.0, np.abs(edges))
        inside = (edges[:-1] >= self.low - slack[:-1]) & (edges[1:] <= self.high + slack[1:])
        return np.flatnonzero(inside)

    def describe(self, analysis: Analysis) -> str:
        """Return the window in words: ``SR, letter A, leading_mass 140 to 170 GeV``."""
        if self.picks is not None:
            return f"the list '{Path(self.picks).name}'"
        unit = analysis.observables[self.observable].unit
        words = f"{self.region}, letter {self.letter}"
        if self.is_bounded:
            words += f", {self.observable} {self.low:g} to {self.high:g} {unit}".rstrip()
        return words
