"""Combinations of scores: what is known of the data's scores, and the columns that follow from it.

A combination is made of tail probabilities: how many jets of data have a larger score. They are known after all files are
processed, so a combination is no column on disk: one file beside the event tables has the maps from scores to tail
probabilities, and who reads the tables gets the columns as if they stood there (`oddjets.io.event_table`).

**Tail probability.** Of n jets of data let g have a larger score than the jet, and e the same one. Then

    p = (g + (e + 1) / 2) / (n + 1),

so that n jets of data without ties have 1/(n+1), 2/(n+1), ... n/(n+1), and equal ones share the middle of their ranks. A jet
above all data has 1/(2n+2), one below all of them 1 - 1/(2n+2): p is never 0 and never 1. It depends on ranks alone, and so
is the same for any rising function of a score. A score that is no number counts as lower than all numbers.
"""

from __future__ import annotations

import functools
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import atomic_write

__all__ = ["COMBINED_SCORES", "FEW_JETS", "Combination", "CombinedScores", "TailProbability", "bin_numbers"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: the file, in the folder of the event tables
COMBINED_SCORES = "combined_scores.npz"
#: raised whenever the file's layout or the meaning of a number changes; 2: weights
_LAYOUT = 2
#: so many jets of data with the largest scores are kept one by one
EXACT = 2**18
#: below them, one is kept where the rank has grown by this part
STEP = 1e-4
#: fewer jets of data in a bin of a flat score are worth a word: none of its jets can be odder than one in so many
FEW_JETS = 1000
#: the two jets of the pair, as in `oddjets.io.event_table`
_JETS = (1, 2)


@dataclass(frozen=True)
class TailProbability:
    """The map from a score to its tail probability in data.

    Attributes:
        values: scores of data, ascending, without repetition; -inf stands for those that are no numbers, shape (m,).
        above: how many jets of data have a larger score than each, shape (m,).
        equal: how many have the same, shape (m,).
        n: all jets of data.
    """

    values: Floats
    above: Integers
    equal: Integers
    n: int

    @classmethod
    def from_scores(cls, scores: npt.ArrayLike, exact: int = EXACT, step: float = STEP) -> TailProbability:
        """Return the map that some jets of data define; these are sorted in place if they are an array of float64.

        Args:
            scores: of all jets of data, in any order, shape (n,); NaN counts as lower than all numbers.
            exact: of so many jets with the largest scores all are kept. Of the others one is kept wherever the rank has grown
                by ``step``, which is the relative error of their tail probabilities.
            step: see ``exact``.

        Raises:
            OddjetsError: there are no jets.
        """
        found = np.asarray(scores, np.float64).reshape(-1)
        if not len(found):
            raise OddjetsError("tail probabilities are of jets of data, and there are none")
        found[np.isnan(found)] = -np.inf
        found.sort()
        values = np.unique(np.concatenate([found[-exact:], found[len(found) - 1 - _ranks(len(found), exact, step)]]))
        first, behind = (np.searchsorted(found, values, side=side) for side in ("left", "right"))
        return cls(values, len(found) - behind, behind - first, len(found))

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Return the tail probabilities of scores, of their shape, between 0 and 1 and neither."""
        asked = np.asarray(scores, np.float64)
        asked = np.where(np.isnan(asked), -np.inf, asked)
        place = np.searchsorted(self.values, asked, side="left")
        at = np.minimum(place, len(self.values) - 1)
        same = (place < len(self.values)) & (self.values[at] == asked)
        # jets at or above the next larger score that is kept, and those above the next smaller one: all of them, if none is
        larger = np.where(place < len(self.values), self.above[at] + self.equal[at], 0)
        below = np.maximum(place - 1, 0)
        smaller = np.where(place > 0, self.above[below], self.n)
        between = np.where(same, self.above[at] + 0.5 * self.equal[at], 0.5 * (larger + smaller))
        return np.asarray((between + 0.5) / (self.n + 1), np.float64)


def _ranks(n: int, exact: int, step: float) -> Integers:
    """Return the ranks of the jets that are kept of those below the largest ``exact``, 0 for the largest of all.

    Each is larger than the one before by ``step``; many jets with one score have one of these ranks, and so are kept too. The
    last is that of the smallest.
    """
    if n <= exact:
        return np.array([n - 1])
    steps = np.arange(np.ceil(np.log(n / exact) / np.log1p(step)))
    ranks = np.floor(exact * (1 + step) ** steps).astype(np.int64)
    return np.append(ranks[ranks < n], n - 1)


@dataclass(frozen=True)
class Combination:
    """The way in which a score is made of others.

    Attributes:
        name: of the score.
        how: ``product``, ``max``, ``min`` or ``mean``.
        components: the scores that it is made of.
        edges: ``mass`` and ``pt`` -> edges of the bins in which it is flat; empty: it is not.
        weights: of a product, powers of the tail probabilities of the components, not below 0; empty: all are 1.
    """

    name: str
    how: str
    components: tuple[str, ...]
    edges: Mapping[str, tuple[float, ...]]
    weights: tuple[float, ...] = ()

    @property
    def n_bins(self) -> int:
        """The number of bins in which it is flat."""
        return int(np.prod([len(edges) - 1 for edges in self.edges.values()], dtype=int))

    def bin_name(self, number: int) -> str:
        """Return a bin in words, such as ``mass 60 to 100 GeV, pt 450 to 600 GeV``."""
        shape = [len(edges) - 1 for edges in self.edges.values()]
        places = np.unravel_index(number, shape) if shape else ()
        return ", ".join(
            f"{name} {edges[i]:g} to {edges[i + 1]:g} GeV"
            for (name, edges), i in zip(self.edges.items(), places, strict=True)
        )

    def joined(self, tails: Iterable[Floats]) -> Floats:
        """Return the combined tail probability of jets: the smaller it is, the odder they are.

        A product with weights is that of the tail probabilities to the power of their weights. A component of the weight 0
        has no say, one of the weight 1 is as it would be without weights, to the last bit.

        Args:
            tails: of the components, each of shape (n,).
        """
        found = list(tails)
        if self.how == "product":
            if self.weights:
                # no power of 1: a library may round it
                found = [p if w == 1 else p**w for p, w in zip(found, self.weights, strict=True)]
            return np.asarray(functools.reduce(np.multiply, found), np.float64)
        if self.how == "mean":
            return np.asarray(functools.reduce(np.add, found) / len(found), np.float64)
        # the score is large where its probability is small
        return np.asarray(functools.reduce(np.minimum if self.how == "max" else np.maximum, found), np.float64)


def bin_numbers(edges: Mapping[str, tuple[float, ...]], quantities: Mapping[str, npt.NDArray[Any]]) -> Integers:
    """Return the bin of each jet; one beyond the edges, or without a number, is in the nearest, or in the first bin.

    Args:
        edges: quantity -> edges, rising.
        quantities: quantity -> its values, each of shape (n,).

    Returns:
        Numbers from 0, those of the last quantity fastest, shape (n,).
    """
    number: Integers = np.zeros(len(next(iter(quantities.values()))), np.int64)
    for name, found in edges.items():
        values = np.nan_to_num(np.asarray(quantities[name], np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        place = np.searchsorted(np.asarray(found), values, side="right") - 1
        number = number * (len(found) - 1) + np.clip(place, 0, len(found) - 2)
    return number


@dataclass(frozen=True)
class CombinedScores:
    """The combinations of an analysis, and the maps to tail probabilities that they need.

    Attributes:
        combinations: name -> how it is made; those that others are made of come first.
        tails: score -> its map. That of a combination is of its negative combined probability, so that large is odd.
        flat: combination -> the maps in its bins, likewise.
    """

    combinations: Mapping[str, Combination]
    tails: Mapping[str, TailProbability]
    flat: Mapping[str, tuple[TailProbability, ...]]

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the combinations, and the combination of each."""
        return {f"score_{name}_{j}": name for name in self.combinations for j in _JETS}

    def inputs(self, columns: Iterable[str]) -> list[str]:
        """Return the columns of the event tables that some columns of combinations are made of.

        Args:
            columns: of `columns`.
        """
        found: dict[str, None] = {}
        for column in columns:
            j = column[-1]
            waiting = [self.columns[column]]
            while waiting:
                combination = self.combinations[waiting.pop()]
                found |= dict.fromkeys(f"{quantity}_{j}" for quantity in combination.edges)
                for component in combination.components:
                    if component in self.combinations:
                        waiting.append(component)
                    else:
                        found.setdefault(f"score_{component}_{j}")
        return list(found)

    def of_jets(self, table: Mapping[str, npt.NDArray[Any]], names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
        """Return columns of combinations.

        Args:
            table: has the columns that `inputs` says, each of shape (n,); those of nominal jets.
            names: of `columns`.

        Returns:
            Column -> -log10 of the combined tail probability, large for odd jets, shape (n,).
        """
        found: dict[str, npt.NDArray[Any]] = {}
        known: dict[tuple[str, str], Floats] = {}
        for column in names:
            found[column] = -np.log10(self._combined(table, self.columns[column], column[-1], known))
        return found

    def probability(self, table: Mapping[str, npt.NDArray[Any]], name: str, jet: int) -> Floats:
        """Return the combined tail probability of one jet of each event, whose -log10 is the score, shape (n,).

        Args:
            table: as for `of_jets`.
            name: of a combination.
            jet: 1 or 2.
        """
        return self._combined(table, name, str(jet), {})

    def before_flat(self, table: Mapping[str, npt.NDArray[Any]], name: str, jet: int) -> Floats:
        """Return the combined tail probability before it is made flat in bins; see `probability`."""
        combination = self.combinations[name]
        return combination.joined(self._tail(table, c, str(jet), {}) for c in combination.components)

    def _combined(
        self, table: Mapping[str, npt.NDArray[Any]], name: str, jet: str, known: dict[tuple[str, str], Floats]
    ) -> Floats:
        if (name, jet) not in known:
            combination = self.combinations[name]
            joined = combination.joined(self._tail(table, c, jet, known) for c in combination.components)
            if combination.edges:
                bins = bin_numbers(combination.edges, {q: table[f"{q}_{jet}"] for q in combination.edges})
                within = np.empty_like(joined)
                for number in np.unique(bins):
                    here = bins == number
                    within[here] = self.flat[name][number](-joined[here])
                joined = within
            known[name, jet] = joined
        return known[name, jet]

    def _tail(
        self, table: Mapping[str, npt.NDArray[Any]], name: str, jet: str, known: dict[tuple[str, str], Floats]
    ) -> Floats:
        if name not in self.combinations:
            return self.tails[name](table[f"score_{name}_{jet}"])
        return self.tails[name](-self._combined(table, name, jet, known))

    # ---- the file ------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the file beside the event tables; a reader sees all of it or nothing."""
        maps = {f"tail {name}": one for name, one in self.tails.items()}
        for name, in_bins in self.flat.items():
            maps |= {f"flat {name} {i}": one for i, one in enumerate(in_bins)}
        note = {
            "layout": _LAYOUT,
            "combinations": [
                [c.name, c.how, list(c.components), {q: list(e) for q, e in c.edges.items()}, list(c.weights)]
                for c in self.combinations.values()
            ],
            "n": {name: one.n for name, one in maps.items()},
        }
        arrays: dict[str, npt.NDArray[Any]] = {"note": np.array(json.dumps(note, sort_keys=True))}
        for name, one in maps.items():
            arrays |= {f"{name} {part}": getattr(one, part) for part in ("values", "above", "equal")}
        with atomic_write(folder / COMBINED_SCORES) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, folder: Path) -> CombinedScores | None:
        """Read the file beside the event tables; None where there is none: no score is a combination.

        Raises:
            InputFileError: it is damaged, or of another version.
        """
        file = folder / COMBINED_SCORES
        try:
            found = file.stat()
        except FileNotFoundError:
            return None
        return _load(file, found.st_mtime_ns, found.st_size)

    @classmethod
    def require(cls, folder: Path, analysis: str) -> CombinedScores:
        """Read the file beside the event tables, which has to be there.

        Args:
            folder: ``out/events``.
            analysis: whose folder it is, for the message.

        Raises:
            InputFileError: it is not there, damaged, or of another version.
        """
        if (found := cls.load(folder)) is None:
            raise InputFileError(
                f"{folder / COMBINED_SCORES}: not there, and '{analysis}' has combinations of scores, which are made of tail"
                " probabilities in data; run `oddjets process` with data first"
            )
        return found


# one analysis at a time is read, but a test or a notebook may have several
@functools.lru_cache(maxsize=4)
def _load(file: Path, _modified: int, _size: int) -> CombinedScores:
    try:
        # an archive that is cut short would stay open in np.load
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            note = json.loads(str(stored["note"]))
            if note["layout"] != _LAYOUT:
                raise InputFileError(
                    f"{file}: combined scores of version {note['layout']}, but version {_LAYOUT} is needed; run"
                    " `oddjets process`"
                )
            maps = {
                name: TailProbability(stored[f"{name} values"], stored[f"{name} above"], stored[f"{name} equal"], n)
                for name, n in note["n"].items()
            }
        combinations = {
            name: Combination(name, how, tuple(components), {q: tuple(e) for q, e in edges.items()}, tuple(weights))
            for name, how, components, edges, weights in note["combinations"]
        }
        tails = {name.removeprefix("tail "): one for name, one in maps.items() if name.startswith("tail ")}
        flat = {
            name: tuple(maps[f"flat {name} {i}"] for i in range(c.n_bins))
            for name, c in combinations.items()
            if c.edges
        }
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputFileError(f"{file}: damaged ({error}); `oddjets process --force` makes it again") from None
    return CombinedScores(combinations, tails, flat)
