"""Views of results for notebooks: histograms by region and observable, and the results of the fit."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

import hist
import numpy as np

from oddjets.core.errors import UnknownKeyError, nearest
from oddjets.core.tables import Table, Tabular
from oddjets.io.histograms import DATA, Hist, HistogramSet
from oddjets.stats.summary_lines import summary

__all__ = ["RunHistograms", "RunResults"]


class RunHistograms(Tabular, Mapping[tuple[str, str], Hist]):
    """All histograms of an analysis by (region, observable), normalised to the luminosity.

    Each is a `hist.Hist` with the axes ``process``, ``letter``, ``variation`` and the observable, and Weight storage.
    Histograms of variations that a process does not have (see ``found.variations``), or of processes without events in a
    region, are empty. Hidden data in A are NaN, so that sums over letters are NaN as well.

    Attributes:
        found: the underlying `HistogramSet`, with luminosity, threshold and the variations of each process.
    """

    def __init__(self, found: HistogramSet) -> None:
        self.found = found

    def __getitem__(self, key: tuple[str, str]) -> Hist:
        """Return a copy of one histogram.

        Args:
            key: region and observable.

        Raises:
            UnknownKeyError: there is none; the message has the nearest.
        """
        asked: Any = key
        if not isinstance(asked, tuple) or [type(part) for part in asked] != [str, str]:
            raise UnknownKeyError(
                f"the key of a histogram is a region and an observable, as {next(iter(self))}; got {key!r}"
            )
        region, observable = key
        if (region, observable) not in self.found.histograms:
            known = [f"{r}, {o}" for r, o in self]
            raise UnknownKeyError(
                f"no histogram of '{observable}' in region '{region}'; {nearest(f'{region}, {observable}', known)}"
            )
        copied = self._complete(self.found.histograms[region, observable])
        if self.found.blinded and DATA in copied.axes["process"]:
            view: Any = copied.view(flow=True)
            cells = view[list(copied.axes["process"]).index(DATA), list(copied.axes["letter"]).index("A")]
            cells["value"] = cells["variance"] = np.nan
        return copied

    def _complete(self, stored: Hist) -> Hist:
        """Return a copy with all processes and variations, empty if no event is in the region."""
        variations = [name for names in self.found.variations.values() for name in names]
        wanted = {"process": list(self.found.variations), "variation": variations}
        axes = [
            hist.axis.StrCategory(
                list(dict.fromkeys([*wanted[axis.name], *axis])), name=axis.name, label=axis.label, growth=True
            )
            if axis.name in wanted
            else axis
            for axis in stored.axes
        ]
        full: Hist = hist.Hist(*axes, storage=stored.storage_type())
        place = [
            [list(new).index(name) for name in old]
            for old, new in zip(stored.axes, axes, strict=True)
            if old.name in wanted
        ]
        if all(place):
            view: Any = full.view(flow=True)
            # growing axes have no overflow; letters keep theirs
            view[np.ix_(place[0], range(view.shape[1]), place[1], range(view.shape[3]))] = stored.view(flow=True)
        return full

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.found.histograms)

    def __len__(self) -> int:
        return len(self.found.histograms)

    @property
    def _headline(self) -> str:
        blinded = "; the data in A are hidden" if self.found.blinded else ""
        return f"{len(self)} histograms at {self.found.luminosity_pb:g}/pb{blinded}"

    def _tables(self) -> list[Table]:
        rows = [
            (region, observable, len(h.axes[-1]), f"{h.axes[-1].edges[0]:g} to {h.axes[-1].edges[-1]:g}")
            for (region, observable), h in self.found.histograms.items()
        ]
        return [(("region", "observable", "bins", "range"), rows)]


class RunResults(Mapping[str, Any]):
    """The content of ``results.json``; displayed as a summary of a few lines.

    Lists have one entry per bin, parameter or point. A result that was not asked for, or whose fits did not converge, is
    absent; ``failed`` lists the latter.

    * ``poi``, ``pois``: name, value and error of the strength (with ``error_up``, ``error_down``: two-sided, 68 %), and of all
      strengths.
    * ``significance``: ``z``, ``q0``, ``p_value``; ``limit``: ``observed``, and ``expected`` at -2, -1, 0, 1 and 2 standard
      deviations, at the confidence ``level``; both with ``toys`` if asked for. ``significance`` also has what is ``expected``
      of the stated cross section, the ``deciding_events``, and ``with_closure_uncertainty`` where the fit has none.
    * ``if_abcd_holds``: why the result stands only if ABCD holds; empty where the closure shows it.
    * ``yields``: by region and letter (``results["yields"]["SR"]["A"]``; "" where a channel's name has no letter):

        * ``edges``: of the bins, (bins + 1,), in the observable's unit; ``data``: events, (bins,).
        * ``prefit``: process to its expected events before the fit, (bins,).
        * ``background_only``, ``signal_plus_background``: after the fit without the signal and after the best fit, process (and
          ``total``) to ``values`` and ``errors``, (bins,), and to ``sum``, ``value`` and ``error`` of all bins together. Errors
          are those of the fit; they are correlated between bins and processes.

    * ``pulls``: of the constrained parameters; ``correlation``: ``names`` and ``matrix`` of the others than factors of single
      bins; ``impacts``, largest first; ``scan``: ``poi`` (values of the parameter ``name``) and ``twice_delta_nll``.
    * ``gof``: the saturated goodness of fit, with the ``distribution`` of its toys; ``closure``: as in ``closure.json``.
    * ``twice_nll``, ``convergence``, ``at_bounds``, ``at_kinks``, ``failed``, ``warnings``, ``seed``, ``timing_s`` (s).

    Args:
        content: the results of the stage `fit`.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def __getitem__(self, key: str) -> Any:
        """Return a part of the results.

        Raises:
            UnknownKeyError: there is none; the message has the nearest.
        """
        if key not in [*self._content]:
            raise UnknownKeyError(f"no '{key}' in the results; {nearest(key, self._content)}")
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return "\n".join([self._headline, *summary(self._content)])

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in summary(self._content))
        return f"<p>{html.escape(self._headline)}</p><ul>{lines}</ul>"

    @property
    def _headline(self) -> str:
        return f"{self._content.get('analysis', '')}: {self._content.get('title', '')}"
