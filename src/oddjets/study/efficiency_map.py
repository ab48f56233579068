"""A map of the score's efficiency for single jets, by their mass, pT and number of prongs, for those who have no events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hist.intervals import clopper_pearson_interval

from oddjets.core.errors import InputFileError

__all__ = ["MASS_EDGES", "PRONGS", "PT_EDGES", "EfficiencyMap", "MapJets", "make_map", "read_map"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: classes of jets: 1 stands for none or one, 4 for four and more
PRONGS = (1, 2, 3, 4)
#: GeV
PT_EDGES = (450.0, 550.0, 700.0, 1000.0, 2000.0)
MASS_EDGES = (60.0, 80.0, 100.0, 120.0, 145.0, 170.0, 200.0, 240.0)


@dataclass(frozen=True)
class MapJets:
    """The two jets of the events that pass a base selection.

    Attributes:
        pt: GeV, (2, n): leading and subleading.
        mass: soft-drop mass, GeV, (2, n).
        prongs: partons of decays in the jet, (2, n).
        passes: whether the score is at or above the threshold, (2, n).
        weight: of the events, (n,).
        process: names, (n,).
    """

    pt: Floats
    mass: Floats
    prongs: Integers
    passes: npt.NDArray[np.bool_]
    weight: Floats
    process: npt.NDArray[np.str_]

    @property
    def classes(self) -> Integers:
        """The class of each jet in `PRONGS`, as an index, (2, n)."""
        return np.clip(self.prongs, PRONGS[0], PRONGS[-1]) - PRONGS[0]


@dataclass(frozen=True)
class EfficiencyMap:
    """Efficiencies with their Clopper-Pearson 68.3 % intervals; NaN where there are no jets.

    Attributes:
        pt_edges: GeV.
        mass_edges: GeV.
        jets: effective number of jets, (prongs, pT bins, mass bins).
        values: efficiencies, likewise.
        down: lengths of the intervals below.
        up: lengths of the intervals above.
    """

    pt_edges: Floats
    mass_edges: Floats
    jets: Floats
    values: Floats
    down: Floats
    up: Floats

    def efficiency(self, prongs: Any, pt: Any, mass: Any) -> Floats:
        """Return the probability that jets pass the threshold, after the base selection; NaN outside of the map.

        Args:
            prongs: partons in the jet, (n,).
            pt: GeV, (n,).
            mass: soft-drop mass, GeV, (n,).
        """
        of = np.clip(np.asarray(prongs, int), PRONGS[0], PRONGS[-1]) - PRONGS[0]
        i, j = (np.searchsorted(e, x, side="right") - 1 for e, x in ((self.pt_edges, pt), (self.mass_edges, mass)))
        inside = (i >= 0) & (i < len(self.pt_edges) - 1) & (j >= 0) & (j < len(self.mass_edges) - 1)
        found: Floats = self.values[of, np.where(inside, i, 0), np.where(inside, j, 0)]
        found[~inside] = np.nan
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the map as JSON can hold it."""
        numbers = {"jets": self.jets, "efficiency": self.values, "down": self.down, "up": self.up}
        return {
            "prongs": list(PRONGS),
            "pt_edges_GeV": self.pt_edges.tolist(),
            "mass_edges_GeV": self.mass_edges.tolist(),
            **{name: _nested(x) for name, x in numbers.items()},
        }


def _nested(values: Floats) -> list[Any]:
    """Return numbers as nested lists, None for what is not finite."""
    return [_nested(x) if np.ndim(x) else float(x) if np.isfinite(x) else None for x in values]


def make_map(
    jets: MapJets, pt_edges: Sequence[float] = PT_EDGES, mass_edges: Sequence[float] = MASS_EDGES
) -> tuple[EfficiencyMap, dict[str, dict[str, float | None]]]:
    """Return the map of some events, and how well it predicts A in each process.

    Jets count with the weights of their events, those of one process as those of another: a bin is a mean over the processes
    that are there. The effective number of jets, (sum w)^2 / sum w^2, gives the interval.

    Args:
        jets: of all processes.
        pt_edges: GeV.
        mass_edges: GeV.

    Returns:
        The map; and process -> ``events`` in A, the ``predicted`` ones if each jet passes by the map whatever the other does,
        and the ``error`` of the former. Events with a jet outside of the map count in neither.
    """
    edges = np.asarray(pt_edges, float), np.asarray(mass_edges, float)
    shape = (len(PRONGS), len(edges[0]) - 1, len(edges[1]) - 1)
    places = [np.searchsorted(e, x, side="right") - 1 for e, x in zip(edges, (jets.pt, jets.mass), strict=True)]
    inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(places, shape[1:], strict=True)])
    weight = np.broadcast_to(jets.weight, jets.pt.shape)
    cell = np.ravel_multi_index([jets.classes, *(np.where(inside, p, 0) for p in places)], shape)
    size = int(np.prod(shape))

    def summed(x: Floats) -> Floats:
        return np.asarray(np.bincount(cell[inside], x[inside], size), np.float64).reshape(shape)

    total, squares = summed(weight), summed(weight**2)
    passed = summed(weight * jets.passes)
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = np.where(squares > 0, total**2 / squares, 0.0)
        values = np.where(total > 0, np.clip(passed / total, 0.0, 1.0), np.nan)
    there = effective > 0
    low, high = np.full((2, *shape), np.nan)
    low[there], high[there] = clopper_pearson_interval(values[there] * effective[there], effective[there])
    made = EfficiencyMap(*edges, effective, values, values - low, high - values)
    chances = np.where(inside, values.ravel()[cell], np.nan)
    both = inside.all(axis=0)
    check: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(jets.process.tolist()):
        chosen = both & (jets.process == name)
        w = jets.weight[chosen]
        in_a = jets.passes[:, chosen].all(axis=0)
        check[name] = {
            "events": float(w[in_a].sum()),
            "error": float(np.sqrt((w[in_a] ** 2).sum())),
            "predicted": float((w * chances[:, chosen].prod(axis=0)).sum()),
        }
    return made, check


def read_map(file: str | Path) -> EfficiencyMap:
    """Read a map that `oddjets efficiency-map` wrote.

    Raises:
        InputFileError: it is none.
    """
    try:
        content: Mapping[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))["map"]
        edges = (np.asarray(content[f"{name}_edges_GeV"], float) for name in ("pt", "mass"))
        return EfficiencyMap(*edges, *(np.array(content[k], float) for k in ("jets", "efficiency", "down", "up")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{file}: is no efficiency map ({error}); `oddjets efficiency-map` makes one") from None
