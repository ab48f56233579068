"""Region histograms: their axes, and the set of all histograms of an analysis, with its files.

There is one `hist.Hist` per region and observable, with the axes process, letter, variation and observable, and Weight
storage (sums of weights and of squared weights).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np
import numpy.typing as npt
import uhi.io.json

from oddjets.core.errors import BlindedError, InputFileError, OddjetsError, nearest
from oddjets.core.files import write_json
from oddjets.core.paths import is_file_name

__all__ = ["DATA", "LETTERS", "HistogramSet", "ThresholdResult", "empty_histogram", "histogram_of"]

DATA = "data"
LETTERS = ("A", "B", "C", "D")
Array = npt.NDArray[np.float64]
Hist = hist.Hist[Any]
#: the version of the folder's layout
LAYOUT = 1


@dataclass(frozen=True)
class ThresholdResult:
    """The threshold on the scores, and the efficiency in data that defines it.

    Attributes:
        score: the name of the score.
        value: events with both scores at or above it are in A.
        efficiency_asked: the requested fraction of data; None if the value was given.
        efficiency_found: the fraction of data with both scores at or above the value; None without data or if blinded.
        n_data: data events after the base selection.
        n_above: data events with both scores at or above the value; None if the data in A are blinded.
    """

    score: str
    value: float
    efficiency_asked: float | None
    efficiency_found: float | None
    n_data: int
    n_above: int | None

    def blinded(self) -> ThresholdResult:
        """Return the threshold without the numbers of data in A."""
        return dataclasses.replace(self, efficiency_found=None, n_above=None)


def empty_histogram(
    observable: str,
    edges: Sequence[float],
    label: str = "",
    *,
    processes: Sequence[str] = (),
    variations: Sequence[str] = (),
) -> Hist:
    """Return an empty histogram with the axes process, letter, variation and the observable.

    Args:
        observable: the name of the observable's axis.
        edges: bin edges, in the observable's unit; under- and overflow are kept.
        label: the axis label.
        processes: initial categories; others are added when they are filled.
        variations: the same for the variations.
    """
    return hist.Hist(
        hist.axis.StrCategory(list(processes), growth=True, name="process"),
        hist.axis.StrCategory(list(LETTERS), name="letter"),
        hist.axis.StrCategory(list(variations), growth=True, name="variation"),
        hist.axis.Variable(list(edges), name=observable, label=label),
        storage=hist.storage.Weight(),
    )


def histogram_of(
    observable: str, edges: Sequence[float], label: str, contents: Mapping[tuple[str, str], Array]
) -> Hist:
    """Return a histogram with given contents.

    Args:
        observable: as for `empty_histogram`.
        edges: as for `empty_histogram`.
        label: as for `empty_histogram`.
        contents: (process, variation) -> sums of weights and of squared weights, shape (2, letters, bins + 2), with under- and
            overflow; the axes have their categories in this order. Others are zero.
    """
    processes, variations = (list(dict.fromkeys(key[i] for key in contents)) for i in (0, 1))
    histogram = empty_histogram(observable, edges, label, processes=processes, variations=variations)
    view: Any = histogram.view(flow=True)
    for (process, variation), sums in contents.items():
        cells = view[processes.index(process), : len(LETTERS), variations.index(variation)]
        cells["value"], cells["variance"] = sums
    return histogram


class _Arrays(NamedTuple):
    """The contents of a histogram without flow, (processes, letters, variations, bins), and the places of all names."""

    places: tuple[dict[str, int], ...]
    contents: npt.NDArray[Any]
    nothing: npt.NDArray[Any]

    @classmethod
    def of(cls, histogram: Hist) -> _Arrays:
        *categories, axis = histogram.axes
        places = tuple({name: i for i, name in enumerate(names)} for names in categories)
        nothing = np.zeros(len(axis), dtype=[("value", float), ("variance", float)])
        return cls(places, np.asarray(histogram.view(flow=True))[..., 1:-1], nothing)


def _merged_bins(histogram: Hist, groups: Sequence[Sequence[int]]) -> Hist:
    """Return a histogram with groups of neighbouring bins as its bins; under- and overflow stay."""
    processes, letters, variations, axis = histogram.axes
    view: Any = histogram.view(flow=True)
    starts = [0, *(group[0] + 1 for group in groups), len(axis) + 1]
    contents = {}
    for p, process in enumerate(processes):
        for v, variation in enumerate(variations):
            cells = view[p, : len(letters), v]
            both = np.stack([cells["value"], cells["variance"]])
            contents[process, variation] = np.add.reduceat(both, starts, axis=-1)
    edges = [axis.edges[group[0]] for group in groups] + [axis.edges[-1]]
    return histogram_of(axis.name, edges, axis.label, contents)


def _without_data_in_a(histogram: Hist) -> Hist:
    copied = histogram.copy()
    if DATA in copied.axes["process"]:
        view: Any = copied.view(flow=True)
        cells = view[list(copied.axes["process"]).index(DATA), list(copied.axes["letter"]).index("A")]
        cells["value"], cells["variance"] = 0.0, 0.0
    return copied


@dataclass(frozen=True)
class HistogramSet:
    """All histograms of an analysis, normalised to the luminosity.

    Attributes:
        histograms: keyed by (region, observable).
        variations: process -> names of its variations, ``nominal`` first; others do not exist (they are not zero).
        luminosity_pb: integrated luminosity of the data, /pb.
        threshold: the threshold on the scores.
        energy_TeV: centre-of-mass energy, TeV.
        blinded: whether data in A were omitted; reading them is then an error.
        shared_events: pair of regions -> how many events of data and simulation are in both, for pairs that share any.
    """

    histograms: Mapping[tuple[str, str], Hist]
    variations: Mapping[str, Sequence[str]]
    luminosity_pb: float
    threshold: ThresholdResult
    energy_TeV: float = 13.0
    blinded: bool = False
    shared_events: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def blind(self) -> HistogramSet:
        """Return the same histograms without the data in A."""
        if self.blinded:
            return self
        without = {key: _without_data_in_a(histogram) for key, histogram in self.histograms.items()}
        return dataclasses.replace(self, histograms=without, threshold=self.threshold.blinded(), blinded=True)

    def _at(self, region: str, observable: str) -> Hist:
        try:
            return self.histograms[region, observable]
        except KeyError:
            known = [f"{r}.{o}" for r, o in self.histograms]
            raise OddjetsError(
                f"no histogram of '{observable}' in region '{region}'; {nearest(f'{region}.{observable}', known)}"
            ) from None

    def with_merged_bins(self, observable: str, groups: Mapping[str, Sequence[Sequence[int]]]) -> HistogramSet:
        """Return the same histograms with groups of neighbouring bins of some regions as their bins.

        Args:
            observable: the observable.
            groups: region -> its groups of bins, which are all of them in order.
        """
        merged = {(r, observable): _merged_bins(self._at(r, observable), found) for r, found in groups.items()}
        return dataclasses.replace(self, histograms={**self.histograms, **merged})

    @cached_property
    def _arrays(self) -> dict[tuple[str, str], _Arrays]:
        """The contents by region and observable; hist's own indexing would take most of the time of building a workspace."""
        return {}

    def _view(self, region: str, observable: str, process: str, letter: str, variation: str) -> Any:
        arrays = self._arrays.get((region, observable))
        if arrays is None:
            arrays = self._arrays[region, observable] = _Arrays.of(self._at(region, observable))
        if self.blinded and process == DATA and letter == "A":
            raise BlindedError(
                f"the data in A of region '{region}' are blinded; `oddjets histogram ANALYSIS.yaml --unblind`, or 'fit.blind:"
                " false' and `oddjets histogram`, fills them in"
            )
        if letter not in LETTERS:
            raise OddjetsError(f"no letter '{letter}'; there are {', '.join(LETTERS)}")
        if process not in self.variations:
            raise OddjetsError(f"no process '{process}' in the histograms; {nearest(process, self.variations)}")
        if variation not in self.variations[process]:
            raise OddjetsError(
                f"process '{process}' has no variation '{variation}'; {nearest(variation, self.variations[process])}"
            )
        place = [known.get(name) for known, name in zip(arrays.places, (process, letter, variation), strict=True)]
        # without a place, no event of this process is in this region
        return arrays.nothing if None in place else arrays.contents[*place]

    def values(self, region: str, observable: str, process: str, letter: str, variation: str = "nominal") -> Array:
        """Return the contents of the bins (no flow), in events at the luminosity, shape (bins,)."""
        return np.array(self._view(region, observable, process, letter, variation)["value"], dtype=np.float64)

    def variances(self, region: str, observable: str, process: str, letter: str, variation: str = "nominal") -> Array:
        """Return the sums of squared weights of the bins (no flow), shape (bins,)."""
        return np.array(self._view(region, observable, process, letter, variation)["variance"], dtype=np.float64)

    def edges(self, region: str, observable: str) -> Array:
        """Return the bin edges, shape (bins + 1,), in the observable's unit."""
        return np.array(self._at(region, observable).axes[-1].edges, dtype=np.float64)

    @property
    def processes(self) -> list[str]:
        """The simulated processes, without data."""
        return [name for name in self.variations if name != DATA]

    @property
    def regions(self) -> list[str]:
        """The regions, in the order of the analysis."""
        return list(dict.fromkeys(region for region, _ in self.histograms))

    def save(self, folder: Path) -> list[Path]:
        """Write ``index.json`` and one UHI JSON per region and observable; return the files."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for (region, observable), histogram in self.histograms.items():
            file = folder / f"{region}.{observable}.json"
            file.write_text(json.dumps(histogram, default=uhi.io.json.default), encoding="utf-8")
            written.append(file)
        index = {
            "layout": LAYOUT,
            "histograms": [[region, observable] for region, observable in self.histograms],
            "variations": {name: list(value) for name, value in self.variations.items()},
            "luminosity_pb": self.luminosity_pb,
            "energy_TeV": self.energy_TeV,
            "threshold": dataclasses.asdict(self.threshold),
            "shared_events": [[*pair, count] for pair, count in self.shared_events.items()],
            # written only if data are hidden
            **({"blinded": True} if self.blinded else {}),
        }
        file = folder / "index.json"
        write_json(file, index)
        return [*written, file]

    @classmethod
    def load(cls, folder: Path) -> HistogramSet:
        """Read the files written by `save`.

        Raises:
            InputFileError: the folder has no index, or a file is missing or damaged.
        """
        index_file = folder / "index.json"
        if not index_file.is_file():
            raise InputFileError(f"{folder}: no histograms (no index.json); run `oddjets histogram` first")
        try:
            index = json.loads(index_file.read_text(encoding="utf-8"))
            if names := [name for pair in index["histograms"] for name in pair if not is_file_name(name)]:
                raise ValueError(f"'{names[0]}' is not a valid name of a region or an observable")
            histograms = {
                (region, observable): hist.Hist(
                    json.loads(
                        (folder / f"{region}.{observable}.json").read_text(encoding="utf-8"),
                        object_hook=uhi.io.json.object_hook,
                    )
                )
                for region, observable in index["histograms"]
            }
            return cls(
                histograms=histograms,
                variations=index["variations"],
                luminosity_pb=index["luminosity_pb"],
                threshold=ThresholdResult(**index["threshold"]),
                energy_TeV=index["energy_TeV"],
                blinded=bool(index.get("blinded", False)),
                # an index of an earlier version has none; its stage `histogram` is out of date
                shared_events={(one, other): int(count) for one, other, count in index.get("shared_events", ())},
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, OSError) as error:
            raise InputFileError(
                f"{folder}: damaged histograms ({type(error).__name__}: {error}); `oddjets histogram --force` makes them again"
            ) from None
